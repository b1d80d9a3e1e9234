package actors

import (
	"errors"
	"math"
	"strings"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"google.golang.org/protobuf/proto"

	"github.com/holdfast-run/holdfast/actors/dispatch"
	"github.com/holdfast-run/holdfast/actors/workflow"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/adapterv1"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/supervision"
)

// Adapter is a connected adapter's stream, as the engine sees it. Its methods must not block.
type Adapter interface {
	// SendTask sends a task.
	SendTask(t *adapterv1.Task)
	// SendCancellation asks to give an attempt up.
	SendCancellation(c *adapterv1.Cancellation)
	// SendReturned answers a revocation.
	SendReturned(r *adapterv1.Returned)
}

// Messages to a dispatcher.
type (
	offer struct {
		task *dispatch.Task
		lane *lane
		// reserved is what was taken of the room for it.
		reserved int64
	}
	done struct {
		key     string
		attempt uint32
	}
	cancel struct {
		key     string
		attempt uint32
	}
	withdraw struct {
		key     string
		attempt uint32
	}
	attach struct {
		stream  dispatch.Stream
		adapter Adapter
	}
	detach struct{ stream dispatch.StreamID }
	credit struct {
		stream dispatch.StreamID
		total  uint64
	}
	revoke struct {
		stream dispatch.StreamID
		count  uint64
	}
	confirm struct {
		key     string
		attempt uint32
		ledger  string
	}
	refused struct {
		key     string
		attempt uint32
	}
)

func (offer) isNote()    {}
func (done) isNote()     {}
func (cancel) isNote()   {}
func (withdraw) isNote() {}
func (attach) isNote()   {}
func (detach) isNote()   {}
func (credit) isNote()   {}
func (revoke) isNote()   {}
func (confirm) isNote()  {}
func (refused) isNote()  {}

// dispatcher is the shell round the queue of one activity.
type dispatcher struct {
	engine   *Engine
	activity *activity
	name     string // without the adapter
	loop     *supervision.Loop
	queue    *dispatch.Queue
	adapters map[dispatch.StreamID]Adapter
	// hurrying: a tick is on its way.
	hurrying bool
}

// Receive implements actor.Actor.
func (d *dispatcher) Receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case *offer:
		inject("dispatcher", d.activity.name)
		d.do(d.queue.Offer(m.task))
		m.lane.room.update(d.queue, m.lane.version)
		m.lane.room.giveBack(m.task.Priority, m.reserved)
	case done:
		d.do(d.queue.Done(m.key, m.attempt))
	case cancel:
		d.do(d.queue.Cancel(m.key, m.attempt))
	case withdraw:
		d.do(d.queue.Withdraw(m.key, m.attempt))
	case *attach:
		d.adapters[m.stream.ID] = m.adapter
		d.do(d.queue.Attach(m.stream))
	case detach:
		delete(d.adapters, m.stream)
		d.do(d.queue.Detach(m.stream, d.engine.now()))
	case credit:
		d.do(d.queue.Credit(m.stream, m.total))
	case revoke:
		if a := d.adapters[m.stream]; a != nil {
			a.SendReturned(&adapterv1.Returned{Activity: d.name, Count: d.queue.Revoke(m.stream, m.count)})
		}
	case confirm:
		d.do(d.queue.Confirm(m.key, m.attempt, m.ledger))
	case refused:
		d.queue.Refuse(m.key, m.attempt)
	case *actor.Stopping:
		d.loop.Close()
		return
	case probe:
		now := d.engine.now()
		d.do(d.queue.Tick(now))
		d.activity.gauges.oldest(d.queue.Oldest(), now)
		d.activity.gauges.second()
	case limited:
		d.do(d.queue.SetLimit(d.engine.dispatchLimit(d.activity.name), d.engine.now()))
	case tick:
		d.hurrying = false
		d.do(d.queue.Tick(d.engine.now()))
	default:
		return
	}
	for _, l := range *d.activity.lanes.Load() {
		l.room.update(d.queue, l.version)
		if l.room.wanting() {
			l.refill(d.engine)
		}
	}
	d.activity.gauges.set(d.queue.Waiting(), d.queue.InFlight(), len(d.adapters))
	d.hurry()
	d.loop.Beat()
}

