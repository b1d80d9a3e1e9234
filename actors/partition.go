package actors

import (
	"container/list"
	"context"
	"fmt"
	"maps"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/persistence"
	"github.com/holdfast-run/holdfast/supervision"
)

// slot is what is known of a partition that this node owns.
type slot struct {
	number messages.Partition
	epoch  messages.Epoch
	// pid is set once ready is closed.
	pid   *actor.PID
	ready chan struct{}
	loop  *supervision.Loop
	tally tally
	// faulted are the last orders that were faulted because they panicked, and when; at most Config.PoisonFaults.
	faulted map[messages.OrderID]time.Time
}

// partition is the parent of the instances of one partition: all messages to them go through it.
type partition struct {
	*slot

	engine   *Engine
	ctx      actor.Context // valid from its start on, in its own turns
	poison   actor.SupervisorStrategy
	resident map[messages.OrderID]*resident
	byPID    map[string]*resident
	// idlest are the residents, those first that had no message for longest.
	idlest   list.List
	dues     *dues
	timer    *time.Timer
	timerFor int64
	// firing are those that were told so, and have not come to rest since.
	firing map[messages.OrderID]bool
	// timersTold is the number of timers that the metrics know of.
	timersTold int

	keys *keyQueues

	// Recovery: what it has read and not resumed yet, where it goes on reading, and what is being resumed.
	unresumed []messages.OrderID
	readUpTo  messages.Handle
	readAll   bool
	resuming  map[messages.OrderID]bool
	handles   map[messages.OrderID]messages.Handle
}

// recoveryPage is how many open orders recovery reads at once.
const recoveryPage = 500

func newPartition(e *Engine, s *slot) *partition {
	p := &partition{
		engine: e, slot: s, keys: newKeyQueues(),
		resident: map[messages.OrderID]*resident{}, byPID: map[string]*resident{}, dues: newDues(e.config.Dues),
		resuming: map[messages.OrderID]bool{}, firing: map[messages.OrderID]bool{}, handles: map[messages.OrderID]messages.Handle{},
	}
	p.poison = e.config.poison().Strategy(e.log, p.poisoned)
	return p
}

// HandleFailure makes the partition the supervisor of its orders.
func (p *partition) HandleFailure(
	system *actor.ActorSystem, s actor.Supervisor, child *actor.PID, rs *actor.RestartStatistics, reason, message any,
) {
	if r := p.byPID[child.GetId()]; r != nil {
		r.failed = p.engine.now()
	}
	p.poison.HandleFailure(system, s, child, rs, reason, message)
}

// Receive implements actor.Actor.
func (p *partition) Receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case *actor.Started:
		<-p.ready
		p.ctx = ctx
		p.engine.unloadable.leave(p.number) // what an incarnation before this one had
		p.recover()
	case *actor.Stopping, *actor.Restarting:
		if p.timer != nil {
			p.timer.Stop()
		}
		p.engine.metrics.resident.Sub(float64(len(p.resident)))
		p.engine.metrics.timers.Sub(float64(p.timersTold))
	case *actor.Stopped:
		p.engine.unloadable.leave(p.number)
	case *deliver:
		p.deliver(m)
	case dueAt:
		p.setDue(m.id, persistence.DuePlace{At: m.at, Handle: m.handle}, m.indexed)
	case release:
		p.release(m)
	case rested:
		delete(p.resuming, m.id)
		delete(p.firing, m.id)
		p.recover()
		p.fire()
	case queued:
		p.queue(m)
	case keyEnded:
		p.ended(m)
	case keyHeld:
		p.keys.hold(m.id, m.key, m.held)
	case startHead:
		p.start(m)
	case *showKey:
		p.show(m)
	case tick:
		p.fire()
	case sweep:
		p.sweep(p.engine.now().Add(-p.engine.config.Idle))
		p.look()
	case probe:
		p.look()
	}
	p.loop.Beat()
}

// poisoned is told of an order that panicked too often. It is faulted by a fresh incarnation; if even that panics, it is
// left alone until somebody asks for it again.
func (p *partition) poisoned(reason any, who *actor.PID) {
	r := p.byPID[who.GetId()]
	if r == nil {
		return
	}
	p.forget(r)
	if r.mail.poison {
		p.engine.log.Error("order can neither run nor be faulted", "order", r.id, "reason", fmt.Sprint(reason))
		return
	}
	now := p.engine.now()
	maps.DeleteFunc(p.faulted, func(id messages.OrderID, at time.Time) bool { return id == r.id || now.Sub(at) >= time.Minute })
	if len(p.faulted) >= p.engine.config.PoisonFaults {
		panic(fmt.Errorf("partition %d: too many orders panic, the last is %s: %v", p.number, r.id, reason)) //nolint:err113 // for people
	}
	p.faulted[r.id] = now
	n := p.activate(r.id, messages.Handle{}, fmt.Errorf("panic: %v", reason)) //nolint:err113 // for people
	n.mail.poison = true
}

