package order

import (
	"context"
	"iter"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/holdfast-run/holdfast/actors/runtime"
	"github.com/holdfast-run/holdfast/actors/workflow"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/messages/nodev1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/persistence"
)

// Config bounds orders. Every field must be set.
type Config struct {
	// Workflow bounds what an order may do.
	Workflow workflow.Limits
	// Mailbox is the most messages that may wait for one order; further ones are refused.
	Mailbox int
	// LongWait: an order that waits for a time at least this far away leaves memory at once, and its due time goes to the journal's
	// index.
	LongWait time.Duration
	// ReadTimeout is how long a turn may wait for the journal.
	ReadTimeout time.Duration
	// Show is how often an evaluation that waits for its turn shows the watchdog that it does not hang.
	Show time.Duration
	// EvaluationBytes is the memory for what is evaluated at once, where it is much, and for what comes of it until that is durable;
	// EvaluationRoom is what one decision may take of it while it evaluates.
	EvaluationBytes, EvaluationRoom int64
}

// Journal is what orders need of it.
type Journal interface {
	Commit(c *persistence.Commit)
	Check(h persistence.Holding, done func(error))
	Find(ctx context.Context, id messages.OrderID) (persistence.Entry, error)
	Records(ctx context.Context, h messages.Handle, from messages.Version) iter.Seq2[persistence.StoredRecord, error]
}

// Catalog finds definitions, among those that are known here. One that is not in memory is a catalog.ErrNotLoaded.
type Catalog interface {
	// Pinned returns the definition that an order was accepted with.
	Pinned(name string, hash []byte) (*workflow.Definition, error)
	// Definition returns the definition of a new order; its version may be latest. One that is retired comes with an ErrRetired.
	Definition(ref messages.DefinitionRef) (*workflow.Definition, error)
	// Finder returns what does as Pinned does, and has the definition loaded, and the catalogue read again before it misses one.
	Finder(ctx context.Context) func(name string, hash []byte) (*workflow.Definition, error)
	// Await has loaded or read again what a call missed, by its error, without waiting. done is called with nil when the call can be
	// repeated, or with the reason why it can't be read.
	Await(missed error, done func(error))
}

// Activities get attempts executed.
type Activities interface {
	// Reserve reserves room for an attempt with so many bytes of input that is about to be scheduled; false if it has to overflow.
	// follows: it follows another one of its order, and gets room in any case. Offer or Release ends the reservation.
	Reserve(called string, priority, bytes int, follows bool) bool
	// Release ends a reservation whose attempt will not be offered.
	Release(called string, priority, bytes int)
	// Offer gives an attempt to its dispatcher, to be executed by an adapter.
	Offer(a messages.Attempt)
	// Overflowed says that an attempt of a partition waits on disk, since a time in nanoseconds since 1970.
	Overflowed(called string, priority int, by runtime.Owner, since int64)
	// Cancel has an attempt given up, whatever it takes; Withdraw only if nobody has begun with it.
	Cancel(called, key string, attempt uint32)
	Withdraw(called, key string, attempt uint32)
}

// Post sends messages to other orders.
type Post interface {
	Ask(by runtime.Owner, e *nodev1.Envelope, done func(*nodev1.Answer))
	Answer(e *nodev1.Envelope, a *nodev1.Answer)
}

// Readers wait for what comes of orders.
type Readers interface {
	// Grown says that events of an order of a partition were committed, up to a version. ended makes what it has come to, if it has
	// ended; else it is nil. Whole: with all that is told of orders, else with its status, error and output alone.
	Grown(p messages.Partition, id messages.OrderID, v messages.Version, ended func(whole bool) *orderv1.Order)
	// Took says how long an order of a definition took to its end, from when the first of its attempts came back from disk.
	Took(ref messages.DefinitionRef, d time.Duration)
}

