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
	limits *Limits // not changed: many orders have the same
	turns  Turns

	version  messages.Version
	accepted *journalv1.OrderAccepted
	// Times are nanoseconds since 1970; 0 means not yet, or never.
	acceptedAt, startedAt, endedAt int64
	lastAt                         int64 // the latest of all events
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
	// later is the request to cancel the order that takes effect once an operator has had something undone that could not be, or has
	// the order go on that was halted between two undoings.
	later *journalv1.StopRequested

	// frames are the tasks entered and not left, parents before children; the first is the order itself. Those of an order
	// that has faulted are kept.
	frames []*frame
	next   uint32
	visits map[string]*visit // by their places
	// abandoned are the attempts that were left without a known outcome, by key.
	abandoned map[string]abandoned
	// deeds are what was done and not undone, if the definition knows how to undo it, by key. done has them in the order of the
	// journal, with some that are gone.
	deeds map[string]*deed
	done  []*deed
	// returnable is the number of the first frame entered since the order has passed a point of no return; 0: it has passed none.
	returnable uint32
	// undoOf is, by the place where it was done, the deed that was to be undone last.
	undoOf map[string]string
	// children is how many there were, and ears how many listeners.
	children, ears uint32
	// heard is, by listener, the last event that it has consumed, and deaf are the listeners that listen no more, though their slots may
	// not know it.
	heard map[uint32]uint64
	deaf  map[uint32]deaf
}

// New returns the state of an order that nothing has happened to. No limit may be missing: see WithDefaults.
func New(def *Definition, limits *Limits) *State {
	return &State{def: def, limits: limits}
}

// Definition returns the definition that the order runs.
func (s *State) Definition() *Definition { return s.def }

// Version returns the number of events so far.
func (s *State) Version() messages.Version { return s.version }

// Accepted returns the event that began the history; nil before it.
func (s *State) Accepted() *journalv1.OrderAccepted { return s.accepted }

// InIntake tells whether a node that did not own the order's partition has accepted it, and nothing has happened to it since: the owner
// has not taken it up.
func (s *State) InIntake() bool { return s.version == 1 && s.accepted.GetIntake() }

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

// InFlight tells whether an attempt of the order has no outcome yet, a child has not ended, or a correlation slot may not know what it is
// to know.
func (s *State) InFlight() bool {
	return len(s.deaf) > 0 || slices.ContainsFunc(s.frames, func(f *frame) bool {
		return f.underWay() || !s.Ended() && (f.emits() || f.unheard())
	})
}

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
	case s.runnable(nil) != nil, s.InFlight():
		return orderv1.Status_STATUS_RUNNING
	case !s.QueuedSince().IsZero():
		return orderv1.Status_STATUS_PENDING
	}
	return orderv1.Status_STATUS_WAITING
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
		if f.branches != nil {
			sum += f.branches.size()
		}
		if f.child != nil {
			add(f.child.input)
			add(f.child.output)
		}
		if f.listening() != nil {
			for _, v := range f.listening().consumed {
				add(v)
			}
			sum += seenSize * len(f.listening().seen)
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

// seenSize is about what it takes in memory to know that an event was consumed, in bytes.
const seenSize = 64

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
