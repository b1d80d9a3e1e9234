package order

import (
	"time"

	"github.com/holdfast-run/holdfast/actors/runtime"
	"github.com/holdfast-run/holdfast/actors/workflow"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/messages/nodev1"
)

// Events take events to where they are waited for.
type Events interface {
	// Publish publishes an event in a namespace, and keeps it for so long for those who come later; 0: as long as events are kept. done is
	// called once, with nil when it is durable wherever somebody may wait for it.
	Publish(by runtime.Owner, namespace string, event []byte, keep time.Duration, done func(slots int, f *nodev1.Failure))
}

// listening tells correlation slots what the tasks of an order publish and listen for, again and again until they know, or the partition is
// lost; and then the order. The order keeps what it is about: it is told again at the next activation.
type listening struct {
	family

	id messages.OrderID
}

func (i *instance) listening() listening { return listening{i.family(), i.id} }

// publish has an event published.
func (l listening) publish(namespace string, e workflow.PublishEvent) {
	l.Events.Publish(l.home.Owner(), namespace, e.Event, e.Keep, func(_ int, f *nodev1.Failure) {
		if f != nil {
			l.home.Again(func() { l.publish(namespace, e) })
			return
		}
		l.tell(&nodev1.Envelope{Message: &nodev1.Envelope_Emitted{Emitted: &nodev1.Emitted{Frame: e.Frame}}}, nil)
	})
}

// begin has a listener of an order known where it listens.
func (l listening) begin(def *workflow.Definition, e workflow.BeginListen) {
	l.ask(e.Slot.GetId(), &nodev1.Envelope{Message: &nodev1.Envelope_Listen{Listen: &nodev1.Listen{
		Slot: e.Slot, Listener: &journalv1.ListenerAdded{
			Instance: string(l.id), Partition: uint32(l.home.Owner().Partition), Listener: e.Listener,
			Definition: def.Ref.String(), DefinitionHash: def.Hash, Task: e.Task, Filter: e.Filter, Many: e.Many,
		},
	}}}, func() {
		known := &nodev1.Envelope{Message: &nodev1.Envelope_Known{Known: &nodev1.Known{Listener: e.Listener}}}
		l.tell(known, func(a *nodev1.Answer) {
			if a.GetUnawaited() { // it listened no more before the slot knew that it did
				l.end(workflow.EndListen{Slot: e.Slot.GetId(), Listener: e.Listener, Consumed: a.GetSettled().GetConsumed()})
			}
		})
	})
}

// end has it known that a listener of an order listens no more.
func (l listening) end(e workflow.EndListen) {
	l.ask(e.Slot, &nodev1.Envelope{Message: &nodev1.Envelope_Unlisten{Unlisten: &nodev1.Unlisten{
		Instance: string(l.id), Listener: e.Listener, Consumed: e.Consumed,
	}}}, func() {
		l.tell(&nodev1.Envelope{Message: &nodev1.Envelope_Forgotten{Forgotten: &nodev1.Forgotten{Listener: e.Listener}}}, nil)
	})
}

// ask asks a correlation slot until it has done what it is asked for.
func (l listening) ask(slot string, e *nodev1.Envelope, done func()) {
	e.Partition, e.OrderId = uint32(messages.PartitionOf(messages.OrderID(slot), "")), slot
	l.Post.Ask(l.home.Owner(), e, func(a *nodev1.Answer) {
		if a.GetFailure() != nil {
			l.home.Again(func() { l.ask(slot, e, done) })
			return
		}
		done()
	})
}

// tell tells the order itself. done may be nil.
func (l listening) tell(e *nodev1.Envelope, done func(*nodev1.Answer)) {
	e.Partition, e.OrderId = uint32(l.home.Owner().Partition), string(l.id)
	l.insistThen(e, done)
}
