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

// owners are the owners of all partitions. They are read and changed while Journal.writing is held. Whoever opened the directory
// before is gone, as its lock shows, and so counts as fenced.
type owners struct {
	self       messages.Incarnation
	generation messages.Generation
	all        [messages.Partitions]persistence.Owner
	// fenced: self has no right to commit any more.
	fenced bool
}

// check makes sure that self owns a partition under an epoch.
func (o *owners) check(h persistence.Holding) error {
	if err := h.Partition.Validate(); err != nil {
		return err
	}
	now := &o.all[h.Partition]
	switch {
	case o.fenced:
		return persistence.ErrIncarnationFenced
	case h.Epoch == now.Epoch && now.Incarnation == o.self:
		return nil
	}
	return fmt.Errorf("%w: partition %d has epoch %d and the owner %q, and not epoch %d", persistence.ErrFenced, h.Partition,
		now.Epoch, now.Incarnation, h.Epoch)
}

func (o *owners) set(p messages.Partition, to persistence.Owner) { o.all[p] = to }

const epochSize = 8

// appendOwner appends what is stored of the owner of a partition.
func appendOwner(b []byte, o persistence.Owner) []byte {
	return append(appendNumber(b, uint64(o.Epoch)), o.Incarnation...)
}

// load reads the owners of all partitions, none of whom is there any more.
func (o *owners) load(db pebble.Reader) error {
	generation, err := getNumber(db, kindGeneration)
	if err != nil {
		return err
	}
	o.generation = messages.Generation(generation) //nolint:gosec // it was one
	for p := range o.all {
		value, found, err := getBytes(db, appendOwnerKey(nil, messages.Partition(p)))
		switch {
		case err != nil:
			return err
		case !found:
			continue
		case len(value) < epochSize:
			return persistence.DecodeError(fmt.Sprintf("owner of partition %d", p), fmt.Errorf("it has %d bytes", len(value)))
		}
		epoch := messages.Epoch(binary.BigEndian.Uint64(value))
		o.all[p] = persistence.Owner{Epoch: epoch, Incarnation: messages.Incarnation(value[epochSize:])}
		if epoch.Generation() < o.generation {
			o.all[p].Incarnation = "" // The store was restored since.
		}
		o.all[p].Fenced = o.all[p].Incarnation != ""
	}
	return nil
}

// Incarnation is in whose name the journal was opened.
func (j *Journal) Incarnation() messages.Incarnation { return j.owners.self }

// Shards is 1: a journal of this kind answers or fails as a whole.
func (j *Journal) Shards() int { return 1 }

// ShardOf is the shard that there is.
func (j *Journal) ShardOf(messages.Partition) int { return 0 }

// Owners returns the owners of all partitions.
func (j *Journal) Owners(ctx context.Context) ([]persistence.Owner, error) {
	if err := j.enter(ctx); err != nil {
		return nil, err
	}
	defer j.leave()
	j.writing.Lock()
	defer j.writing.Unlock()
	return slices.Clone(j.owners.all[:]), j.failed()
}

// Claim makes this incarnation the owner of partitions.
func (j *Journal) Claim(ctx context.Context, seen []persistence.Holding) ([]persistence.Holding, error) {
	if err := j.enter(ctx); err != nil {
		return nil, err
	}
	defer j.leave()
	for _, h := range seen {
		if err := h.Partition.Validate(); err != nil {
			return nil, fmt.Errorf("claim: %w", err)
		}
	}
	j.writing.Lock()
	defer j.writing.Unlock()
	if j.owners.fenced {
		return nil, fmt.Errorf("claim: %w", persistence.ErrIncarnationFenced)
	}
	claimed := make([]persistence.Holding, 0, len(seen))
	var writes []write
	for _, h := range seen {
		now := j.owners.all[h.Partition]
		if now.Epoch != h.Epoch || !now.Free(j.owners.self) {
			continue
		}
		h.Epoch = h.Epoch.Next(j.owners.generation)
		claimed = append(claimed, h)
		value := appendOwner(nil, persistence.Owner{Epoch: h.Epoch, Incarnation: j.owners.self})
		writes = append(writes, write{appendOwnerKey(nil, h.Partition), value})
	}
	if len(claimed) == 0 {
		return claimed, j.failed()
	}
	if err := j.write(writes...); err != nil {
		return nil, fmt.Errorf("claim %d partitions: %w", len(claimed), err)
	}
	for _, h := range claimed {
		j.owners.set(h.Partition, persistence.Owner{Epoch: h.Epoch, Incarnation: j.owners.self})
	}
	return claimed, nil
}

// Fence ends the right of an incarnation to commit. That of others ended when the directory was opened; its own ends with this
// journal anyway, so nothing is written.
func (j *Journal) Fence(ctx context.Context, who messages.Incarnation) error {
	if err := j.enter(ctx); err != nil {
		return err
	}
	defer j.leave()
	if who != j.owners.self {
		return j.failed()
	}
	j.writing.Lock()
	defer j.writing.Unlock()
	j.owners.fenced = true
	for p := range j.owners.all {
		if o := &j.owners.all[p]; o.Incarnation == who {
			o.Fenced = true
		}
	}
	return j.failed()
}

// NewGeneration begins a new generation of epochs.
func (j *Journal) NewGeneration(ctx context.Context) (messages.Generation, error) {
	if err := j.enter(ctx); err != nil {
		return 0, err
	}
	defer j.leave()
	j.writing.Lock()
	defer j.writing.Unlock()
	next := j.owners.generation + 1
	return next, j.beginGeneration(next)
}

// beginGeneration begins one that is later than that which there is; writing is held, or nobody else is there yet.
func (j *Journal) beginGeneration(next messages.Generation) error {
	if err := j.write(write{[]byte{kindGeneration}, appendNumber(nil, uint64(next))}); err != nil {
		return fmt.Errorf("begin generation %d: %w", next, err)
	}
	j.owners.generation = next
	for p := range j.owners.all {
		j.owners.all[p] = persistence.Owner{Epoch: j.owners.all[p].Epoch}
	}
	return nil
}

// write is a key to be written; it is removed if value is nil.
type write struct{ key, value []byte }

// write makes keys durable; writing is held.
func (j *Journal) write(writes ...write) error {
	b := j.db.NewBatch()
	for _, w := range writes {
		if w.value == nil {
			_ = b.Delete(w.key, nil) // Always nil.
		} else {
			_ = b.Set(w.key, w.value, nil) // Always nil.
		}
	}
	if err := j.apply(b); err != nil {
		return fmt.Errorf("%w: %w", persistence.ErrUnknown, err)
	}
	return engineError("write", b.Close())
}

// getNumber reads the only key of a kind; 0 if there is none.
func getNumber(db pebble.Reader, kind byte) (uint64, error) {
	value, found, err := getBytes(db, []byte{kind})
	if err == nil && found && len(value) != 8 {
		err = persistence.DecodeError(fmt.Sprintf("key %q", kind), fmt.Errorf("it has %d bytes", len(value)))
	}
	if err != nil || !found {
		return 0, err
	}
	return binary.BigEndian.Uint64(value), nil
}
