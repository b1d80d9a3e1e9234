package pebble

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/persistence"
)

// Queue returns orders that wait for a key.
func (j *Journal) Queue(
	ctx context.Context, p messages.Partition, key string, after persistence.Position, limit int,
) ([]persistence.QueuedOrder, error) {
	if err := j.enter(ctx); err != nil {
		return nil, err
	}
	defer j.leave()
	if !fits(key) || after == persistence.Position(1<<64-1) {
		return nil, nil
	}
	prefix := appendQueuePrefix(nil, p, key)
	lower := appendNumber(slices.Clone(prefix), uint64(after)+1)
	var found []persistence.QueuedOrder
	err := j.scan(ctx, lower, successor(prefix), func(k, value []byte) (bool, error) {
		if len(found) >= limit {
			return false, nil
		}
		o, err := parseQueued(k, value)
		found = append(found, o)
		return true, err
	})
	if err != nil {
		return nil, fmt.Errorf("read the queue of key %q: %w", key, err)
	}
	return found, nil
}

// QueuedKeys returns the first of each queue of a partition.
func (j *Journal) QueuedKeys(ctx context.Context, p messages.Partition, after string, limit int) ([]persistence.QueuedOrder, error) {
	if err := j.enter(ctx); err != nil {
		return nil, err
	}
	defer j.leave()
	if !fits(after) {
		return nil, nil
	}
	lower, upper := appendQueuesPrefix(nil, p), successor(appendQueuesPrefix(nil, p))
	if after != "" {
		lower = successor(appendQueuePrefix(nil, p, after))
	}
	it, err := j.db.NewIterWithContext(ctx, &pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return nil, readError("iterate", err)
	}
	defer func() { _ = it.Close() }() // Its error is that of the iteration.
	if err := j.settle(ctx); err != nil {
		return nil, err
	}
	var found []persistence.QueuedOrder
	for valid := it.First(); valid && len(found) < limit; valid = it.SeekGE(successor(appendQueuePrefix(nil, p, found[len(found)-1].Key))) {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		value, err := it.ValueAndErr()
		if err != nil {
			return nil, readError("read a queue", err)
		}
		o, err := parseQueued(it.Key(), value)
		if err != nil {
			return nil, err
		}
		found = append(found, o)
	}
	return found, readError("iterate", it.Error())
}

// parseQueued reads a key of a queue, and what is kept there.
func parseQueued(k, value []byte) (o persistence.QueuedOrder, err error) {
	const prefix, number = 1 + 2 + 2, 8
	if len(k) < prefix+number || len(k) != prefix+int(binary.BigEndian.Uint16(k[3:]))+number || len(value) < handleSize {
		return o, persistence.DecodeError("queue of an order key", fmt.Errorf("key %x, with %d bytes, is none of a queue", k, len(value)))
	}
	o.Key = string(k[prefix : len(k)-number])
	o.Position = persistence.Position(binary.BigEndian.Uint64(k[len(k)-number:]))
	copy(o.Handle[:], value)
	o.ID = messages.OrderID(value[handleSize:])
	return o, nil
}
