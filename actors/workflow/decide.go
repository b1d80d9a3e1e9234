package workflow

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/messages/problemv1"
)

var (
	// ErrTaken: another order was accepted under this id.
	ErrTaken = errors.New("another order was accepted under this id")
	// ErrEnded: the order is completed or cancelled, for good.
	ErrEnded = errors.New("order has ended")
	// ErrFaulted: the order has faulted, and so it waits for an operator, who may have it go on.
	ErrFaulted = errors.New("order has faulted, and waits for an operator: have it go on first")
	// ErrStale: the attempt is over.
	ErrStale = errors.New("attempt is over")
	// ErrForeign: the attempt is at another activity.
	ErrForeign = errors.New("attempt is at another activity")
	// ErrNotHeld: the order does not hold its key.
	ErrNotHeld = errors.New("order does not hold its key")
	// ErrCompensating: the order has faulted while it undid something.
	ErrCompensating = errors.New("order has faulted in a compensation: retry or skip that, or cancel the order without compensation")
	// ErrBehind: the order has too many events to go through.
	ErrBehind = errors.New("the order has not gone through the events that it has")
	// ErrNotAccepted: there is no such order.
	ErrNotAccepted = errors.New("order was not accepted")
)

// Command is something that an order may be told. The caller brings time and chance along with it.
type Command interface{ isCommand() }

type (
	// Accept accepts the order and, unless Queued, starts it. Repeating it is no error.
	Accept struct {
		Order  *journalv1.OrderAccepted
		Queued bool
	}
	// Refuse uses up the id of a child that can't be run, because of the error, unless that has been accepted: whatever comes
	// later, it will not be run. Order lacks the hash of a definition.
	Refuse struct {
		Order *journalv1.OrderAccepted
		Error *problemv1.Problem
	}
	// TakeUp says that the owner of an order's partition has come to know of it, if another node has accepted it: unless it has to wait
	// for its key, the order starts. Repeating it is no error.
	TakeUp struct{}
	// Start starts an order that was queued. Repeating it is no error.
	Start struct{}
	// Overflow says that an attempt that was just scheduled has no place in its activity's queue, and waits on disk for one.
	// Epoch is that of the owner. It must be decided together with what scheduled the attempt.
	Overflow struct {
		Frame uint32
		Epoch messages.Epoch
	}
	// Sent says that a ledger is about to begin with an attempt; ErrStale if it need not any more. MaybeStarted: another one may
	// have begun, and this one is to find out: so it does though the order is being left.
	Sent struct {
		Key          string
		Attempt      uint32
		Ledger       string
		MaybeStarted bool
	}
	// Lost says that the process that had an attempt is gone, and that the attempt will be handed over again. Alone: the process
	// executed nothing else. Suspect: it may be why the process ended. Repeating it is no error.
	Lost struct {
		Key            string
		Attempt        uint32
		Process        string
		Alone, Suspect bool
	}
	// Found says that a process is back that was Lost with an attempt, and has not died of it. Kept: it has the attempt still, and
	// nobody else was handed it since. It must not be told after a later loss.
	Found struct {
		Key     string
		Attempt uint32
		Process string
		Kept    bool
	}
	// TaskResult tells the outcome of an attempt. It is told by key: the same key is the same work. Repeating it is no
	// error. Output is valid JSON. An error with a success says why there is no output.
	TaskResult struct {
		Key     string
		Attempt uint32
		// Activity is that of the attempt, adapter.activity; ErrForeign if it is not. Empty: whatever it is.
		Activity string
		// Process and Ledger are those of the adapter that tells it; empty if none does.
		Process, Ledger string
		Outcome         journalv1.Outcome
		Output          []byte
		Error           *problemv1.Problem
	}
	// GoesOn says that an attempt whose startWithin has passed was handed over in time, or may have been.
	GoesOn struct {
		Key     string
		Attempt uint32
	}
	// TimerFired says that it is time; what is not due yet is left.
	TimerFired struct{}
	// Cancel asks the order to stop; one that has faulted is cancelled at once. With Compensate, what it has done is undone
	// before it ends; one that has faulted goes on for that, when it has the turn of its key. Repeating it is no error;
	// ErrEnded if the order ended otherwise, ErrCompensating if it has faulted while something was undone, and is to
	// compensate, ErrNoReturn if it is at a point of no return, or past it.
	Cancel struct {
		Compensate bool
		By, Reason string
		// Later: if the order has faulted while something was undone, it is cancelled once that is over, in place of an error.
		Later bool
		// Turn is as in Reopen.
		Turn []byte
	}
	// ChildResult tells how a child of the order stands. Repeating it is no error.
	ChildResult struct {
		ID messages.OrderID
		// Version is the child's.
		Version messages.Version
		// Status is that of a child that has ended, pending if it was accepted, or unspecified if it can't be.
		Status orderv1.Status
		// Output is that of a child that has completed, Error why it has not.
		Output []byte
		Error  *problemv1.Problem
	}
	// Told says that the parent of the order knows how it has ended, as it did at a version.
	Told struct{ Version messages.Version }
	// Fault ends an order that the engine can't go on with, or that an operator gives up for now. Repeating it is no error;
	// ErrEnded if it ended otherwise, ErrStopping if it is about to.
	Fault struct {
		Error      *problemv1.Problem
		By, Reason string
	}
	// Complete ends an order well, with the output, valid JSON. ErrEnded if it ended otherwise than by a fault, ErrStopping
	// if it is about to.
	Complete struct {
		Output     []byte
		By, Reason string
	}
	// Reopen has an order that faulted go on, the way that How says. See Reopening, and the errors, for what it needs.
	Reopen struct {
		How journalv1.Reopening
		// Task is the task to pass over: the one where the order stopped, or one around it; empty: the former. With a
		// restart it is the task to go on with. Else it is empty.
		Task string
		// Value is what the task gets in place of its input, or leaves if it is passed over, as though its work had. Nil:
		// the input is as it was, and goes on. It is valid JSON.
		Value []byte
		// NotDone: it is known that the attempts in doubt at the task were not executed.
		NotDone bool
		// Deadline is the order's new one, in nanoseconds since 1970; 0: as it was.
		Deadline int64
		// Turn is a handle made just now: the order's place in the queue of its key, if it must wait for that again.
		Turn       []byte
		By, Reason string
	}
	// Suspend has nothing new begin until Resume. What is under way ends, and no time strikes meanwhile. Repeating it is no
	// error.
	Suspend struct{ By, Reason string }
	// Resume ends a suspension: what came due strikes now. Repeating it is no error.
	Resume struct{ By, Reason string }
	// ReleaseKey lets the next order of its key go on, though this one faulted. Repeating it is no error; ErrNotHeld if
	// it does not hold the key.
	ReleaseKey struct{ By, Reason string }
	// Emitted says that the event that a frame publishes is durable. Repeating it is no error.
	Emitted struct{ Frame uint32 }
	// Known says that a correlation slot knows a listener. Repeating it is no error.
	Known struct{ Listener uint32 }
	// Forgotten says that a correlation slot knows that a listener listens no more. Repeating it is no error.
	Forgotten struct{ Listener uint32 }
	// Offered gives an event to a listener. Whether it was taken, Verdict tells. Repeating it is no error; ErrBehind if the task has too
	// many events to go through already.
	Offered struct {
		Listener uint32
		Sequence uint64
		Event    []byte
	}
	// Continue goes on where a decision was cut short.
	Continue struct{}
)

