package view

import (
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/holdfast-run/holdfast/messages/eventtype"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
)

// isEnd tells whether an order has ended with an event of a type.
func isEnd(t orderv1.EventType) bool {
	return t == eventtype.OrderCompleted || t == eventtype.OrderFaulted || t == eventtype.OrderCancelled
}

// task is a task that an order has entered; events name it by the number of its frame.
type task struct {
	ref, activity, key, child string
	attempt                   uint32
}

// historyEvent makes of an event what people and programs are told.
func historyEvent(ev *journalv1.Event, tasks map[uint32]task) *orderv1.HistoryEvent {
	h := &orderv1.HistoryEvent{At: timestamppb.New(time.Unix(0, ev.GetAt()))}
	taskEvent(h, ev, tasks)
	h.Type = eventtype.Name(h.GetEventType())
	return h
}

// taskEvent tells of the order and its tasks.
func taskEvent(h *orderv1.HistoryEvent, ev *journalv1.Event, tasks map[uint32]task) {
	of := func(frame uint32) { h.Task = tasks[frame].ref }
	switch e := ev.GetKind().(type) {
	case *journalv1.Event_OrderAccepted:
		h.EventType, h.Data = eventtype.OrderAccepted, e.OrderAccepted.GetInput()
	case *journalv1.Event_OrderStarted:
		h.EventType, h.Data, h.Due = eventtype.OrderStarted, e.OrderStarted.GetInput(), stamp(e.OrderStarted.GetTimeoutAt())
	case *journalv1.Event_TaskStarted:
		tasks[e.TaskStarted.GetFrame()] = task{ref: e.TaskStarted.GetTask()}
		of(e.TaskStarted.GetFrame())
		h.EventType, h.Data, h.Due = eventtype.TaskStarted, e.TaskStarted.GetInput(), stamp(e.TaskStarted.GetTimeoutAt())
	case *journalv1.Event_TaskSkipped:
		h.EventType, h.Task = eventtype.TaskSkipped, e.TaskSkipped.GetTask()
	case *journalv1.Event_TaskCompleted:
		of(e.TaskCompleted.GetFrame())
		h.EventType, h.Data = eventtype.TaskCompleted, e.TaskCompleted.GetOutput()
		h.Due, h.Reason = stamp(e.TaskCompleted.GetSlowedUntil()), slowed(e.TaskCompleted.GetSlowedUntil() != 0)
	case *journalv1.Event_TaskFaulted:
		of(e.TaskFaulted.GetFrame())
		h.EventType, h.Error = eventtype.TaskFaulted, e.TaskFaulted.GetError()
	case *journalv1.Event_StopRequested:
		of(e.StopRequested.GetFrame())
		h.EventType, h.Due, h.Compensate = eventtype.StopRequested, stamp(e.StopRequested.GetUntil()), e.StopRequested.GetCompensate()
		h.Error, h.By, h.Reason = e.StopRequested.GetError(), e.StopRequested.GetBy(), e.StopRequested.GetReason()
	case *journalv1.Event_LateResult:
		l := e.LateResult
		h.EventType, h.Task, h.Key, h.Attempt = eventtype.ResultLate, l.GetTask(), l.GetKey(), l.GetAttempt()
		h.Data, h.Error = l.GetOutput(), l.GetError()
	case *journalv1.Event_OrderCompleted:
		h.EventType, h.Data = eventtype.OrderCompleted, e.OrderCompleted.GetOutput()
		h.By, h.Reason = e.OrderCompleted.GetBy(), e.OrderCompleted.GetReason()
	case *journalv1.Event_OrderFaulted:
		h.EventType, h.Error = eventtype.OrderFaulted, e.OrderFaulted.GetError()
		h.By, h.Reason = e.OrderFaulted.GetBy(), e.OrderFaulted.GetReason()
	case *journalv1.Event_OrderCancelled:
		h.EventType, h.By, h.Reason = eventtype.OrderCancelled, e.OrderCancelled.GetBy(), e.OrderCancelled.GetReason()
		h.Error = e.OrderCancelled.GetError()
	default:
		waitEvent(h, ev, tasks)
	}
}

