package persistence

import (
	"bytes"
	"cmp"
	"context"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
)

// OpenOrder is an order that has not ended.
type OpenOrder struct {
	Handle messages.Handle
	Row    *journalv1.OpenRow
}

// Overflow is the tasks of an activity, at one priority and of one partition, that overflowed to disk and have no result yet. They are
// kept in the order of their places.
type Overflow struct {
	Activity  string // adapter.activity, or adapter.activity:version
	Priority  int    // 0 to 255
	Partition messages.Partition
}

// DuePlace is the place of an order among those of its partition that have a due time: by that, then by handle. The zero
// value is before all others.
type DuePlace struct {
	At     int64 // nanoseconds since 1970
	Handle messages.Handle
}

// Compare tells whether a place is before another one (negative), behind it (positive), or the same (0).
func (p DuePlace) Compare(other DuePlace) int {
	return cmp.Or(cmp.Compare(p.At, other.At), bytes.Compare(p.Handle[:], other.Handle[:]))
}

// CompareIntake tells whether the place of an order in the intake is before that of another one (negative), or behind it (positive).
func CompareIntake(a, b messages.Handle) int {
	return cmp.Or(cmp.Compare(a.Partition(), b.Partition()), bytes.Compare(a[:], b[:]))
}

// OverflowPlace is the place of a task in its Overflow: by the time of its scheduling, then by frame and order. The zero
// value is before all others.
type OverflowPlace struct {
	At     int64 // nanoseconds since 1970
	Frame  uint32
	Handle messages.Handle
}

// OverflowedTask is a task in overflow.
type OverflowedTask struct {
	OverflowPlace

	Order messages.OrderID
	// Bytes is the size of its input.
	Bytes int
}

// Recoverer reads what a partition has to take up again.
type Recoverer interface {
	Queues
	Sharding
	// Open returns open orders of a partition in the order of their acceptance, behind after (zero: from the first). It
	// returns fewer than limit only at the end.
	Open(ctx context.Context, p messages.Partition, after messages.Handle, limit int) ([]OpenOrder, error)
	// Due returns open orders of a partition whose open row has a due time, in the order of their places, behind a place.
	// It returns fewer than limit only at the end.
	Due(ctx context.Context, p messages.Partition, after DuePlace, limit int) ([]OpenOrder, error)
	// Overflowed returns tasks in overflow, behind a place. It returns fewer than limit only at the end. Tasks get there,
	// and leave, with the open rows of their orders.
	Overflowed(ctx context.Context, of Overflow, after OverflowPlace, limit int) ([]OverflowedTask, error)
	// Intake returns orders of any of these partitions that were accepted without an epoch, and of which the owner has not
	// committed anything yet, in the order of their partitions, and then of their handles, behind after (zero: from the first). It
	// returns fewer than limit only at the end. It is one query for all of them that live together. With an error come those of
	// the partitions that could be read.
	Intake(ctx context.Context, of []messages.Partition, after messages.Handle, limit int) ([]OpenOrder, error)
}

// Position is the place of an order in the queue of its key. The journal gives it when the order joins the queue: whoever joins
// a queue after somebody else's commit was confirmed has the higher position. 0 is before all others.
type Position uint64

// QueuedOrder is an order that waits for its key.
type QueuedOrder struct {
	Key      string
	Position Position
	Handle   messages.Handle
	ID       messages.OrderID
}

// Queues reads who waits for order keys. An order joins the queue of its key by a commit after which its open row says that it
// queues for that key, and the row before did not. It leaves it by a commit after which the row does not say so any more: the
// order was started, or has ended.
type Queues interface {
	// Queue returns orders that wait for a key of a partition, in the order of their positions, behind a position. It returns
	// fewer than limit only at the end.
	Queue(ctx context.Context, p messages.Partition, key string, after Position, limit int) ([]QueuedOrder, error)
	// QueuedKeys returns the first order of each queue of a partition, in an order of the keys that is the journal's own, behind
	// a key (empty: from the first). Those who wait behind the first cost nothing. It returns fewer than limit only at the end.
	QueuedKeys(ctx context.Context, p messages.Partition, after string, limit int) ([]QueuedOrder, error)
}
