package pebble

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"slices"

	"github.com/cockroachdb/pebble/v2"
	"google.golang.org/protobuf/proto"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/persistence"
)

// Find looks an order up in the directory.
func (j *Journal) Find(ctx context.Context, id messages.OrderID) (persistence.Entry, error) {
	if err := j.enter(ctx); err != nil {
		return persistence.Entry{}, err
	}
	defer j.leave()
	entry, err := j.find(id)
	if err != nil {
		return persistence.Entry{}, err // whoever asks knows which order it is, and says so
	}
	return entry, j.settle(ctx)
}

// find is Find without waiting until the entry is durable. Most often it finds nothing, and says so without more words.
func (j *Journal) find(id messages.OrderID) (persistence.Entry, error) {
	var row journalv1.DirectoryRow
	if err := get(j.db, appendDirectoryKey(make([]byte, 0, 64), id), &row); err != nil {
		return persistence.Entry{}, err
	}
	entry, err := entryOf(&row)
	if err != nil {
		return persistence.Entry{}, persistence.DecodeError("directory row of order "+string(id), err)
	}
	return entry, nil
}

func entryOf(row *journalv1.DirectoryRow) (persistence.Entry, error) {
	entry := persistence.Entry{
		Partition:   messages.Partition(row.GetPartition()), //nolint:gosec // checked below
		ContentHash: row.GetContentHash(),
	}
	if len(row.GetHandle()) != handleSize {
		return entry, fmt.Errorf("its handle has %d bytes", len(row.GetHandle()))
	}
	if row.GetPartition() >= messages.Partitions {
		return entry, fmt.Errorf("its partition is %d", row.GetPartition())
	}
	copy(entry.Handle[:], row.GetHandle())
	return entry, nil
}

// getBytes reads one key; false if it is not there.
func getBytes(db pebble.Reader, key []byte) (value []byte, found bool, err error) {
	stored, closer, err := db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, readError(fmt.Sprintf("read key %x", key), err)
	}
	value = bytes.Clone(stored)
	return value, true, readError(fmt.Sprintf("read key %x", key), closer.Close())
}

// has tells whether a key is there.
func has(db pebble.Reader, key []byte) (bool, error) {
	_, found, err := getBytes(db, key)
	return found, err
}

// get reads one row.
func get(db pebble.Reader, key []byte, row proto.Message) error {
	value, closer, err := db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return persistence.ErrNotFound
	}
	if err != nil {
		return readError("read a row", err)
	}
	err = proto.Unmarshal(value, row)
	if err != nil {
		err = persistence.DecodeError(fmt.Sprintf("row under key %x", key), err)
	}
	return errors.Join(err, closer.Close())
}

// Row reads an order's row.
func (j *Journal) Row(ctx context.Context, h messages.Handle) (*journalv1.OrderRow, error) {
	if err := j.enter(ctx); err != nil {
		return nil, err
	}
	defer j.leave()
	row := new(journalv1.OrderRow)
	if err := get(j.db, appendOrderKey(make([]byte, 0, 32), h), row); err != nil {
		return nil, fmt.Errorf("read order %s: %w", h, err)
	}
	return row, j.settle(ctx)
}

// Records reads the history of an order. If there is none, it yields ErrNotFound.
func (j *Journal) Records(ctx context.Context, h messages.Handle, from messages.Version) iter.Seq2[persistence.StoredRecord, error] {
	return func(yield func(persistence.StoredRecord, error) bool) {
		if err := j.enter(ctx); err != nil {
			yield(persistence.StoredRecord{}, err)
			return
		}
		defer j.leave()
		if err := j.records(ctx, h, from, yield); err != nil {
			yield(persistence.StoredRecord{}, fmt.Errorf("read the history of order %s: %w", h, err))
		}
	}
}

