package workflow

import (
	"errors"
	"fmt"
	"time"

	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/messages/problemv1"
)

// advance goes on until everything waits, the order has ended, or the decision is long enough.
func (m *machine) advance() {
	limits := &m.s.limits
	for steps := 0; steps < limits.Steps && m.bytes < limits.Bytes && m.spent < limits.Evaluation && !m.s.Ended(); steps++ {
		f := m.s.runnable()
		if f == nil {
			return
		}
		if r := m.s.root(); m.s.version >= limits.Events && (r.stop == nil || m.s.mayWait(r)) {
			m.requestStop(r, &journalv1.StopRequested{
				Cause: journalv1.StopCause_STOP_CAUSE_FAULT, Error: problem(ErrorTypeRuntime, "History too long", 500, refOf(nil),
					fmt.Sprintf("the order has more than %d events; does it loop?", limits.Events)),
			})
			continue
		}
		m.step(f)
		m.measured()
	}
}

// runnable returns a frame that can go on without anybody's doing; nil if none can.
func (s *State) runnable() *frame {
	if r := s.root(); s.Ended() || s.Suspended() || s.queuedSince != 0 && (!s.stopping(r) || s.mustUndo(r) != nil) {
		return nil
	}
	for _, f := range s.frames {
		if s.leaves(f) {
			for _, x := range s.frames {
				if x.underWay() && x.inside(f) {
					return nil // awaited
				}
			}
			return f
		}
		if f.phase != phaseBlocked {
			return f
		}
	}
	return nil
}

// step takes one step of one frame. Each step makes at least one event.
func (m *machine) step(f *frame) {
	switch {
	case m.s.leaves(f):
		m.stopped(f)
	case f.inquiry != nil:
		m.inquire(f)
	case f.phase == phaseEnter:
		m.begin(f)
	case f.phase == phaseResult && f.child != nil:
		m.childEnded(f)
	case f.phase == phaseResult:
		m.attemptEnded(f)
	case f.phase == phaseRaised:
		m.handle(f, f.raised)
	case f.undo != nil && (f.undo.of.void || f.pos == len(f.list.Tasks)):
		m.undone(f)
	case f.undo != nil && f.undo.of.doubt && f.undo.of.asks:
		m.inquireOf(f)
	case f.pos < len(f.list.Tasks):
		m.enter(f, f.list.Tasks[f.pos])
	case f.task == nil:
		m.completeOrder(f)
	default:
		m.complete(f, f.left(), "")
	}
}