func (Accept) isCommand()      {}
func (Refuse) isCommand()      {}
func (TakeUp) isCommand()      {}
func (Start) isCommand()       {}
func (Overflow) isCommand()    {}
func (Sent) isCommand()        {}
func (Lost) isCommand()        {}
func (Found) isCommand()       {}
func (GoesOn) isCommand()      {}
func (TaskResult) isCommand()  {}
func (TimerFired) isCommand()  {}
func (Cancel) isCommand()      {}
func (Fault) isCommand()       {}
func (Complete) isCommand()    {}
func (Reopen) isCommand()      {}
func (ChildResult) isCommand() {}
func (Told) isCommand()        {}
func (Suspend) isCommand()     {}
func (Resume) isCommand()      {}
func (ReleaseKey) isCommand()  {}
func (Emitted) isCommand()     {}
func (Known) isCommand()       {}
func (Forgotten) isCommand()   {}
func (Offered) isCommand()     {}
func (Continue) isCommand()    {}

// machine is one decision under way.
type machine struct {
	s *State
	// clock is the time of the command, in nanoseconds since 1970, by which timers strike. now is what events are dated: the same, or the
	// time of the last event before it, if that is later.
	clock int64
	now   time.Time
	rand  uint64
	out   []*journalv1.Event
	// bytes is about how much out has of payloads.
	bytes int
	// only: no step is taken in other branches than this one; nil: all go on.
	only *frame
	// meter counts the evaluations of one step, spent those of the steps before it.
	meter Meter
	spent int
	// args, task and unique are used for one evaluation after the other.
	args   Args
	task   TaskArg
	unique Unique
	// next is room for the events to come. The first ones, all of most decisions, are allocated with the machine.
	next  []journalv1.Event
	first struct {
		out    [fewEvents]*journalv1.Event
		events [fewEvents]journalv1.Event
	}
}

// fewEvents is how many events most decisions make at most.
const fewEvents = 4

