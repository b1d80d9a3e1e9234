package workflow

import (
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/messages/problemv1"
)

// payload is how many bytes an event has of what users give: payloads and errors. The rest of it is small.
func payload(ev *journalv1.Event) int {
	switch e := ev.GetKind().(type) {
	case *journalv1.Event_OrderAccepted:
		return len(e.OrderAccepted.GetInput())
	case *journalv1.Event_OrderStarted:
		return len(e.OrderStarted.GetInput())
	case *journalv1.Event_TaskStarted:
		return len(e.TaskStarted.GetInput()) + len(e.TaskStarted.GetBody())
	case *journalv1.Event_AttemptScheduled:
		return len(e.AttemptScheduled.GetInput())
	case *journalv1.Event_AttemptEnded:
		return len(e.AttemptEnded.GetOutput()) + words(e.AttemptEnded.GetError())
	case *journalv1.Event_TaskCompleted:
		return len(e.TaskCompleted.GetOutput()) + len(e.TaskCompleted.GetContext())
	case *journalv1.Event_TaskFaulted:
		return words(e.TaskFaulted.GetError())
	case *journalv1.Event_RetryScheduled:
		return words(e.RetryScheduled.GetError())
	case *journalv1.Event_CatchStarted:
		return words(e.CatchStarted.GetError())
	case *journalv1.Event_LoopStarted:
		return len(e.LoopStarted.GetItems())
	case *journalv1.Event_ChildScheduled:
		return len(e.ChildScheduled.GetInput())
	case *journalv1.Event_ChildEnded:
		return len(e.ChildEnded.GetOutput()) + words(e.ChildEnded.GetError())
	case *journalv1.Event_EmitScheduled:
		return len(e.EmitScheduled.GetEvent())
	case *journalv1.Event_EventConsumed:
		return len(e.EventConsumed.GetEvent())
	case *journalv1.Event_OrderReopened:
		return len(e.OrderReopened.GetInput()) + len(e.OrderReopened.GetOutput())
	case *journalv1.Event_OrderCompleted:
		return len(e.OrderCompleted.GetOutput())
	case *journalv1.Event_OrderFaulted:
		return words(e.OrderFaulted.GetError())
	}
	return 0
}

func words(p *problemv1.Problem) int {
	return len(p.GetType()) + len(p.GetTitle()) + len(p.GetDetail()) + len(p.GetInstance())
}
