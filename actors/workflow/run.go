package workflow

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/messages/problemv1"
)

// Run runs another order, a child of this one.
type Run struct {
	plain

	// Definition is what the child runs; its version may be latest.
	Definition messages.DefinitionRef
	// Input makes the child's input; nil: the task's input.
	Input Expr
	// Detached: the child is not awaited. The task leaves its input.
	Detached bool
	// Silent: the task leaves null in place of the child's output.
	Silent bool
	// OrderKey makes the child's order key, a string; nil: that of this order.
	OrderKey Expr
}

// ErrorTypeCancelled is the type of the error that a child raises which was cancelled.
const ErrorTypeCancelled = "https://holdfast.run/errors/cancelled"

// child is an order that a task runs.
type child struct {
	detached  bool // it is not awaited
	scheduled *journalv1.ChildScheduled
	input     *Value
	fault     *journalv1.ChildFaulted // the last one
	ended     *journalv1.ChildEnded
	output    *Value
}

// awaits tells whether a child of the frame has not ended.
func (f *frame) awaits() bool { return f.child != nil && f.child.ended == nil }

func (r *Run) step(m *machine, f *frame) {
	if f.child == nil {
		r.schedule(m, f)
		return
	}
	r.ended(m, f)
}

// stopped: what is late is done.
func (*Run) stopped(m *machine, f *frame) {
	if f.succeeded() {
		m.complete(f, f.kind().leaves(f), "")
		return
	}
	m.fault(f, f.stop.GetError())
}

func (r *Run) leaves(f *frame) *Value {
	switch {
	case f.child == nil:
		return f.input
	case r.Silent && !r.Detached:
		return nothing
	}
	return f.child.output
}

// again: a child that did not complete is followed by another one.
func (*Run) again(f *frame) bool { return f.failed || f.child != nil && !f.succeeded() }

// schedule schedules the child order of a task.
func (r *Run) schedule(m *machine, f *frame) {
	s := m.s
	if p := s.tooMuch(f.task); p != nil {
		m.fault(f, p)
		return
	}
	in := f.input
	if r.Input != nil {
		var err error
		if in, err = r.Input.Eval(f.input, m.argsOf(f)); err != nil {
			m.fault(f, expressionProblem(f.task, err))
			return
		}
	}
	key := s.accepted.GetOrderKey()
	if r.OrderKey != nil {
		v, err := r.OrderKey.Eval(f.input, m.argsOf(f))
		if err == nil {
			key, err = keyText(v, s.limits.Key)
		}
		if err != nil {
			m.fault(f, expressionProblem(f.task, err))
			return
		}
	}
	if depth := s.accepted.GetParent().GetDepth() + 1; depth > uint32(s.limits.Depth) { //nolint:gosec // it is small
		m.fault(f, problem(ErrorTypeRuntime, "Orders nested too deep", 500, f.task.Ref,
			fmt.Sprintf("there are %d orders above a child already; does a definition run itself?", s.limits.Depth)))
		return
	}
	e := &journalv1.ChildScheduled{
		Frame: f.id, ChildId: childID(s.accepted.GetOrderId(), s.children+1), Definition: r.Definition.String(), OrderKey: key,
	}
	if in != f.input {
		e.Input = in.JSON()
	}
	m.emit(&journalv1.Event_ChildScheduled{ChildScheduled: e})
}

// keyText returns an order key.
func keyText(v *Value, most int) (string, error) {
	x, err := v.Any()
	if err != nil {
		return "", err
	}
	key, ok := x.(string)
	switch {
	case !ok:
		return "", fmt.Errorf("the order key of the child must be a string, but is %.60s", v.JSON()) //nolint:err113 // for people
	case len(key) > most:
		return "", fmt.Errorf("the order key of the child has %d bytes, more than the limit of %d", len(key), most) //nolint:err113 // for people
	}
	return key, nil
}

// childID is the id of the n-th child of an order: the parent's and the number, or a digest where that would be too long.
func childID(parent string, n uint32) string {
	id := parent + "~" + strconv.FormatUint(uint64(n), 10)
	if len(id) > messages.MaxOrderID {
		sum := sha256.Sum256([]byte(id))
		digest := "~" + hex.EncodeToString(sum[:16])
		id = parent[:messages.MaxOrderID-len(digest)] + digest
	}
	return id
}

