package workflow

import (
	"slices"
	"strings"
	"time"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/messages/problemv1"
)

// undo is the undoing of a deed, for the frame of an order that is being cancelled, or of a try that has caught an error.
type undo struct {
	of *deed
	// What the frame goes on with.
	stop   *journalv1.StopRequested
	raised *problemv1.Problem
	// entered: what undoes it was entered, though perhaps to fail because of the doubt. asked: whether it was done was asked, and
	// nobody knew. retry counts the tries of both.
	entered, asked bool
	retry          retryState
	// failed is the version at which it was left to an operator: the order faults when its other branches have come to rest. 0: it was not.
	failed messages.Version
}

// undoes is what a frame does that has a deed undone.
type undoes struct{ plain }

func (undoes) step(m *machine, f *frame) {
	switch d := f.undo.of; {
	case d.void || f.pos == len(f.list.Tasks):
		m.undone(f)
	case d.doubt && d.asks:
		m.inquireOf(f)
	default:
		m.enterNext(f)
	}
}

// due tries again.
func (undoes) due(m *machine, f *frame) {
	m.emit(&journalv1.Event_RetryStarted{RetryStarted: &journalv1.RetryStarted{Frame: f.id}})
}

// handle has what undoes a deed tried again, as the policy says, or leaves it to an operator.
func (undoes) handle(m *machine, f *frame, p *problemv1.Problem) {
	d := f.undo.of
	due, again, err := m.undoAgain(f, p)
	switch {
	case err != nil:
		p = expressionProblem(d.task.Compensate.Tasks[0], err)
	case again:
		m.emit(&journalv1.Event_RetryScheduled{RetryScheduled: &journalv1.RetryScheduled{
			Frame: f.id, Retry: f.undo.retry.n + 1, Due: due.UnixNano(), Error: p,
		}})
		return
	}
	if d.doubt && f.inquired() {
		m.enterNext(f) // which fails because of the doubt, so that the order stands there
		return
	}
	if m.s.alone(f) {
		m.endFaulted(&journalv1.OrderFaulted{Error: p})
		return
	}
	m.emit(&journalv1.Event_CompensationFailed{CompensationFailed: &journalv1.CompensationFailed{Frame: f.id}})
	if r := m.s.root(); r.stop.GetCause() != journalv1.StopCause_STOP_CAUSE_COMPENSATION {
		m.stop(r, &journalv1.StopRequested{Cause: journalv1.StopCause_STOP_CAUSE_COMPENSATION, Error: p})
	}
}

// alone tells whether there is nothing in the order but a frame, what is inside and what is around it.
func (s *State) alone(f *frame) bool {
	return !slices.ContainsFunc(s.frames, func(x *frame) bool { return !x.inside(f) && !f.inside(x) })
}

func (s *State) compensationFailed(e *journalv1.CompensationFailed) {
	f := s.mustFrame(e.GetFrame())
	f.undo.failed, f.phase = s.version, phaseBlocked
}

// firstFailed returns the frame that was the first to leave to an operator what it undoes; nil if none did.
func (s *State) firstFailed() *frame {
	var first *frame
	for _, f := range s.frames {
		if f.undo != nil && f.undo.failed != 0 && (first == nil || f.undo.failed < first.undo.failed) {
			first = f
		}
	}
	return first
}

// undoAgain tells whether, and when, to try again what undoes a deed, or to inquire about it.
func (m *machine) undoAgain(f *frame, p *problemv1.Problem) (time.Time, bool, error) {
	d := f.undo.of
	r := d.task.CompensateRetry
	if r == nil || triedInVain(p) || d.doubt && (!f.inquired() || !d.asks) || r.Transient && !transient(p) {
		return time.Time{}, false, nil
	}
	args := m.workflowArgs()
	args.Vars = []Var{{Name: "error", Value: problemValue(p)}}
	return m.retryAt(f, r, d.value(), args)
}

// transient tells whether an error is one that another try may mend, by its status.
func transient(p *problemv1.Problem) bool {
	switch p.GetStatus() {
	case 408, 425, 429, 502, 503, 504:
		return true
	}
	return false
}

// undo begins to undo a deed inside of f.
func (m *machine) undo(f *frame, d *deed) {
	m.emit(&journalv1.Event_CompensationStarted{CompensationStarted: &journalv1.CompensationStarted{
		Frame: f.id, Task: d.task.Ref, Key: d.key,
	}})
}