// hurry looks again soon, if a rate holds tasks back.
func (d *dispatcher) hurry() {
	if d.hurrying || !d.queue.Throttled() {
		return
	}
	d.hurrying = true
	d.engine.after(throttleTick, func() { d.engine.tell(d.activity.dispatcher, tick{}) })
}

func (d *dispatcher) do(outputs []dispatch.Output) {
	for _, o := range outputs {
		switch o := o.(type) {
		case dispatch.Send:
			if a := d.adapters[o.Stream]; a != nil {
				t := o.Task.Body.(*adapterv1.Task) //nolint:errcheck,forcetypeassert // only tasks are offered
				if t.GetMaybeStarted() != o.Task.MaybeStarted {
					t = proto.CloneOf(t) // another stream may be writing the old one
					t.MaybeStarted = o.Task.MaybeStarted
					o.Task.Body = t
				}
				a.SendTask(t)
			}
		case dispatch.SendCancel:
			if a := d.adapters[o.Stream]; a != nil {
				a.SendCancellation(&adapterv1.Cancellation{Key: o.Task.Key, Attempt: o.Task.Attempt})
			}
		case dispatch.NotDone:
			d.engine.insist(o.Task.Partition, o.Task.Order, workflow.TaskResult{
				Key: o.Task.Key, Attempt: o.Task.Attempt, Outcome: journalv1.Outcome_OUTCOME_NOT_DONE,
			})
		case dispatch.Reserve:
			d.reserve(o.Task, o.Ledger)
		}
	}
}

// reserve journals which ledger a task is about to be sent to.
func (d *dispatcher) reserve(t *dispatch.Task, ledger string) {
	self := d.activity.dispatcher
	key, attempt := t.Key, t.Attempt
	d.engine.tellOrder(t.Partition, t.Order, messages.Handle{}, &command{
		cmd: workflow.Sent{Key: key, Attempt: attempt, Ledger: ledger},
		answer: func(err error) {
			switch {
			case err == nil:
				d.engine.tell(self, confirm{key: key, attempt: attempt, ledger: ledger})
			case errors.Is(err, workflow.ErrStale):
				d.engine.tell(self, cancel{key: key, attempt: attempt}) // it was about to be cancelled, or is over
			default:
				d.engine.tell(self, refused{key: key, attempt: attempt})
			}
		},
	})
}

// dispatch offers an attempt to its activity's dispatcher. reserved is what was taken of the room for it.
func (i *instance) dispatch(l *lane, m workflow.Dispatch, reserved int64) {
	i.engine.tell(l.activity.dispatcher, &offer{lane: l, reserved: reserved, task: &dispatch.Task{
		Order: i.id, Partition: i.partition.number, Key: m.Key, Attempt: m.Attempt, Version: l.version,
		Priority: i.priority(), Ledger: m.Ledger, MaybeStarted: m.MaybeStarted,
		Again:     m.Again || m.Overflow != 0 && m.Overflow != i.partition.epoch,
		OfferedAt: i.engine.now(), Since: time.Unix(0, m.Since), Size: int(l.room.size(len(m.Input))),
		Body: &adapterv1.Task{
			OrderId: string(i.id), Partition: uint32(i.partition.number), Epoch: uint64(i.partition.epoch),
			Key: m.Key, Attempt: m.Attempt, Activity: nameOf(l.activity.name), Input: m.Input, Deadline: m.Deadline, Task: m.Task,
		},
	}})
}

// overflowed tells the backlog of an attempt that waits on disk.
func (i *instance) overflowed(l *lane, m workflow.Dispatch) {
	i.engine.tell(l.backlog, overflowed{priority: i.priority(), slot: i.partition, since: m.Since})
}

