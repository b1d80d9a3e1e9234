package rehearsal

import (
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/holdfast-run/holdfast/actors/workflow"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/messages/problemv1"
)

// stubbedChild is a child that a stub answers for.
type stubbedChild struct {
	stub     *Stub
	answered bool
	version  messages.Version
}

// startChild has a child accepted, or finds the stub that answers for it. An input that its definition does not take refuses it.
func (w *world) startChild(parent *instance, o *journalv1.OrderAccepted) {
	id := messages.OrderID(o.GetOrderId())
	if w.orders[id] != nil || w.stubbed[id] != nil {
		return
	}
	t := parent.children[o.GetOrderId()]
	stub, why := w.stub(t, o.GetDefinition(), o.GetInput())
	if stub != nil {
		w.stubChild(parent, o, stub)
		return
	}
	ref, err := messages.ParseDefinitionRef(o.GetDefinition())
	var def *workflow.Definition
	if err == nil {
		def = w.definition(ref)
	}
	if def == nil {
		w.unstubbed(parent, t, "workflow "+o.GetDefinition(), o.GetInput(), why)
		if len(why) == 0 {
			last := &w.failed[len(w.failed)-1]
			last.Details = append(last.Details, "or name the file of its definition, or its folder with --definitions, to run it")
		}
		return
	}
	detached := o.GetParent().GetDetached()
	accepted := proto.CloneOf(o)
	if err := w.agree(def, def.Terms.OfChild(), accepted); err != nil {
		w.must(parent, workflow.ChildResult{ID: id, Error: &problemv1.Problem{
			Type: workflow.ErrorTypeValidation, Title: "Input of the child is not valid", Status: 400, Detail: err.Error(),
		}})
		return
	}
	accepted.Definition, accepted.DefinitionHash, accepted.ContentHash = def.Ref.String(), def.Hash, []byte(id)
	w.begin(def, accepted, workflow.Queues(accepted))
	if detached {
		w.must(parent, workflow.ChildResult{ID: id, Status: orderv1.Status_STATUS_PENDING})
	}
}

// definition returns the definition of a child.
func (w *world) definition(ref messages.DefinitionRef) *workflow.Definition {
	if w.main.Ref == ref {
		return w.main
	}
	return w.others.Find(ref)
}

// stubChild has a stub answer for a child.
func (w *world) stubChild(parent *instance, o *journalv1.OrderAccepted, stub *Stub) {
	id := messages.OrderID(o.GetOrderId())
	c := &stubbedChild{stub: stub, version: 1}
	w.stubbed[id] = c
	if o.GetParent().GetDetached() {
		c.answered = true
		w.must(parent, workflow.ChildResult{ID: id, Status: orderv1.Status_STATUS_PENDING})
		return
	}
	r := workflow.ChildResult{ID: id, Version: c.version, Status: orderv1.Status_STATUS_COMPLETED, Output: stub.Answer.Result}
	switch {
	case stub.Answer.Never:
		return
	case stub.Answer.Fault != nil:
		r.Status, r.Output, r.Error = orderv1.Status_STATUS_FAULTED, nil, stub.Answer.Fault
	}
	do := func() {
		if !c.answered {
			c.answered = r.Status == orderv1.Status_STATUS_COMPLETED // one that has faulted may be cancelled
			w.must(parent, r)
		}
	}
	if stub.After == 0 {
		w.soon(do)
		return
	}
	w.at(w.now.Add(stub.After), do)
}

// cancelChild has a child cancelled. One that a stub answers for is cancelled at once.
func (w *world) cancelChild(parent *instance, e workflow.CancelChild) {
	id := messages.OrderID(e.Order.GetOrderId())
	if c := w.stubbed[id]; c != nil {
		if !c.answered {
			c.answered = true
			w.must(parent, workflow.ChildResult{ID: id, Version: c.version + 1, Status: orderv1.Status_STATUS_CANCELLED})
		}
		return
	}
	child := w.orders[id]
	if child == nil || child.state.Ended() && !child.state.Faulted() {
		return // its parent is told, or was
	}
	cancel := workflow.Cancel{
		Compensate: e.Compensate, Later: true, Reason: fmt.Sprintf("order %s has given it up", parent.id), Turn: w.queuePlace(),
	}
	if err := w.decide(child, cancel); err != nil {
		w.fail(Failure{What: fmt.Sprintf("child %s can't be cancelled: %v", id, err)})
	}
}

// tellParent tells the parent of an order how that has ended.
func (w *world) tellParent(child *instance, e workflow.TellParent) {
	if parent := w.orders[messages.OrderID(e.Parent.GetOrderId())]; parent != nil {
		w.must(parent, e.Result)
	}
	w.must(child, workflow.Told{Version: e.Result.Version})
}

// ofChild tells how a child stands.
func (w *world) ofChild(id messages.OrderID) string {
	switch child := w.orders[id]; {
	case child != nil && child.state.Faulted():
		return ", which has faulted: " + problemText(child.state.Error())
	case child != nil:
		return ""
	case w.stubbed[id] != nil && w.stubbed[id].stub.Answer.Fault != nil:
		return ", which has faulted: " + problemText(w.stubbed[id].stub.Answer.Fault)
	}
	return ", for which a stub answers"
}
