package actors_test

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/holdfast-run/holdfast/actors/activity"
	"github.com/holdfast-run/holdfast/actors/dispatch"
	"github.com/holdfast-run/holdfast/actors/failure"
	"github.com/holdfast-run/holdfast/actors/view"
	"github.com/holdfast-run/holdfast/actors/workflow"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/adapterv1"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/messages/nodev1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
)

// Submit hands an order over.
func (n *node) Submit(o *journalv1.OrderAccepted, answer func(error)) {
	n.Engine.Submit(o, nodev1.Wanted_WANTED_ACCEPTED, func(a *nodev1.Answer) { answer(failure.Err(a.GetFailure())) })
}

// Command tells an order something.
func (n *node) Command(ctx context.Context, id messages.OrderID, cmd workflow.Command, answer func(error)) {
	n.Tell(ctx, id, envelope(cmd), func(a *nodev1.Answer) { answer(failure.Err(a.GetFailure())) })
}

// envelope is the message that a command is.
func envelope(cmd workflow.Command) *nodev1.Envelope {
	e := &nodev1.Envelope{}
	switch c := cmd.(type) {
	case workflow.TaskResult:
		e.Message = &nodev1.Envelope_TaskResult{TaskResult: &nodev1.TaskResult{
			Key: c.Key, Attempt: c.Attempt, Activity: c.Activity, Process: c.Process, Ledger: c.Ledger, Outcome: c.Outcome,
			Output: c.Output, Error: c.Error,
		}}
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

// unloadable are the orders that can't be loaded.
func (n *node) unloadable() []messages.OrderID {
	return n.Status(n.t.Context()).Unloadable
}

// Wait has somebody told when an order has ended.
func (n *node) Wait(id string, ended func(*orderv1.Order)) (forget func()) {
	return n.View().Add(messages.OrderID(id), &view.Waiter{Ended: ended})
}

// Attach opens an adapter's stream.
func (n *node) Attach(h *adapterv1.Hello, a activity.Adapter) *activity.Stream {
	return n.Activities().Attach(h, a)
}

// Definition finds a definition.
func (n *node) Definition(ref messages.DefinitionRef) (*workflow.Definition, error) {
	return n.Catalog().Definition(ref)
}

// waits tells what the only attempt of an order waits for.
func (n *node) waits(id string) attemptWait {
	n.t.Helper()
	o, err := n.View().Order(n.t.Context(), messages.OrderID(id))
	if err != nil || len(o.GetWaiting()) != 1 {
		n.t.Fatalf("%s waits for %v: %v", id, o.GetWaiting(), err)
	}
	w := o.GetWaiting()[0]
	out := attemptWait{For: -1, Process: w.GetProcess(), Since: w.GetSince().AsTime(), Until: w.GetUntil().AsTime()}
	for _, x := range []struct {
		is   dispatch.For
		text string
	}{
		{dispatch.ForAdapter, "none is connected"},
		{dispatch.ForCredit, "room for it"},
		{dispatch.ForTurn, "executed alone"},
		{dispatch.ForBegin, "to begin with it"},
		{dispatch.ForResult, "its result"},
		{dispatch.ForReturn, "is away"},
	} {
		if strings.Contains(w.GetReason(), x.text) {
			out.For = x.is
		}
	}
	return out
}

// attemptWait is what an attempt waits for.
type attemptWait struct {
	For          dispatch.For
	Process      string
	Since, Until time.Time
}
