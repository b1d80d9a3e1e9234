package workflow

import (
	"time"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
)

// Effect is something to be done outside after the events that call for it are durable. Doing it again does no harm.
type Effect interface{ isEffect() }

type (
	// Dispatch hands an attempt to the activity's dispatcher. One that has overflowed is handed over when there is a place
	// for it: see Refill.
	Dispatch struct {
		Task     string
		Frame    uint32
		Key      string
		Attempt  uint32
		Activity string
		Input    []byte
		Deadline int64
		// Ledger is where it was sent before; empty if it was not.
		Ledger string
		// MaybeStarted: an earlier attempt with this key may have run.
		MaybeStarted bool
		// Suspect: it was set apart before.
		Suspect bool
		// Deaths are the processes that may have died of it.
		Deaths []messages.Death
		// RunWithin is how long it may run once it was begun; 0: no bound.
		RunWithin time.Duration
		// Again: it was handed over before, and some adapter may have it.
		Again bool
		// Follows: an attempt at the same activity has just ended, and this one takes its place.
		Follows bool
		// Since is when it was scheduled.
		Since int64
		// Overflow is the epoch of the owner that had no place for it; 0 if there was one. A later owner can't know whether
		// it was handed over meanwhile.
		Overflow messages.Epoch
	}
	// CancelAttempt asks to give up an attempt. One that has overflowed may have to be handed over first. Withdraw: only if
	// nobody has begun with it; else it goes on to its end, to be undone.
	CancelAttempt struct {
		Dispatch

		Withdraw bool
	}
	// StartChild has another order accepted, and started when it has the turn of its key, if it is not there yet. Its
	// definition is to be found, and with it what Order lacks. The answer is a ChildResult.
	StartChild struct{ Order *journalv1.OrderAccepted }
	// CancelChild has a child cancelled. If it is not there yet, it is to be accepted, but not started, before.
	CancelChild struct {
		StartChild

		Compensate bool
	}
	// TellParent tells the order's parent how it has ended. Once that is durable, the order is to be Told.
	TellParent struct {
		Parent *journalv1.Parent
		Result ChildResult
	}
	// PublishEvent has an event published. Once it is durable wherever somebody may listen for it, the order is to be told: Emitted.
	PublishEvent struct {
		Frame uint32
		Event []byte
		Keep  time.Duration
	}
	// BeginListen has a filter of a task listen in a correlation slot. Once that knows it, the order is to be told: Known.
	BeginListen struct {
		Slot     *journalv1.SlotOpened
		Listener uint32
		Task     string
		Filter   uint32
		Many     bool
	}
	// EndListen tells a correlation slot that a listener listens no more. Once it knows, the order is to be told: Forgotten.
	EndListen struct {
		Slot     string
		Listener uint32
		Consumed uint64
	}
	// More asks for a Continue.
	More struct{}
	// End tells whoever waits for it that the order has ended.
	End struct{}
)

func (Dispatch) isEffect()      {}
func (CancelAttempt) isEffect() {}
func (StartChild) isEffect()    {}
func (CancelChild) isEffect()   {}
func (TellParent) isEffect()    {}
func (PublishEvent) isEffect()  {}
func (BeginListen) isEffect()   {}
func (EndListen) isEffect()     {}
func (More) isEffect()          {}
func (End) isEffect()           {}

// Effects returns what is to be done after events that led to this state were committed.
func (s *State) Effects(events []*journalv1.Event) []Effect {
	var out []Effect
	before := s.version - messages.Version(len(events))
	since := before // as far as it is about what slots do not know
	for _, ev := range events {
		switch e := ev.GetKind().(type) {
		case *journalv1.Event_AttemptScheduled:
			f := s.byKey(e.AttemptScheduled.GetKey())
			if f != nil && f.inFlight() && f.call.scheduled == e.AttemptScheduled {
				d := f.dispatch()
				b := f.home().branch
				d.Follows = b.leftAt > before && b.left == d.Activity
				out = append(out, d)
			}
		case *journalv1.Event_AttemptOverdue:
			if f := s.frame(e.AttemptOverdue.GetFrame()); f != nil && f.inFlight() && f.call.late() && !s.stopping(f) {
				out = append(out, CancelAttempt{Dispatch: f.dispatch(), Withdraw: true})
			}
		case *journalv1.Event_ChildScheduled:
			if f := s.byChild(e.ChildScheduled.GetChildId()); f != nil && f.awaits() {
				out = append(out, s.startChild(f))
			}
		case *journalv1.Event_ChildFaulted: // it may have been ending already when it was told to
			if f := s.frame(e.ChildFaulted.GetFrame()); f != nil && !e.ChildFaulted.GetCaught() && f.awaits() && s.stopping(f) {
				out = append(out, s.cancelChild(f))
			}
		case *journalv1.Event_StopRequested:
			if f := s.frame(e.StopRequested.GetFrame()); f != nil && f.stop == e.StopRequested {
				out = append(out, s.cancellations(f, false)...)
			}
		case *journalv1.Event_OrderReopened, *journalv1.Event_OrderContinued: // what was not told before
			out, since = append(out, s.listenEffects(s.frames...)...), 0
		case *journalv1.Event_EmitScheduled:
			out = append(out, s.listenEffects(s.frame(e.EmitScheduled.GetFrame()))...)
		case *journalv1.Event_ListenStarted:
			out = append(out, s.listenEffects(s.frame(e.ListenStarted.GetFrame()))...)
		case *journalv1.Event_OrderCompleted, *journalv1.Event_OrderFaulted, *journalv1.Event_OrderCancelled:
			out = append(out, End{})
			if s.parentUntold() {
				out = append(out, s.tellParent())
			}
		}
	}
	out = append(out, s.deafEffects(since)...)
	if s.version != 0 && s.runnable(nil) != nil {
		out = append(out, More{})
	}
	return out
}

