package workflow

import (
	"fmt"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/messages/problemv1"
)

// Evolve applies one event. It evaluates nothing and never fails on an event that Decide made for this definition; a
// history that does not fit the definition is a broken invariant, and panics.
func (s *State) Evolve(ev *journalv1.Event) {
	s.version++
	at := ev.GetAt()
	s.lastAt = max(s.lastAt, at)
	switch e := ev.GetKind().(type) {
	case *journalv1.Event_OrderAccepted:
		s.accepted, s.acceptedAt = e.OrderAccepted, at
		s.input, s.deadline = NewValue(e.OrderAccepted.GetInput()), e.OrderAccepted.GetDeadline()
		s.next = 1
	case *journalv1.Event_OrderStarted:
		s.orderStarted(at, e.OrderStarted)
	case *journalv1.Event_StopRequested:
		s.stopRequested(e.StopRequested)
	case *journalv1.Event_LateResult:
		s.lateResult(e.LateResult)
	case *journalv1.Event_OrderCompleted:
		if s.output = optional(e.OrderCompleted.Output, nil); s.output == nil {
			s.output = s.root().last
		}
		s.end(at, orderv1.Status_STATUS_COMPLETED, nil)
	case *journalv1.Event_OrderFaulted:
		s.end(at, orderv1.Status_STATUS_FAULTED, e.OrderFaulted.GetError())
	case *journalv1.Event_OrderCancelled:
		s.reason = e.OrderCancelled.GetReason()
		s.end(at, orderv1.Status_STATUS_CANCELLED, e.OrderCancelled.GetError())
	case *journalv1.Event_KeyReleased:
		s.released = true
	case *journalv1.Event_OrderReopened:
		s.reopened(at, e.OrderReopened)
	case *journalv1.Event_OrderQueued: // it waits, as before
	case *journalv1.Event_OrderContinued:
		s.queuedSince, s.turn = 0, nil
		s.renewTimeouts(at)
	case *journalv1.Event_OrderSuspended:
		s.suspended = true
	case *journalv1.Event_OrderResumed:
		s.suspended = false
	case *journalv1.Event_ParentTold:
		s.told = true
	case *journalv1.Event_ListenerForgotten:
		delete(s.deaf, e.ListenerForgotten.GetListener())
	default:
		s.evolveTask(at, ev)
	}
}

// evolveTask applies an event that is about a frame.
func (s *State) evolveTask(at int64, ev *journalv1.Event) {
	switch e := ev.GetKind().(type) {
	case *journalv1.Event_TaskStarted:
		s.taskStarted(at, e.TaskStarted)
	case *journalv1.Event_TaskSkipped:
		p := s.mustFrame(e.TaskSkipped.GetParent())
		p.pos, p.phase, p.slowed = p.pos+1, phaseNext, 0
	case *journalv1.Event_AttemptScheduled:
		s.attemptScheduled(at, e.AttemptScheduled)
	case *journalv1.Event_AttemptOverflowed:
		s.mustFrame(e.AttemptOverflowed.GetFrame()).call.overflow = messages.Epoch(e.AttemptOverflowed.GetEpoch())
	case *journalv1.Event_AttemptSent:
		s.attemptSent(e.AttemptSent)
	case *journalv1.Event_AttemptOverdue:
		c := s.mustFrame(e.AttemptOverdue.GetFrame()).call
		c.overdue, c.goesOn = true, e.AttemptOverdue.GetGoesOn()
	case *journalv1.Event_AttemptLost:
		s.attemptLost(e.AttemptLost)
	case *journalv1.Event_AttemptFound:
		s.attemptFound(e.AttemptFound)
	case *journalv1.Event_AttemptEnded:
		s.attemptEnded(e.AttemptEnded)
	case *journalv1.Event_TaskCompleted:
		s.taskCompleted(at, e.TaskCompleted)
	case *journalv1.Event_TaskFaulted:
		s.taskFaulted(e.TaskFaulted)
	case *journalv1.Event_WaitStarted:
		s.waitStarted(e.WaitStarted)
	case *journalv1.Event_RetryScheduled:
		s.retryScheduled(at, e.RetryScheduled)
	case *journalv1.Event_RetryStarted:
		s.retryStarted(e.RetryStarted)
	case *journalv1.Event_CatchStarted:
		s.catchStarted(e.CatchStarted)
	case *journalv1.Event_CompensationStarted:
		s.compensationStarted(e.CompensationStarted)
	case *journalv1.Event_CompensationEnded:
		s.compensationEnded(e.CompensationEnded)
	case *journalv1.Event_CompensationFailed:
		s.compensationFailed(e.CompensationFailed)
	case *journalv1.Event_InquiryStarted:
		s.inquiryStarted(at, e.InquiryStarted)
	case *journalv1.Event_InquiryEnded:
		f := s.mustFrame(e.InquiryEnded.GetFrame())
		f.parent.phase = phaseNext
		s.leave(f, f.parent)
	case *journalv1.Event_ChildScheduled:
		s.childScheduled(e.ChildScheduled)
	case *journalv1.Event_ChildFaulted:
		s.childFaulted(e.ChildFaulted)
	case *journalv1.Event_ChildEnded:
		s.endChild(e.ChildEnded)
	case *journalv1.Event_LoopStarted:
		s.loopStarted(e.LoopStarted)
	case *journalv1.Event_BranchStarted:
		s.branchStarted(at, e.BranchStarted)
	case *journalv1.Event_BranchCompleted:
		s.branchCompleted(e.BranchCompleted)
	case *journalv1.Event_BranchLeft:
		s.branchLeft(e.BranchLeft)
	default:
		s.evolveEvents(ev)
	}
}

