package workflow

import (
	"slices"
	"time"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/messages/problemv1"
)

// State is an order as its history tells it. It is changed only by Evolve (and so by Decide).
type State struct {
	def    *Definition
	limits Limits
	turns  Turns

	version  messages.Version
	accepted *journalv1.OrderAccepted
	// Times are nanoseconds since 1970; 0 means not yet, or never.
	acceptedAt, startedAt, endedAt int64
	deadline                       int64
	timeout, timeoutAt             int64          // the definition's: how long, and when it strikes
	ended                          orderv1.Status // unspecified while open
	endVersion                     messages.Version
	told                           bool // its parent knows that

	input   *Value // raw
	context *Value
	output  *Value
	err     *problemv1.Problem
	reason  string
	// released: it has faulted, and no longer holds its key.
	released bool
	// queuedSince is when an order was reopened that must wait for its key again; 0 if it need not. turn is its place then.
	queuedSince int64
	turn        []byte
	suspended   bool

	// frames are the tasks entered and not left, parents before children; the first is the order itself. Those of an order
	// that has faulted are kept.
	frames []*frame
	// fallen are the frames that an error ended on its way up, as long as nothing has caught it; parents before children.
	fallen []*frame
	next   uint32
	visits map[string]*visit
	// left is the activity of the attempt that ended last.
	left string
	// abandoned are the attempts that were left without a known outcome, by key.
	abandoned map[string]abandoned
	// deeds are what was done and not undone, if the definition knows how to undo it, by key. done has them in the order of the
	// journal, with some that are gone.
	deeds map[string]*deed
	done  []*deed
	// undoOf is, by the task that did it, the deed that was to be undone last.
	undoOf map[string]string
	// children is how many there were.
	children uint32
	// looped is when all would be over that the order has gone back, had it done so once in each LoopPause.
	looped int64
}

// frame is a task that was entered, or the order itself (task nil).
type frame struct {
	id        uint32
	parent    *frame
	task      *Task
	startedAt int64
	timeout   int64 // how long it may take; 0: no bound
	timeoutAt int64
	raw       *Value // before input.from
	input     *Value
	failed    bool // an error of its own ended it

	phase phase
	// list and pos are where a do or try is: the next task to enter; last is what the task before it left.
	list *List
	pos  int
	last *Value
	// raised is the error that came up from a task inside.
	raised *problemv1.Problem
	// caught is the error that the catch tasks handle.
	caught *problemv1.Problem
	due    int64 // of a wait, or of a retry
	slowed int64 // the next task of the list is not entered before, nor the next attempt made
	retry  retryState
	call   *attempt
	child  *child
	stop   *journalv1.StopRequested
	undo   *undo
	// inquiry is the deed in doubt that the frame asks about; nil if it does its task.
	inquiry *deed
	// unwinding: a try has undone some of what was done inside, and has not gone on with the error yet.
	unwinding bool
}

type retryState struct {
	n            uint32 // retries so far
	firstErrorAt int64
	timeoutAt    int64 // of this run of the tasks
	slowed       bool  // the next one comes later than the definition says
}

type attempt struct {
	holders

	scheduled *journalv1.AttemptScheduled
	at        int64          // when it was scheduled
	overflow  messages.Epoch // of who had no place for it; 0: there was one
	input     *Value
	ledger    string // that it goes to, if it is there: it may know what came of it, or of the attempt before
	maybe     bool   // somebody may have begun with it who is not among those that have it, or with one before it of the visit
	suspect   bool   // it was set apart before
	overdue   bool   // the time has passed by which an adapter should have got it
	goesOn    bool   // one has got it, so that it is not given up for that
	ended     *journalv1.AttemptEnded
	output    *Value
}

type visit struct {
	count, attempt uint32
	// over: it succeeded, or an operator settled it: the next one has a key of its own.
	over, doubt bool
	late        bool   // the last attempt succeeded, as came out when its task had been left
	ledger      string // that an attempt was handed to last
	// suspect: processes died under it until it was set apart.
	suspect bool
	// failed is what it would have done, if its last attempt failed and it could be undone.
	failed *deed
}

type abandoned struct {
	holders

	task           string
	visit, attempt uint32
	maybe          bool // as of the attempt
	settled        bool // nobody needs to find out what came of it
}

// phase says what a frame needs.
type phase int

