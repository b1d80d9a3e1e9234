package view

import (
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
)

func isEnd(typ string) bool {
	return typ == "order.completed" || typ == "order.faulted" || typ == "order.cancelled"
}

// task is what a frame number stands for.
type task struct {
	ref, activity, key, child string
	attempt                   uint32
}

// historyEvent tells one event to people and programs.
func historyEvent(ev *journalv1.Event, tasks map[uint32]task) *orderv1.HistoryEvent {
	h := &orderv1.HistoryEvent{At: timestamppb.New(time.Unix(0, ev.GetAt()))}
	of := func(frame uint32) { h.Task = tasks[frame].ref }
	switch e := ev.GetKind().(type) {
	case *journalv1.Event_OrderAccepted:
		h.Type, h.Data = "order.accepted", e.OrderAccepted.GetInput()
	case *journalv1.Event_OrderStarted:
		h.Type, h.Data, h.Due = "order.started", e.OrderStarted.GetInput(), stamp(e.OrderStarted.GetTimeoutAt())
	case *journalv1.Event_TaskStarted:
		tasks[e.TaskStarted.GetFrame()] = task{ref: e.TaskStarted.GetTask()}
		of(e.TaskStarted.GetFrame())
		h.Type, h.Data, h.Due = "task.started", e.TaskStarted.GetInput(), stamp(e.TaskStarted.GetTimeoutAt())
	case *journalv1.Event_TaskSkipped:
		h.Type, h.Task = "task.skipped", e.TaskSkipped.GetTask()
	case *journalv1.Event_TaskCompleted:
		of(e.TaskCompleted.GetFrame())
		h.Type, h.Data = "task.completed", e.TaskCompleted.GetOutput()
		h.Due, h.Reason = stamp(e.TaskCompleted.GetSlowedUntil()), slowed(e.TaskCompleted.GetSlowedUntil() != 0)
	case *journalv1.Event_TaskFaulted:
		of(e.TaskFaulted.GetFrame())
		h.Type, h.Error = "task.faulted", e.TaskFaulted.GetError()
	case *journalv1.Event_StopRequested:
		of(e.StopRequested.GetFrame())
		h.Type, h.Due, h.Compensate = "stop.requested", stamp(e.StopRequested.GetUntil()), e.StopRequested.GetCompensate()
		h.Error, h.By, h.Reason = e.StopRequested.GetError(), e.StopRequested.GetBy(), e.StopRequested.GetReason()
	case *journalv1.Event_LateResult:
		l := e.LateResult
		h.Type, h.Task, h.Key, h.Attempt, h.Data, h.Error = lateResult, l.GetTask(), l.GetKey(), l.GetAttempt(), l.GetOutput(), l.GetError()
	case *journalv1.Event_OrderCompleted:
		h.Type, h.Data = "order.completed", e.OrderCompleted.GetOutput()
		h.By, h.Reason = e.OrderCompleted.GetBy(), e.OrderCompleted.GetReason()
	case *journalv1.Event_OrderFaulted:
		h.Type, h.Error = "order.faulted", e.OrderFaulted.GetError()
		h.By, h.Reason = e.OrderFaulted.GetBy(), e.OrderFaulted.GetReason()
	case *journalv1.Event_OrderCancelled:
		h.Type, h.By, h.Reason = "order.cancelled", e.OrderCancelled.GetBy(), e.OrderCancelled.GetReason()
		h.Error = e.OrderCancelled.GetError()
	default:
		waitEvent(h, ev, tasks)
	}
	return h
}

