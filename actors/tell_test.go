package actors_test

import (
	"fmt"

	"github.com/holdfast-run/holdfast/actors/failure"
	"github.com/holdfast-run/holdfast/actors/view"
	"github.com/holdfast-run/holdfast/actors/workflow"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/messages/nodev1"
)

// await has a waiter told of an order without a key.
func (n *node) await(id messages.OrderID, x *view.Waiter) (forget func()) {
	return n.View().Add(messages.PartitionOf(id, ""), id, x)
}

// hand hands an order over, and does not wait for the answer.
func (n *node) hand(o *journalv1.OrderAccepted, answer func(error)) {
	n.Submit(o, nodev1.Wanted_WANTED_ACCEPTED, func(a *nodev1.Answer) { answer(failure.Err(a.GetFailure())) })
}

// tell has an operator do something to an order, and does not wait for the answer.
func (n *node) tell(id messages.OrderID, cmd workflow.Command, answer func(error)) {
	n.Tell(n.t.Context(), id, envelope(cmd), func(a *nodev1.Answer) { answer(failure.Err(a.GetFailure())) })
}

// operate has an operator do something to an order.
func (n *node) operate(id string, cmd workflow.Command) error {
	n.t.Helper()
	answer := make(chan error, 2)
	n.tell(messages.OrderID(id), cmd, func(err error) { answer <- err })
	err := <-answer
	settle()
	return err
}

func (n *node) mustOperate(id string, cmd workflow.Command) {
	n.t.Helper()
	if err := n.operate(id, cmd); err != nil {
		n.t.Fatalf("%T of %s: %v", cmd, id, err)
	}
}

// envelope is the message that a command is.
func envelope(cmd workflow.Command) *nodev1.Envelope {
	e := &nodev1.Envelope{}
	switch c := cmd.(type) {
	case workflow.Cancel:
		e.Message = &nodev1.Envelope_Cancel{Cancel: &nodev1.Cancel{Compensate: c.Compensate, By: c.By, Reason: c.Reason, Later: c.Later}}
	case workflow.Fault:
		e.Message = &nodev1.Envelope_Fault{Fault: &nodev1.Fault{Error: c.Error, By: c.By, Reason: c.Reason}}
	case workflow.Complete:
		e.Message = &nodev1.Envelope_Complete{Complete: &nodev1.Complete{Output: c.Output, By: c.By, Reason: c.Reason}}
	case workflow.Reopen:
		e.Message = &nodev1.Envelope_Reopen{Reopen: &nodev1.Reopen{
			How: c.How, Task: c.Task, Value: c.Value, NotDone: c.NotDone, Deadline: c.Deadline, By: c.By, Reason: c.Reason,
		}}
	case workflow.Suspend:
		e.Message = &nodev1.Envelope_Suspend{Suspend: &nodev1.Suspend{By: c.By, Reason: c.Reason}}
	case workflow.Resume:
		e.Message = &nodev1.Envelope_Resume{Resume: &nodev1.Resume{By: c.By, Reason: c.Reason}}
	case workflow.ReleaseKey:
		e.Message = &nodev1.Envelope_ReleaseKey{ReleaseKey: &nodev1.ReleaseKey{By: c.By, Reason: c.Reason}}
	default:
		panic(fmt.Sprintf("command %T is told to no order from outside", cmd))
	}
	return e
}
