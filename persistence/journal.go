package persistence

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
)

var (
	// ErrConflict: the order has moved on; reload it. Also the answer to an acceptance whose id is taken, as *TakenError.
	ErrConflict = errors.New("version conflict")
	// ErrFenced: the partition belongs to somebody else now.
	ErrFenced = errors.New("partition has a newer epoch")
	// ErrUnknown: the commit may or may not have happened.
	ErrUnknown = errors.New("outcome unknown")
	// ErrNotFound: there is no such thing.
	ErrNotFound = errors.New("not found")
	// ErrFull: the store has no room for new orders; running ones may still commit.
	ErrFull = errors.New("store is at its low-water mark")
	// ErrBusy: too much waits to be committed; nothing was done, and it may be tried again later.
	ErrBusy = errors.New("too many commits are waiting")
	// ErrUnavailable: the store does not answer; nothing was done, and it may be tried again.
	ErrUnavailable = errors.New("journal is unavailable")
	// ErrClosed: the journal was closed.
	ErrClosed = errors.New("journal is closed")
	// ErrFeatureLevel: a record needs a newer version of Holdfast.
	ErrFeatureLevel = errors.New("record has a higher feature level than this version knows")
	// ErrCorrupt: what is stored is damaged. The error that wraps it names the place.
	ErrCorrupt = errors.New("journal is damaged")
)

// FeatureLevel is the highest feature level of records that this version reads and writes.
const FeatureLevel = 1

// TakenError answers an acceptance whose id is taken already. It is an ErrConflict.
type TakenError struct{ Entry Entry }

func (e *TakenError) Error() string { return "order id is taken" }

// Is makes a TakenError an ErrConflict.
func (e *TakenError) Is(target error) bool { return target == ErrConflict }

// Entry is what the directory knows of an order.
type Entry struct {
	Handle      messages.Handle
	Partition   messages.Partition
	ContentHash []byte
}

// Commit is the outcome of one or more decisions about one order.
type Commit struct {
	Partition messages.Partition
	Epoch     messages.Epoch
	Handle    messages.Handle
	// Expected is the version of the last event before this commit; 0 accepts the order.
	Expected messages.Version
	// Events is the number of events in Record; at least 1.
	Events int
	// Record is an encoded journalv1.Record. It is not changed, and not kept after Done.
	Record []byte
	// ID and ContentHash are given with an acceptance, and only then.
	ID          messages.OrderID
	ContentHash []byte
	// Child: an acceptance is part of an order that was accepted before. It does not count that the store has no room for
	// new ones.
	Child bool
	// Row replaces the order's row: given with an acceptance, and whenever the status changes; else nil. RowBefore is
	// the row that it replaces; nil with an acceptance. Neither is changed after the call.
	Row, RowBefore *journalv1.OrderRow
	// Open replaces the order's row in the index of open orders; nil leaves it. With an acceptance it is given, unless
	// Close is. OpenBefore is the one that it replaces (or that Close removes); nil with an acceptance.
	Open, OpenBefore *journalv1.OpenRow
	// Close removes the order from the index of open orders.
	Close bool
	// Done is called once, with nil when the commit is durable. It is called from a goroutine of the journal, and must
	// neither block nor call the journal.
	Done func(error)
}

// Committer appends. Commits are grouped: many share one fsync, and none waits for others to come.
type Committer interface {
	// Commit hands a commit over, and never blocks. Commits of one order are made one at a time. After Close, Done gets
	// ErrClosed, before Commit returns.
	Commit(c *Commit)
}

// StoredRecord is one record of a history.
type StoredRecord struct {
	// First is the version of its first event.
	First messages.Version
	// Data is an encoded journalv1.Record, valid until the next step of the iteration.
	Data []byte
}

// Reader reads histories.
type Reader interface {
	// Find looks an order up in the directory. ErrNotFound if no such order was accepted.
	Find(ctx context.Context, id messages.OrderID) (Entry, error)
	// Records reads the history of an order, from the record that holds version from (0 and 1: from the first) on.
	// It checks that the history has no gap. After an error the iteration ends.
	Records(ctx context.Context, h messages.Handle, from messages.Version) iter.Seq2[StoredRecord, error]
	// Row reads an order's row.
	Row(ctx context.Context, h messages.Handle) (*journalv1.OrderRow, error)
}

// Query selects orders. All conditions given must hold.
type Query struct {
	Statuses   []orderv1.Status
	Definition string // namespace/name or namespace/name:version
	OrderKey   string
	Labels     []*journalv1.Label
	From, To   time.Time // accepted at or after From, and before To
	// After continues behind this order, in the direction of the list: newest first.
	After messages.Handle
	// Limit is the most rows to return; Scan the most rows to look at.
	Limit, Scan int
}

