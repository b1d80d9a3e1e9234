package order

import (
	"crypto/sha256"
	"errors"

	"google.golang.org/protobuf/proto"

	"github.com/holdfast-run/holdfast/actors/catalog"
	"github.com/holdfast-run/holdfast/actors/failure"
	"github.com/holdfast-run/holdfast/actors/runtime"
	"github.com/holdfast-run/holdfast/actors/workflow"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/messages/nodev1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/messages/problemv1"
)

// family tells the children and the parents of the orders of a partition what they have to know, again and again until they do, or
// the partition is lost. The orders keep what it is about: it is told again at their next activation.
type family struct {
	*Parts

	home Home
}

func (i *instance) family() family { return family{i.Parts, i.home} }

// start has a child order accepted, unless it is there already, and tells the parent what it has to know: that it was refused, or
// has ended; of a child that nobody awaits, that it is there. With cancel it is then told that. It is refused for want of a definition
// only once the catalogue was read again.
func (f family) start(order *journalv1.OrderAccepted, cancel *nodev1.Cancel) {
	f.find(order, cancel, false)
}

// find has a child order accepted when its definition is loaded. reread: the catalogue was read again since it was to be started.
func (f family) find(order *journalv1.OrderAccepted, cancel *nodev1.Cancel, reread bool) {
	def, refused, err := f.definition(order)
	missed := catalog.IsMissed(err)
	if !errors.Is(err, catalog.ErrNotLoaded) && (!missed || reread) {
		f.startAs(order, cancel, def, refused)
		return
	}
	f.Catalog.Await(err, func(err error) {
		if err != nil {
			f.home.Again(func() { f.start(order, cancel) })
			return
		}
		f.find(order, cancel, reread || missed)
	})
}

// startAs has a child order accepted to be run as a definition says, or refused.
func (f family) startAs(
	order *journalv1.OrderAccepted, cancel *nodev1.Cancel, def *workflow.Definition, refused *problemv1.Problem,
) {
	id, by := messages.OrderID(order.GetOrderId()), f.home.Owner()
	parent := messages.OrderID(order.GetParent().GetOrderId())
	tell := func(r *nodev1.ChildResult) {
		r.Id = string(id)
		f.insist(&nodev1.Envelope{
			Partition: uint32(by.Partition), OrderId: string(parent), Message: &nodev1.Envelope_ChildResult{ChildResult: r},
		})
	}
	again := func() { f.home.Again(func() { f.start(order, cancel) }) }
	accepted := proto.CloneOf(order)
	accepted.Parent.Partition = uint32(by.Partition)
	accepted.ContentHash = identity(id, parent)
	e := &nodev1.Envelope{Partition: uint32(messages.PartitionOf(id, order.GetOrderKey())), OrderId: string(id)}
	if refused == nil {
		refused = f.label(accepted, def)
	}
	if refused != nil {
		e.Message = &nodev1.Envelope_Refuse{Refuse: &nodev1.Refuse{Order: accepted, Error: refused}}
	} else {
		accepted.Definition, accepted.DefinitionHash = def.Ref.String(), def.Hash
		e.Message = &nodev1.Envelope_Accept{Accept: &nodev1.Accept{
			Order: accepted, Queued: cancel != nil || workflow.Queues(accepted), Wanted: nodev1.Wanted_WANTED_CHILD,
		}}
	}
	f.Post.Ask(by, e, func(a *nodev1.Answer) {
		child := a.GetChild()
		switch {
		case a.GetFailure().GetReason() == nodev1.Reason_REASON_ORDER_ID_TAKEN:
			tell(&nodev1.ChildResult{Error: refusal("The child's id is taken", workflow.ErrorTypeConfiguration, 409,
				errors.New("another order was accepted under the id of the child"))})
		case a.GetFailure() != nil:
			again()
		case child != nil && child.GetStatus() == orderv1.Status_STATUS_UNSPECIFIED: // it was refused, now or before
			tell(child)
		case order.GetParent().GetDetached():
			tell(&nodev1.ChildResult{Status: orderv1.Status_STATUS_PENDING})
		case child != nil && (cancel == nil || child.GetStatus() != orderv1.Status_STATUS_FAULTED):
			tell(child)
		case cancel != nil:
			e := &nodev1.Envelope{Partition: e.GetPartition(), OrderId: string(id), Message: &nodev1.Envelope_Cancel{Cancel: cancel}}
			f.Post.Ask(by, e, func(a *nodev1.Answer) {
				if a.GetFailure() != nil { // it may have ended meanwhile
					again()
				}
			})
		}
	})
}

