package workflow

import (
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/messages/problemv1"
)

// whole is the order as a whole, the outermost frame.
type whole struct{ sequence }

func (whole) step(m *machine, f *frame) {
	if !m.enterNext(f) {
		m.completeOrder(f)
	}
}

func (whole) handle(m *machine, _ *frame, p *problemv1.Problem) {
	m.endFaulted(&journalv1.OrderFaulted{Error: p})
}

func (whole) stopped(m *machine, f *frame) {
	e, d := f.stop, m.s.mustUndo(f)
	switch {
	case d != nil:
		m.undo(f, d)
	case e.GetCause() == journalv1.StopCause_STOP_CAUSE_CANCEL:
		m.endCancelled(&journalv1.OrderCancelled{Reason: e.GetReason(), By: e.GetBy()})
	case e.GetCause() == journalv1.StopCause_STOP_CAUSE_COMPLETE:
		m.endCompleted(&journalv1.OrderCompleted{Output: e.GetOutput(), By: e.GetBy(), Reason: e.GetReason()})
	default:
		m.endFaulted(&journalv1.OrderFaulted{Error: e.GetError(), By: e.GetBy(), Reason: e.GetReason()})
	}
}

// again: the order itself is never entered again; it goes on.
func (whole) again(*frame) bool { return false }

func (m *machine) endFaulted(e *journalv1.OrderFaulted) {
	m.emit(&journalv1.Event_OrderFaulted{OrderFaulted: e})
}

func (m *machine) endCancelled(e *journalv1.OrderCancelled) {
	m.emit(&journalv1.Event_OrderCancelled{OrderCancelled: e})
}

func (m *machine) endCompleted(e *journalv1.OrderCompleted) {
	m.emit(&journalv1.Event_OrderCompleted{OrderCompleted: e})
}

func (m *machine) completeOrder(f *frame) {
	out, p := f.last, (*problemv1.Problem)(nil)
	def := m.s.def
	if def.Output.As != nil {
		v, err := def.Output.As.Eval(out, m.workflowArgs())
		if err != nil {
			p = expressionProblem(nil, err)
		}
		out = v
	}
	if p == nil && def.Output.Schema != nil {
		if err := def.Output.Schema.Validate(out, &m.meter); err != nil {
			p = validationProblem(nil, "Output", err)
		}
	}
	if p != nil {
		m.endFaulted(&journalv1.OrderFaulted{Error: p})
		return
	}
	e := &journalv1.OrderCompleted{}
	if out != f.last {
		e.Output = out.JSON()
	}
	m.endCompleted(e)
}
