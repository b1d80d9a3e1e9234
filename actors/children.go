package actors

import (
	"crypto/sha256"
	"errors"

	"google.golang.org/protobuf/proto"

	"github.com/holdfast-run/holdfast/actors/workflow"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/messages/problemv1"
)

// startChild has a child order accepted, unless it is there already, and tells the parent what it has to know: that it was
// refused, or has ended; of a child that nobody awaits, that it is there. With cancel it is then told that. The parent keeps
// what it is about: it is done again after a restart.
func (e *Engine) startChild(parent messages.Partition, order *journalv1.OrderAccepted, cancel *workflow.Cancel) {
	id, p := messages.OrderID(order.GetOrderId()), order.GetParent()
	tell := func(r workflow.ChildResult) {
		r.ID = id
		e.insist(parent, messages.OrderID(p.GetOrderId()), r)
	}
	def, refused := e.childDefinition(order)
	accepted := proto.CloneOf(order)
	accepted.Parent.Partition = uint32(parent)
	accepted.ContentHash = identity(id, p)
	if def != nil {
		accepted.Definition, accepted.DefinitionHash = def.Ref.String(), def.Hash
	}
	at := messages.PartitionOf(id, order.GetOrderKey())
	answer := func(s *workflow.State, err error) {
		switch {
		case refused != nil && IsGone(err):
			r := workflow.ChildResult{ID: id, Error: refused}
			e.tellOrder(parent, messages.OrderID(p.GetOrderId()), messages.Handle{}, &command{cmd: r, answer: func(err error) {
				if err != nil && !isFinal(err) { // by then it may be there
					e.later(func() { e.startChild(parent, order, cancel) })
				}
			}})
		case errors.Is(err, workflow.ErrTaken):
			tell(workflow.ChildResult{Error: refusal("The child's id is taken", workflow.ErrorTypeConfiguration, 409,
				errors.New("another order was accepted under the id of the child"))})
		case err != nil:
			e.later(func() { e.startChild(parent, order, cancel) })
		case p.GetDetached():
			tell(workflow.ChildResult{Status: orderv1.Status_STATUS_PENDING})
		case s.Ended() && (cancel == nil || !s.Faulted()):
			tell(s.Result())
		case cancel != nil:
			e.tellOrder(at, id, messages.Handle{}, &command{cmd: *cancel, answer: func(err error) {
				if err != nil { // it may have ended meanwhile
					e.later(func() { e.startChild(parent, order, cancel) })
				}
			}})
		}
	}
	e.tellOrder(at, id, messages.Handle{}, &accept{
		order: accepted, def: def, queued: cancel != nil || workflow.Queues(accepted), answer: answer,
	})
}

// childDefinition finds the definition of a child, and checks its input. One that is retired goes on to be run by definitions that
// name its version: else orders under way would fail. By the latest version it is not.
func (e *Engine) childDefinition(order *journalv1.OrderAccepted) (*workflow.Definition, *problemv1.Problem) {
	ref, err := messages.ParseDefinitionRef(order.GetDefinition())
	var def *workflow.Definition
	if err == nil {
		if def, err = e.Definition(ref); errors.Is(err, ErrRetired) && ref.Version != messages.Latest {
			err = nil
		}
	}
	if err != nil {
		return nil, refusal("The child's definition can't be used", workflow.ErrorTypeConfiguration, 404, err)
	}
	if s := def.Input.Schema; s != nil {
		if err := s.Validate(workflow.NewValue(order.GetInput()), nil); err != nil {
			return nil, refusal("Input of the child is not valid", workflow.ErrorTypeValidation, 400, err)
		}
	}
	return def, nil
}

func refusal(title, typ string, status int32, err error) *problemv1.Problem {
	return &problemv1.Problem{Type: typ, Title: title, Status: status, Detail: err.Error()}
}

// identity tells whether an order is the child that it should be: its parent gives each id once.
func identity(id messages.OrderID, p *journalv1.Parent) []byte {
	sum := sha256.Sum256([]byte("child " + string(id) + " of " + p.GetOrderId()))
	return sum[:16]
}

// tellParent tells the parent of an order how that has ended, and then the order that it is done: the order keeps it until
// then.
func (e *Engine) tellParent(child messages.Partition, t workflow.TellParent) {
	parent := messages.Partition(t.Parent.GetPartition()) //nolint:gosec // as it was written
	e.tellOrder(parent, messages.OrderID(t.Parent.GetOrderId()), messages.Handle{}, &command{cmd: t.Result, answer: func(err error) {
		if err != nil && !isFinal(err) {
			e.later(func() { e.tellParent(child, t) })
			return
		}
		e.insist(child, t.Result.ID, workflow.Told{Version: t.Result.Version})
	}})
}