// cancelAttempt has the dispatcher give an attempt up: whatever it takes, or only if nobody has begun with it.
func (e *Engine) cancelAttempt(m workflow.CancelAttempt) {
	name, _ := splitActivity(m.Activity)
	if m.Withdraw {
		e.tell(e.activity(name).dispatcher, withdraw{key: m.Key, attempt: m.Attempt})
		return
	}
	e.tell(e.activity(name).dispatcher, cancel{key: m.Key, attempt: m.Attempt})
}

// Attach connects an adapter's stream to the dispatchers of the activities that it offers.
func (e *Engine) Attach(hello *adapterv1.Hello, a Adapter) dispatch.StreamID {
	id := dispatch.StreamID(e.streams.Add(1))
	for _, act := range hello.GetActivities() {
		keys := make(map[string]bool, len(hello.GetKeys()))
		for _, k := range hello.GetKeys() {
			keys[k] = true
		}
		e.tell(e.activity(hello.GetAdapter()+"."+act.GetName()).dispatcher, &attach{adapter: a, stream: dispatch.Stream{
			ID: id, Process: hello.GetProcess(), Ledger: hello.GetLedger(), Version: act.GetVersion(),
			Idempotent: act.GetIdempotent(), Keys: keys,
		}})
	}
	return id
}

// Detach disconnects a stream.
func (e *Engine) Detach(hello *adapterv1.Hello, id dispatch.StreamID) {
	for _, act := range hello.GetActivities() {
		e.tell(e.activity(hello.GetAdapter()+"."+act.GetName()).dispatcher, detach{stream: id})
	}
}

// Credit passes on a stream's credits for an activity.
func (e *Engine) Credit(adapter string, id dispatch.StreamID, c *adapterv1.Credit) {
	e.tell(e.activity(adapter+"."+c.GetActivity()).dispatcher, credit{stream: id, total: c.GetTotal()})
}

// Revoke passes on a revocation of a stream's credits.
func (e *Engine) Revoke(adapter string, id dispatch.StreamID, r *adapterv1.Revocation) {
	e.tell(e.activity(adapter+"."+r.GetActivity()).dispatcher, revoke{stream: id, count: r.GetCount()})
}

// Result passes on a result. answer is called with nil when it is durable, or when nobody waits for it any more; with an
// error when the adapter should send it again.
func (e *Engine) Result(adapter string, r *adapterv1.Result, answer func(error)) {
	over := done{key: r.GetKey(), attempt: r.GetAttempt()}
	if r.GetOutcome() == adapterv1.Outcome_OUTCOME_SUCCEEDED {
		over.attempt = math.MaxUint32 // whichever attempt it was, there will be no other
	}
	p := messages.Partition(r.GetPartition()) //nolint:gosec // checked by the gateway
	e.tellOrder(p, messages.OrderID(r.GetOrderId()), messages.Handle{}, &command{
		cmd: workflow.TaskResult{
			Key: r.GetKey(), Attempt: r.GetAttempt(), Outcome: journalv1.Outcome(r.GetOutcome()),
			Output: r.GetOutput(), Error: r.GetError(),
		},
		answer: func(err error) {
			if err == nil {
				a := e.activity(adapter + "." + r.GetActivity())
				a.gauges.results.Add(1)
				e.tell(a.dispatcher, over)
			}
			answer(err)
		},
	})
}

// Depths returns how many tasks wait for each of the activities given, by name; those on disk included.
func (e *Engine) Depths(adapter string, activities []*adapterv1.Activity) map[string]int64 {
	out := make(map[string]int64, len(activities))
	for _, a := range activities {
		g := e.metrics.queue(adapter + "." + a.GetName())
		out[a.GetName()] = g.waiting.Load() + g.overflow()
	}
	return out
}

func splitActivity(s string) (activity, version string) {
	activity, version, _ = strings.Cut(s, ":")
	return activity, version
}

// nameOf returns the name of an activity without the adapter's.
func nameOf(activity string) string {
	_, name, _ := strings.Cut(activity, ".")
	return name
}
