package activity

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/holdfast-run/holdfast/actors/dispatch"
	"github.com/holdfast-run/holdfast/actors/failure"
	"github.com/holdfast-run/holdfast/actors/runtime"
	"github.com/holdfast-run/holdfast/actors/share"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/adapterv1"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/messages/nodev1"
	"github.com/holdfast-run/holdfast/persistence"
	"github.com/holdfast-run/holdfast/supervision"
)

// Config bounds the activities of a node. Every field must be set.
type Config struct {
	// Mailbox is the most messages that may wait for a dispatcher.
	Mailbox int
	// QueueBytes is the memory for the tasks that wait for adapters, QueueEach that for the tasks of one activity, for each priority, and
	// for each version that is called.
	QueueBytes, QueueEach int64
	Dispatch              dispatch.Config
	// AdapterBytes is the memory for the tasks that adapters have, and for what they offer and list. One stream may have a quarter of it.
	AdapterBytes int64
	// Known is the most activities that are known at once; adapters that offer more are refused. Those that orders call, or that have a
	// limit, are always taken.
	Known int
	// ForgetAfter is how long an activity that nothing uses is remembered: its rate, and its metrics.
	ForgetAfter time.Duration
	// TryAgain is how long to wait before something that failed is tried again.
	TryAgain time.Duration
	// ReadTimeout is how long a result may wait for the journal to say where its order lives, and a backlog for a page of tasks.
	ReadTimeout time.Duration
	// TakeOver is how long tasks that were sent before this node owned their partition wait until adapters have said which of them
	// they have.
	TakeOver time.Duration
	// Share says how long shares of limits last. Nodes of one cluster need the same.
	Share share.Config
	// StuckAfter is how long a turn of a dispatcher or a backlog may take.
	StuckAfter time.Duration
}

// Journal is what activities need of a journal.
type Journal interface {
	Find(ctx context.Context, id messages.OrderID) (persistence.Entry, error)
	Overflowed(ctx context.Context, of persistence.Overflow, after persistence.OverflowPlace, limit int) ([]persistence.OverflowedTask, error)
}

// Health tells whether the journal answers for a partition, and is told what came of reads.
type Health interface {
	Available(p messages.Partition) bool
	Note(p messages.Partition, err error)
}

// Limits tells the limits that operators have set; nil if there is none.
type Limits interface {
	Limit(activity string) *journalv1.LimitRow
}

// Post sends messages to orders and partitions.
type Post interface {
	Tell(e *nodev1.Envelope)
	Ask(by runtime.Owner, e *nodev1.Envelope, done func(*nodev1.Answer))
	AskWithin(within time.Duration, by runtime.Owner, e *nodev1.Envelope, done func(*nodev1.Answer))
	Answer(e *nodev1.Envelope, a *nodev1.Answer)
}

// Parts are what the activities of a node work with. All are needed.
type Parts struct {
	Config Config
	// Self is the incarnation under which the node has its journal.
	Self     messages.Incarnation
	Journal  Journal
	Health   Health
	Limits   Limits
	Post     Post
	Courier  runtime.Courier
	Workers  *runtime.Workers
	System   *actor.ActorSystem
	Guardian actor.SupervisorStrategy
	Watchdog *supervision.Watchdog
	Log      *slog.Logger
	Now      func() time.Time
	// MayDispatch tells whether this node may begin with tasks now; it must be fast.
	MayDispatch func() bool
	// Others: there are other nodes, so that adapters which have something may be about to connect.
	Others bool
	// Refused is told that what an adapter said was refused: it has no effect.
	Refused func(what string)
	// Inject is called in the turns of dispatchers, and may panic or never return: for tests. It may be nil.
	Inject func(point, name string)
}

// Activities are those that this node knows: that were called, offered or limited lately.
type Activities struct {
	parts   Parts
	queues  sync.Map // *queue, by name
	demands sync.Map // *demand, by the name that is called
	making  sync.Mutex
	// attaching is held while a stream is attached: so hellos that come at once know no more activities than may be known.
	attaching sync.Mutex
	known     atomic.Int64 // how many queues there are
	memory    memory
	rooms     rooms
	hurries   hurries
	shown     shown
	streams   atomic.Uint64
	tenures   tenures
	granters  granters
	stopping  atomic.Bool
}

// New makes the activities of a node. It knows none at first.
func New(p Parts) *Activities {
	r := &Activities{parts: p, tenures: tenures{asked: map[messages.Partition]owned{}, lists: map[*Stream]struct{}{}}}
	r.memory.most, r.rooms.most = p.Config.AdapterBytes, p.Config.QueueBytes
	r.parts.Config.Dispatch.Away = &r.memory
	return r
}

func (r *Activities) tell(pid *actor.PID, m any) { r.parts.System.Root.Send(pid, m) }

// after does something after a while, unless the node stops. Nobody has to wait for the timer: what it does only sends.
func (r *Activities) after(d time.Duration, do func()) {
	time.AfterFunc(d, func() {
		if !r.stopping.Load() {
			do()
		}
	})
}

func (r *Activities) later(do func()) { r.after(r.parts.Config.TryAgain, do) }

// each visits all dispatchers and backlogs.
func (r *Activities) each(visit func(*actor.PID)) {
	r.demands.Range(func(_, d any) bool {
		visit(d.(*demand).backlog) //nolint:errcheck,forcetypeassert // nothing else is stored
		return true
	})
	r.queues.Range(func(_, q any) bool {
		visit(q.(*queue).dispatcher) //nolint:errcheck,forcetypeassert // nothing else is stored
		return true
	})
}

