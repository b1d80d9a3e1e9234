package workflow

import (
	"slices"

	"github.com/holdfast-run/holdfast/messages/journalv1"
)

// inquireOf begins to find out whether the deed was done that a frame is to undo: its activity is asked for again under the same
// key, which does no harm, for it is idempotent.
func (m *machine) inquireOf(f *frame) {
	d := f.undo.of
	m.emit(&journalv1.Event_InquiryStarted{InquiryStarted: &journalv1.InquiryStarted{
		Frame: m.s.next, Parent: f.id, Task: d.task.Ref, Key: d.key,
	}})
}

// inquires is an inquiry: an attempt that is made to find out whether a deed was done.
type inquires struct{ plain }

// step: an inquiry that finds nothing out is an error of the frame that undoes, as that of a compensation is.
func (inquires) step(m *machine, f *frame) {
	switch e := f.call.outcome(); {
	case f.call == nil, e == journalv1.Outcome_OUTCOME_NOT_DONE:
		d := f.inquiry
		m.emit(&journalv1.Event_AttemptScheduled{AttemptScheduled: &journalv1.AttemptScheduled{
			Frame: f.id, Key: d.key, Attempt: d.attempt + 1, Activity: as[*Call](f.task.Kind).Activity, RunWithin: d.within,
		}})
	case e == journalv1.Outcome_OUTCOME_IN_DOUBT:
		m.fault(f, attemptProblem(f.task, f.call.ended))
	default:
		m.emit(&journalv1.Event_InquiryEnded{InquiryEnded: &journalv1.InquiryEnded{Frame: f.id}})
	}
}

// inquired tells whether the error that came up last in a frame is that of an inquiry.
func (f *frame) inquired() bool {
	return slices.ContainsFunc(f.fallen, func(x *frame) bool { return x.inquiry != nil })
}

// outcome is what came of an attempt; unspecified if there is none, or nothing is known yet.
func (c *attempt) outcome() journalv1.Outcome {
	if c == nil {
		return journalv1.Outcome_OUTCOME_UNSPECIFIED
	}
	return c.ended.GetOutcome()
}

func (s *State) inquiryStarted(at int64, e *journalv1.InquiryStarted) {
	d := s.deeds[e.GetKey()]
	s.enter(&frame{
		id: e.GetFrame(), parent: s.mustFrame(e.GetParent()), task: d.task, startedAt: at,
		raw: d.input, input: d.input, inquiry: d,
	})
}

// inquired notes an attempt of an inquiry. Its visit may have been followed by others.
func (s *State) inquired(at int64, f *frame, e *journalv1.AttemptScheduled) {
	d := f.inquiry
	f.call = &attempt{scheduled: e, at: at, input: d.input, maybe: true}
	f.phase = phaseBlocked
	d.attempt = e.GetAttempt()
	if v := s.visitOf(d); v != nil {
		v.key, v.attempt, v.late = e.GetKey(), e.GetAttempt(), false
	}
	delete(s.abandoned, e.GetKey())
}

func (s *State) inquiryAnswered(f *frame, e *journalv1.AttemptEnded) {
	d, v := f.inquiry, s.visitOf(f.inquiry)
	switch e.GetOutcome() {
	case journalv1.Outcome_OUTCOME_SUCCEEDED:
		s.settleDeed(d.key, true, NewValue(e.GetOutput()))
		if v != nil {
			v.over, v.doubt = true, false
		}
	case journalv1.Outcome_OUTCOME_FAILED:
		s.settleDeed(d.key, false, nil)
		if v != nil {
			v.doubt = false
		}
	case journalv1.Outcome_OUTCOME_IN_DOUBT:
		f.parent.undo.asked = true
		d.asks = f.call.ledger == "" && e.GetError().GetType() != ErrorTypeQuarantined
		s.abandon(d.key, abandoned{
			task: d.task.Ref, path: d.path, visit: d.visit, attempt: e.GetAttempt(), maybe: true, holders: f.call.holders,
		})
	case journalv1.Outcome_OUTCOME_UNSPECIFIED, journalv1.Outcome_OUTCOME_NOT_DONE:
	}
}

// visitOf returns the visit that did a deed; nil if the task has been visited again since.
func (s *State) visitOf(d *deed) *visit {
	if v := s.visits[d.task.Ref+d.path]; v != nil && v.count == d.visit {
		return v
	}
	return nil
}

// visitUnder returns the visit that a frame's attempt is of.
func (s *State) visitUnder(f *frame) *visit {
	if f.inquiry == nil {
		return s.visits[f.place()]
	}
	if v := s.visitOf(f.inquiry); v != nil {
		return v
	}
	return &visit{} // it is over
}

// tries counts the tries of what undoes a deed, or else of the tasks of a try.
func (f *frame) tries() *retryState {
	if f.undo != nil {
		return &f.undo.retry
	}
	return &f.retry
}