// waitEvent tells of waits, and of errors that were caught.
func waitEvent(h *orderv1.HistoryEvent, ev *journalv1.Event, tasks map[uint32]task) {
	of := func(frame uint32) { h.Task = tasks[frame].ref }
	switch e := ev.GetKind().(type) {
	case *journalv1.Event_WaitStarted:
		of(e.WaitStarted.GetFrame())
		h.Type, h.Due = "wait.started", stamp(e.WaitStarted.GetDue())
	case *journalv1.Event_RetryScheduled:
		of(e.RetryScheduled.GetFrame())
		h.Type, h.Due, h.Error = "retry.scheduled", stamp(e.RetryScheduled.GetDue()), e.RetryScheduled.GetError()
		h.Reason = slowed(e.RetryScheduled.GetSlowed())
	case *journalv1.Event_RetryStarted:
		of(e.RetryStarted.GetFrame())
		h.Type, h.Due = "retry.started", stamp(e.RetryStarted.GetTimeoutAt())
	case *journalv1.Event_CatchStarted:
		of(e.CatchStarted.GetFrame())
		h.Type, h.Error = "catch.started", e.CatchStarted.GetError()
	default:
		attemptEvent(h, ev, tasks)
	}
}

// attemptEvent tells what happened to an attempt.
func attemptEvent(h *orderv1.HistoryEvent, ev *journalv1.Event, tasks map[uint32]task) {
	of := func(frame uint32) {
		t := tasks[frame]
		h.Task, h.Attempt, h.Key, h.Activity = t.ref, t.attempt, t.key, t.activity
	}
	switch e := ev.GetKind().(type) {
	case *journalv1.Event_AttemptScheduled:
		a := e.AttemptScheduled
		t := tasks[a.GetFrame()]
		t.activity, t.key, t.attempt = a.GetActivity(), a.GetKey(), a.GetAttempt()
		tasks[a.GetFrame()] = t
		of(a.GetFrame())
		h.Type, h.Data, h.Due = "attempt.scheduled", a.GetInput(), stamp(a.GetDeadline())
	case *journalv1.Event_AttemptOverflowed:
		of(e.AttemptOverflowed.GetFrame())
		h.Type = "attempt.overflowed"
	case *journalv1.Event_AttemptSent:
		of(e.AttemptSent.GetFrame())
		h.Type, h.Ledger, h.MaybeStarted = "attempt.sent", e.AttemptSent.GetLedger(), e.AttemptSent.GetMaybeStarted()
	case *journalv1.Event_AttemptLost:
		l := e.AttemptLost
		of(l.GetFrame())
		h.Type, h.Process, h.Alone, h.Suspect = "attempt.lost", l.GetProcess(), l.GetAlone(), l.GetSuspect()
	case *journalv1.Event_AttemptFound:
		of(e.AttemptFound.GetFrame())
		h.Type, h.Process, h.Kept = "attempt.found", e.AttemptFound.GetProcess(), e.AttemptFound.GetKept()
	case *journalv1.Event_AttemptOverdue:
		of(e.AttemptOverdue.GetFrame())
		if h.Type = "attempt.overdue"; e.AttemptOverdue.GetGoesOn() {
			h.Type = "attempt.goes_on"
		}
	case *journalv1.Event_InquiryStarted:
		i := e.InquiryStarted
		tasks[i.GetFrame()] = task{ref: i.GetTask(), key: i.GetKey()}
		of(i.GetFrame())
		h.Type, h.Key = "inquiry.started", i.GetKey()
	case *journalv1.Event_InquiryEnded:
		of(e.InquiryEnded.GetFrame())
		h.Type, h.Key = "inquiry.ended", tasks[e.InquiryEnded.GetFrame()].key
	case *journalv1.Event_AttemptEnded:
		of(e.AttemptEnded.GetFrame())
		h.Type, h.Data, h.Error = "attempt."+outcome(e.AttemptEnded.GetOutcome()), e.AttemptEnded.GetOutput(), e.AttemptEnded.GetError()
		h.Due, h.Reason = stamp(e.AttemptEnded.GetSlowedUntil()), slowed(e.AttemptEnded.GetSlowedUntil() != 0)
	default:
		familyEvent(h, ev, tasks)
	}
}

// lateResult is the type of the event that tells a result which came after its task had been left.
const lateResult = "result.late"

