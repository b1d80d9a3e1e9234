package persistence

import (
	"context"

	"github.com/holdfast-run/holdfast/messages"
)

// Owner is who owns a partition.
type Owner struct {
	// Epoch is that of the partition; 0 if it was never claimed.
	Epoch messages.Epoch
	// Incarnation owns it; empty if nobody does: it was never claimed, or released since, or the journal was restored.
	Incarnation messages.Incarnation
	// Fenced: the incarnation can't commit any more.
	Fenced bool
	// Unread: nobody knows, as the shard where the partition lives does not answer now. All else is zero.
	Unread bool
}

// Free tells whether an incarnation may claim the partition. One that owns it may: it then gets a newer epoch.
func (o Owner) Free(to messages.Incarnation) bool {
	return !o.Unread && (o.Incarnation == "" || o.Fenced || o.Incarnation == to)
}

// Holding is a partition and one of its epochs.
type Holding struct {
	Partition messages.Partition
	Epoch     messages.Epoch
}

// Ownership says who may commit under the epoch of a partition: one incarnation at a time. Commits, releases and checks of one
// partition are done in the order of the calls.
//
//	           Claim              Release
//	(nobody's) ─────► an owner's ─────────► (nobody's)
//	    ▲                 │
//	    └── Claim ◄── fenced: its owner has no right to commit any more
type Ownership interface {
	// Incarnation returns the incarnation that this opening of the journal is. No other opening is the same.
	Incarnation() messages.Incarnation
	// Owners returns the owners of all partitions: that of partition p at index p. Those of a shard that does not answer are unread; if
	// none does, it fails.
	Owners(ctx context.Context) ([]Owner, error)
	// Claim makes this incarnation the owner of those of the partitions that are free and still have the epoch that was seen. It returns
	// these with their new epochs; the others are left as they are. After an error those that it returns were claimed all the same; each
	// of the others may have been or not: Owners tells.
	Claim(ctx context.Context, seen []Holding) (claimed []Holding, err error)
	// Release gives up a partition, behind all that was asked for it before; the partition keeps its epoch. done is called as
	// Commit.Done is: with nil when it is durable, with ErrFenced if this incarnation does not own it under the epoch, with ErrBusy if
	// too much waits. It never blocks. What is committed under the epoch behind it gets ErrFenced.
	Release(h Holding, done func(error))
	// Check calls done as Commit.Done is called: with nil if this incarnation still owned the partition under the epoch after
	// Check was called, with ErrFenced if not, and with ErrBusy if too much waits. It is done together with commits, behind those
	// asked for before it, and writes nothing. An answer that came of no event is given after it.
	Check(h Holding, done func(error))
	// Fence ends the right of an incarnation to commit under any epoch, for good: what it has under way is made before Fence
	// returns, or never. What it owned can then be claimed. An incarnation may fence itself. Orders can still be accepted by it: that
	// needs no right. After ErrUnavailable it was fenced in the shards that answer, and has to be fenced again in the others.
	Fence(ctx context.Context, who messages.Incarnation) error
	// NewGeneration begins a new generation of epochs, for a journal that was restored from a copy: nobody owns anything, and
	// whatever was known of it before is refused as fenced.
	NewGeneration(ctx context.Context) (messages.Generation, error)
}
