package workflow_test

import (
	"maps"
	"slices"
	"strings"
	"time"

	"pgregory.net/rapid"

	"github.com/holdfast-run/holdfast/actors/workflow"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
)

// phase is what the model knows of the order as a whole.
type phase struct {
	key                                  bool
	end                                  orderv1.Status // unspecified while it is open
	started, queued, suspended, released bool
	stopping                             bool
	skipped                              bool // the task that was passed over ends next
	child                                bool // it has a parent who waits for it
	intake                               bool // it was accepted by who did not own its partition, and nothing has happened since
}

func (p phase) holds() bool {
	return p.end == orderv1.Status_STATUS_FAULTED && p.key && p.started && !p.queued && !p.released
}

// reopen makes a command to have the order go on, somehow and somewhere.
func (m *model) reopen() workflow.Reopen {
	c := workflow.Reopen{
		How: rapid.SampledFrom([]journalv1.Reopening{
			journalv1.Reopening_REOPENING_RETRY, journalv1.Reopening_REOPENING_SKIP, journalv1.Reopening_REOPENING_RESTART,
		}).Draw(m.t, "how"),
		NotDone: rapid.IntRange(0, 3).Draw(m.t, "not done") == 3, By: "b", Reason: "r",
	}
	if c.How == journalv1.Reopening_REOPENING_RESTART || c.How == journalv1.Reopening_REOPENING_SKIP && rapid.Bool().Draw(m.t, "around") {
		c.Task = rapid.SampledFrom(slices.Sorted(maps.Keys(m.def.Tasks))).Draw(m.t, "task")
	}
	if rapid.IntRange(0, 2).Draw(m.t, "value") == 2 {
		c.Value = []byte(rapid.SampledFrom([]string{`{"n":7,"d":"PT1S"}`, `"y"`}).Draw(m.t, "new value"))
	}
	if rapid.Bool().Draw(m.t, "new deadline") {
		c.Deadline = m.now.Add(time.Duration(rapid.IntRange(0, 60).Draw(m.t, "until")) * time.Second).UnixNano()
	}
	return c
}

// checkSkipped checks that what an operator gave as what a task left can be used by what follows: nothing is tried again, or undone,
// because it can't, nor does the order fault.
func (m *model) checkSkipped(cmd workflow.Command, made []*journalv1.Event) {
	for _, t := range m.def.Tasks {
		if runsBranches(t) {
			return // others may fail, which has nothing to do with it
		}
	}
	if c, ok := cmd.(workflow.Reopen); !ok || c.How != journalv1.Reopening_REOPENING_SKIP || c.Value == nil {
		return
	}
	for i, ev := range made {
		p := ev.GetOrderFaulted().GetError()
		if ev.GetRetryScheduled() != nil || ev.GetCompensationStarted() != nil {
			p = made[i-1].GetTaskFaulted().GetError()
		}
		if t := p.GetType(); t == workflow.ErrorTypeExpression || t == workflow.ErrorTypeValidation {
			m.t.Fatalf("%#v: what was given does not fit:\n%s", cmd, list(made))
		}
	}
}

