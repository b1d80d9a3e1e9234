package actors

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/holdfast-run/holdfast/actors/dispatch"
	"github.com/holdfast-run/holdfast/actors/workflow"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/adapterv1"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/messages/problemv1"
	"github.com/holdfast-run/holdfast/supervision"
)

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
		stream *Stream
		as     dispatch.Stream
	}
	detach struct {
		stream dispatch.StreamID
		end    dispatch.End
	}
	begun struct {
		stream  dispatch.StreamID
		key     string
		attempt uint32
	}
	// listedResult asks whether a result counts that a stream's adapter has of what it was not sent there.
	listedResult struct {
		stream          dispatch.StreamID
		key             string
		tell, elsewhere func()
	}
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
	stale struct {
		key     string
		attempt uint32
	}
)

func (offer) isNote()        {}
func (done) isNote()         {}
func (cancel) isNote()       {}
func (withdraw) isNote()     {}
func (attach) isNote()       {}
func (detach) isNote()       {}
func (begun) isNote()        {}
func (listedResult) isNote() {}
func (credit) isNote()       {}
func (revoke) isNote()       {}
func (confirm) isNote()      {}
func (refused) isNote()      {}
func (stale) isNote()        {}

// dispatcher is the shell round the queue of one activity.
type dispatcher struct {
	engine   *Engine
	activity *activity
	name     string // without the adapter
	loop     *supervision.Loop
	queue    *dispatch.Queue
	streams  map[dispatch.StreamID]*Stream
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
		d.streams[m.as.ID] = m.stream
		d.do(d.queue.Attach(m.as))
	case detach:
		delete(d.streams, m.stream)
		d.do(d.queue.Detach(m.stream, m.end, d.engine.now()))
	case begun:
		d.do(d.queue.Begun(m.stream, m.key, m.attempt))
	case *listedResult:
		if d.queue.Elsewhere(m.stream, m.key) {
			m.elsewhere()
			d.do(d.queue.Unheard(m.stream, m.key))
		} else {
			m.tell()
		}
	case *showTask:
		m.show(d.queue)
	case credit:
		d.do(d.queue.Credit(m.stream, m.total))
	case revoke:
		if s := d.streams[m.stream]; s != nil {
			s.adapter.SendReturned(&adapterv1.Returned{Activity: d.name, Count: d.queue.Revoke(m.stream, m.count)})
		}
	case confirm:
		d.do(d.queue.Confirm(m.key, m.attempt, m.ledger))
	case refused:
		d.queue.Refuse(m.key, m.attempt)
	case stale:
		d.do(d.queue.Stale(m.key, m.attempt))
	case *actor.Stopping:
		d.loop.Close()
		return
	case probe:
		now := d.engine.now()
		d.do(d.queue.Tick(now))
		d.activity.gauges.oldest(d.queue.Oldest(), now)
		d.activity.gauges.second()
		d.activity.gauges.trouble(d.queue)
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
	d.activity.gauges.set(d.queue.Waiting(), d.queue.InFlight(), len(d.streams))
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
			if s := d.streams[o.Stream]; s != nil {
				t := sendable(o)
				s.give(t, t.GetAttempt())
				s.adapter.SendTask(t)
			}
		case dispatch.SendCancel:
			if s := d.streams[o.Stream]; s != nil {
				s.adapter.SendCancellation(&adapterv1.Cancellation{Key: o.Key, Attempt: o.Attempt})
			}
		case dispatch.SendConfirm:
			if s := d.streams[o.Stream]; s != nil {
				s.confirm(o.Task, o.Alone)
			}
		case dispatch.Adopt:
			if s := d.streams[o.Stream]; s != nil {
				s.give(bodyOf(o.Task), o.Task.Attempt)
				if o.Alone {
					s.executesAlone(o.Task.Key)
				}
			}
		case dispatch.Reserve:
			d.reserve(o.Task, o.Ledger)
		default:
			d.tellOrder(o)
		}
	}
}