// Leave forgets all tasks of a partition that this node has lost.
func (r *Activities) Leave(p messages.Partition) {
	r.disowned(p)
	r.stopGranting(p)
	r.await() // a dispatcher that was being made is told, too
	r.each(func(pid *actor.PID) { r.tell(pid, left{partition: p}) })
}

// Stop stops all dispatchers and backlogs, and returns when they have.
func (r *Activities) Stop() {
	r.stopping.Store(true)
	r.each(func(pid *actor.PID) {
		if err := r.parts.System.Root.StopFuture(pid).Wait(); err != nil {
			r.parts.Log.Warn("actor did not stop in time", "actor", pid.GetId(), "error", err)
		}
	})
}

// Reserve reserves room for an attempt with so many bytes of input that is about to be scheduled; false if it has to overflow.
// follows: it follows another one of its order, and gets room in any case. Offer or Release ends the reservation.
func (r *Activities) Reserve(called string, priority, bytes int, follows bool) bool {
	d := r.demand(called)
	defer d.queue.uses.leave()
	return d.room.reserve(priority, d.room.size(bytes), follows)
}

// Release ends a reservation whose attempt will not be offered.
func (r *Activities) Release(called string, priority, bytes int) {
	d := r.demand(called)
	defer d.queue.uses.leave()
	d.room.release(priority, d.room.size(bytes))
}

// Overflowed says that an attempt of a partition waits on disk, or may do so, since a time in nanoseconds since 1970.
func (r *Activities) Overflowed(called string, priority int, by runtime.Owner, since int64) {
	d := r.demand(called)
	defer d.queue.uses.leave()
	r.tell(d.backlog, overflowed{priority: priority, by: by, since: since})
}

// Stored says that so many more tasks of an activity are on disk at a priority; or fewer, if it is negative.
func (r *Activities) Stored(called string, priority int, more int64) {
	name, _ := messages.SplitActivity(called)
	q := r.queue(name)
	defer q.uses.leave()
	q.called()
	q.counts.stored[priority].Add(more)
}

// Offer gives an attempt to its dispatcher, to be executed by an adapter.
func (r *Activities) Offer(a messages.Attempt) {
	d := r.demand(a.Called)
	defer d.queue.uses.leave()
	var letter struct { // one allocation
		offer offer
		task  dispatch.Task
		body  adapterv1.Task
	}
	letter.offer = offer{demand: d, reservation: a.Reservation, task: &letter.task}
	letter.task = dispatch.Task{
		Order: a.Order, Partition: a.Partition, Key: a.Key, Attempt: a.Attempt, Version: d.version, Priority: a.Priority,
		Ledger: a.Ledger, MaybeStarted: a.MaybeStarted, Suspect: a.Suspect, Deaths: a.Deaths, Again: a.Again,
		OfferedAt: r.parts.Now(), Since: time.Unix(0, a.Since), Size: int(d.room.size(len(a.Input))), Body: &letter.body,
	}
	b := &letter.body
	b.OrderId, b.Partition, b.Epoch, b.Key, b.Attempt = string(a.Order), uint32(a.Partition), uint64(a.Epoch), a.Key, a.Attempt
	b.Activity, b.Input, b.Deadline, b.Task = nameOf(d.queue.name), a.Input, a.Deadline, a.Task
	b.RunWithinMs = uint64((a.RunWithin + time.Millisecond - 1) / time.Millisecond) //nolint:gosec // it is not negative
	r.tell(d.queue.dispatcher, &letter.offer)
}

// Cancel has an attempt given up, also if an adapter has begun with it.
func (r *Activities) Cancel(called, key string, attempt uint32) {
	if d := r.knownDemand(called); d != nil {
		defer d.queue.uses.leave()
		r.tell(d.queue.dispatcher, cancel{key: key, attempt: attempt})
	}
}

// Withdraw has an attempt given up if nobody has begun with it.
func (r *Activities) Withdraw(called, key string, attempt uint32) {
	if d := r.knownDemand(called); d != nil {
		defer d.queue.uses.leave()
		r.tell(d.queue.dispatcher, withdraw{key: key, attempt: attempt})
	}
}

// insist tells the order of a task something that only this dispatcher knows. It does so again and again until that is durable or
// refused for good, or the partition is lost: the next owner finds the task in the journal.
func (r *Activities) insist(t *dispatch.Task, e *nodev1.Envelope) {
	by := ownerOf(t)
	addressed(t, e)
	var tell func()
	tell = func() {
		r.parts.Post.Ask(by, e, func(a *nodev1.Answer) {
			f := a.GetFailure()
			if f == nil || failure.IsFinal(f) || f.GetReason() == nodev1.Reason_REASON_NOT_OWNER {
				return
			}
			r.later(tell)
		})
	}
	tell()
}

// Limited says that the limit of an activity has changed. It is to be called at the start, too, of each activity that has one: who grants
// shares needs the word of all nodes, also of those where nothing calls the activity.
func (r *Activities) Limited(name string) {
	q := r.queue(name)
	defer q.uses.leave()
	q.called()
	r.tell(q.dispatcher, limited{})
}

// nameOf returns the name of an activity without the adapter's.
func nameOf(activity string) string {
	_, name, _ := strings.Cut(activity, ".")
	return name
}