// childResult takes up how a child stands.
func (m *machine) childResult(c ChildResult) {
	f := m.s.byChild(string(c.ID))
	if f == nil || !f.awaits() {
		return
	}
	e := &journalv1.ChildEnded{Frame: f.id, Outcome: journalv1.Outcome_OUTCOME_FAILED, Error: childProblem(f.task, c)}
	switch {
	case f.child.detached && c.Status != orderv1.Status_STATUS_UNSPECIFIED:
		e.Outcome, e.Error = journalv1.Outcome_OUTCOME_SUCCEEDED, nil // it was accepted
	case c.Status == orderv1.Status_STATUS_PENDING:
		return
	case c.Status == orderv1.Status_STATUS_COMPLETED:
		e.Outcome, e.Output, e.Error = journalv1.Outcome_OUTCOME_SUCCEEDED, c.Output, nil
	case c.Status == orderv1.Status_STATUS_FAULTED:
		if f.child.fault.GetVersion() < uint64(c.Version) {
			m.emit(&journalv1.Event_ChildFaulted{ChildFaulted: &journalv1.ChildFaulted{
				Frame: f.id, Error: e.GetError(), Version: uint64(c.Version), Caught: m.catches(f, e.GetError()),
			}})
		}
		return
	}
	m.emit(&journalv1.Event_ChildEnded{ChildEnded: e})
}

// childProblem is the error that a child raises in its parent.
func childProblem(t *Task, c ChildResult) *problemv1.Problem {
	if c.Status == orderv1.Status_STATUS_CANCELLED {
		return problem(ErrorTypeCancelled, "Child order was cancelled", 500, t.Ref, "the order that this task runs was cancelled")
	}
	return problem(c.Error.GetType(), c.Error.GetTitle(), c.Error.GetStatus(), t.Ref, c.Error.GetDetail())
}

// catches tells whether a try around f would do something about an error.
func (m *machine) catches(f *frame, p *problemv1.Problem) bool {
	if m.s.stopping(f) {
		return false
	}
	for x := f.parent; x.task != nil && x.undo == nil; x = x.parent {
		try, ok := x.kind().(*Try)
		if !ok || x.caught != nil {
			continue
		}
		// What can't be evaluated comes up as an error, which the task raises, too.
		caught, args, err := try.catches(m, x, p)
		if err != nil {
			return true
		}
		if !caught {
			continue
		}
		if try.Catch != nil || try.Retry == nil {
			return true
		}
		if _, again, err := m.retryAt(x, try.Retry, x.input, args); again || err != nil {
			return true
		}
	}
	return false
}

// ended goes on with a task whose child has ended, or is given up.
func (r *Run) ended(m *machine, f *frame) {
	switch e := f.child.ended; {
	case e == nil:
		m.requestStop(f, &journalv1.StopRequested{Cause: journalv1.StopCause_STOP_CAUSE_FAULT, Error: f.child.fault.GetError()})
	case e.GetOutcome() == journalv1.Outcome_OUTCOME_SUCCEEDED:
		m.complete(f, r.leaves(f), "")
	default:
		m.fault(f, e.GetError())
	}
}

func (s *State) childScheduled(e *journalv1.ChildScheduled) {
	f := s.mustFrame(e.GetFrame())
	s.children++
	f.child = &child{detached: as[*Run](f.task.Kind).Detached, scheduled: e, input: optional(e.Input, f.input)}
	f.phase = phaseBlocked
}

func (s *State) childFaulted(e *journalv1.ChildFaulted) {
	f := s.mustFrame(e.GetFrame())
	f.child.fault, f.phase = e, phaseBlocked
	if e.GetCaught() {
		f.phase = phaseResult
	}
}