// Matches tells whether a row is that of an order which the query is about, wherever a page begins.
func (q Query) Matches(row *journalv1.OrderRow) bool {
	if len(q.Statuses) > 0 && !slices.Contains(q.Statuses, orderv1.Status(row.GetStatus())) {
		return false
	}
	if d := row.GetDefinition(); q.Definition != "" && q.Definition != d && q.Definition != DefinitionName(d) {
		return false
	}
	if q.OrderKey != "" && q.OrderKey != row.GetOrderKey() {
		return false
	}
	for _, want := range q.Labels {
		if !slices.ContainsFunc(row.GetLabels(), func(l *journalv1.Label) bool {
			return l.GetName() == want.GetName() && l.GetValue() == want.GetValue()
		}) {
			return false
		}
	}
	accepted := row.GetAcceptedAt()
	return (q.From.IsZero() || accepted >= q.From.UnixNano()) && (q.To.IsZero() || accepted < q.To.UnixNano())
}

// DefinitionName returns namespace/name of a reference namespace/name:version.
func DefinitionName(ref string) string {
	name, _, _ := strings.Cut(ref, ":")
	return name
}

// FoundOrder is an order that a query found.
type FoundOrder struct {
	Handle messages.Handle
	Row    *journalv1.OrderRow
}

// Fallout counts the orders that have faulted, as their rows say, and those of them of which an attempt is in doubt.
type Fallout struct{ Faulted, InDoubt int64 }

// Finder finds orders.
type Finder interface {
	// Fallout counts what waits for an operator. It is kept, not counted anew each time.
	Fallout(ctx context.Context) (Fallout, error)
	// List returns orders, newest first, and where to continue: a zero handle when there are no more. It uses the most
	// selective index that the query allows. It may return fewer than Limit when it has looked at Scan rows.
	List(ctx context.Context, q Query) (found []FoundOrder, next messages.Handle, err error)
}

// OpenOrder is an order that has not ended.
type OpenOrder struct {
	Handle messages.Handle
	Row    *journalv1.OpenRow
}

// Overflow is the tasks of an activity, at one priority, that waited on disk for a place in memory when they were scheduled,
// and have no result yet. Those of a partition are kept in the order of their places.
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
	// Open returns open orders of a partition in the order of their acceptance, behind after (zero: from the first). It
	// returns fewer than limit only at the end.
	Open(ctx context.Context, p messages.Partition, after messages.Handle, limit int) ([]OpenOrder, error)
	// Due returns open orders of a partition whose open row has a due time, in the order of their places, behind a place.
	// It returns fewer than limit only at the end.
	Due(ctx context.Context, p messages.Partition, after DuePlace, limit int) ([]OpenOrder, error)
	// Overflowed returns tasks in overflow, behind a place. It returns fewer than limit only at the end. Tasks get there,
	// and leave, with the open rows of their orders.
	Overflowed(ctx context.Context, of Overflow, after OverflowPlace, limit int) ([]OverflowedTask, error)
}

// Ownership says who may commit to a partition.
type Ownership interface {
	// Epoch returns a partition's epoch; 0 if it was never claimed.
	Epoch(ctx context.Context, p messages.Partition) (messages.Epoch, error)
	// Claim makes node the owner of a partition if its epoch is still seen, and returns the new epoch. ErrFenced if
	// another claim was first.
	Claim(ctx context.Context, p messages.Partition, node messages.NodeID, seen messages.Epoch) (messages.Epoch, error)
}

// Definitions keeps deployed definitions.
type Definitions interface {
	// PutDefinition stores a definition for good. Putting the same document again returns the one stored; another
	// document under the same name and version fails with ErrConflict.
	PutDefinition(ctx context.Context, row *journalv1.DefinitionRow) (*journalv1.DefinitionRow, error)
	// Definition returns one definition, or ErrNotFound.
	Definition(ctx context.Context, ref messages.DefinitionRef) (*journalv1.DefinitionRow, error)
	// RetireDefinition notes that a definition is not for new orders any more, or with nil that it is again, and returns it.
	// One that is retired already stays so as it is. ErrNotFound if there is none.
	RetireDefinition(ctx context.Context, ref messages.DefinitionRef, r *journalv1.Retirement) (*journalv1.DefinitionRow, error)
	// AllDefinitions returns them by namespace, name and version.
	AllDefinitions(ctx context.Context) iter.Seq2[*journalv1.DefinitionRow, error]
}

// Limits keeps the limits of activities that operators have set.
type Limits interface {
	// PutLimit stores the limit of an activity, in place of the one before. One that bounds nothing removes that.
	PutLimit(ctx context.Context, row *journalv1.LimitRow) error
	// AllLimits returns them by activity.
	AllLimits(ctx context.Context) iter.Seq2[*journalv1.LimitRow, error]
}

// Catalog is what is kept beside orders.
type Catalog interface {
	Definitions
	Limits
}

// Journal is a whole store.
type Journal interface {
	Committer
	Reader
	Finder
	Recoverer
	Ownership
	Catalog
	// Close waits for commits under way, and releases the store.
	Close() error
}

// Observer is told what the journal does, for metrics. Its methods must be fast and not block.
type Observer interface {
	// Synced: a batch was made durable.
	Synced(b Batch)
}

// Batch describes one group commit.
type Batch struct {
	Commits, Failed, Bytes int
	// Waited is how long the oldest commit had waited when the batch was begun; Took is the time from then until it was
	// durable.
	Waited, Took time.Duration
}

// DecodeError wraps what is wrong with a stored thing.
func DecodeError(what string, err error) error {
	return fmt.Errorf("%w: %s: %w", ErrCorrupt, what, err)
}
