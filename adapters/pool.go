package adapters

import (
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/holdfast-run/holdfast/messages/adapterv1"
)

// pool executes one activity: a supervisor actor, and as many worker actors as were ever needed at once, up to the
// concurrency. Jobs wait in its queue, and idle workers are woken for them.
type pool struct {
	hub   *hub
	act   *activity
	index int
	boss  *actor.PID // supervises the workers

	// Guarded by the hub.
	credits credits
	queue   queue
	workers int       // how many were spawned
	up      int       // how many of them have their resource
	idle    []*worker // waiting to be woken
	waking  bool      // one was woken and has not yet looked into the queue
	stopped bool
	limit   rateLimit
	breaker breaker
	alarm   *time.Timer // when the rate limit or the breaker allows to go on; nil: none is set
}

func newPool(h *hub, act *activity, index int) *pool {
	p := &pool{hub: h, act: act, index: index}
	p.credits.capacity = act.concurrency + act.prefetch
	if act.limit != nil {
		p.limit = *act.limit
	}
	if act.breaker != nil {
		p.breaker = *act.breaker
	}
	return p
}

// wakeups are actors that are to be woken when the hub's lock is released.
type wakeups []*actor.PID

// wake is the message to an idle worker that there is work, and to a supervisor that another worker is needed.
type wake struct{}

var theWake = &wake{}

// wake has one more worker begin to work, if there is work for it. Each worker that begins wakes the next.
func (p *pool) wake() {
	if p.queue.len == 0 || p.waking || p.stopped {
		return
	}
	if n := len(p.idle); n > 0 {
		p.hub.wakes = append(p.hub.wakes, p.idle[n-1].pid)
		p.idle = p.idle[:n-1]
		p.waking = true
	} else if p.workers < p.act.concurrency {
		p.hub.wakes = append(p.hub.wakes, p.boss)
		p.workers++
		p.waking = true
	}
}

// arrived notes that a worker that was woken looks into the queue.
func (p *pool) arrived(w *worker) {
	if w.woken {
		w.woken, p.waking = false, false
	}
}

// wait is how long the rate limit and the breaker hold executions back, in nanoseconds.
func (p *pool) wait(now int64) int64 {
	var wait int64
	if p.act.limit != nil {
		wait = p.limit.wait(now)
	}
	if p.act.breaker != nil {
		wait = max(wait, p.breaker.wait(now))
	}
	return wait
}

// wakeIn sets the alarm, unless it is set or the end of an execution will do.
func (p *pool) wakeIn(wait int64) {
	if p.alarm != nil || wait == never {
		return
	}
	p.alarm = time.AfterFunc(time.Duration(wait), func() {
		p.hub.mu.Lock()
		defer p.hub.unlock()
		p.alarm = nil
		p.wake()
	})
}

// opened counts a worker that has its resource.
func (p *pool) opened() {
	p.hub.mu.Lock()
	defer p.hub.mu.Unlock()
	p.up++
}

// closed counts a worker that does not have its resource any more.
func (p *pool) closed() {
	p.hub.mu.Lock()
	defer p.hub.mu.Unlock()
	p.up--
}

// unopened answers for the jobs in the queue when a worker could not open its resource, if no other worker has one.
func (p *pool) unopened(w *worker, err error) {
	now := p.hub.now()
	p.hub.mu.Lock()
	defer p.hub.unlock()
	p.arrived(w)
	if p.up > 0 {
		return
	}
	for j := range p.queue.all() {
		if !j.over {
			p.hub.giveUp(j, resultOf(transient, err, false), now)
		}
	}
}

func (p *pool) isStopped() bool {
	p.hub.mu.Lock()
	defer p.hub.mu.Unlock()
	return p.stopped
}

// start spawns the supervisor.
func (p *pool) start() error {
	strategy := p.hub.config.Restarts.Strategy(p.hub.config.Log, func(reason any, who *actor.PID) {
		p.hub.fail(fmt.Errorf("activity %s: actor %s failed too often: %v", p.act.name, who.GetId(), reason))
	})
	worker := actor.PropsFromProducer(func() actor.Actor { return &worker{pool: p} })
	boss := actor.PropsFromFunc(func(c actor.Context) {
		if _, ok := c.Message().(*wake); ok {
			c.Spawn(worker)
		}
	}, actor.WithSupervisor(strategy))
	var err error
	p.boss, err = p.hub.system.Root.SpawnNamed(boss, p.act.name)
	if err != nil {
		return fmt.Errorf("start the supervisor of activity %s: %w", p.act.name, err)
	}
	return nil
}