const (
	phaseEnter   phase = iota // its own work is to be begun
	phaseNext                 // the next task of its list is to be entered, or there is none left
	phaseBlocked              // nothing: it waits for a task inside, a result, or a time
	phaseResult               // the result of its attempt, or the end of its wait, is to be handled
	phaseRaised               // an error of a task inside is to be handled
)

// New returns the state of an order that nothing has happened to.
func New(def *Definition, limits Limits) *State {
	return &State{def: def, limits: limits.WithDefaults()}
}

// Definition returns the definition that the order runs.
func (s *State) Definition() *Definition { return s.def }

// Version returns the number of events so far.
func (s *State) Version() messages.Version { return s.version }

// Accepted returns the event that began the history; nil before it.
func (s *State) Accepted() *journalv1.OrderAccepted { return s.accepted }

// ID returns the order's id.
func (s *State) ID() messages.OrderID { return messages.OrderID(s.accepted.GetOrderId()) }

// Ended tells whether the order has ended. One that has faulted may be reopened.
func (s *State) Ended() bool { return s.ended != orderv1.Status_STATUS_UNSPECIFIED }

// Faulted tells whether the order has faulted, and waits for an operator.
func (s *State) Faulted() bool { return s.ended == orderv1.Status_STATUS_FAULTED }

// HoldsKey tells whether the order has faulted and keeps the others of its key from running. One that faulted before its
// turn came holds nothing.
func (s *State) HoldsKey() bool {
	return s.Faulted() && s.startedAt != 0 && s.queuedSince == 0 && s.Key() != "" && !s.def.ReleaseKey && !s.released
}

// QueuedSince returns since when the order waits for its key, or to be started; zero if it does not.
func (s *State) QueuedSince() time.Time {
	switch {
	case s.Ended():
		return time.Time{}
	case s.queuedSince != 0:
		return fromNano(s.queuedSince)
	case s.startedAt == 0:
		return fromNano(s.acceptedAt)
	}
	return time.Time{}
}

// Turn returns the place of a queued order that was reopened, as it was given then; nil if its acceptance counts.
func (s *State) Turn() []byte {
	if s.QueuedSince().IsZero() {
		return nil
	}
	return s.turn
}

// Suspended tells whether the order is open, and nothing new of it begins until it is resumed. One that is being left goes
// on to its end.
func (s *State) Suspended() bool { return s.suspended && !s.Ended() && !s.leaving() }

// InFlight tells whether an attempt of the order has no outcome yet, or a child has not ended.
func (s *State) InFlight() bool { return slices.ContainsFunc(s.frames, (*frame).underWay) }

// Output returns the output of a completed order.
func (s *State) Output() *Value { return s.output }

// Error returns why the order faulted or was cancelled; nil otherwise.
func (s *State) Error() *problemv1.Problem { return s.err }

// Reason returns why the order was cancelled, in the words of who did it.
func (s *State) Reason() string { return s.reason }

// Deadline returns when the order faults if it has not ended; zero if never.
func (s *State) Deadline() time.Time { return fromNano(s.deadline) }

// AcceptedAt returns when the order was accepted.
func (s *State) AcceptedAt() time.Time { return fromNano(s.acceptedAt) }

// EndedAt returns when the order ended; zero while it is open.
func (s *State) EndedAt() time.Time { return fromNano(s.endedAt) }

// Status returns the order's phase.
func (s *State) Status() orderv1.Status {
	switch {
	case s.Ended():
		return s.ended
	case s.Suspended():
		return orderv1.Status_STATUS_SUSPENDED
	case s.runnable() != nil, s.InFlight():
		return orderv1.Status_STATUS_RUNNING
	case !s.QueuedSince().IsZero():
		return orderv1.Status_STATUS_PENDING
	}
	return orderv1.Status_STATUS_WAITING
}

// NextDue returns the earliest time at which the order must get TimerFired; zero if none.
func (s *State) NextDue() time.Time {
	if s.Ended() || s.version == 0 || s.Suspended() {
		return time.Time{}
	}
	var due int64
	earliest := func(t int64) {
		if t != 0 && (due == 0 || t < due) {
			due = t
		}
	}
	if !s.leaving() {
		earliest(s.deadline)
		if s.queuedSince == 0 {
			earliest(s.timeoutAt)
		}
	}
	for _, f := range s.frames {
		switch {
		case s.leaves(f):
			if s.inFlightIn(f) {
				earliest(f.stop.GetUntil())
			}
		case s.stopping(f), s.queuedSince != 0:
		default:
			if f.stop == nil {
				earliest(f.timeoutAt)
			}
			earliest(f.startBy())
			earliest(f.due)
			earliest(f.slowed)
			if f.caught == nil && f.due == 0 && f.slowed == 0 {
				earliest(f.retry.timeoutAt)
			}
		}
	}
	return fromNano(due)
}

