package workflow_test

import (
	"github.com/holdfast-run/holdfast/messages/journalv1"
)

// returning is what the model knows of points of no return.
type returning struct {
	// next is the number of the frame that is entered next, and past what it was when a point of no return was passed last; 0: none was.
	next, past uint32
	// unwinding are the frames that have begun to undo something.
	unwinding map[uint32]bool
}

// noteReturn checks that nothing is undone behind a point of no return that was begun before it, and that the order is not cancelled there.
func (m *model) noteReturn(ev *journalv1.Event) {
	r := &m.back
	switch e := ev.GetKind().(type) {
	case *journalv1.Event_TaskStarted:
		r.next = e.TaskStarted.GetFrame() + 1
	case *journalv1.Event_BranchStarted:
		r.next = e.BranchStarted.GetFrame() + 1
	case *journalv1.Event_InquiryStarted:
		r.next = e.InquiryStarted.GetFrame() + 1
	case *journalv1.Event_AttemptEnded:
		if f := e.AttemptEnded.GetFrame(); !m.undo.inquiries[f] {
			m.passed(m.undo.tasks[f].task.NoReturn, e.AttemptEnded.GetOutcome())
		}
	case *journalv1.Event_ChildEnded:
		m.passed(m.undo.tasks[e.ChildEnded.GetFrame()].task.NoReturn, e.ChildEnded.GetOutcome())
	case *journalv1.Event_LateResult:
		m.passed(m.def.Tasks[e.LateResult.GetTask()].NoReturn, e.LateResult.GetOutcome())
	case *journalv1.Event_CompensationStarted:
		f := e.CompensationStarted.GetFrame()
		if f < r.past && !r.unwinding[f] {
			m.t.Fatalf("%s, but the order has passed a point of no return before frame %d was entered", show(ev), r.past)
		}
		r.unwinding[f] = true
	case *journalv1.Event_RetryScheduled:
		if f := e.RetryScheduled.GetFrame(); m.undo.under[f] == nil {
			delete(r.unwinding, f)
		}
	case *journalv1.Event_CatchStarted:
		delete(r.unwinding, e.CatchStarted.GetFrame())
	case *journalv1.Event_TaskFaulted:
		delete(r.unwinding, e.TaskFaulted.GetFrame())
	case *journalv1.Event_OrderCancelled:
		if r.past != 0 {
			m.t.Fatalf("%s, but the order has passed a point of no return", show(ev))
		}
	}
}

// passed notes that the work of a task has come to an end.
func (m *model) passed(noReturn bool, o journalv1.Outcome) {
	if noReturn && o == journalv1.Outcome_OUTCOME_SUCCEEDED {
		m.back.past = m.back.next
	}
}