// tellOrder tells an order what came of a task without an adapter's saying so.
func (d *dispatcher) tellOrder(o dispatch.Output) {
	insist := func(t *dispatch.Task, cmd workflow.Command) { d.engine.insist(t.Partition, t.Order, cmd) }
	switch o := o.(type) {
	case dispatch.NotDone:
		insist(o.Task, workflow.TaskResult{Key: o.Task.Key, Attempt: o.Task.Attempt, Outcome: journalv1.Outcome_OUTCOME_NOT_DONE})
	case dispatch.InDoubt:
		insist(o.Task, workflow.TaskResult{Key: o.Task.Key, Attempt: o.Task.Attempt, Outcome: journalv1.Outcome_OUTCOME_IN_DOUBT})
	case dispatch.GoesOn:
		insist(o.Task, workflow.GoesOn{Key: o.Task.Key, Attempt: o.Task.Attempt})
	case dispatch.Lost:
		d.activity.gauges.redelivered.Add(1)
		insist(o.Task, workflow.Lost{
			Key: o.Task.Key, Attempt: o.Task.Attempt, Process: o.Process, Alone: o.Alone, Suspect: o.Suspect,
		})
	case dispatch.Found: // once: told after a later loss, it would be wrong
		d.engine.tellOrder(o.Task.Partition, o.Task.Order, messages.Handle{}, &command{
			cmd:    workflow.Found{Key: o.Task.Key, Attempt: o.Task.Attempt, Process: o.Process, Kept: o.Kept},
			answer: func(error) {},
		})
	case dispatch.Quarantine:
		t := o.Task
		d.activity.gauges.quarantined.Add(1)
		d.engine.log.Warn("task is set apart: adapters died of it", "order", t.Order, "task", bodyOf(t).GetTask(),
			"activity", d.activity.name, "key", t.Key, "deaths", o.Deaths, "process", o.Process)
		insist(t, workflow.TaskResult{
			Key: t.Key, Attempt: t.Attempt, Outcome: journalv1.Outcome_OUTCOME_IN_DOUBT, Error: quarantined(o.Deaths),
		})
	}
}

// quarantined is the error of a task that was set apart. Which processes died is in the history: one detail makes one group of
// the fallout.
func quarantined(deaths int) *problemv1.Problem {
	return &problemv1.Problem{
		Type: workflow.ErrorTypeQuarantined, Title: "Task kills its adapter", Status: http.StatusInternalServerError,
		Detail: fmt.Sprintf("%d adapter processes died while they executed this task and nothing else; "+
			"it is not handed over again by itself", deaths),
	}
}

// bodyOf is a task as adapters get it.
func bodyOf(t *dispatch.Task) *adapterv1.Task {
	return t.Body.(*adapterv1.Task) //nolint:errcheck,forcetypeassert // only tasks are offered
}

// sendable is a task as it is to be sent now. Another stream may be writing it as it was sent before, so that it is not changed.
func sendable(o dispatch.Send) *adapterv1.Task {
	t := bodyOf(o.Task)
	if t.GetMaybeStarted() == o.Task.MaybeStarted && t.GetAwaitConfirmation() == o.Await && t.GetAlone() == o.Alone {
		return t
	}
	t = &adapterv1.Task{
		OrderId: t.GetOrderId(), Partition: t.GetPartition(), Epoch: t.GetEpoch(), Key: t.GetKey(), Attempt: t.GetAttempt(),
		Activity: t.GetActivity(), Input: t.GetInput(), Deadline: t.GetDeadline(), Task: t.GetTask(), RunWithinMs: t.GetRunWithinMs(),
		MaybeStarted: o.Task.MaybeStarted, AwaitConfirmation: o.Await, Alone: o.Alone,
	}
	o.Task.Body = t
	return t
}

// reserve journals which ledger is about to get a task, or to begin with it.
func (d *dispatcher) reserve(t *dispatch.Task, ledger string) {
	self := d.activity.dispatcher
	key, attempt := t.Key, t.Attempt // the task may change
	d.engine.tellOrder(t.Partition, t.Order, messages.Handle{}, &command{
		cmd: workflow.Sent{Key: key, Attempt: attempt, Ledger: ledger, MaybeStarted: t.MaybeStarted},
		answer: func(err error) {
			switch {
			case err == nil:
				d.engine.tell(self, confirm{key: key, attempt: attempt, ledger: ledger})
			case errors.Is(err, workflow.ErrStale):
				d.engine.tell(self, stale{key: key, attempt: attempt}) // it is about to be left, or is over
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
		Suspect: m.Suspect, Deaths: m.Deaths,
		Again:     m.Again || m.Overflow != 0 && m.Overflow != i.partition.epoch,
		OfferedAt: i.engine.now(), Since: time.Unix(0, m.Since), Size: int(l.room.size(len(m.Input))),
		Body: &adapterv1.Task{
			OrderId: string(i.id), Partition: uint32(i.partition.number), Epoch: uint64(i.partition.epoch),
			Key: m.Key, Attempt: m.Attempt, Activity: nameOf(l.activity.name), Input: m.Input, Deadline: m.Deadline, Task: m.Task,
			RunWithinMs: uint64((m.RunWithin + time.Millisecond - 1) / time.Millisecond), //nolint:gosec // it is not negative
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
