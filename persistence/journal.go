package persistence

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/persistence/rows"
)

// What a journal answers. Each method may also fail with the error of its context, with ErrClosed, and with ErrUnavailable; a
// read also with ErrCorrupt and ErrFeatureLevel.
var (
	// ErrUnavailable: the store, or a shard of it, does not answer now. Nothing was done, and the same may be tried again later, for as
	// long as it takes. A write that may have been done fails with ErrUnknown in its place. Of a journal of several shards it is an
	// *UnavailableError.
	ErrUnavailable = errors.New("journal is unavailable")
	// ErrConflict: the order has moved on; reload it. Also the answer to an acceptance whose id is taken, as *TakenError.
	ErrConflict = errors.New("version conflict")
	// ErrFenced: this incarnation does not own the partition under the epoch: it belongs to somebody else now, or to nobody.
	ErrFenced = errors.New("partition is not owned under this epoch")
	// ErrIncarnationFenced: this incarnation was fenced, and will never own anything again: the journal must be closed, and
	// opened anew. It is an ErrFenced.
	ErrIncarnationFenced = fmt.Errorf("this opening of the journal was fenced: %w", ErrFenced)
	// ErrUnknown: the commit may or may not have happened. It does not happen later: what is read after it tells.
	ErrUnknown = errors.New("outcome unknown")
	// ErrNotFound: the journal does not have what was asked for.
	ErrNotFound = errors.New("not found")
	// ErrFull: the store has no room for new orders; running ones may still commit.
	ErrFull = errors.New("store is at its low-water mark")
	// ErrBusy: too many commits wait; nothing was done, and the same may be tried again later.
	ErrBusy = errors.New("too many commits are waiting")
	// ErrClosed: the journal was closed.
	ErrClosed = errors.New("journal is closed")
	// ErrFeatureLevel: a record needs a newer version of Holdfast.
	ErrFeatureLevel = errors.New("record has a higher feature level than this version knows")
	// ErrCorrupt: what is stored is damaged, and stays so however often it is tried: it is for people. The error that wraps it
	// names the place.
	ErrCorrupt = errors.New("journal is damaged")
)

// NewestLevel is the highest feature level of records that this version reads and writes. Which level it may write, the journal
// says.
const NewestLevel = 1

// TakenError answers an acceptance whose id another order has. It is an ErrConflict.
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
	// Epoch is that under which this incarnation owns the partition. An acceptance may do without: anybody may accept. It then is
	// of one event, and the order is part of the partition's intake until the owner commits more of it.
	Epoch  messages.Epoch
	Handle messages.Handle
	// Expected is the version of the last event before this commit; 0 accepts the order.
	Expected messages.Version
	// Events is the number of events in Record; at least 1.
	Events int
	// Record is an encoded journalv1.Record. It is not changed, and not kept after Done.
	Record []byte
	// ID and ContentHash are given with an acceptance, and only then.
	ID          messages.OrderID
	ContentHash []byte
	// Child: the order that is accepted is a part of one that was accepted before. It is accepted also when the store has no room for
	// new ones.
	Child bool
	// Row replaces the order's row: given with an acceptance, and whenever the status changes; else nil. It is not changed
	// after the call.
	Row *journalv1.OrderRow
	// Open replaces the order's row in the index of open orders; nil leaves it. With an acceptance it is given, unless
	// Close is. It is not changed after the call.
	Open *journalv1.OpenRow
	// Close removes the order from the index of open orders, if it is there.
	Close bool
	// Done is called once, with nil when the commit is durable. It is called from a goroutine of the journal, and must
	// neither block nor call the journal. The errors are ErrConflict, ErrFenced, ErrUnknown; ErrFull for an acceptance that is
	// not of a child, ErrBusy, ErrUnavailable and ErrClosed, with which nothing was done; and others for a commit that no journal
	// would take. Each commit fails alone.
	Done func(error)
}

// Check says what is wrong with a commit in itself; its record may have at most so many bytes. Such a commit is a mistake of the caller.
func (c *Commit) Check(mostBytes int64) error {
	return rows.Change{
		Partition: c.Partition, Epoch: c.Epoch, Handle: c.Handle, Expected: c.Expected, Events: c.Events, Bytes: len(c.Record), ID: c.ID,
		Row: c.Row, Open: c.Open, Close: c.Close,
	}.Check(mostBytes)
}

// Committer appends to histories. Commits are made in batches: many share one fsync, and none waits for others to come.
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

// Check says what is wrong with the bounds of a query.
func (q Query) Check() error {
	if q.Limit < 1 || q.Scan < 1 {
		return fmt.Errorf("list orders: Limit is %d and Scan is %d: both must be at least 1", q.Limit, q.Scan)
	}
	return nil
}

// clockSlack is how much later than its time of acceptance the handle of an order may have been made.
const clockSlack = time.Second

// Handles returns the greatest and the least handle of orders that may have been accepted in the time of the query; After does not
// count.
func (q Query) Handles() (newest, oldest messages.Handle) {
	for i := range newest {
		newest[i] = 0xff
	}
	if !q.To.IsZero() {
		newest = messages.HandleAt(q.To.Add(clockSlack))
	}
	if !q.From.IsZero() {
		oldest = messages.HandleAt(q.From)
	}
	return newest, oldest
}

// Matches tells whether the order of a row meets the conditions of a query; After, Limit and Scan don't count. Instances of other kinds
// than orders meet none.
func (q Query) Matches(row *journalv1.OrderRow) bool {
	if !rows.IsOrder(row.GetId()) {
		return false
	}
	if len(q.Statuses) > 0 && !slices.Contains(q.Statuses, orderv1.Status(row.GetStatus())) {
		return false
	}
	if d := row.GetDefinition(); q.Definition != "" && q.Definition != d && q.Definition != rows.DefinitionName(d) {
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

// FoundOrder is an order that a query found.
type FoundOrder struct {
	Handle messages.Handle
	Row    *journalv1.OrderRow
}

// Fallout is how many orders have faulted, and how many of these have an attempt in doubt.
type Fallout struct{ Faulted, InDoubt int64 }

// Finder finds orders.
type Finder interface {
	// Fallout counts what waits for an operator. It is kept, not counted anew each time. With ErrUnavailable it is what the shards have
	// that answer.
	Fallout(ctx context.Context) (Fallout, error)
	// List returns orders, newest first, and where to continue: a zero handle when there are no more. It uses the most
	// selective index that the query allows. It may return fewer than Limit when it has looked at Scan rows.
	List(ctx context.Context, q Query) (found []FoundOrder, next messages.Handle, err error)
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

// DecodeError makes an ErrCorrupt of what is wrong with something that is stored.
func DecodeError(what string, err error) error {
	return fmt.Errorf("%w: %s: %w", ErrCorrupt, what, err)
}