// Decide takes a command, at a time and with some chance, and returns what happened; nothing, if the command changes
// nothing. The state evolves by each event as it is made, so that the next command of a batch sees it: after Decide the
// state is what refolding its history with these events gives. If the events can't be committed, drop the state.
// An error means that the command was refused: nothing happened.
//
// Nothing is dated before the last event, even if the clock of who decided before was ahead of this one. What is due is that by the time
// given, though: no timer strikes early.
func (s *State) Decide(now time.Time, chance uint64, cmd Command) ([]*journalv1.Event, error) {
	m := &machine{s: s, clock: now.UnixNano(), now: s.notBeforeLast(now), rand: chance}
	m.out, m.next = m.first.out[:0], m.first.events[:]
	switch cmd.(type) {
	case Accept, Refuse:
	default:
		if s.version == 0 {
			return nil, ErrNotAccepted
		}
	}
	var err error
	switch c := cmd.(type) {
	case Accept:
		err = m.accept(c)
	case Refuse:
		m.refuse(c)
	case TakeUp:
		m.takeUp()
	case Start:
		m.start()
	case Overflow:
		m.overflow(c)
	case Sent:
		err = m.sent(c)
	case Lost:
		m.lost(c)
	case Found:
		m.found(c)
	case GoesOn:
		m.goOn(c)
	case TaskResult:
		err = m.result(c)
	case ResultMessage:
		err = m.result(c.command())
	case TimerFired:
		m.timers()
	case Cancel:
		err = m.cancel(c)
	case Fault:
		err = m.giveUpOrder(c)
	case Complete:
		err = m.completeByHand(c)
	case Reopen:
		if err = m.tryOut(c); err == nil {
			err = m.reopen(c)
		}
	case Suspend:
		err = m.suspend(c)
	case Resume:
		err = m.resume(c)
	case ReleaseKey:
		err = m.releaseKey(c)
	case ChildResult:
		m.childResult(c)
	case Told:
		m.told(c)
	case Emitted, Known, Forgotten, Offered:
		err = m.heard(cmd)
	case Continue:
	default:
		panic(fmt.Sprintf("unknown command %T", cmd))
	}
	if err != nil {
		return nil, err
	}
	m.measured()
	m.advance()
	return m.out, nil
}

// notBeforeLast returns a time, or that of the last event, if that is later.
func (s *State) notBeforeLast(t time.Time) time.Time {
	if t.UnixNano() < s.lastAt {
		return time.Unix(0, s.lastAt).In(t.Location())
	}
	return t
}

// measured ends what is evaluated together.
func (m *machine) measured() {
	m.spent += m.meter.Steps + m.meter.Checks
	m.meter = Meter{earlier: m.meter.earlier + m.meter.Steps}
}

// emit notes that something happened, and has the state evolve by it.
func (m *machine) emit(kind journalv1.EventKind) {
	if len(m.next) == 0 {
		m.next = make([]journalv1.Event, fewEvents)
	}
	ev := &m.next[0]
	m.next = m.next[1:]
	ev.At, ev.Kind = m.now.UnixNano(), kind
	m.s.Evolve(ev)
	m.out = append(m.out, ev)
	m.bytes += payload(ev)
}

// chance returns a number in [0, 1), another one each time.
func (m *machine) chance() float64 {
	m.rand += 0x9e3779b97f4a7c15 // splitmix64
	z := m.rand
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return float64((z^z>>31)>>11) / (1 << 53)
}

func (m *machine) accept(c Accept) error {
	if m.s.version != 0 {
		if !bytes.Equal(m.s.accepted.GetContentHash(), c.Order.GetContentHash()) {
			return ErrTaken
		}
		return nil
	}
	m.emit(&journalv1.Event_OrderAccepted{OrderAccepted: c.Order})
	if !c.Queued {
		m.start()
	}
	return nil
}

func (m *machine) takeUp() {
	switch {
	case !m.s.InIntake():
	case Queues(m.s.accepted):
		m.emit(&journalv1.Event_OrderQueued{OrderQueued: &journalv1.OrderQueued{}})
	default:
		m.start()
	}
}

func (m *machine) start() {
	s := m.s
	if s.startedAt != 0 || s.Ended() {
		if s.queuedSince != 0 && !s.Ended() {
			m.emit(&journalv1.Event_OrderContinued{OrderContinued: &journalv1.OrderContinued{}})
		}
		return
	}
	e := &journalv1.OrderStarted{}
	in, p := m.prepareInput(nil, s.def.Input, s.input)
	if in != s.input {
		e.Input = in.JSON()
	}
	if p == nil && s.def.Timeout != nil {
		at, err := s.def.Timeout.After(m.now, in, m.workflowArgs())
		if err != nil {
			p = expressionProblem(nil, err)
		} else {
			e.TimeoutAt = at.UnixNano()
		}
	}
	m.emit(&journalv1.Event_OrderStarted{OrderStarted: e})
	if p != nil {
		m.endFaulted(&journalv1.OrderFaulted{Error: p})
	}
}