func (s *State) endChild(e *journalv1.ChildEnded) {
	f := s.mustFrame(e.GetFrame())
	c := f.child
	c.ended, f.phase = e, phaseResult
	if e.GetOutcome() != journalv1.Outcome_OUTCOME_SUCCEEDED {
		return
	}
	if c.output = NewValue(e.GetOutput()); f.child.detached {
		c.output = f.input
	}
	s.did(f, c.scheduled.GetChildId(), c.input, c.output, false)
}

func (s *State) byChild(id string) *frame {
	for _, f := range s.frames {
		if f.child != nil && f.child.scheduled.GetChildId() == id {
			return f
		}
	}
	return nil
}

// told notes that the order's parent knows how it has ended.
func (m *machine) told(c Told) {
	if s := m.s; s.parentUntold() && s.endVersion == c.Version {
		m.emit(&journalv1.Event_ParentTold{ParentTold: &journalv1.ParentTold{}})
	}
}

// Untold tells whether the order has ended, and its parent or a correlation slot may not know.
func (s *State) Untold() bool { return s.Ended() && len(s.deaf) > 0 || s.parentUntold() }

func (s *State) parentUntold() bool { return s.Ended() && s.awaited() && !s.told }

// awaited tells whether a parent waits for the order's end.
func (s *State) awaited() bool {
	p := s.accepted.GetParent()
	return p != nil && !p.GetDetached()
}

// Result tells how the order has ended, for its parent.
func (s *State) Result() ChildResult {
	if s.Refused() {
		return ChildResult{ID: s.ID(), Version: s.endVersion, Error: s.err}
	}
	r := ChildResult{ID: s.ID(), Version: s.endVersion, Status: s.ended, Error: s.err}
	if s.ended == orderv1.Status_STATUS_COMPLETED {
		r.Output = s.output.JSON()
	}
	return r
}

// Awaited returns the children that the order waits for.
func (s *State) Awaited() []string {
	var out []string
	for _, f := range s.frames {
		if f.awaits() {
			out = append(out, f.child.scheduled.GetChildId())
		}
	}
	return out
}

// tellParent is the effect that tells the order's parent how it has ended.
func (s *State) tellParent() TellParent {
	return TellParent{Parent: s.accepted.GetParent(), Result: s.Result()}
}

// Queues tells whether an order waits for its key: it has one, and no order above it that awaits it has it.
func Queues(o *journalv1.OrderAccepted) bool {
	return o.GetOrderKey() != "" && !slices.Contains(o.GetParent().GetTurns(), o.GetOrderKey())
}

// Key returns the key that the order waits for, has, or had; empty if it has none, or runs in the turn of another order.
func (s *State) Key() string {
	if !Queues(s.accepted) {
		return ""
	}
	return s.accepted.GetOrderKey()
}

// startChild is the effect that starts the child of a frame.
func (s *State) startChild(f *frame) StartChild {
	e, a := f.child.scheduled, s.accepted
	p := &journalv1.Parent{OrderId: a.GetOrderId(), Detached: f.child.detached, Depth: a.GetParent().GetDepth() + 1}
	if !p.GetDetached() {
		p.Turns = slices.Clone(a.GetParent().GetTurns())
		if key := s.Key(); key != "" {
			p.Turns = append(p.Turns, key)
		}
	}
	return StartChild{Order: &journalv1.OrderAccepted{
		OrderId: e.GetChildId(), Definition: e.GetDefinition(), Input: f.child.input.JSON(), OrderKey: e.GetOrderKey(),
		Priority: a.GetPriority(), Parent: p,
	}}
}

// cancelChild is the effect that has the child of a frame cancelled. What a child has done is undone, for nobody could do so
// later, unless its parent is to leave everything as it is.
func (s *State) cancelChild(f *frame) CancelChild {
	compensate := true
	for x := f; x != nil; x = x.parent {
		switch {
		case x.stop == nil:
		case x.stop.GetCause() == journalv1.StopCause_STOP_CAUSE_CANCEL:
			compensate = x.stop.GetCompensate()
		case x.stop.GetCause() == journalv1.StopCause_STOP_CAUSE_COMPLETE:
			compensate = false
		}
	}
	return CancelChild{StartChild: s.startChild(f), Compensate: compensate}
}