// recover takes up open orders: those that can act now are resumed, a few at a time; of the others only the due times are
// kept.
func (p *partition) recover() {
	for len(p.resuming) < p.engine.config.Waking {
		if len(p.unresumed) == 0 {
			if p.readAll {
				return
			}
			p.engine.workers.blocking(p.readOpen)
			continue
		}
		id := p.unresumed[0]
		p.unresumed = p.unresumed[1:]
		h := p.handles[id]
		delete(p.handles, id)
		p.resuming[id] = true
		p.deliver(&deliver{id: id, handle: h, message: resume{}})
	}
}

func (p *partition) readOpen() {
	c, cancel := context.WithTimeout(context.Background(), p.engine.config.readTimeout())
	defer cancel()
	p.loop.Beat() // there may be many pages
	page, err := p.engine.journal.Open(c, p.number, p.readUpTo, recoveryPage)
	if err != nil {
		panic(fmt.Errorf("partition %d: read open orders: %w", p.number, err))
	}
	p.readOverflow(page)
	for _, o := range page {
		p.readUpTo = o.Handle
		id := messages.OrderID(o.Row.GetId())
		if p.engine.handles.isOld(o.Handle) && p.tally.first(id, o.Handle) {
			p.engine.countOpen(o.Row, 1)
		}
		if key := o.Row.GetOrderKey(); key != "" {
			if o.Row.GetQueued() {
				turn := o.Handle
				copy(turn[:], o.Row.GetTurn())
				p.keys.restore(id, key, turn)
			} else {
				p.keys.running(id, key)
			}
			if o.Row.GetHeld() {
				p.keys.hold(id, key, true)
			}
		}
		if at := o.Row.GetDue(); at != 0 {
			p.setDue(id, persistence.DuePlace{At: at, Handle: o.Handle}, true)
			continue
		}
		if o.Row.GetQueued() || o.Row.GetHeld() && !o.Row.GetTelling() || o.Row.GetSuspended() || o.Row.GetParked() {
			continue // it is started when its turn comes, waits for an operator, or gets a place
		}
		p.unresumed = append(p.unresumed, id)
		p.handles[id] = o.Handle
	}
	p.readAll = len(page) < recoveryPage
	if p.tally.read(p.readUpTo, p.readAll) {
		p.engine.unread.Add(-1)
	}
	if p.readAll {
		p.loadedKeys()
	}
}

// readOverflow tells the backlogs of what is on disk.
func (p *partition) readOverflow(page []persistence.OpenOrder) {
	type queue struct {
		activity string
		priority int32
	}
	oldest := map[queue]int64{}
	for _, o := range page {
		for _, task := range o.Row.GetOverflow() {
			q := queue{task.GetActivity(), task.GetPriority()}
			if at, known := oldest[q]; !known || task.GetAt() < at {
				oldest[q] = task.GetAt()
			}
		}
	}
	for q, since := range oldest {
		p.engine.tell(p.engine.lane(q.activity).backlog, overflowed{priority: int(q.priority), slot: p.slot, since: since})
	}
}

// readDues reads which orders are due next, behind those that are known.
func (p *partition) readDues() {
	c, cancel := context.WithTimeout(context.Background(), p.engine.config.readTimeout())
	defer cancel()
	page, err := p.engine.journal.Due(c, p.number, p.dues.upTo, p.dues.most)
	if err != nil {
		panic(fmt.Errorf("partition %d: read due orders: %w", p.number, err))
	}
	for _, o := range page {
		p.dues.upTo = persistence.DuePlace{At: o.Row.GetDue(), Handle: o.Handle}
		p.dues.set(messages.OrderID(o.Row.GetId()), p.dues.upTo, true)
	}
	p.dues.behind = len(page) == p.dues.most
}

func (p *partition) setDue(id messages.OrderID, at persistence.DuePlace, indexed bool) {
	p.dues.set(id, at, indexed)
	p.arm()
}

// arm sets the timer for the earliest due time, or to read more of them.
func (p *partition) arm() {
	p.engine.metrics.timers.Add(float64(len(p.dues.heap) - p.timersTold))
	p.timersTold = len(p.dues.heap)
	at := p.dues.next()
	if at == 0 || at == p.timerFor || p.firesMost() {
		return
	}
	p.timerFor = at
	wait := max(time.Unix(0, at).Sub(p.engine.now()), 0)
	if p.timer == nil {
		self, root := p.pid, p.engine.system.Root
		p.timer = time.AfterFunc(wait, func() { root.Send(self, tick{}) })
		return
	}
	p.timer.Reset(wait)
}

// look does what is done every second.
func (p *partition) look() {
	p.recover() // of those that were to come to rest some may be gone
	p.fire()    // the wall clock may have leapt
	p.engine.metrics.keysOf(p.number).set(p.keys, p.engine.now())
}

// firesMost tells whether no more orders may be fired until some have come to rest.
func (p *partition) firesMost() bool { return len(p.firing) >= p.engine.config.Waking }

// fire tells the orders that are due, a few at a time.
func (p *partition) fire() {
	p.timerFor = 0
	now := p.engine.now().UnixNano()
	for !p.firesMost() {
		if p.dues.few() {
			p.engine.workers.blocking(p.readDues)
		}
		d := p.dues.first()
		if d == nil || d.At > now {
			break
		}
		p.dues.remove(d)
		p.firing[d.id] = true
		p.deliver(&deliver{id: d.id, handle: d.Handle, message: fired{}})
		p.loop.Beat() // there may be many
	}
	p.arm()
}
