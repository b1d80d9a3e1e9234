package workflow

import (
	"fmt"
	"slices"

	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/messages/problemv1"
)

// advance goes on until everything waits, the order has ended, or the decision is long enough.
func (m *machine) advance() {
	limits := m.s.limits
	for steps := 0; steps < limits.Steps && m.bytes < limits.Bytes && m.spent < limits.Evaluation && !m.s.Ended(); steps++ {
		f := m.s.runnable(m.only)
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

// runnable returns a frame that can go on without anybody's doing; nil if none can. Of several branches that can, the first goes
// on until it waits, or goes back: then it is the turn of those that did so longer ago. Only those count that are in a branch, or
// around it; nil: all.
func (s *State) runnable(only *frame) *frame {
	if r := s.root(); s.Ended() || s.Suspended() || s.queuedSince != 0 && (!s.stopping(r) || s.mustUndo(r) != nil) {
		return nil
	}
	var next *frame
	for _, f := range s.frames {
		if !s.canGoOn(f) || only != nil && !f.inside(only) && !only.inside(f) {
			continue
		}
		turn := f.home().branch.turn
		if next == nil || turn < next.home().branch.turn {
			next = f
		}
		if turn == 0 {
			break
		}
	}
	return next
}

// canGoOn tells whether a frame can go on without anybody's doing. One that is being left can once nothing inside is under way. What
// is inside of it can't, unless it undoes something first.
func (s *State) canGoOn(f *frame) bool {
	if f.phase == phaseBlocked && f.stop == nil {
		return false
	}
	u := f
	for u != nil && !u.unwinds() {
		u = u.parent
	}
	stops := func(x *frame) bool {
		return x.stop != nil && (u == nil || !u.inside(x) || !waits(x.stop.GetCause()))
	}
	for x := f.parent; x != nil; x = x.parent {
		if stops(x) {
			return false
		}
	}
	if stops(f) {
		return s.leaves(f) && !slices.ContainsFunc(s.frames, func(x *frame) bool { return x.underWay() && x.inside(f) })
	}
	return f.phase != phaseBlocked
}

// step takes one step of one frame. Each step makes at least one event.
func (m *machine) step(f *frame) {
	switch {
	case m.s.leaves(f):
		f.kind().stopped(m, f)
	case f.phase == phaseRaised:
		f.does().handle(m, f, f.raised)
	default:
		f.does().step(m, f)
	}
}

// enter enters a task of a list, or skips it.
func (m *machine) enter(p *frame, t *Task) {
	raw := p.last
	e := &journalv1.TaskStarted{Frame: m.s.next, Parent: p.id, Task: t.Ref}
	args := m.taskArgs(p, t, raw, m.now.UnixNano())
	fail := func(err *problemv1.Problem) {
		e.Input, e.Body, e.TimeoutAt = nil, nil, 0
		m.emit(&journalv1.Event_TaskStarted{TaskStarted: e})
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
			m.emit(&journalv1.Event_TaskSkipped{TaskSkipped: &journalv1.TaskSkipped{Parent: p.id, Task: t.Ref}})
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
	if do, ok := t.Kind.(*Do); ok && do.Input != nil {
		body, err := do.Input.Eval(in, args)
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
	m.emit(&journalv1.Event_TaskStarted{TaskStarted: e})
}

// complete ends a task well. then overrides the task's own directive, if it is not empty.
func (m *machine) complete(f *frame, out *Value, then string) {
	e, p := m.completion(f, out, then)
	if p != nil {
		m.fault(f, p)
		return
	}
	if !f.task.Extended && f.parent.list.goesBack(f.task, e.GetThen()) {
		e.SlowedUntil = m.slowedIn(f.parent)
	}
	m.emit(&journalv1.Event_TaskCompleted{TaskCompleted: e})
}

// completion finds out how a task would end whose work leaves out.
func (m *machine) completion(f *frame, out *Value, then string) (*journalv1.TaskCompleted, *problemv1.Problem) {
	t, args := f.task, m.argsOf(f)
	args.Task.Output = out
	e := &journalv1.TaskCompleted{Frame: f.id, Then: then}
	if then == "" {
		e.Then = t.Then
	}
	left := f.kind().leaves(f)
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
	m.emit(&journalv1.Event_TaskFaulted{TaskFaulted: &journalv1.TaskFaulted{Frame: f.id, Error: p}})
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
	m.unique.m = m
	m.args = Args{
		Context:  s.context,
		Workflow: WorkflowArg{ID: s.ID(), Definition: s.def, Input: s.input, StartedAt: started},
		Now:      m.now.UnixNano(), Unique: &m.unique,
		Meter: &m.meter,
	}
	return &m.args
}

// taskArgs makes the arguments for a task about to be entered in p.
func (m *machine) taskArgs(p *frame, t *Task, raw *Value, startedAt int64) *Args {
	a := m.workflowArgs()
	m.task = TaskArg{Task: t, Input: raw, StartedAt: startedAt}
	if t.Of != nil {
		m.task.Task = t.Of
	}
	a.Task = &m.task
	for f := p; f != nil; f = f.parent {
		switch {
		case f.caught != nil:
			a.Vars = append([]Var{{Name: as[*Try](f.kind()).As, Value: problemValue(f.caught)}}, a.Vars...)
		case f.branch != nil:
			a.Vars = append(slices.Clone(f.branch.vars), a.Vars...)
		}
	}
	return a
}

func (m *machine) argsOf(f *frame) *Args {
	a := m.taskArgs(f.parent, f.task, f.raw, f.startedAt)
	a.Input = f.input
	return a
}
