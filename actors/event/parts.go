package event

import (
	"context"
	"iter"
	"log/slog"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/holdfast-run/holdfast/actors/order"
	"github.com/holdfast-run/holdfast/actors/runtime"
	"github.com/holdfast-run/holdfast/actors/slot"
	"github.com/holdfast-run/holdfast/actors/workflow"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/persistence"
)

// Config bounds correlation slots. Every field must be set.
type Config struct {
	Slot slot.Limits
	// Mailbox is the most messages that may wait for one slot; further ones are refused.
	Mailbox int
	// LongWait: a due time at least this far away goes to the journal's index.
	LongWait time.Duration
	// ReadTimeout is how long a turn may wait for the journal.
	ReadTimeout time.Duration
}

// Journal is what slots need of it.
type Journal interface {
	Commit(c *persistence.Commit)
	Check(h persistence.Holding, done func(error))
	Find(ctx context.Context, id messages.OrderID) (persistence.Entry, error)
	Row(ctx context.Context, h messages.Handle) (*journalv1.OrderRow, error)
	Records(ctx context.Context, h messages.Handle, from messages.Version) iter.Seq2[persistence.StoredRecord, error]
}

// Catalog finds the definitions that listeners are of.
type Catalog interface {
	Finder(ctx context.Context) func(name string, hash []byte) (*workflow.Definition, error)
}

// Slots are what all correlation slots of a node work with. All are needed.
type Slots struct {
	Config  Config
	Journal Journal
	Catalog Catalog
	Post    Post
	Workers *runtime.Workers
	Log     *slog.Logger
	Now     func() time.Time
	// Level is the highest feature level that records may have.
	Level func() uint32
	// Inject is called in the turns of slots, and may panic or never return: for tests. It may be nil.
	Inject func(point, name string)
}

// Spawn implements partition.Kind.
func (p *Slots) Spawn(ctx actor.SpawnerContext, home order.Home, a order.Activation, courier runtime.Courier) *actor.PID {
	restarts := 0
	box := runtime.Mailbox{
		Bound: 2 * p.Config.Mailbox, Whose: "correlation slot", Courier: courier, Name: string(a.ID), Turned: a.Box.Turned(), Keeps: true,
	}
	return ctx.Spawn(actor.PropsFromProducerWithActorSystem(func(*actor.ActorSystem) actor.Actor {
		restarts++
		return &instance{
			Slots: p, home: home, id: a.ID, handle: a.Handle, activation: a.Number, box: a.Box, poison: a.Poison,
			restarted: restarts > 1, offers: map[uint32]uint64{},
		}
	}, actor.WithMailbox(box.New), actor.WithDispatcher(p.Workers)))
}