// Size is about what the payloads of the order take in memory.
func (s *State) Size() int {
	sum := s.input.size() + s.output.size()
	if s.context != s.input {
		sum += s.context.size()
	}
	before := s.input
	add := func(v *Value) {
		if v != before { // it is handed on from one to the next
			sum += v.size()
		}
		before = v
	}
	for _, f := range s.frames {
		add(f.raw)
		add(f.input)
		add(f.last)
		if f.call != nil {
			add(f.call.input)
			add(f.call.output)
		}
		if f.child != nil {
			add(f.child.input)
			add(f.child.output)
		}
	}
	for _, d := range s.done {
		add(d.input)
		add(d.output)
	}
	return sum
}

// Entered returns what the numbers of frames stand for in the events to come.
func (s *State) Entered() *journalv1.TasksEntered {
	out := &journalv1.TasksEntered{}
	for _, f := range s.frames {
		if f.task == nil {
			continue
		}
		t := &journalv1.TaskEntered{Frame: f.id, Task: f.task.Ref}
		if f.call != nil {
			t.Activity, t.Key, t.Attempt = f.call.scheduled.GetActivity(), f.call.scheduled.GetKey(), f.call.scheduled.GetAttempt()
		}
		if f.child != nil {
			t.ChildId = f.child.scheduled.GetChildId()
		}
		out.Tasks = append(out.Tasks, t)
	}
	return out
}

func (s *State) root() *frame {
	if len(s.frames) == 0 {
		return nil
	}
	return s.frames[0]
}

func (s *State) frame(id uint32) *frame {
	for _, f := range slices.Backward(s.frames) {
		if f.id == id {
			return f
		}
	}
	return nil
}

// stopping tells whether f, or a frame that contains it, is being left.
func (s *State) stopping(f *frame) bool {
	for ; f != nil; f = f.parent {
		if s.leaves(f) {
			return true
		}
	}
	return false
}

// leaving tells whether the order is to end, whatever time it is.
func (s *State) leaving() bool {
	r := s.root()
	return r != nil && (r.stop != nil || r.undo != nil)
}

// inFlightIn tells whether an attempt in f has no outcome yet.
func (s *State) inFlightIn(f *frame) bool {
	return slices.ContainsFunc(s.frames, func(x *frame) bool { return x.inFlight() && x.inside(f) })
}

// inside tells whether f is outer or is contained in it.
func (f *frame) inside(outer *frame) bool {
	for ; f != nil; f = f.parent {
		if f == outer {
			return true
		}
	}
	return false
}

// inFlight tells whether an attempt of the frame has no outcome yet.
func (f *frame) inFlight() bool { return f.call != nil && f.call.ended == nil }

// underWay tells whether an attempt of the frame has no outcome yet, or a child has not ended.
func (f *frame) underWay() bool { return f.inFlight() || f.awaits() }

// left is what a task leaves before output.as.
func (f *frame) left() *Value {
	switch {
	case f.task == nil || f.list != nil:
		return f.last
	case f.call != nil:
		return f.call.output
	case f.child != nil && f.task.Run.Silent && !f.task.Run.Detached:
		return nothing
	case f.child != nil:
		return f.child.output
	}
	return f.input
}

// bound returns the earliest time by which the frame has to be left; 0 if none. What is undone has no bounds but its own.
func (s *State) bound(f *frame) (due int64) {
	earliest := func(times ...int64) {
		for _, t := range times {
			if t != 0 && (due == 0 || t < due) {
				due = t
			}
		}
	}
	for ; f != nil; f = f.parent {
		if f.undo != nil {
			return due
		}
		earliest(f.timeoutAt, f.retry.timeoutAt)
	}
	earliest(s.deadline, s.timeoutAt)
	return due
}

func fromNano(ns int64) time.Time {
	if ns == 0 {
		return time.Time{}
	}
	return time.Unix(0, ns).UTC()
}

func optional(raw []byte, otherwise *Value) *Value {
	if raw == nil {
		return otherwise
	}
	return NewValue(raw)
}