// waitEvent tells of waits, and of errors that were caught.
func waitEvent(h *orderv1.HistoryEvent, ev *journalv1.Event, tasks map[uint32]task) {
	of := func(frame uint32) { h.Task = tasks[frame].ref }
	switch e := ev.GetKind().(type) {
	case *journalv1.Event_WaitStarted:
		of(e.WaitStarted.GetFrame())
		h.EventType, h.Due = eventtype.WaitStarted, stamp(e.WaitStarted.GetDue())
	case *journalv1.Event_RetryScheduled:
		of(e.RetryScheduled.GetFrame())
		h.EventType, h.Due, h.Error = eventtype.RetryScheduled, stamp(e.RetryScheduled.GetDue()), e.RetryScheduled.GetError()
		h.Reason = slowed(e.RetryScheduled.GetSlowed())
	case *journalv1.Event_RetryStarted:
		of(e.RetryStarted.GetFrame())
		h.EventType, h.Due = eventtype.RetryStarted, stamp(e.RetryStarted.GetTimeoutAt())
	case *journalv1.Event_CatchStarted:
		of(e.CatchStarted.GetFrame())
		h.EventType, h.Error = eventtype.CatchStarted, e.CatchStarted.GetError()
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
		h.EventType, h.Data, h.Due = eventtype.AttemptScheduled, a.GetInput(), stamp(a.GetDeadline())
	case *journalv1.Event_AttemptOverflowed:
		of(e.AttemptOverflowed.GetFrame())
		h.EventType = eventtype.AttemptOverflowed
	case *journalv1.Event_AttemptSent:
		of(e.AttemptSent.GetFrame())
		h.EventType, h.Ledger, h.MaybeStarted = eventtype.AttemptSent, e.AttemptSent.GetLedger(), e.AttemptSent.GetMaybeStarted()
	case *journalv1.Event_AttemptLost:
		l := e.AttemptLost
		of(l.GetFrame())
		h.EventType, h.Process, h.Alone, h.Suspect = eventtype.AttemptLost, l.GetProcess(), l.GetAlone(), l.GetSuspect()
	case *journalv1.Event_AttemptFound:
		of(e.AttemptFound.GetFrame())
		h.EventType, h.Process, h.Kept = eventtype.AttemptFound, e.AttemptFound.GetProcess(), e.AttemptFound.GetKept()
	case *journalv1.Event_AttemptOverdue:
		of(e.AttemptOverdue.GetFrame())
		if h.EventType = eventtype.AttemptOverdue; e.AttemptOverdue.GetGoesOn() {
			h.EventType = eventtype.AttemptGoesOn
		}
	case *journalv1.Event_InquiryStarted:
		i := e.InquiryStarted
		tasks[i.GetFrame()] = task{ref: i.GetTask(), key: i.GetKey()}
		of(i.GetFrame())
		h.EventType, h.Key = eventtype.InquiryStarted, i.GetKey()
	case *journalv1.Event_InquiryEnded:
		of(e.InquiryEnded.GetFrame())
		h.EventType, h.Key = eventtype.InquiryEnded, tasks[e.InquiryEnded.GetFrame()].key
	case *journalv1.Event_AttemptEnded:
		of(e.AttemptEnded.GetFrame())
		h.EventType, h.Data, h.Error = outcome(e.AttemptEnded.GetOutcome()), e.AttemptEnded.GetOutput(), e.AttemptEnded.GetError()
		h.Due, h.Reason = stamp(e.AttemptEnded.GetSlowedUntil()), slowed(e.AttemptEnded.GetSlowedUntil() != 0)
	default:
		familyEvent(h, ev, tasks)
	}
}

// familyEvent tells what has to do with a child order, or with the parent.
func familyEvent(h *orderv1.HistoryEvent, ev *journalv1.Event, tasks map[uint32]task) {
	of := func(frame uint32) { h.Task, h.ChildId = tasks[frame].ref, tasks[frame].child }
	switch e := ev.GetKind().(type) {
	case *journalv1.Event_ChildScheduled:
		t := tasks[e.ChildScheduled.GetFrame()]
		t.child = e.ChildScheduled.GetChildId()
		tasks[e.ChildScheduled.GetFrame()] = t
		of(e.ChildScheduled.GetFrame())
		h.EventType, h.Data = eventtype.ChildScheduled, e.ChildScheduled.GetInput()
	case *journalv1.Event_ChildFaulted:
		of(e.ChildFaulted.GetFrame())
		h.EventType, h.Error = eventtype.ChildFaulted, e.ChildFaulted.GetError()
	case *journalv1.Event_ChildEnded:
		of(e.ChildEnded.GetFrame())
		h.EventType, h.Data, h.Error = eventtype.ChildEnded, e.ChildEnded.GetOutput(), e.ChildEnded.GetError()
	case *journalv1.Event_ParentTold:
		h.EventType = eventtype.ParentTold
	default:
		branchEvent(h, ev, tasks)
	}
}

// branchEvent tells of the branches of a task. Each is told with the task that runs it.
func branchEvent(h *orderv1.HistoryEvent, ev *journalv1.Event, tasks map[uint32]task) {
	of := func(frame uint32) { h.Task = tasks[frame].ref }
	switch e := ev.GetKind().(type) {
	case *journalv1.Event_LoopStarted:
		of(e.LoopStarted.GetFrame())
		h.EventType, h.Data = eventtype.LoopStarted, e.LoopStarted.GetItems()
	case *journalv1.Event_BranchStarted:
		tasks[e.BranchStarted.GetFrame()] = task{ref: tasks[e.BranchStarted.GetParent()].ref}
		of(e.BranchStarted.GetFrame())
		h.EventType = eventtype.BranchStarted
	case *journalv1.Event_BranchCompleted:
		of(e.BranchCompleted.GetFrame())
		h.EventType = eventtype.BranchCompleted
	case *journalv1.Event_BranchLeft:
		of(e.BranchLeft.GetFrame())
		h.EventType = eventtype.BranchLeft
	case *journalv1.Event_CompensationFailed:
		of(e.CompensationFailed.GetFrame())
		h.EventType = eventtype.CompensationFailed
	default:
		listenEvent(h, ev, tasks)
	}
}

