package partition

import (
	"fmt"
	"maps"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/holdfast-run/holdfast/actors/failure"
	"github.com/holdfast-run/holdfast/actors/order"
	"github.com/holdfast-run/holdfast/actors/runtime"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/nodev1"
	"github.com/holdfast-run/holdfast/persistence"
)

// partition is the parent of the instances of one partition: all messages to them go through it.
type partition struct {
	*home
	residents
	recovery

	ctx      actor.Context // valid from its start on, in its own turns
	poison   actor.SupervisorStrategy
	dues     *dues
	timer    *time.Timer
	timerFor int64
	// firing are the orders that were told that their due time has come and have not come to rest since.
	firing map[messages.OrderID]bool
	keys   *keys
	// draining: the partition takes nothing new.
	draining bool
	// at is when the last second began, and so about now.
	at time.Time
}

// Notes of a partition to itself, and of its owner.
type (
	// tick says that a due time has come.
	tick struct{}
	// second says that a second is over; sweep says so, too, and that orders with nothing to do may leave memory.
	second struct{}
	sweep  struct{}
	// drain has the partition take nothing new, and tell when no commit is under way.
	drain struct{}
)

func newPartition(h *home) *partition {
	p := &partition{
		home: h, keys: newKeys(), residents: newResidents(), dues: newDues(h.Config.Dues), firing: map[messages.OrderID]bool{},
		recovery: newRecovery(), at: h.Now(),
	}
	p.poison = h.Config.Poison.Strategy(h.Log, p.poisoned)
	return p
}

// HandleFailure makes the partition the supervisor of its orders.
func (p *partition) HandleFailure(
	system *actor.ActorSystem, s actor.Supervisor, child *actor.PID, rs *actor.RestartStatistics, reason, message any,
) {
	if r := p.byPID[child.GetId()]; r != nil {
		r.failed = p.Now()
	}
	p.poison.HandleFailure(system, s, child, rs, reason, message)
}

// Receive implements actor.Actor.
func (p *partition) Receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case *actor.Started:
		<-p.ready
		p.ctx = ctx
		p.forgetUnloadable() // what the actor before this one had
		p.recover()
	case *actor.Stopping, *actor.Restarting:
		if p.timer != nil {
			p.timer.Stop()
		}
		p.snapshot.Store(&Snapshot{})
		p.inMemory.Store(0)
		p.timers.Store(0)
		return
	case *nodev1.Envelope:
		p.receive(m)
	case order.Due:
		p.setDue(m.ID, persistence.DuePlace{At: m.At, Handle: m.Handle}, m.Indexed)
	case order.Release:
		p.release(m)
	case order.Rested:
		p.rested(m)
	case order.Recover:
		p.recoverLater(m)
	case settled:
		p.hasSettled(m)
	case recoverNow:
		p.recoverOrder(m)
	case readOn:
		p.readingOn = false
		p.fire()
		p.recover()
	case found:
		p.takeIn(m)
	case order.Queued:
		p.queue(m)
	case order.KeyEnded:
		p.ended(m)
	case order.KeyHeld:
		p.keys.hold(m.ID, m.Key, m.Held)
	case startHead:
		p.start(m)
	case startNext:
		p.startNext(m.key)
	case order.Fenced:
		p.fenced(m)
	case order.Left:
		p.left(m)
	case drain:
		p.drain()
	case tick:
		p.fire()
	case sweep:
		p.look()
		p.sweep(p.at.Add(-p.Config.Idle))
	case second:
		p.look()
	}
	p.loop.Beat()
}

// receive takes a message from beyond the partition.
func (p *partition) receive(e *nodev1.Envelope) {
	switch {
	case p.draining, e.GetEpoch() != 0 && e.GetEpoch() != uint64(p.by.Epoch):
		p.refuse(e, runtime.ErrNotOwner)
	case e.GetShowKey() != nil:
		p.show(e)
	case e.GetAskShare() != nil:
		p.Shares.Share(p.by, e)
	case e.GetInserted() != nil:
		p.takeIn(found{{id: messages.OrderID(e.GetOrderId()), handle: handleOf(e)}})
	case e.GetAwait() != nil:
		p.Waits.Await(e)
	default:
		p.deliver(messages.OrderID(e.GetOrderId()), handleOf(e), e)
	}
}

func handleOf(e *nodev1.Envelope) (h messages.Handle) {
	copy(h[:], e.GetHandle())
	return h
}

func (p *partition) refuse(e *nodev1.Envelope, err error) {
	p.Post.Answer(e, &nodev1.Answer{Failure: failure.Of(err)})
}

// poisoned is told of an order that panicked too often. It is faulted by a fresh activation; if even that panics, it is
// left alone until somebody asks for it again.
func (p *partition) poisoned(reason any, who *actor.PID) {
	r := p.byPID[who.GetId()]
	if r == nil {
		return
	}
	p.forget(r)
	if r.box.Poisoned() {
		p.Log.Error("order can neither run nor be faulted", "order", r.id, "reason", fmt.Sprint(reason))
		return
	}
	now := p.Now()
	maps.DeleteFunc(p.faulted, func(id messages.OrderID, at time.Time) bool { return id == r.id || now.Sub(at) >= time.Minute })
	if len(p.faulted) >= p.Config.PoisonFaults {
		//nolint:err113 // for people
		panic(fmt.Errorf("partition %d: too many orders panic, the last is %s: %v", p.by.Partition, r.id, reason))
	}
	p.faulted[r.id] = now
	p.activate(r.id, messages.Handle{}, fmt.Errorf("panic: %v", reason)) //nolint:err113 // for people
}

// look does what is done every second.
func (p *partition) look() {
	p.at = p.Now()
	p.fire()    // the wall clock may have leapt
	p.recover() // some of the orders that were to come to rest may be gone
	p.publish()
}

// fenced has the partition closed: another node has claimed it. If the whole incarnation was fenced, the process ends, and the node
// comes back as a new incarnation.
func (p *partition) fenced(m order.Fenced) {
	p.draining = true
	if m.Whole {
		p.Fatal(persistence.ErrIncarnationFenced)
	}
	p.owner.tell(step{p.by.Partition, Fenced{p.by.Epoch}})
}

// drain takes nothing new from now on.
func (p *partition) drain() {
	p.draining = true
	for _, r := range p.resident {
		p.ctx.Send(r.pid, order.Leave{})
	}
	p.drained()
}

// left takes an order's word that it takes no more messages, and has no commit under way.
func (p *partition) left(m order.Left) {
	if r := p.resident[m.ID]; r != nil && r.activation == m.Activation {
		p.forget(r)
		p.ctx.Stop(r.pid)
	}
	p.drained()
}

func (p *partition) drained() {
	if p.draining && len(p.resident) == 0 {
		p.owner.tell(step{p.by.Partition, Drained{p.by.Epoch}})
	}
}