// Outstanding returns all that is to be done for the state as it is: what recovery does again.
func (s *State) Outstanding() []Effect {
	var out []Effect
	for _, f := range s.frames {
		if f.inFlight() {
			d := f.dispatch()
			d.Again = true
			out = append(out, d)
			if f.call.late() && !s.stopping(f) {
				out = append(out, CancelAttempt{Dispatch: d, Withdraw: true})
			}
		}
		if f.awaits() && (f.child.detached || !s.stopping(f)) { // else it is cancelled below
			out = append(out, s.startChild(f))
		}
		out = append(out, s.listenEffects(f)...)
	}
	for _, f := range s.frames {
		if f.stop != nil {
			out = append(out, s.cancellations(f, true)...)
		}
	}
	if s.version != 0 && s.parentUntold() {
		out = append(out, s.tellParent())
	}
	out = append(out, s.deafEffects(0)...)
	if s.version != 0 && s.runnable(nil) != nil {
		out = append(out, More{})
	}
	return out
}

func (f *frame) dispatch() Dispatch {
	e := f.call.scheduled
	return Dispatch{
		Task: f.task.Ref, Frame: f.id, Key: e.GetKey(), Attempt: e.GetAttempt(), Activity: e.GetActivity(),
		Input: f.call.input.JSON(), Deadline: e.GetDeadline(), Ledger: f.call.ledger, MaybeStarted: f.call.maybe,
		Suspect: f.call.suspect, Deaths: f.call.deaths(), RunWithin: time.Duration(e.GetRunWithin()),
		Since: f.call.at, Overflow: f.call.overflow,
	}
}

// Overflowed returns the attempts under way that have overflowed.
func (s *State) Overflowed() []Dispatch {
	var out []Dispatch
	for _, f := range s.frames {
		if f.inFlight() && f.call.overflow != 0 {
			out = append(out, f.dispatch())
		}
	}
	return out
}

// Attempts returns those under way.
func (s *State) Attempts() []Dispatch {
	var out []Dispatch
	for _, f := range s.frames {
		if f.inFlight() {
			out = append(out, f.dispatch())
		}
	}
	return out
}

// Refill returns the attempt of a frame that has overflowed, to be handed over now; false if it is not wanted any more.
func (s *State) Refill(frame uint32) (Dispatch, bool) {
	f := s.frame(frame)
	if f == nil || !f.inFlight() || f.call.overflow == 0 || s.stopping(f) {
		return Dispatch{}, false
	}
	return f.dispatch(), true
}

// Parked tells whether all that the order waits for are places for attempts that have overflowed, and perhaps a time.
func (s *State) Parked() bool {
	parked := false
	if len(s.deaf) > 0 {
		return false
	}
	for _, f := range s.frames {
		switch {
		case f.stop != nil, f.phase != phaseBlocked, f.inFlight() && f.call.overflow == 0, f.awaits(), f.emits(), f.unheard():
			return false
		case f.inFlight():
			parked = true
		}
	}
	return parked
}

func (s *State) cancellations(outer *frame, again bool) []Effect {
	var out []Effect
	for _, f := range s.frames {
		if !f.inside(outer) || !f.underWay() || s.spares(outer, f) {
			continue
		}
		if f.inFlight() {
			d := f.dispatch()
			d.Again = again
			out = append(out, CancelAttempt{Dispatch: d, Withdraw: s.concludes(f)})
		}
		if f.awaits() && !f.child.detached {
			out = append(out, s.cancelChild(f))
		}
	}
	return out
}