// Home is an order's partition. Its methods may be called by any goroutine.
type Home interface {
	Counter

	Owner() runtime.Owner
	// Tell gives it a note about an order.
	Tell(note any)
	// Again does something after Config.TryAgain of the partition, unless that is lost by then.
	Again(do func())
	// Unread tells that the journal could not be read.
	Unread(err error)
	// Turning shows that the turn of an order goes on.
	Turning(id messages.OrderID)
}

// Counter counts the orders of a partition.
type Counter interface {
	// Committing tells, before the journal is given a commit by which an order may come to be open here, that it counts by what comes of
	// that commit alone: whoever reads the journal may find it there before Committed tells.
	Committing(h messages.Handle)
	// Committed tells what came of a commit of an order that had these rows before. A goroutine of the journal calls it.
	Committed(c *persistence.Commit, id messages.OrderID, before Rows, err error)
	// Loading is to be called before an order is read, and the mark to be given to Loaded: what is told of it in between may not be in
	// what is read.
	Loading() (mark uint64)
	// Loaded tells that an order was read; handle is zero and open nil if there is none.
	Loaded(id messages.OrderID, h messages.Handle, open *journalv1.OpenRow, mark uint64)
	// Unloadable tells whether an order can't be loaded, and whether that is news.
	Unloadable(id messages.OrderID, yes bool) (news bool)
	// Resized tells how much more memory orders take, in bytes.
	Resized(more int64)
}

// Rows are what the journal has beside the history of an order; nil if there is none.
type Rows struct {
	Row  *journalv1.OrderRow
	Open *journalv1.OpenRow
}

// Parts are what all orders of a node work with. All are needed.
type Parts struct {
	Config     Config
	Journal    Journal
	Catalog    Catalog
	Activities Activities
	Post       Post
	Readers    Readers
	Events     Events
	// Show makes what is told of an order that stands so, and ShowEnd its status, error and output alone.
	Show    func(*workflow.State) *orderv1.Order
	ShowEnd func(*workflow.State) *orderv1.Order
	Workers *runtime.Workers
	Pace    *runtime.Pace
	Story   Story
	Log     *slog.Logger
	Now     func() time.Time
	// Level is the highest feature level that records may have.
	Level func() uint32
	// Inject is called in the turns of orders, and may panic or never return: for tests. It may be nil.
	Inject func(point, name string)

	heavy heavy
	room  *runtime.Room
}

// Ready has the parts ready for use.
func (p *Parts) Ready() *Parts {
	p.room = runtime.NewRoom(p.Config.EvaluationBytes, p.Config.EvaluationRoom)
	return p
}

// Spawn activates an order as a child of its partition.
func (p *Parts) Spawn(ctx actor.SpawnerContext, home Home, a Activation, courier runtime.Courier) *actor.PID {
	a.Box.poison = a.Poison != nil
	restarts := 0
	box := runtime.Mailbox{
		Bound: 2 * p.Config.Mailbox, Whose: "order", Courier: courier, Name: string(a.ID), Turned: &a.Box.turned,
		Keeps: true, Inline: func(message any) bool { return p.inline(a.Box, message) },
	}
	return ctx.Spawn(actor.PropsFromProducerWithActorSystem(func(*actor.ActorSystem) actor.Actor {
		restarts++
		return &instance{
			Parts: p, home: home, id: a.ID, handle: a.Handle, activation: a.Number, box: a.Box, poison: a.Poison,
			restarted: restarts > 1 || a.Poison != nil,
		}
	}, actor.WithMailbox(box.New), actor.WithDispatcher(p.Workers)))
}

// Receive counts one more message that reached an instance, and Turned is how often it showed that its turn goes on.
func (b *Box) Receive() { b.received.Add(1) }

// Turned is how often the instance showed that its turn goes on.
func (b *Box) Turned() *atomic.Uint64 { return &b.turned }

// Box counts the messages that reached an instance through its partition, over all its activations.
type Box struct {
	received atomic.Uint64
	loaded   atomic.Bool   // the state is in memory
	apart    atomic.Bool   // decisions about the order are heavy work
	turned   atomic.Uint64 // how often it showed that its turn goes on
	poison   bool          // it runs only to fault the order
}
