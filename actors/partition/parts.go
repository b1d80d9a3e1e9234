package partition

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/holdfast-run/holdfast/actors/order"
	"github.com/holdfast-run/holdfast/actors/runtime"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/messages/nodev1"
	"github.com/holdfast-run/holdfast/persistence"
	"github.com/holdfast-run/holdfast/supervision"
)

// Config bounds partitions. Every field must be set.
type Config struct {
	// Mailbox is the most messages that may wait for a partition, OrderMailbox for one of its orders.
	Mailbox, OrderMailbox int
	// ResidentBytes is the memory for orders, of all partitions together.
	ResidentBytes int64
	// Idle is how long an order stays in memory with nothing to do.
	Idle time.Duration
	// Waking is the most orders of one partition that are woken at once by recovery, and the most that are woken because they are due.
	Waking int
	// Dues is how many due times of one partition that the journal's index has are held in memory, about.
	Dues int
	// Poison says how often an order that panics is restarted before it is faulted. PoisonFaults is how many orders may be faulted so
	// within the same time before the partition is restarted in their place.
	Poison       supervision.Policy
	PoisonFaults int
	// TryAgain is how long something that failed is left alone before it is tried again, Retry the same for claims and releases.
	TryAgain time.Duration
	Retry    supervision.Backoff
	// Drain is how long commits under way may take to end when a partition is given up.
	Drain time.Duration
	// StuckAfter is how long a turn may take, ReadTimeout how long it may wait for the journal.
	StuckAfter, ReadTimeout time.Duration
}

// Journal is what partitions need of it.
type Journal interface {
	Open(ctx context.Context, p messages.Partition, after messages.Handle, limit int) ([]persistence.OpenOrder, error)
	Due(ctx context.Context, p messages.Partition, after persistence.DuePlace, limit int) ([]persistence.OpenOrder, error)
	Intake(ctx context.Context, of []messages.Partition, after messages.Handle, limit int) ([]persistence.OpenOrder, error)
	Queue(ctx context.Context, p messages.Partition, key string, after persistence.Position, limit int) ([]persistence.QueuedOrder, error)
	QueuedKeys(ctx context.Context, p messages.Partition, after string, limit int) ([]persistence.QueuedOrder, error)
}

// Claims are how a journal says who owns what.
type Claims interface {
	Owners(ctx context.Context) ([]persistence.Owner, error)
	Claim(ctx context.Context, seen []persistence.Holding) (claimed []persistence.Holding, err error)
	Release(h persistence.Holding, done func(error))
	Check(h persistence.Holding, done func(error))
	Incarnation() messages.Incarnation
	Fence(ctx context.Context, who messages.Incarnation) error
}

// Health tells whether the journal answers.
type Health interface {
	// Available is false while the journal does not answer for a partition: the shard where it lives. Whatever needs it waits then.
	Available(p messages.Partition) bool
	// Note is told what came of a commit or a read of a partition: whether the journal answers is learnt from that.
	Note(p messages.Partition, err error)
}

// Backlogs know which tasks of a partition wait on disk.
type Backlogs interface {
	Overflowed(called string, priority int, by runtime.Owner, since int64)
	// Stored says that so many more tasks wait on disk; or fewer, if it is negative.
	Stored(called string, priority int, more int64)
	// Owns says that this node owns a partition from now on, before any task of it is offered. Leave forgets all that there is of one.
	Owns(by runtime.Owner)
	Leave(p messages.Partition)
}

// Post sends messages to orders.
type Post interface {
	Ask(by runtime.Owner, e *nodev1.Envelope, done func(*nodev1.Answer))
	Answer(e *nodev1.Envelope, a *nodev1.Answer)
	// End ends the asks of an owner.
	End(by runtime.Owner)
}

// Placement is told what this node serves.
type Placement interface {
	// Serve says through which actor the orders of a partition are reached here; nil: they are not here.
	Serve(p messages.Partition, pid *actor.PID)
	// Lost says that a partition was lost to another node. It is claimed again when the placement wants it here again.
	Lost(p messages.Partition)
	// Left says that the partition is this node's no more, after it was served here or not: any node may claim it, or has.
	Left(p messages.Partition)
	// Gone tells whether an incarnation, another one than this, is to own nothing any more: it is dead, as far as can be known, or its
	// node has come back as another one. What it owns may be taken from it.
	Gone(who messages.Incarnation) bool
}

// Kind is a kind of instances, of which an order is one. They commit and rest as orders do, and tell their partition the same.
type Kind interface {
	// Spawn activates an instance as a child of its partition.
	Spawn(ctx actor.SpawnerContext, home order.Home, a order.Activation, courier runtime.Courier) *actor.PID
}

// Observer counts what becomes of orders. Its methods must be fast and not block.
type Observer interface {
	// Committed says that the row of an order has changed; before is nil if it was accepted.
	Committed(before, row *journalv1.OrderRow)
}

// Lists are for those who watch lists of orders. Their methods must be fast and not block.
type Lists interface {
	// Changed says that the row of an order has changed, or may have: then it is nil. The row must not change any more.
	Changed(h messages.Handle, row *journalv1.OrderRow)
	// Serves says whether this node has a partition, so that it learns of all changes there.
	Serves(p messages.Partition, here bool)
}

// Waits are for nodes that wait for what comes of orders here.
type Waits interface {
	// Await takes an Await of an order, and sees to its answer. It must be fast and not block.
	Await(e *nodev1.Envelope)
}

// Shares divide the limits of activities among nodes.
type Shares interface {
	// Share takes an AskShare for the owner of a partition, and sees to its answer. It must be fast and not block.
	Share(by runtime.Owner, e *nodev1.Envelope)
}

// Parts are what the partitions of a node work with. All are needed.
type Parts struct {
	Config    Config
	Journal   Journal
	Claims    Claims
	Health    Health
	Kinds     map[messages.Kind]Kind
	Backlogs  Backlogs
	Post      Post
	Courier   runtime.Courier
	Placement Placement
	Observer  Observer
	Lists     Lists
	Waits     Waits
	Shares    Shares
	System    *actor.ActorSystem
	Guardian  actor.SupervisorStrategy
	Watchdog  *supervision.Watchdog
	Workers   *runtime.Workers
	Log       *slog.Logger
	// Fatal ends the process, so that another one takes its place. It may return.
	Fatal func(reason error)
	Now   func() time.Time
	// Inject is called in the turns of partitions, and may panic or never return: for tests. It may be nil.
	Inject func(point, name string)

	// resident is how many bytes the orders in memory take, about; activations counts how often any was activated.
	resident    atomic.Int64
	activations atomic.Uint64
	// reading has a place taken in it by each partition that reads for recovery; at most recoveryReads.
	reading chan struct{}
}
