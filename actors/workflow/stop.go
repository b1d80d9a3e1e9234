package workflow

import (
	"slices"

	"github.com/holdfast-run/holdfast/messages/journalv1"
)

// requestStop begins to leave f, unless that was begun. Activities under way inside it are awaited until the latest of their
// deadlines, and of what is to be undone a while longer; children, and what is to be undone and has no deadline, until they
// have ended.
func (m *machine) requestStop(f *frame, e *journalv1.StopRequested) {
	if f.stop == nil || !waits(e.GetCause()) && m.s.mayWait(f) {
		m.stop(f, e)
	}
}

// stop begins to leave f, whatever else was asked for before.
func (m *machine) stop(f *frame, e *journalv1.StopRequested) {
	grace := m.s.limits.StopGrace
	until := m.now.Add(grace).UnixNano()
	for _, x := range m.s.frames {
		if !x.inFlight() || !x.inside(f) {
			continue
		}
		d := x.deadline()
		// What was not interrupted before is not interrupted now, nor is what it says at its deadline missed.
		if e.GetCompensate() && x.task.Compensate != nil && !m.s.stopping(x) {
			if d == 0 {
				until = 0
				break
			}
			d += int64(grace)
		}
		until = max(until, d)
	}
	e.Frame, e.Until = f.id, until
	m.emit(&journalv1.Event_StopRequested{StopRequested: e})
}

// timeOver begins to leave f because its time is over.
func (m *machine) timeOver(f *frame, detail string) {
	m.requestStop(f, &journalv1.StopRequested{
		Cause: journalv1.StopCause_STOP_CAUSE_TIMEOUT, Error: timeoutProblem(refOf(f.task), detail),
	})
}

func (f *frame) deadline() int64 {
	if f.call == nil {
		return 0
	}
	return f.call.scheduled.GetDeadline()
}

// leaving tells whether the order is to end, whatever time it is.
func (s *State) leaving() bool {
	r := s.root()
	return r != nil && (r.stop != nil || r.undo != nil)
}

// unwinds tells whether a frame undoes something, or has, and goes on to do so.
func (f *frame) unwinds() bool {
	if f.undo != nil {
		return f.undo.failed == 0
	}
	return f.unwinding
}

// spares tells whether a frame x inside f, which has been asked to stop, first goes on to undo what was begun to be undone, or has
// that inside. Only an operator who ends the order interrupts that.
func (s *State) spares(f, x *frame) bool {
	return waits(f.stop.GetCause()) && slices.ContainsFunc(s.frames, func(u *frame) bool {
		return u.unwinds() && u.inside(f) && (x.inside(u) || u.inside(x))
	})
}

// stopping tells whether f is being left, with a frame around it or by itself.
func (s *State) stopping(f *frame) bool {
	for x := f; x != nil; x = x.parent {
		if x.stop != nil && !s.spares(x, f) {
			return true
		}
	}
	return false
}

// inFlightIn tells whether attempts inside of f are awaited because f is being left.
func (s *State) inFlightIn(f *frame) bool {
	return slices.ContainsFunc(s.frames, func(x *frame) bool { return x.inFlight() && x.inside(f) && !s.spares(f, x) })
}

// outlasts tells whether f has been asked to stop, but something inside is undone first.
func (s *State) outlasts(f *frame) bool { return f.stop != nil && s.spares(f, f) }

// leaves tells whether f is being left now.
func (s *State) leaves(f *frame) bool { return f.stop != nil && !s.outlasts(f) }

func waits(c journalv1.StopCause) bool {
	switch c {
	case journalv1.StopCause_STOP_CAUSE_CANCEL, journalv1.StopCause_STOP_CAUSE_TIMEOUT, journalv1.StopCause_STOP_CAUSE_BRANCH,
		journalv1.StopCause_STOP_CAUSE_COMPENSATION:
		return true
	case journalv1.StopCause_STOP_CAUSE_FAULT, journalv1.StopCause_STOP_CAUSE_COMPLETE, journalv1.StopCause_STOP_CAUSE_UNSPECIFIED:
	}
	return false
}

// mayWait tells whether a frame that has been asked to stop may go on for long before it does: then an operator may end the order
// otherwise.
func (s *State) mayWait(f *frame) bool { return s.outlasts(f) || f.stop.GetCompensate() }

// mustUndo returns what is to be undone before an order ends that is being cancelled; nil if nothing is.
func (s *State) mustUndo(r *frame) *deed {
	if r == nil || !r.stop.GetCompensate() {
		return nil
	}
	return s.lastDone(r, false)
}

// concludes tells whether the attempt of a frame that is being left goes on to its end all the same: what it does will be undone.
func (s *State) concludes(f *frame) bool {
	return f.task.Compensate != nil && s.root().stop.GetCompensate()
}

func (s *State) stopRequested(e *journalv1.StopRequested) {
	f := s.mustFrame(e.GetFrame())
	if f.parent == nil {
		s.stopsLater(f.stop, e)
	}
	f.stop = e
	switch p := f.parent; {
	case p == nil:
	case p.branches != nil:
		s.afterBranch(p)
	default:
		p.retry.timeoutAt = 0 // it has struck, or what it bounds is being left anyway
	}
}

// stopsLater keeps the request to cancel the order that one comes before because something can't be undone, or between two undoings.
func (s *State) stopsLater(before, now *journalv1.StopRequested) {
	keeps := now.GetCause() == journalv1.StopCause_STOP_CAUSE_COMPENSATION || s.betweenUndoings()
	switch {
	case !keeps:
		s.later = nil
	case before.GetCause() == journalv1.StopCause_STOP_CAUSE_CANCEL:
		s.later = before
	}
}