// undone ends the undoing of a deed.
func (m *machine) undone(f *frame) {
	d := f.undo.of
	m.emit(&journalv1.Event_CompensationEnded{CompensationEnded: &journalv1.CompensationEnded{
		Frame: f.id, Task: d.task.Ref, Key: d.key,
	}})
}

func (s *State) compensationStarted(e *journalv1.CompensationStarted) {
	f := s.mustFrame(e.GetFrame())
	d := s.deeds[e.GetKey()]
	at := d.task.Ref + d.path
	if before, another := s.undoOf[at]; another && before != d.key {
		for ref, v := range s.visits { // those that are not over were to undo something else
			v.over = v.over || strings.HasPrefix(ref, d.task.Compensate.Tasks[0].Ref) && strings.HasPrefix(v.path, d.path)
		}
	}
	if s.undoOf == nil {
		s.undoOf = map[string]string{}
	}
	s.undoOf[at] = d.key
	f.undo = &undo{of: d, stop: f.stop, raised: f.raised}
	f.stop, f.raised, f.retry.timeoutAt, f.slowed = nil, nil, 0, 0
	f.fallen = nil
	s.clear(f)
	f.list, f.pos, f.last, f.phase = d.task.Compensate, 0, d.value(), phaseNext
}

func (s *State) compensationEnded(e *journalv1.CompensationEnded) {
	f := s.mustFrame(e.GetFrame())
	d := f.undo.of
	if d.void && !d.dropped {
		delete(s.abandoned, d.key)
		s.notDone(d)
	} else {
		s.settle(d.key)
		s.undid(d.key)
		if v := s.visitOf(d); v != nil {
			v.over = true // to do it again is other work
		}
	}
	if f.undo.stop != nil {
		f.stop = f.undo.stop
	}
	f.raised, f.phase, f.undo = f.undo.raised, phaseRaised, nil
	f.list, f.pos, f.last = s.def.Do, 0, f.input
	if f.task != nil {
		f.list, f.unwinding = as[*Try](f.kind()).List, true
	}
}

// settleUndo takes up what an operator who retries knows of work in doubt that is to be undone. If nobody was asked yet whether it
// was done, that comes first, unless it is known not to have been done.
func (s *State) settleUndo(e *journalv1.OrderReopened) {
	f := s.stand()
	for f != nil && f.undo == nil {
		f = f.parent
	}
	if f == nil || !f.undo.of.doubt {
		return
	}
	d := f.undo.of
	if e.GetNotDone() {
		d.void = true
		s.settle(d.key)
		if v := s.visitOf(d); v != nil && !d.dropped {
			v.doubt, v.ledger = false, ""
		}
	}
	if f.undo.asked || d.void || !d.asks {
		d.doubt, d.asks = false, false
	}
}

// doubtProblem is the error of a compensation of what may not have been done.
func doubtProblem(d *deed) *problemv1.Problem {
	detail := "nobody knows whether what is to be undone was executed"
	if d.begun {
		detail = "undoing was interrupted, and nobody knows whether it was done"
	}
	return problem(ErrorTypeInDoubt, "Outcome in doubt", 500, d.task.Compensate.Tasks[0].Ref,
		detail+": retry, to undo it now; or say that there is nothing to undo, as not done")
}

// betweenUndoings tells whether the order has undone something because it is being cancelled, and does not undo the next yet. Its tasks
// were given up for that, so that it can't go on otherwise.
func (s *State) betweenUndoings() bool {
	r := s.root()
	if r == nil || len(s.frames) > 1 || r.undo != nil {
		return false
	}
	return r.phase == phaseRaised && len(r.fallen) == 0 || r.phase == phaseBlocked && r.slowed == 0
}

// cancelledBetween returns the request to cancel an order that an operator has retried, and that had faulted between two undoings: it is
// made again, in the words of whoever made it, if they are known. Nil if there is none.
func (s *State) cancelledBetween(c Reopen) *journalv1.StopRequested {
	if c.How != journalv1.Reopening_REOPENING_RETRY || !s.betweenUndoings() {
		return nil
	}
	before := s.root().stop
	if before.GetCause() != journalv1.StopCause_STOP_CAUSE_CANCEL {
		before = s.later
	}
	by, reason := c.By, c.Reason
	if before != nil {
		by, reason = before.GetBy(), before.GetReason()
	}
	return &journalv1.StopRequested{Cause: journalv1.StopCause_STOP_CAUSE_CANCEL, Compensate: true, By: by, Reason: reason}
}

// undoes tells whether the order has something undone.
func (s *State) undoes() bool {
	return slices.ContainsFunc(s.frames, func(f *frame) bool { return f.undo != nil })
}
