package instance

import (
	"context"
	"errors"
	"iter"
	"log/slog"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/holdfast-run/holdfast/actors/order"
	"github.com/holdfast-run/holdfast/actors/runtime"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/messages/nodev1"
	"github.com/holdfast-run/holdfast/persistence"
	"github.com/holdfast-run/holdfast/persistence/rows"
)

// Config bounds instances. Every field must be set.
type Config struct {
	// Mailbox is the most messages that may wait for one instance; further ones are refused.
	Mailbox int
	// LongWait: a due time at least this far away goes to the journal's index.
	LongWait time.Duration
	// ReadTimeout is how long a turn may wait for the journal.
	ReadTimeout time.Duration
}

// Journal is what instances need of it.
type Journal interface {
	Commit(c *persistence.Commit)
	Check(h persistence.Holding, done func(error))
	Find(ctx context.Context, id messages.OrderID) (persistence.Entry, error)
	Row(ctx context.Context, h messages.Handle) (*journalv1.OrderRow, error)
	Records(ctx context.Context, h messages.Handle, from messages.Version) iter.Seq2[persistence.StoredRecord, error]
}

// Post sends messages to instances.
type Post interface {
	Ask(by runtime.Owner, e *nodev1.Envelope, done func(*nodev1.Answer))
	Answer(e *nodev1.Envelope, a *nodev1.Answer)
}

// ErrNothing is what a machine returns for a message that asks for no decision.
var ErrNothing = errors.New("nothing is to be decided")

// State is an instance as its history tells it.
type State interface {
	// Version returns the number of events of the history so far, and Exists tells whether there are any, or a summary of them.
	Version() messages.Version
	Exists() bool
	// Evolve applies one event of the history.
	Evolve(ev *journalv1.Event)
	// Facts are what the rows of the instance follow from. It exists.
	Facts() rows.Facts
	// NextDue returns when the instance must get order.Fired; zero if it need not.
	NextDue() time.Time
	// Size is about what the state takes in memory, in bytes.
	Size() int
}

// Machine is an instance in memory. It is made when the state is read, and dropped with it. Its methods are called in the turns of the
// instance.
type Machine interface {
	State
	Residence

	// Prepare has what the state needs beside its history. It may wait for the journal.
	Prepare(ctx context.Context) error
	// Decide takes a message, an envelope, order.Fired or what Self brings, and returns what has happened, by which the state has evolved
	// already. An error means that the message was refused; ErrNothing, that it asks for no decision.
	Decide(now time.Time, message any) ([]*journalv1.Event, error)
	// Perform does what is outstanding, now that all is durable that was decided.
	Perform()
	// Answer is the answer to a message that was not refused.
	Answer(e *nodev1.Envelope) *nodev1.Answer
}

// Residence is what the memory of an instance depends on.
type Residence interface {
	// Busy tells whether the instance must be in memory, as something is under way. Empty tells whether it is as if there were none; Light
	// whether it is read back in no time, if it is in memory for nothing but its due time.
	Busy() bool
	Empty() bool
	Light() bool
}

// Self is how a machine acts. What comes of that is brought to it as messages, unless it was dropped by then. Its methods may be called in
// turns alone.
type Self interface {
	// ID returns that of the instance, and Owner who owns its partition here.
	ID() messages.OrderID
	Owner() runtime.Owner
	// Ask asks another instance, and brings the message that is made of its answer.
	Ask(e *nodev1.Envelope, message func(*nodev1.Answer) any)
	// Again brings a message after a while.
	Again(message any)
	// Blocking does something that may take long, so that others go on meanwhile.
	Blocking(do func(ctx context.Context))
}

// Kind is a kind of instances.
type Kind struct {
	// Name is what an instance is called, such as "correlation slot", and Point what it is called where faults are injected.
	Name, Point string
	// New makes the machine of an instance whose history is read from a version on.
	New func(self Self, from messages.Version) Machine
	// Fresh tells whether an event is new work, for which there must be room in the store; else it is a part of what was accepted before.
	Fresh func(ev *journalv1.Event) bool
}

// Instances are what all instances of a kind work with on a node. All are needed.
type Instances struct {
	Kind    Kind
	Config  Config
	Journal Journal
	Post    Post
	Workers *runtime.Workers
	Log     *slog.Logger
	Now     func() time.Time
	// Level is the highest feature level that records may have.
	Level func() uint32
	// Observe is told what has happened, once it is durable. It must be fast and not block.
	Observe func(events []*journalv1.Event)
	// Inject is called in the turns of instances, and may panic or never return: for tests. It may be nil.
	Inject func(point, name string)
}

// Spawn implements partition.Kind.
func (p *Instances) Spawn(ctx actor.SpawnerContext, home order.Home, a order.Activation, courier runtime.Courier) *actor.PID {
	restarts := 0
	box := runtime.Mailbox{
		Bound: 2 * p.Config.Mailbox, Whose: p.Kind.Name, Courier: courier, Name: string(a.ID), Turned: a.Box.Turned(), Keeps: true,
	}
	return ctx.Spawn(actor.PropsFromProducerWithActorSystem(func(*actor.ActorSystem) actor.Actor {
		restarts++
		return &instance{
			Instances: p, home: home, id: a.ID, handle: a.Handle, activation: a.Number, box: a.Box, poison: a.Poison,
			restarted: restarts > 1,
		}
	}, actor.WithMailbox(box.New), actor.WithDispatcher(p.Workers)))
}
