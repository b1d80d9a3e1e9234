package workflow

import "github.com/holdfast-run/holdfast/messages/journalv1"

// Call executes an activity.
type Call struct {
	plain

	// Activity is adapter.activity, with :version if the definition asks for one.
	Activity string
	// With makes the arguments; nil: the task's input.
	With Expr
	// StartWithin bounds how long an attempt waits for an adapter, RunWithin how long it runs from then on. Nil: no bound.
	StartWithin, RunWithin Duration
}

func (k *Call) step(m *machine, f *frame) {
	if f.call == nil {
		k.schedule(m, f)
		return
	}
	k.ended(m, f)
}

// stopped: what is late is done, and must not be done again under another key.
func (*Call) stopped(m *machine, f *frame) {
	switch {
	case f.unreported():
		m.fault(f, attemptProblem(f.task, f.call.ended))
	case f.succeeded():
		m.complete(f, f.call.output, "")
	default:
		m.fault(f, f.stop.GetError())
	}
}

func (*Call) leaves(f *frame) *Value {
	if f.call == nil {
		return f.input
	}
	return f.call.output
}

// again: the key of a visit that did not succeed is kept, so that nothing is done twice.
func (*Call) again(f *frame) bool { return f.failed || f.call != nil && !f.succeeded() }

// schedule schedules the next attempt of a call.
func (k *Call) schedule(m *machine, f *frame) {
	t := f.task
	in := f.input
	if p := m.s.tooMuch(t); p != nil {
		m.fault(f, p)
		return
	}
	if k.With != nil {
		var err error
		if in, err = k.With.Eval(f.input, m.argsOf(f)); err != nil {
			m.fault(f, expressionProblem(t, err))
			return
		}
	}
	key, n := m.s.nextKey(f)
	e := &journalv1.AttemptScheduled{Frame: f.id, Key: key, Attempt: n, Activity: k.Activity, Deadline: m.s.bound(f)}
	if err := k.bounds(m, f, e); err != nil {
		m.fault(f, expressionProblem(t, err))
		return
	}
	if in != f.input {
		e.Input = in.JSON()
	}
	m.emit(&journalv1.Event_AttemptScheduled{AttemptScheduled: e})
}

// bounds computes how long an attempt may wait for an adapter, and run.
func (k *Call) bounds(m *machine, f *frame, e *journalv1.AttemptScheduled) error {
	if k.StartWithin != nil {
		at, err := k.StartWithin.After(m.now, f.input, m.argsOf(f))
		if err != nil {
			return err
		}
		e.StartBy = at.UnixNano()
	}
	if k.RunWithin != nil {
		at, err := k.RunWithin.After(m.now, f.input, m.argsOf(f))
		if err != nil {
			return err
		}
		e.RunWithin = at.Sub(m.now).Nanoseconds()
	}
	return nil
}

// ended goes on with a call whose attempt has an outcome.
func (k *Call) ended(m *machine, f *frame) {
	switch e := f.call.ended; e.GetOutcome() {
	case journalv1.Outcome_OUTCOME_SUCCEEDED:
		if f.unreported() {
			m.fault(f, attemptProblem(f.task, e))
			return
		}
		m.complete(f, f.call.output, "")
	case journalv1.Outcome_OUTCOME_NOT_DONE:
		if f.call.overdue {
			m.fault(f, timeoutProblem(f.task.Ref, "no adapter was there for it within the time of startWithin"))
			return
		}
		k.schedule(m, f)
	case journalv1.Outcome_OUTCOME_FAILED, journalv1.Outcome_OUTCOME_IN_DOUBT, journalv1.Outcome_OUTCOME_UNSPECIFIED:
		m.fault(f, attemptProblem(f.task, e))
	}
}