// stop ends the actors, and waits for them: ten seconds at most for those that are stuck in an activity.
func (p *pool) stop() error {
	p.hub.mu.Lock()
	p.stopped = true
	if p.alarm != nil {
		p.alarm.Stop()
	}
	p.hub.mu.Unlock()
	if err := p.hub.system.Root.StopFuture(p.boss).Wait(); err != nil {
		return fmt.Errorf("activity %s goes on though it was interrupted: it must end when its context does (%w)", p.act.name, err)
	}
	return nil
}

// worker is an activity actor. Each restart makes a new one.
type worker struct {
	pool     *pool
	pid      *actor.PID
	resource any
	opened   bool
	woken    bool // it was woken, and has not looked into the queue since
}

// Receive implements actor.Actor.
func (w *worker) Receive(c actor.Context) {
	switch c.Message().(type) {
	case *actor.Started:
		w.pid = c.Self()
		w.woken = true
		w.open()
		w.work()
	case *wake:
		w.woken = true
		w.work()
	case *actor.Restarting, *actor.Stopping:
		w.close()
	}
}

// open gets the resource. Its failure is the actor's.
func (w *worker) open() {
	p := w.pool
	if p.isStopped() {
		return
	}
	if p.act.open != nil {
		defer func() {
			if r := recover(); r != nil {
				p.unopened(w, fmt.Errorf("open the activity's resource: %v", r))
				panic(r)
			}
		}()
		resource, err := p.act.open(p.hub.base)
		if err != nil {
			panic(err)
		}
		w.resource = resource
	}
	w.opened = true
	p.opened()
}

// close lets go of the resource.
func (w *worker) close() {
	if !w.opened {
		return
	}
	w.opened = false
	w.pool.closed()
	defer func() {
		if r := recover(); r != nil {
			w.pool.hub.config.Log.Warn("closing the activity's resource panicked", "activity", w.pool.act.name, "reason", r)
		}
	}()
	switch r := w.resource.(type) {
	case io.Closer:
		if err := r.Close(); err != nil {
			w.pool.hub.config.Log.Warn("closing the activity's resource failed", "activity", w.pool.act.name, "error", err)
		}
	case interface{ Close() }:
		r.Close()
	}
}

// work executes jobs until there are none.
func (w *worker) work() {
	if !w.opened {
		return
	}
	for j := w.pool.next(w); j != nil; j = w.pool.next(w) {
		if j.resumed != nil && !w.pool.await(j) || !w.pool.started(j) {
			continue
		}
		if err := w.execute(j); err != nil {
			if d, ok := errors.AsType[dirty](err); ok {
				panic(d)
			}
		}
	}
}

// execute runs one job, and returns the error that the activity returned. A panic of the activity is answered for and
// passed on, to fail the actor.
func (w *worker) execute(j *job) (err error) {
	p := w.pool
	returned := false
	defer func() {
		if returned {
			return
		}
		reason := recover()
		p.hub.told.log.With(p.hub.attrs(j.task)...).Error("activity panicked", "reason", reason, "stack", string(debug.Stack()))
		doubt := resultOf(interrupted, fmt.Errorf("panic: %v", reason), true)
		p.finish(j, doubt, doubt)
		if reason == nil {
			p.hub.fail(fmt.Errorf("activity %s ended its actor's goroutine: it must return", p.act.name))
			return
		}
		panic(reason)
	}()
	p.hub.begins(j)
	began := time.Now()
	run := p.act.execute
	if j.recovers {
		run = p.act.recover
	}
	output, err := run(j.ctx, w.resource, j.describe(), j.task.GetInput())
	if j.recovers && errors.Is(err, ErrNotDone) {
		j.recovers, j.maybe = false, false
		output, err = p.act.execute(j.ctx, w.resource, j.describe(), j.task.GetInput())
	}
	returned = true
	if err != nil {
		c := classOf(err, j.ctx.Err())
		p.finish(j, resultOf(c, err, j.maybe), resultOf(c, err, true))
		return err
	}
	done := &adapterv1.Result{Outcome: adapterv1.Outcome_OUTCOME_SUCCEEDED, Output: output}
	p.finish(j, done, done)
	p.hub.succeeds(j, began)
	return nil
}