// familyEvent tells what has to do with a child order, or with the parent.
func familyEvent(h *orderv1.HistoryEvent, ev *journalv1.Event, tasks map[uint32]task) {
	of := func(frame uint32) { h.Task, h.ChildId = tasks[frame].ref, tasks[frame].child }
	switch e := ev.GetKind().(type) {
	case *journalv1.Event_ChildScheduled:
		t := tasks[e.ChildScheduled.GetFrame()]
		t.child = e.ChildScheduled.GetChildId()
		tasks[e.ChildScheduled.GetFrame()] = t
		of(e.ChildScheduled.GetFrame())
		h.Type, h.Data = "child.scheduled", e.ChildScheduled.GetInput()
	case *journalv1.Event_ChildFaulted:
		of(e.ChildFaulted.GetFrame())
		h.Type, h.Error = "child.faulted", e.ChildFaulted.GetError()
	case *journalv1.Event_ChildEnded:
		of(e.ChildEnded.GetFrame())
		h.Type, h.Data, h.Error = "child.ended", e.ChildEnded.GetOutput(), e.ChildEnded.GetError()
	case *journalv1.Event_ParentTold:
		h.Type = "parent.told"
	default:
		operatorEvent(h, ev)
	}
}

// operatorEvent tells what an operator did, and what follows from that.
func operatorEvent(h *orderv1.HistoryEvent, ev *journalv1.Event) {
	switch e := ev.GetKind().(type) {
	case *journalv1.Event_KeyReleased:
		h.Type, h.By, h.Reason = "key.released", e.KeyReleased.GetBy(), e.KeyReleased.GetReason()
	case *journalv1.Event_OrderReopened:
		h.Type, h.By, h.Reason = "order."+reopening(e.OrderReopened.GetHow()), e.OrderReopened.GetBy(), e.OrderReopened.GetReason()
		h.Task, h.Data, h.Due = e.OrderReopened.GetTask(), e.OrderReopened.GetInput(), stamp(e.OrderReopened.GetDeadline())
		h.NotDone, h.Compensate = e.OrderReopened.GetNotDone(), e.OrderReopened.GetHow() == journalv1.Reopening_REOPENING_CANCEL
		if e.OrderReopened.GetHow() == journalv1.Reopening_REOPENING_SKIP {
			h.Data = e.OrderReopened.GetOutput()
		}
	case *journalv1.Event_CompensationStarted:
		h.Type, h.Task, h.Key = "compensation.started", e.CompensationStarted.GetTask(), e.CompensationStarted.GetKey()
	case *journalv1.Event_CompensationEnded:
		h.Type, h.Task, h.Key = "compensation.ended", e.CompensationEnded.GetTask(), e.CompensationEnded.GetKey()
	case *journalv1.Event_OrderContinued:
		h.Type = "order.continued"
	case *journalv1.Event_OrderSuspended:
		h.Type, h.By, h.Reason = "order.suspended", e.OrderSuspended.GetBy(), e.OrderSuspended.GetReason()
	case *journalv1.Event_OrderResumed:
		h.Type, h.By, h.Reason = "order.resumed", e.OrderResumed.GetBy(), e.OrderResumed.GetReason()
	}
}

func reopening(how journalv1.Reopening) string {
	switch how {
	case journalv1.Reopening_REOPENING_SKIP:
		return "skipped"
	case journalv1.Reopening_REOPENING_RESTART:
		return "restarted"
	case journalv1.Reopening_REOPENING_CANCEL:
		return "cancelling"
	case journalv1.Reopening_REOPENING_RETRY, journalv1.Reopening_REOPENING_UNSPECIFIED:
	}
	return "retried"
}

func outcome(o journalv1.Outcome) string {
	switch o {
	case journalv1.Outcome_OUTCOME_SUCCEEDED:
		return "succeeded"
	case journalv1.Outcome_OUTCOME_FAILED:
		return "failed"
	case journalv1.Outcome_OUTCOME_NOT_DONE:
		return "not_done"
	case journalv1.Outcome_OUTCOME_IN_DOUBT, journalv1.Outcome_OUTCOME_UNSPECIFIED:
	}
	return "in_doubt"
}
