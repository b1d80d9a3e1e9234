package workflow

import (
	"time"

	"github.com/holdfast-run/holdfast/messages/journalv1"
)

// timers does what is due, outer frames first.
func (m *machine) timers() {
	s, now := m.s, m.clock
	due := func(t int64) bool { return t != 0 && t <= now }
	r := s.root()
	switch {
	case s.Ended(), s.Suspended():
		return
	case s.leaving():
	case due(s.deadline):
		if detail := "the order's deadline has passed"; r == nil {
			m.endFaulted(&journalv1.OrderFaulted{Error: timeoutProblem(refOf(nil), detail)})
		} else {
			m.timeOver(r, detail)
		}
	case s.queuedSince == 0 && due(s.timeoutAt):
		m.timeOver(r, "the definition's timeout has passed")
	}
	for _, f := range append([]*frame(nil), s.frames...) {
		if s.frame(f.id) != f {
			continue // it was left
		}
		if f.stop != nil && due(f.stop.GetUntil()) {
			m.giveUp(f)
		}
		switch {
		case s.stopping(f), s.queuedSince != 0:
		case due(f.startBy()):
			m.emit(&journalv1.Event_AttemptOverdue{AttemptOverdue: &journalv1.AttemptOverdue{Frame: f.id}})
		case f.stop == nil && due(f.timeoutAt):
			m.timeOver(f, "the task's timeout has passed")
		case f.phase == phaseBlocked && due(f.slowed):
			m.resumeSlowed(f)
		case f.due == 0 && due(f.retry.timeoutAt):
			m.retryOver(f)
		case f.phase == phaseBlocked && due(f.due):
			f.does().due(m, f)
		}
	}
}

// retryOver begins to leave what a try has inside because the time of the retry is over.
func (m *machine) retryOver(f *frame) {
	for _, x := range m.s.frames {
		if x.parent == f {
			m.timeOver(x, "the retry's time has passed")
		}
	}
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
		if f.stop != nil && s.inFlightIn(f) {
			earliest(f.stop.GetUntil())
		}
		switch {
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