// evolveEvents applies an event that is about what is published or listened for.
func (s *State) evolveEvents(ev *journalv1.Event) {
	switch e := ev.GetKind().(type) {
	case *journalv1.Event_EmitScheduled:
		s.emitScheduled(e.EmitScheduled)
	case *journalv1.Event_EmitEnded:
		s.emitEnded(e.EmitEnded)
	case *journalv1.Event_ListenStarted:
		s.listenStarted(e.ListenStarted)
	case *journalv1.Event_ListenerKnown:
		if _, x := s.byEar(e.ListenerKnown.GetListener()); x != nil {
			x.known = true
		}
	case *journalv1.Event_EventConsumed:
		s.eventConsumed(e.EventConsumed)
	default:
		panic(fmt.Sprintf("version %d is an event of unknown kind %T", s.version, e))
	}
}

func (s *State) mustFrame(id uint32) *frame {
	f := s.frame(id)
	if f == nil {
		panic(fmt.Sprintf("version %d is about frame %d, which was not entered or was left", s.version, id))
	}
	return f
}

func (s *State) orderStarted(at int64, e *journalv1.OrderStarted) {
	s.startedAt, s.queuedSince, s.turn = at, 0, nil
	s.timeout, s.timeoutAt = lengthOf(at, e.GetTimeoutAt()), e.GetTimeoutAt()
	in := optional(e.Input, s.input)
	s.context = in
	var root struct { // one allocation, also for the frames of most orders
		frame

		branch branch
		frames [4]*frame
	}
	root.frame = frame{branch: &root.branch, startedAt: at, raw: s.input, input: in, list: s.def.Do, last: in, phase: phaseNext}
	s.frames = append(append(root.frames[:0], s.frames...), &root.frame)
}

func (s *State) taskStarted(at int64, e *journalv1.TaskStarted) {
	p := s.mustFrame(e.GetParent())
	t := s.def.Tasks[e.GetTask()]
	if t == nil {
		panic(fmt.Sprintf("version %d is about task %s, which the definition does not have", s.version, e.GetTask()))
	}
	f := &frame{
		id: e.GetFrame(), parent: p, task: t, startedAt: at,
		timeout: lengthOf(at, e.GetTimeoutAt()), timeoutAt: e.GetTimeoutAt(),
		raw: p.last, input: optional(e.Input, p.last),
	}
	t.Kind.enter(s, f, e)
	if p.undo != nil {
		p.undo.entered = true
		p.undo.of.begun = p.undo.of.begun || !p.undo.of.doubt
		p.fallen = nil // of an inquiry that found nothing out
	}
	s.enter(f)
}

// enter adds a frame, which its parent waits for.
func (s *State) enter(f *frame) {
	f.parent.phase, f.parent.slowed = phaseBlocked, 0
	s.next = f.id + 1
	s.frames = append(s.frames, f)
}

func (s *State) taskCompleted(at int64, e *journalv1.TaskCompleted) {
	f := s.mustFrame(e.GetFrame())
	out := optional(e.Output, f.kind().leaves(f))
	if e.Context != nil {
		s.context = NewValue(e.Context)
	}
	p := f.parent
	then := e.GetThen()
	if f.task.Extended && then != thenEnd {
		p.own().then, then = then, thenContinue
	}
	if then == thenEnd {
		p = p.home()
		p.pos, p.branch.ends = len(p.list.Tasks), p.parent != nil
	} else {
		p.pos = target(p.list, f.task, then)
	}
	if f.branches != nil {
		s.visits[f.place()].over = true
		s.forgetVisits(f)
	}
	if !f.task.Beside || then == thenExit || then == thenEnd {
		p.last = out
	}
	p.phase = phaseNext
	s.leave(f, p)
	if p.list.goesBack(f.task, then) {
		s.wentBack(at, p)
	}
	if p.slowed = e.GetSlowedUntil(); p.slowed != 0 {
		p.phase = phaseBlocked
	}
}

// The flow directives.
const (
	thenContinue = "continue"
	thenExit     = "exit"
	thenEnd      = "end"
)

// target returns the position in the list where a flow directive leads.
func target(l *List, from *Task, then string) int {
	switch then {
	case "", thenContinue:
		return from.Index + 1
	case thenExit:
		return len(l.Tasks)
	}
	return l.ByName[then]
}

func (s *State) taskFaulted(e *journalv1.TaskFaulted) {
	f := s.mustFrame(e.GetFrame())
	if len(f.fallen) == 0 { // else the error has come up from inside
		f.failed = f.stop == nil
	}
	f.unwinding = false
	p := f.parent
	if p.branches != nil {
		s.branchFaulted(f, e.GetError())
		return
	}
	p.fallen, p.raised, p.phase = s.fall(f), e.GetError(), phaseRaised
}

// leave drops f with all inside it, and whatever else is inside of the frame that goes on.
func (s *State) leave(f, goesOn *frame) {
	s.drop(func(x *frame) bool {
		return x != goesOn && x.inside(goesOn) && (goesOn != f.parent || x.inside(f))
	})
}

func (s *State) end(at int64, status orderv1.Status, err *problemv1.Problem) {
	s.ended, s.endedAt, s.endVersion, s.told, s.err = status, at, s.version, false, err
	s.suspended = false
	if s.Faulted() {
		if r := s.root(); r != nil {
			s.frames = s.fall(r)
		}
		s.drop(func(f *frame) bool { return f.inquiry != nil })
		s.keepLate()
		return
	}
	s.drop(func(*frame) bool { return true })
	s.frames, s.done, s.deeds, s.later = nil, nil, nil, nil
}

// lengthOf returns how long a timeout is that was set at a time.
func lengthOf(at, timeoutAt int64) int64 {
	if timeoutAt == 0 {
		return 0
	}
	return timeoutAt - at
}