// follow follows the order as a whole.
func (m *model) follow(ev *journalv1.Event) {
	p := &m.phase
	faulted := p.end == orderv1.Status_STATUS_FAULTED
	skipped, intake := p.skipped, p.intake
	p.skipped, p.intake = false, false
	switch e := ev.GetKind().(type) {
	case *journalv1.Event_LateResult, *journalv1.Event_ParentTold, *journalv1.Event_ListenerForgotten:
		return
	case *journalv1.Event_KeyReleased:
		if !p.holds() {
			m.t.Fatalf("a key was released that was not held: %+v", *p)
		}
		p.released = true
		return
	case *journalv1.Event_OrderReopened:
		if !faulted {
			m.t.Fatalf("an order was reopened that had not faulted: %+v", *p)
		}
		p.queued = p.key && !p.holds()
		p.end, p.released, p.stopping = 0, false, e.OrderReopened.GetHow() == journalv1.Reopening_REOPENING_CANCEL
		p.skipped = e.OrderReopened.GetHow() == journalv1.Reopening_REOPENING_SKIP
		m.settle(ev)
		return
	case *journalv1.Event_OrderCompleted:
		p.end, p.suspended = orderv1.Status_STATUS_COMPLETED, false
	case *journalv1.Event_OrderCancelled:
		p.end, p.suspended = orderv1.Status_STATUS_CANCELLED, false
	case *journalv1.Event_OrderFaulted:
		p.end, p.suspended = orderv1.Status_STATUS_FAULTED, false
		faulted = false
	case *journalv1.Event_OrderAccepted:
		p.key, p.child = workflow.Queues(e.OrderAccepted), e.OrderAccepted.GetParent() != nil
		p.intake = e.OrderAccepted.GetIntake()
		return
	case *journalv1.Event_OrderQueued:
		if !intake || !p.key {
			m.t.Fatalf("an order was taken up that was not in the intake, or has no key: %+v", *p)
		}
	case *journalv1.Event_OrderStarted, *journalv1.Event_OrderContinued:
		p.started, p.queued = true, false
	case *journalv1.Event_OrderSuspended:
		p.suspended = true
	case *journalv1.Event_OrderResumed:
		p.suspended = false
	case *journalv1.Event_StopRequested:
		if faulted && len(m.undo.under) > 0 {
			return // it is to be cancelled once that is undone
		}
		p.stopping = p.stopping || e.StopRequested.GetFrame() == 0
	case *journalv1.Event_AttemptEnded, *journalv1.Event_AttemptSent, *journalv1.Event_AttemptLost, *journalv1.Event_AttemptFound, *journalv1.Event_ChildFaulted,
		*journalv1.Event_ChildEnded, *journalv1.Event_EmitEnded, *journalv1.Event_ListenerKnown,
		*journalv1.Event_EventConsumed: // of what is under way already
	case *journalv1.Event_AttemptOverdue:
		if !e.AttemptOverdue.GetGoesOn() && (p.queued || p.suspended && !p.stopping) {
			m.t.Fatalf("an order that is halted did\n%s\n%+v", show(ev), *p)
		}
	case *journalv1.Event_CompensationStarted:
		if p.queued {
			m.t.Fatalf("an order that waits for its key did\n%s\n%+v", show(ev), *p)
		}
	default:
		if !p.started || (p.queued || p.suspended) && !p.stopping && !skipped {
			m.t.Fatalf("an order that is halted did\n%s\n%+v", show(ev), *p)
		}
	}
	if faulted && p.end == orderv1.Status_STATUS_FAULTED {
		m.t.Fatalf("an order that has faulted did\n%s", show(ev))
	}
}

// settles tells whether what an operator decides is about a task at a place.
func (m *model) settles(ref, path string, ev *journalv1.Event) bool {
	task := ev.GetOrderReopened().GetTask()
	return task != "" && (ref == task || strings.HasPrefix(ref, task+"/")) && isUndo(ref) == isUndo(task) &&
		strings.HasPrefix(path, m.reopenedAt[ev].path)
}

// settlesWork tells whether what an operator decides is about the attempts of a key.
func (m *model) settlesWork(w *work, ev *journalv1.Event) bool {
	return !w.succeeded && !w.settled && m.settles(m.undo.tasks[w.at].task.Ref, w.path, ev)
}

// settle follows what an operator decided about the attempts at a task.
func (m *model) settle(ev *journalv1.Event) {
	e := ev.GetOrderReopened()
	for key, w := range m.work {
		switch {
		case !m.settlesWork(w, ev):
		case e.Input != nil || e.GetHow() == journalv1.Reopening_REOPENING_SKIP:
			if w.doubt && !w.late && e.Input != nil && !e.GetNotDone() {
				m.t.Fatalf("%s is in doubt, but its input was changed", key)
			}
			w.settled = true
			w.idle = w.idle || e.Input != nil || e.Output != nil
		case e.GetNotDone():
			w.doubt, w.ledger, w.abandoned = false, "", false
		}
	}
}