// listenEvent tells of events that are published and listened for.
func listenEvent(h *orderv1.HistoryEvent, ev *journalv1.Event, tasks map[uint32]task) {
	of := func(frame uint32) { h.Task = tasks[frame].ref }
	switch e := ev.GetKind().(type) {
	case *journalv1.Event_EmitScheduled:
		of(e.EmitScheduled.GetFrame())
		h.EventType, h.Data = eventtype.EmitScheduled, e.EmitScheduled.GetEvent()
	case *journalv1.Event_EmitEnded:
		of(e.EmitEnded.GetFrame())
		h.EventType = eventtype.EmitEnded
	case *journalv1.Event_ListenStarted:
		of(e.ListenStarted.GetFrame())
		h.EventType = eventtype.ListenStarted
	case *journalv1.Event_ListenerKnown:
		of(e.ListenerKnown.GetFrame())
		h.EventType = eventtype.ListenerKnown
	case *journalv1.Event_EventConsumed:
		of(e.EventConsumed.GetFrame())
		h.EventType, h.Data = eventtype.EventConsumed, e.EventConsumed.GetEvent()
	case *journalv1.Event_ListenerForgotten:
		h.EventType, h.Task = eventtype.ListenerForgotten, e.ListenerForgotten.GetTask()
	default:
		operatorEvent(h, ev)
	}
}

// operatorEvent tells what an operator did, and what follows from that.
func operatorEvent(h *orderv1.HistoryEvent, ev *journalv1.Event) {
	switch e := ev.GetKind().(type) {
	case *journalv1.Event_KeyReleased:
		h.EventType, h.By, h.Reason = eventtype.KeyReleased, e.KeyReleased.GetBy(), e.KeyReleased.GetReason()
	case *journalv1.Event_OrderReopened:
		h.EventType, h.By, h.Reason = reopening(e.OrderReopened.GetHow()), e.OrderReopened.GetBy(), e.OrderReopened.GetReason()
		h.Task, h.Data, h.Due = e.OrderReopened.GetTask(), e.OrderReopened.GetInput(), stamp(e.OrderReopened.GetDeadline())
		h.NotDone, h.Compensate = e.OrderReopened.GetNotDone(), e.OrderReopened.GetHow() == journalv1.Reopening_REOPENING_CANCEL
		if e.OrderReopened.GetHow() == journalv1.Reopening_REOPENING_SKIP {
			h.Data = e.OrderReopened.GetOutput()
		}
	case *journalv1.Event_CompensationStarted:
		h.EventType, h.Task, h.Key = eventtype.CompensationStarted, e.CompensationStarted.GetTask(), e.CompensationStarted.GetKey()
	case *journalv1.Event_CompensationEnded:
		h.EventType, h.Task, h.Key = eventtype.CompensationEnded, e.CompensationEnded.GetTask(), e.CompensationEnded.GetKey()
	case *journalv1.Event_OrderQueued:
		h.EventType = eventtype.OrderQueued
	case *journalv1.Event_OrderContinued:
		h.EventType = eventtype.OrderContinued
	case *journalv1.Event_OrderSuspended:
		h.EventType, h.By, h.Reason = eventtype.OrderSuspended, e.OrderSuspended.GetBy(), e.OrderSuspended.GetReason()
	case *journalv1.Event_OrderResumed:
		h.EventType, h.By, h.Reason = eventtype.OrderResumed, e.OrderResumed.GetBy(), e.OrderResumed.GetReason()
	}
}

func reopening(how journalv1.Reopening) orderv1.EventType {
	switch how {
	case journalv1.Reopening_REOPENING_SKIP:
		return eventtype.OrderSkipped
	case journalv1.Reopening_REOPENING_RESTART:
		return eventtype.OrderRestarted
	case journalv1.Reopening_REOPENING_CANCEL:
		return eventtype.OrderCancelling
	case journalv1.Reopening_REOPENING_RETRY, journalv1.Reopening_REOPENING_UNSPECIFIED:
	}
	return eventtype.OrderRetried
}

func outcome(o journalv1.Outcome) orderv1.EventType {
	switch o {
	case journalv1.Outcome_OUTCOME_SUCCEEDED:
		return eventtype.AttemptSucceeded
	case journalv1.Outcome_OUTCOME_FAILED:
		return eventtype.AttemptFailed
	case journalv1.Outcome_OUTCOME_NOT_DONE:
		return eventtype.AttemptNotDone
	case journalv1.Outcome_OUTCOME_IN_DOUBT, journalv1.Outcome_OUTCOME_UNSPECIFIED:
	}
	return eventtype.AttemptInDoubt
}
