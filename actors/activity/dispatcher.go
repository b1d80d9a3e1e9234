package activity

import (
	"fmt"
	"net/http"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/holdfast-run/holdfast/actors/dispatch"
	"github.com/holdfast-run/holdfast/actors/runtime"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/adapterv1"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/messages/nodev1"
	"github.com/holdfast-run/holdfast/messages/problemv1"
)

// Messages to a dispatcher.
type (
	offer struct {
		task *dispatch.Task
		// demand is what it belongs to, and reservation what was reserved for it in the room of that.
		demand      *demand
		reservation messages.Reservation
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
	// listedResult is a result of a task that its adapter was not sent on the stream, but lists in its hello. tell is called if the
	// result counts, and elsewhere if another process has the task now.
	listedResult struct {
		stream          dispatch.StreamID
		key             string
		tell, elsewhere func()
	}
	credit struct {
		stream dispatch.StreamID
		of     *offered
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
	// forgotten says that an adapter does not have a key any more.
	forgotten struct {
		stream dispatch.StreamID
		key    string
	}
	// left says that this node has lost a partition.
	left struct{ partition messages.Partition }
	// limited says that the limit of the activity has changed.
	limited struct{}
	// tick says that it is time to look whether a limit lets more tasks go; second that a second is over.
	tick   struct{}
	second struct{}
)

// dispatcher is the shell round the queue of one activity.
type dispatcher struct {
	holding
	forgetting

	all      *Activities
	activity *queue
	name     string // without the adapter
	queue    *dispatch.Queue
	streams  map[dispatch.StreamID]*Stream
	// hurrying: a tick will come soon.
	hurrying bool
}

// Receive implements actor.Actor.
func (d *dispatcher) Receive(ctx actor.Context) {
	d.activity.rest.wake()
	may := d.all.parts.MayDispatch()
	if d.queue.Pause(!may); d.limited {
		d.queue.Advance(d.all.parts.Now())
	}
	if _, stops := ctx.Message().(*actor.Stopping); stops {
		d.activity.rest.loop.Close()
		return
	}
	if !d.ofTask(ctx.Message()) && !d.ofStream(ctx.Message()) && !d.ofNode(ctx.Message()) {
		return
	}
	for _, x := range *d.activity.demands.Load() {
		x.room.update(d.queue, x.version)
		if x.room.wanting() {
			d.all.refill(x)
		}
	}
	if d.limited && may {
		d.report()
	}
	d.activity.counts.set(d.queue.Waiting(), d.queue.InFlight(), len(d.streams))
	d.hurry()
	d.activity.rest.loop.Beat()
	if _, ticks := ctx.Message().(second); ticks {
		if until, calm := d.calm(); calm {
			d.activity.rest.begin(until)
		}
	}
}

// ofTask takes a message about a task; false: it is not about one.
func (d *dispatcher) ofTask(message any) bool {
	switch m := message.(type) {
	case *offer:
		d.offered(m)
	case done:
		d.do(d.queue.Done(m.key, m.attempt))
	case cancel:
		d.do(d.queue.Cancel(m.key, m.attempt))
	case withdraw:
		d.do(d.queue.Withdraw(m.key, m.attempt))
	case *showTask:
		m.show(d.queue)
	case confirm:
		d.do(d.queue.Confirm(m.key, m.attempt, m.ledger))
	case refused:
		d.queue.Refuse(m.key, m.attempt)
	case stale:
		d.do(d.queue.Stale(m.key, m.attempt))
	default:
		return false
	}
	return true
}

// ofStream takes a message of a stream; false: it is of none.
func (d *dispatcher) ofStream(message any) bool {
	switch m := message.(type) {
	case *attach:
		d.streams[m.as.ID] = m.stream
		d.do(d.queue.Attach(m.as))
	case detach:
		delete(d.streams, m.stream)
		d.used = d.all.parts.Now()
		d.do(d.queue.Detach(m.stream, m.end, d.all.parts.Now()))
	case begun:
		d.do(d.queue.Begun(m.stream, m.key, m.attempt))
	case *listedResult:
		if d.queue.Elsewhere(m.stream, m.key) {
			m.elsewhere()
			d.do(d.queue.Unheard(m.stream, m.key))
		} else {
			m.tell()
		}
	case *listed:
		d.listed(m)
	case forgotten:
		d.do(d.queue.Forget(m.stream, m.key))
	case credit:
		m.of.told.Store(false)
		d.do(d.queue.Credit(m.stream, m.of.credits.Load()))
	case revoke:
		if s := d.streams[m.stream]; s != nil {
			s.adapter.SendReturned(&adapterv1.Returned{Activity: d.name, Count: d.queue.Revoke(m.stream, m.count)})
		}
	default:
		return false
	}
	return true
}

// ofNode takes a message about what this node has, or may send; false: it is about something else.
func (d *dispatcher) ofNode(message any) bool {
	switch m := message.(type) {
	case owned:
		d.has(m)
	case left:
		d.lose(m.partition)
		d.do(d.queue.DropPartition(m.partition))
	case *answered:
		d.granted(m)
	case limited:
		d.reform()
	case second:
		d.second()
	case rested:
		d.rested(m)
	case tick:
		d.hurrying = false
		d.do(d.queue.Tick(d.all.parts.Now()))
	default:
		return false
	}
	return true
}

// second does what is done every second.
func (d *dispatcher) second() {
	now := d.all.parts.Now()
	d.do(d.queue.Tick(now))
	d.activity.counts.oldest(d.queue.Oldest(), now)
	d.activity.counts.second()
	d.activity.counts.trouble(d.queue)
	d.mayForget(now)
}

func (d *dispatcher) offered(m *offer) {
	if d.all.parts.Inject != nil {
		d.all.parts.Inject("dispatcher", d.activity.name)
	}
	d.do(d.queue.Offer(m.task))
	m.demand.room.update(d.queue, m.demand.version)
	m.demand.arrived(m.task, m.reservation)
}

func (d *dispatcher) listed(m *listed) {
	m.keys.Own = m.keys.Own && d.owned.Has(m.keys.Partition)
	d.do(d.queue.List(m.stream, m.keys))
	if m.answered {
		d.do(d.queue.Answered(m.stream, m.keys.Partition))
	}
}

// has notes that this node has taken a partition over.
func (d *dispatcher) has(m owned) {
	d.owned.Set(m.partition, true)
	if !m.until.IsZero() {
		d.queue.Owned(m.partition, m.until, m.patient || d.all.parts.Others && len(d.streams) == 0)
	}
}

// hurry has a tick come soon, if a limit of the rate or want of space holds tasks back, adapters are awaited to say what they have, or who
// grants shares is to hear something.
func (d *dispatcher) hurry() {
	if d.hurrying || !d.queue.Throttled() && !d.queue.Crowded() && !d.queue.Asking() && (!d.limited || !d.restless) {
		return
	}
	d.hurrying = true
	d.all.hurry(d.activity)
}

func (d *dispatcher) do(outputs []dispatch.Output) {
	for _, o := range outputs {
		switch o := o.(type) {
		case dispatch.Send:
			if d.limited {
				d.sent = d.all.parts.Now()
			}
			if s := d.streams[o.Stream]; s != nil {
				t := sendable(o)
				s.give(t, t.GetAttempt())
				s.adapter.SendTask(t)
			}
		case dispatch.SendCancel:
			if s := d.streams[o.Stream]; s != nil {
				s.adapter.SendCancellation(cancellation(o))
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
		case dispatch.JournalLedger:
			d.journalLedger(o.Task, o.Ledger)
		default:
			d.tellOrder(o)
		}
	}
}

// cancellation asks to give an attempt up, in the name of the owner of its partition, if it is known here.
func cancellation(o dispatch.SendCancel) *adapterv1.Cancellation {
	c := &adapterv1.Cancellation{Key: o.Key, Attempt: o.Attempt}
	if o.Task != nil {
		t := bodyOf(o.Task)
		c.Partition, c.Epoch = t.GetPartition(), t.GetEpoch()
	}
	return c
}

// tellOrder tells an order what became of a task, where no adapter tells it.
func (d *dispatcher) tellOrder(o dispatch.Output) {
	switch o := o.(type) {
	case dispatch.NotDone:
		d.all.insist(o.Task, outcomeOf(o.Task, journalv1.Outcome_OUTCOME_NOT_DONE, nil))
	case dispatch.InDoubt:
		d.all.insist(o.Task, outcomeOf(o.Task, journalv1.Outcome_OUTCOME_IN_DOUBT, nil))
	case dispatch.GoesOn:
		d.all.insist(o.Task, &nodev1.Envelope{Message: &nodev1.Envelope_GoesOn{GoesOn: &nodev1.GoesOn{
			Key: o.Task.Key, Attempt: o.Task.Attempt,
		}}})
	case dispatch.Lost:
		d.activity.counts.redelivered.Add(1)
		d.all.insist(o.Task, &nodev1.Envelope{Message: &nodev1.Envelope_Lost{Lost: &nodev1.Lost{
			Key: o.Task.Key, Attempt: o.Task.Attempt, Process: o.Process, Alone: o.Alone, Suspect: o.Suspect,
		}}})
	case dispatch.Found: // it is told once, and not insisted on: after a later loss it would be wrong
		d.all.parts.Post.Tell(addressed(o.Task, &nodev1.Envelope{Message: &nodev1.Envelope_Found{Found: &nodev1.Found{
			Key: o.Task.Key, Attempt: o.Task.Attempt, Process: o.Process, Kept: o.Kept,
		}}}))
	case dispatch.Quarantine:
		t := o.Task
		d.activity.counts.quarantined.Add(1)
		d.all.parts.Log.Warn("task is set apart: adapters died of it", "order", t.Order, "task", bodyOf(t).GetTask(),
			"activity", d.activity.name, "key", t.Key, "deaths", o.Deaths, "process", o.Process)
		d.all.insist(t, outcomeOf(t, journalv1.Outcome_OUTCOME_IN_DOUBT, quarantined(o.Deaths)))
	}
}

// outcomeOf tells what came of a task.
func outcomeOf(t *dispatch.Task, o journalv1.Outcome, p *problemv1.Problem) *nodev1.Envelope {
	return &nodev1.Envelope{Message: &nodev1.Envelope_TaskResult{TaskResult: &nodev1.TaskResult{
		Key: t.Key, Attempt: t.Attempt, Outcome: o, Error: p,
	}}}
}

// addressed addresses a message to the order of a task, under the epoch that the task has: another owner refuses it.
func addressed(t *dispatch.Task, e *nodev1.Envelope) *nodev1.Envelope {
	e.Partition, e.OrderId, e.Epoch = uint32(t.Partition), string(t.Order), bodyOf(t).GetEpoch()
	return e
}

// quarantined is the error of a task that was set apart. It does not name the processes that died, which are in the history: errors
// with the same detail are one group of the fallout.
func quarantined(deaths int) *problemv1.Problem {
	return &problemv1.Problem{
		Type: messages.ErrorTypeQuarantined, Title: "Task kills its adapter", Status: http.StatusInternalServerError,
		Detail: fmt.Sprintf("%d adapter processes died while they executed this task and nothing else; "+
			"it is not sent again by itself", deaths),
	}
}

// bodyOf returns a task as adapters get it.
func bodyOf(t *dispatch.Task) *adapterv1.Task {
	return t.Body.(*adapterv1.Task) //nolint:errcheck,forcetypeassert // only tasks are offered
}

// sendable returns a task as it is to be sent now. What was sent before is not changed, as another stream may still be writing it:
// if something has to differ, a copy is made.
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

// journalLedger has an order journal which ledger is about to get a task, or to begin with it.
func (d *dispatcher) journalLedger(t *dispatch.Task, ledger string) {
	self, all := d.activity.dispatcher, d.all
	key, attempt := t.Key, t.Attempt // the task may change
	e := addressed(t, &nodev1.Envelope{Message: &nodev1.Envelope_Sent{Sent: &nodev1.Sent{
		Key: key, Attempt: attempt, Ledger: ledger, MaybeStarted: t.MaybeStarted,
	}}})
	all.parts.Post.Ask(ownerOf(t), e, func(a *nodev1.Answer) {
		switch f := a.GetFailure(); {
		case f == nil:
			all.tell(self, confirm{key: key, attempt: attempt, ledger: ledger})
		case f.GetReason() == nodev1.Reason_REASON_ATTEMPT_OVER:
			all.tell(self, stale{key: key, attempt: attempt}) // it is about to be left, or is over
		default:
			all.tell(self, refused{key: key, attempt: attempt})
		}
	})
}

// ownerOf returns on whose behalf a task is here.
func ownerOf(t *dispatch.Task) runtime.Owner {
	return runtime.Owner{Partition: t.Partition, Epoch: messages.Epoch(bodyOf(t).GetEpoch())}
}