// stopped leaves a frame in which nothing is under way any more.
func (m *machine) stopped(f *frame) {
	e, d := f.stop, m.s.mustUndo(f)
	switch {
	case f.task != nil && f.unreported():
		m.fault(f, attemptProblem(f.task, f.call.ended))
	case f.task != nil && f.succeeded():
		m.complete(f, f.left(), "") // late, but done: a retry would have it done again, under another key
	case f.task != nil:
		m.fault(f, e.GetError())
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

// enter enters a task of a list, or skips it.
func (m *machine) enter(p *frame, t *Task) {
	raw := p.last
	e := &journalv1.TaskStarted{Frame: m.s.next, Parent: p.id, Task: t.Ref}
	args := m.taskArgs(p, t, raw, m.now)
	fail := func(err *problemv1.Problem) {
		e.Input, e.Body, e.TimeoutAt = nil, nil, 0
		m.emit(&journalv1.Event{Kind: &journalv1.Event_TaskStarted{TaskStarted: e}})
		m.fault(m.s.frame(e.GetFrame()), err)
	}
	if p.undo != nil && p.undo.of.doubt {
		fail(doubtProblem(p.undo.of))
		return
	}
	if t.If != nil {
		ok, err := t.If.Bool(raw, args)
		if err != nil {
			fail(expressionProblem(t, err))
			return
		}
		if !ok {
			m.emit(&journalv1.Event{Kind: &journalv1.Event_TaskSkipped{TaskSkipped: &journalv1.TaskSkipped{Parent: p.id, Task: t.Ref}}})
			return
		}
	}
	in, prob := m.prepareWith(t, t.Input, raw, args)
	if prob != nil {
		fail(prob)
		return
	}
	if in != raw {
		e.Input = in.JSON()
	}
	args.Input = in
	if t.Do != nil && t.Do.Input != nil {
		body, err := t.Do.Input.Eval(in, args)
		if err != nil {
			fail(expressionProblem(t, err))
			return
		}
		if body != in {
			e.Body = body.JSON()
		}
	}
	if t.Timeout != nil {
		at, err := t.Timeout.After(m.now, in, args)
		if err != nil {
			fail(expressionProblem(t, err))
			return
		}
		e.TimeoutAt = at.UnixNano()
	}
	m.emit(&journalv1.Event{Kind: &journalv1.Event_TaskStarted{TaskStarted: e}})
}

// begin begins the own work of a task that was entered.
func (m *machine) begin(f *frame) {
	t := f.task
	switch {
	case t.Call != nil:
		m.schedule(f)
	case t.Run != nil:
		m.runChild(f)
	case t.Set != nil:
		out, err := t.Set.Eval(f.input, m.argsOf(f))
		if err != nil {
			m.fault(f, expressionProblem(t, err))
			return
		}
		m.complete(f, out, "")
	case t.Switch != nil:
		m.choose(f)
	case t.Raise != nil:
		m.raise(f)
	case t.Wait != nil:
		at, err := t.Wait.After(m.now, f.input, m.argsOf(f))
		if err != nil {
			m.fault(f, expressionProblem(t, err))
			return
		}
		m.emit(&journalv1.Event{Kind: &journalv1.Event_WaitStarted{WaitStarted: &journalv1.WaitStarted{Frame: f.id, Due: at.UnixNano()}}})
	default:
		panic(fmt.Sprintf("task %s is of no kind", t.Ref))
	}
}

// schedule schedules the next attempt of a call.
func (m *machine) schedule(f *frame) {
	t := f.task
	in := f.input
	if p := m.s.tooMuch(t); p != nil {
		m.fault(f, p)
		return
	}
	if t.Call.With != nil {
		var err error
		if in, err = t.Call.With.Eval(f.input, m.argsOf(f)); err != nil {
			m.fault(f, expressionProblem(t, err))
			return
		}
	}
	count, n := uint32(1), uint32(1)
	if v := m.s.visits[t.Ref]; v != nil {
		count, n = v.count, v.attempt+1
		if v.over {
			count, n = v.count+1, 1
		}
	}
	e := &journalv1.AttemptScheduled{Frame: f.id, Key: m.s.keyOf(t.Ref, count), Attempt: n, Activity: t.Call.Activity, Deadline: m.s.bound(f)}
	if err := m.bounds(f, e); err != nil {
		m.fault(f, expressionProblem(t, err))
		return
	}
	if in != f.input {
		e.Input = in.JSON()
	}
	m.emit(&journalv1.Event{Kind: &journalv1.Event_AttemptScheduled{AttemptScheduled: e}})
}

// bounds computes how long an attempt may wait for an adapter, and run.
func (m *machine) bounds(f *frame, e *journalv1.AttemptScheduled) error {
	c := f.task.Call
	if c.StartWithin != nil {
		at, err := c.StartWithin.After(m.now, f.input, m.argsOf(f))
		if err != nil {
			return err
		}
		e.StartBy = at.UnixNano()
	}
	if c.RunWithin != nil {
		at, err := c.RunWithin.After(m.now, f.input, m.argsOf(f))
		if err != nil {
			return err
		}
		e.RunWithin = at.Sub(m.now).Nanoseconds()
	}
	return nil
}

// attemptEnded goes on with a call whose attempt has an outcome.
func (m *machine) attemptEnded(f *frame) {
	switch e := f.call.ended; e.GetOutcome() {
	case journalv1.Outcome_OUTCOME_SUCCEEDED:
		if f.unreported() {
			m.fault(f, attemptProblem(f.task, e))
			return
		}
		m.complete(f, f.left(), "")
	case journalv1.Outcome_OUTCOME_NOT_DONE:
		if f.call.overdue {
			m.fault(f, timeoutProblem(f.task.Ref, "no adapter was there for it within the time of startWithin"))
			return
		}
		m.schedule(f)
	case journalv1.Outcome_OUTCOME_FAILED, journalv1.Outcome_OUTCOME_IN_DOUBT, journalv1.Outcome_OUTCOME_UNSPECIFIED:
		m.fault(f, attemptProblem(f.task, e))
	}
}

func (m *machine) choose(f *frame) {
	var otherwise *Case
	for i := range f.task.Switch {
		c := &f.task.Switch[i]
		if c.When == nil {
			otherwise = c
			continue
		}
		ok, err := c.When.Bool(f.input, m.argsOf(f))
		if err != nil {
			m.fault(f, expressionProblem(f.task, err))
			return
		}
		if ok {
			m.complete(f, f.left(), c.Then)
			return
		}
	}
	if otherwise != nil {
		m.complete(f, f.left(), otherwise.Then)
		return
	}
	m.complete(f, f.left(), "")
}

func (m *machine) raise(f *frame) {
	r := f.task.Raise
	p := &problemv1.Problem{Status: r.Status, Instance: f.task.Ref}
	for _, x := range [...]struct {
		name string
		from Expr
		to   *string
	}{{"type", r.Type, &p.Type}, {"title", r.Title, &p.Title}, {"detail", r.Detail, &p.Detail}, {"instance", r.Instance, &p.Instance}} {
		if x.from == nil {
			continue
		}
		v, err := x.from.Eval(f.input, m.argsOf(f))
		if err == nil {
			*x.to, err = raised(x.name, v)
		}
		if err != nil {
			m.fault(f, expressionProblem(f.task, err))
			return
		}
	}
	m.fault(f, p)
}

// raised checks a property of an error to be raised, and returns it.
func raised(name string, v *Value) (string, error) {
	x, err := v.Any()
	if err != nil {
		return "", err
	}
	s, ok := x.(string)
	switch {
	case !ok:
		return "", fmt.Errorf("%q of the error to raise must be a string, but is %.60s", name, v.JSON())
	case name == "type" && s == "":
		return "", errors.New("\"type\" of the error to raise is empty, but must be a URI that tells what kind of error it is")
	case name == "instance" && s != "" && s[0] != '/':
		return "", fmt.Errorf("\"instance\" of the error to raise must be a JSON pointer such as \"/do/0/name\", but is %.60q", s)
	}
	return s, nil
}

// complete ends a task well. then overrides the task's own directive, if it is not empty.
func (m *machine) complete(f *frame, out *Value, then string) {
	e, p := m.completion(f, out, then)
	if p != nil {
		m.fault(f, p)
		return
	}
	if f.parent.list.goesBack(f.task, e.GetThen()) {
		e.SlowedUntil = m.slowedIn(f.parent)
	}
	m.emit(&journalv1.Event{Kind: &journalv1.Event_TaskCompleted{TaskCompleted: e}})
}

// completion finds out how a task would end whose work leaves out.
func (m *machine) completion(f *frame, out *Value, then string) (*journalv1.TaskCompleted, *problemv1.Problem) {
	t, args := f.task, m.argsOf(f)
	args.Task.Output = out
	e := &journalv1.TaskCompleted{Frame: f.id, Then: then}
	if then == "" {
		e.Then = t.Then
	}
	left := f.left()
	if t.Output.As != nil {
		var err error
		if out, err = t.Output.As.Eval(out, args); err != nil {
			return nil, expressionProblem(t, err)
		}
	}
	if t.Output.Schema != nil {
		if err := t.Output.Schema.Validate(out, &m.meter); err != nil {
			return nil, validationProblem(t, "Output", err)
		}
	}
	if out != left {
		e.Output = out.JSON()
	}
	args.Output = out
	c := m.s.context
	if t.Export.As != nil {
		var err error
		if c, err = t.Export.As.Eval(out, args); err != nil {
			return nil, expressionProblem(t, err)
		}
		e.Context = c.JSON()
	}
	if t.Export.Schema != nil {
		if err := t.Export.Schema.Validate(c, &m.meter); err != nil {
			return nil, validationProblem(t, "Exported context", err)
		}
	}
	return e, nil
}

// fault ends a task by an error, which goes to the frame that contains it.
func (m *machine) fault(f *frame, p *problemv1.Problem) {
	if p.GetInstance() == "" {
		p.Instance = refOf(f.task)
	}
	m.emit(&journalv1.Event{Kind: &journalv1.Event_TaskFaulted{TaskFaulted: &journalv1.TaskFaulted{Frame: f.id, Error: p}}})
}

func (m *machine) endFaulted(e *journalv1.OrderFaulted) {
	m.emit(&journalv1.Event{Kind: &journalv1.Event_OrderFaulted{OrderFaulted: e}})
}

func (m *machine) endCancelled(e *journalv1.OrderCancelled) {
	m.emit(&journalv1.Event{Kind: &journalv1.Event_OrderCancelled{OrderCancelled: e}})
}

func (m *machine) endCompleted(e *journalv1.OrderCompleted) {
	m.emit(&journalv1.Event{Kind: &journalv1.Event_OrderCompleted{OrderCompleted: e}})
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

// prepareInput validates and transforms the input of the order.
func (m *machine) prepareInput(t *Task, in Input, raw *Value) (*Value, *problemv1.Problem) {
	return m.prepareWith(t, in, raw, m.workflowArgs())
}

func (m *machine) prepareWith(t *Task, in Input, raw *Value, args *Args) (*Value, *problemv1.Problem) {
	if in.Schema != nil {
		if err := in.Schema.Validate(raw, &m.meter); err != nil {
			return raw, validationProblem(t, "Input", err)
		}
	}
	if in.From == nil {
		return raw, nil
	}
	v, err := in.From.Eval(raw, args)
	if err != nil {
		return raw, expressionProblem(t, err)
	}
	return v, nil
}

func (m *machine) workflowArgs() *Args {
	s := m.s
	started := s.startedAt
	if started == 0 {
		started = m.now.UnixNano()
	}
	m.meter.Turns = s.turns
	m.args = Args{
		Context:  s.context,
		Workflow: WorkflowArg{ID: s.ID(), Definition: s.def, Input: s.input, StartedAt: fromNano(started)},
		Meter:    &m.meter,
	}
	return &m.args
}

// taskArgs makes the arguments for a task about to be entered in p.
func (m *machine) taskArgs(p *frame, t *Task, raw *Value, startedAt time.Time) *Args {
	a := m.workflowArgs()
	m.task = TaskArg{Task: t, Input: raw, StartedAt: startedAt}
	a.Task = &m.task
	for f := p; f != nil; f = f.parent {
		if f.caught != nil {
			a.Vars = append([]Var{{Name: f.task.Try.As, Value: problemValue(f.caught)}}, a.Vars...)
		}
	}
	return a
}

func (m *machine) argsOf(f *frame) *Args {
	a := m.taskArgs(f.parent, f.task, f.raw, fromNano(f.startedAt))
	a.Input = f.input
	return a
}