// records yields until it is told to stop. An error is for the caller to yield, and means that it was not told.
func (j *Journal) records(
	ctx context.Context, h messages.Handle, from messages.Version, yield func(persistence.StoredRecord, error) bool,
) error {
	lower, upper := recordBounds(h)
	it, err := j.db.NewIterWithContext(ctx, &pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return readError("iterate", err)
	}
	defer func() { _ = it.Close() }() // Its error is that of the iteration.
	if err := j.settle(ctx); err != nil {
		return err
	}
	from = max(from, 1)
	if !seekRecord(it, h, from) {
		switch found := it.Error() == nil && it.First(); {
		case it.Error() != nil:
			return readError("iterate", it.Error())
		case !found:
			return persistence.ErrNotFound
		}
		return gap(h, 1, from)
	}
	next := messages.Version(0)
	for valid := true; valid; valid = it.Next() {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		value, err := it.ValueAndErr()
		if err != nil {
			return readError("iterate", err)
		}
		_, first, err := parseRecordKey(it.Key())
		if err != nil {
			return persistence.DecodeError("history", err)
		}
		if next == 0 && from == 1 {
			next = 1
		}
		if next != 0 && first != next {
			return gap(h, next, first)
		}
		events, err := persistence.CheckRecord(h, first, value)
		if err != nil {
			return err
		}
		next = first + messages.Version(events) //nolint:gosec // at least 1
		if next > from && !yield(persistence.StoredRecord{First: first, Data: value}, nil) {
			return nil
		}
	}
	return readError("iterate", it.Error())
}

// seekRecord goes to the record that holds a version: the last one that begins there or before. One that begins there is
// looked for first: who reads on asks for it, and going back makes a copy.
func seekRecord(it *pebble.Iterator, h messages.Handle, from messages.Version) bool {
	if from == 1 {
		return it.First()
	}
	key := appendRecordKey(nil, h, from)
	if it.SeekGE(key) && bytes.Equal(it.Key(), key) {
		return true
	}
	return it.Error() == nil && it.SeekLT(key)
}

func gap(h messages.Handle, want, got messages.Version) error {
	return persistence.DecodeError("order "+h.String(), fmt.Errorf("a record with version %d is missing: the next has %d", want, got))
}

