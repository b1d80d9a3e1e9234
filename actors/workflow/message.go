package workflow

import (
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/nodev1"
)

// CommandOf is the command that a message between actors is; nil if it is none by itself, as an Accept or a HandOver.
func CommandOf(e *nodev1.Envelope) Command {
	switch m := e.GetMessage().(type) {
	case *nodev1.Envelope_Start:
		return Start{}
	case *nodev1.Envelope_TaskResult:
		return ResultMessage{m.TaskResult}
	case *nodev1.Envelope_Sent:
		s := m.Sent
		return Sent{Key: s.GetKey(), Attempt: s.GetAttempt(), Ledger: s.GetLedger(), MaybeStarted: s.GetMaybeStarted()}
	case *nodev1.Envelope_Lost:
		l := m.Lost
		return Lost{
			Key: l.GetKey(), Attempt: l.GetAttempt(), Process: l.GetProcess(), Alone: l.GetAlone(), Suspect: l.GetSuspect(),
		}
	case *nodev1.Envelope_Found:
		f := m.Found
		return Found{Key: f.GetKey(), Attempt: f.GetAttempt(), Process: f.GetProcess(), Kept: f.GetKept()}
	case *nodev1.Envelope_GoesOn:
		return GoesOn{Key: m.GoesOn.GetKey(), Attempt: m.GoesOn.GetAttempt()}
	case *nodev1.Envelope_Refuse:
		return Refuse{Order: m.Refuse.GetOrder(), Error: m.Refuse.GetError()}
	case *nodev1.Envelope_ChildResult:
		return childResultOf(m.ChildResult)
	case *nodev1.Envelope_Emitted:
		return Emitted{Frame: m.Emitted.GetFrame()}
	case *nodev1.Envelope_Known:
		return Known{Listener: m.Known.GetListener()}
	case *nodev1.Envelope_Forgotten:
		return Forgotten{Listener: m.Forgotten.GetListener()}
	case *nodev1.Envelope_Offer:
		return Offered{Listener: m.Offer.GetListener(), Sequence: m.Offer.GetSequence(), Event: m.Offer.GetEvent()}
	case *nodev1.Envelope_Told:
		return Told{Version: messages.Version(m.Told.GetVersion())}
	}
	return operationOf(e)
}

// ResultMessage is a TaskResult as it comes from an activity. It is made without an allocation.
type ResultMessage struct{ *nodev1.TaskResult }

func (ResultMessage) isCommand() {}

func (m ResultMessage) command() TaskResult {
	r := m.TaskResult
	return TaskResult{
		Key: r.GetKey(), Attempt: r.GetAttempt(), Activity: r.GetActivity(), Process: r.GetProcess(), Ledger: r.GetLedger(),
		Outcome: r.GetOutcome(), Output: r.GetOutput(), Error: r.GetError(),
	}
}

// operationOf is what an operator or a client tells an order.
func operationOf(e *nodev1.Envelope) Command {
	switch m := e.GetMessage().(type) {
	case *nodev1.Envelope_Cancel:
		c := m.Cancel
		return Cancel{Compensate: c.GetCompensate(), By: c.GetBy(), Reason: c.GetReason(), Later: c.GetLater()}
	case *nodev1.Envelope_Fault:
		return Fault{Error: m.Fault.GetError(), By: m.Fault.GetBy(), Reason: m.Fault.GetReason()}
	case *nodev1.Envelope_Complete:
		return Complete{Output: m.Complete.GetOutput(), By: m.Complete.GetBy(), Reason: m.Complete.GetReason()}
	case *nodev1.Envelope_Reopen:
		r := m.Reopen
		return Reopen{
			How: r.GetHow(), Task: r.GetTask(), Value: r.Value, NotDone: r.GetNotDone(), Deadline: r.GetDeadline(),
			By: r.GetBy(), Reason: r.GetReason(),
		}
	case *nodev1.Envelope_Suspend:
		return Suspend{By: m.Suspend.GetBy(), Reason: m.Suspend.GetReason()}
	case *nodev1.Envelope_Resume:
		return Resume{By: m.Resume.GetBy(), Reason: m.Resume.GetReason()}
	case *nodev1.Envelope_ReleaseKey:
		return ReleaseKey{By: m.ReleaseKey.GetBy(), Reason: m.ReleaseKey.GetReason()}
	}
	return nil
}

// Message tells others how a child stands.
func (r ChildResult) Message() *nodev1.ChildResult {
	return &nodev1.ChildResult{
		Id: string(r.ID), Version: uint64(r.Version), Status: r.Status, Output: r.Output, Error: r.Error,
	}
}

func childResultOf(r *nodev1.ChildResult) ChildResult {
	return ChildResult{
		ID: messages.OrderID(r.GetId()), Version: messages.Version(r.GetVersion()), Status: r.GetStatus(),
		Output: r.GetOutput(), Error: r.GetError(),
	}
}