// insist tells an order something until that is durable, or refused for good.
func (f family) insist(e *nodev1.Envelope) { f.insistThen(e, nil) }

// insistThen is insist, and calls done, if it is not nil, with the answer, unless that is a refusal.
func (f family) insistThen(e *nodev1.Envelope, done func(*nodev1.Answer)) {
	f.Post.Ask(f.home.Owner(), e, func(a *nodev1.Answer) {
		switch failed := a.GetFailure() != nil; {
		case failed && !failure.IsFinal(a.GetFailure()):
			f.home.Again(func() { f.insistThen(e, done) })
		case !failed && done != nil:
			done(a)
		}
	})
}

// tellParent tells the parent of an order how that has ended, and then the order that it is done: the order keeps it until then.
func (f family) tellParent(t workflow.TellParent) {
	e := &nodev1.Envelope{
		Partition: t.Parent.GetPartition(), OrderId: t.Parent.GetOrderId(),
		Message: &nodev1.Envelope_ChildResult{ChildResult: t.Result.Message()},
	}
	by := f.home.Owner()
	f.Post.Ask(by, e, func(a *nodev1.Answer) {
		if a.GetFailure() != nil && !failure.IsFinal(a.GetFailure()) {
			f.home.Again(func() { f.tellParent(t) })
			return
		}
		f.insist(&nodev1.Envelope{
			Partition: uint32(by.Partition), OrderId: string(t.Result.ID),
			Message: &nodev1.Envelope_Told{Told: &nodev1.Told{Version: uint64(t.Result.Version)}},
		})
	})
}

// definition finds the definition of a child, and checks its input. If the child can't be run, it returns what its parent is told, and
// why. A definition that is retired goes on to be run by definitions that name its version: else orders under way would fail. By the
// latest version it is not.
func (f family) definition(order *journalv1.OrderAccepted) (*workflow.Definition, *problemv1.Problem, error) {
	ref, err := messages.ParseDefinitionRef(order.GetDefinition())
	var def *workflow.Definition
	if err == nil {
		if def, err = f.Catalog.Definition(ref); errors.Is(err, catalog.ErrRetired) && ref.Version != messages.Latest {
			err = nil
		}
	}
	if err != nil {
		return nil, refusal("The child's definition can't be used", workflow.ErrorTypeConfiguration, 404, err), err
	}
	if s := def.Input.Schema; s != nil {
		pass := f.Pace.Force(runtime.HeavyEvaluation, def.Ref.Namespace, "")
		err := s.Validate(workflow.NewValue(order.GetInput()), nil)
		pass.Leave()
		if err != nil {
			return nil, unfit(err), err
		}
	}
	return def, nil, nil
}

// label gives a child the labels that its definition says. If it does not fit that, label returns what its parent is told.
func (f family) label(child *journalv1.OrderAccepted, def *workflow.Definition) *problemv1.Problem {
	if def.Terms == nil {
		return nil
	}
	pass := f.Pace.Force(runtime.HeavyEvaluation, def.Ref.Namespace, "")
	agreed, err := def.Terms.OfChild().Agree(child, workflow.NewValue(child.GetInput()), f.Config.Workflow.Terms(), nil)
	pass.Leave()
	if err != nil {
		return unfit(err)
	}
	agreed.Give(child)
	return nil
}

// unfit is what the parent of a child is told whose definition does not take its input.
func unfit(err error) *problemv1.Problem {
	return refusal("Input of the child is not valid", workflow.ErrorTypeValidation, 400, err)
}

func refusal(title, typ string, status int32, err error) *problemv1.Problem {
	return &problemv1.Problem{Type: typ, Title: title, Status: status, Detail: err.Error()}
}

// identity tells whether an order is the child that it should be: its parent gives each id once.
func identity(id, parent messages.OrderID) []byte {
	sum := sha256.Sum256([]byte("child " + string(id) + " of " + string(parent)))
	return sum[:16]
}