// Open returns open orders of a partition.
func (j *Journal) Open(ctx context.Context, p messages.Partition, after messages.Handle, limit int) ([]persistence.OpenOrder, error) {
	if err := j.enter(ctx); err != nil {
		return nil, err
	}
	defer j.leave()
	prefix := appendOpenPrefix(nil, p)
	lower := append(slices.Clone(prefix), after[:]...)
	if !after.IsZero() {
		lower = append(lower, 0)
	}
	var found []persistence.OpenOrder
	err := j.scan(ctx, lower, successor(slices.Clone(prefix)), func(key, value []byte) (bool, error) {
		if len(found) >= limit {
			return false, nil
		}
		h, err := handleAtEnd(key, len(prefix))
		if err != nil {
			return false, persistence.DecodeError("index of open orders", err)
		}
		row := new(journalv1.OpenRow)
		if err := proto.Unmarshal(value, row); err != nil {
			return false, persistence.DecodeError("open row of order "+h.String(), err)
		}
		found = append(found, persistence.OpenOrder{Handle: h, Row: row})
		return true, nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the open orders of partition %d: %w", p, err)
	}
	return found, nil
}

// Due returns open orders of a partition that have a due time.
func (j *Journal) Due(ctx context.Context, p messages.Partition, after persistence.DuePlace, limit int) ([]persistence.OpenOrder, error) {
	if err := j.enter(ctx); err != nil {
		return nil, err
	}
	defer j.leave()
	prefix := appendDuePrefix(nil, p)
	lower := append(appendDueKey(nil, p, after.At, after.Handle), 0)
	found, err := j.indexed(ctx, []messages.Partition{p}, lower, successor(slices.Clone(prefix)), len(prefix)+8, limit)
	if err != nil {
		return nil, fmt.Errorf("read the due orders of partition %d: %w", p, err)
	}
	return found, nil
}

// Intake returns orders that were accepted without an epoch. It passes by those of other partitions: they are few, if any.
func (j *Journal) Intake(
	ctx context.Context, of []messages.Partition, after messages.Handle, limit int,
) ([]persistence.OpenOrder, error) {
	if err := j.enter(ctx); err != nil {
		return nil, err
	}
	defer j.leave()
	lower := []byte{kindIntake}
	if !after.IsZero() {
		lower = append(appendIntakeKey(nil, after.Partition(), after), 0)
	}
	found, err := j.indexed(ctx, of, lower, []byte{kindIntake + 1}, len(appendIntakePrefix(nil, 0)), limit)
	if err != nil {
		return nil, fmt.Errorf("read the intake: %w", err)
	}
	return found, nil
}

// indexed returns the open orders of partitions that an index has between two keys, which begin with the partitions and end with the
// handles.
func (j *Journal) indexed(
	ctx context.Context, of []messages.Partition, lower, upper []byte, prefix, limit int,
) (found []persistence.OpenOrder, err error) {
	// The index and the rows must be of one moment.
	snapshot := j.db.NewSnapshot()
	defer func() { _ = snapshot.Close() }() // It has no error.
	err = j.scanIn(ctx, snapshot, lower, upper, func(key, _ []byte) (bool, error) {
		if len(found) >= limit {
			return false, nil
		}
		h, err := handleAtEnd(key, prefix)
		if err != nil {
			return false, persistence.DecodeError("index of open orders", err)
		}
		p := messages.Partition(binary.BigEndian.Uint16(key[1:]))
		if !slices.Contains(of, p) {
			return true, nil
		}
		row := new(journalv1.OpenRow)
		switch err := get(snapshot, appendOpenKey(nil, p, h), row); {
		case errors.Is(err, persistence.ErrNotFound):
			return false, persistence.DecodeError("index of open orders", fmt.Errorf("order %s is not open", h))
		case err != nil:
			return false, err
		}
		found = append(found, persistence.OpenOrder{Handle: h, Row: row})
		return true, nil
	})
	return found, err
}

// Overflowed returns tasks that wait on disk.
func (j *Journal) Overflowed(
	ctx context.Context, of persistence.Overflow, after persistence.OverflowPlace, limit int,
) ([]persistence.OverflowedTask, error) {
	if err := j.enter(ctx); err != nil {
		return nil, err
	}
	defer j.leave()
	prefix := appendOverflowPrefix(nil, of)
	lower := append(appendOverflowPlace(slices.Clone(prefix), after), 0)
	var found []persistence.OverflowedTask
	err := j.scan(ctx, lower, successor(slices.Clone(prefix)), func(key, value []byte) (bool, error) {
		if len(found) >= limit {
			return false, nil
		}
		at, err := parseOverflowPlace(key, len(prefix))
		if err != nil {
			return false, persistence.DecodeError("index of overflow", err)
		}
		var row journalv1.OverflowRow
		if err := proto.Unmarshal(value, &row); err != nil {
			return false, persistence.DecodeError("overflow row of order "+at.Handle.String(), err)
		}
		found = append(found, persistence.OverflowedTask{OverflowPlace: at, Order: messages.OrderID(row.GetId()), Bytes: int(row.GetBytes())})
		return true, nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the overflow of %s: %w", of.Activity, err)
	}
	return found, nil
}

// scan visits keys in order until visit says to stop.
func (j *Journal) scan(ctx context.Context, lower, upper []byte, visit func(key, value []byte) (more bool, err error)) error {
	return j.scanIn(ctx, j.db, lower, upper, visit)
}

func (j *Journal) scanIn(
	ctx context.Context, r pebble.Reader, lower, upper []byte, visit func(key, value []byte) (more bool, err error),
) error {
	it, err := r.NewIterWithContext(ctx, &pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return readError("iterate", err)
	}
	defer func() { _ = it.Close() }() // Its error is that of the iteration.
	if err := j.settle(ctx); err != nil {
		return err
	}
	return walk(ctx, it, visit)
}

// walk visits all that an iterator has, until visit says to stop.
func walk(ctx context.Context, it *pebble.Iterator, visit func(key, value []byte) (more bool, err error)) error {
	for valid := it.First(); valid; valid = it.Next() {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		value, err := it.ValueAndErr()
		if err != nil {
			return readError("iterate", err)
		}
		if more, err := visit(it.Key(), value); !more || err != nil {
			return err
		}
	}
	return readError("iterate", it.Error())
}
