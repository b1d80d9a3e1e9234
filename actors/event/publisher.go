package event

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfast-run/holdfast/actors/definition"
	"github.com/holdfast-run/holdfast/actors/failure"
	"github.com/holdfast-run/holdfast/actors/runtime"
	"github.com/holdfast-run/holdfast/actors/workflow"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/messages/nodev1"
)

// Routes tell which events are listened for.
type Routes interface {
	// Routes returns the routes of events of a type, and of those of all types, of a namespace.
	Routes(namespace, eventType string) []*journalv1.Route
	// Missed has the catalogue read again: done is called when what other nodes had deployed before is known, or with why it can't be read.
	Missed(done func(error))
}

// Post sends messages to instances.
type Post interface {
	Ask(by runtime.Owner, e *nodev1.Envelope, done func(*nodev1.Answer))
	Answer(e *nodev1.Envelope, a *nodev1.Answer)
}

// Publisher publishes events.
type Publisher struct {
	routes Routes
	post   Post
	limits definition.Limits
	// keep is how long an event is kept that is not said to be kept for another time.
	keep time.Duration

	expressions sync.Map // workflow.Expr, by text
}

// NewPublisher makes one. keep is how long events are kept for listeners that come later, unless it is said of an event.
func NewPublisher(routes Routes, post Post, limits definition.Limits, keep time.Duration) *Publisher {
	return &Publisher{routes: routes, post: post, limits: limits, keep: keep}
}

// Publish publishes an event in a namespace, on behalf of an owner of a partition. done is called once: with how many slots it went to when
// it is durable in all of them, or with why it is not. It must not block.
func (p *Publisher) Publish(
	by runtime.Owner, namespace string, event []byte, keep time.Duration, done func(slots int, f *nodev1.Failure),
) {
	slots, err := p.slots(namespace, workflow.NewEvent(event))
	switch {
	case err != nil:
		done(0, failure.Of(err))
	case len(slots) > 0:
		p.publish(by, slots, event, keep, done)
	default: // another node may have deployed just now who listens for it
		p.routes.Missed(func(err error) {
			if err == nil {
				slots, err = p.slots(namespace, workflow.NewEvent(event))
			}
			if err != nil || len(slots) == 0 {
				done(0, failure.Of(failure.Late(err)))
				return
			}
			p.publish(by, slots, event, keep, done)
		})
	}
}

// publish publishes an event in slots.
func (p *Publisher) publish(
	by runtime.Owner, slots []*journalv1.SlotOpened, event []byte, keep time.Duration, done func(slots int, f *nodev1.Failure),
) {
	if keep == 0 {
		keep = p.keep
	}
	var failed atomic.Pointer[nodev1.Failure]
	var left atomic.Int64
	left.Store(int64(len(slots)))
	for _, o := range slots {
		id := messages.OrderID(o.GetId())
		p.post.Ask(by, &nodev1.Envelope{
			Partition: uint32(messages.PartitionOf(id, "")), OrderId: o.GetId(),
			Message: &nodev1.Envelope_Publish{Publish: &nodev1.Publish{Slot: o, Event: event, Keep: int64(keep)}},
		}, func(a *nodev1.Answer) {
			if f := a.GetFailure(); f != nil {
				failed.CompareAndSwap(nil, f)
			}
			if left.Add(-1) == 0 {
				done(len(slots), failed.Load())
			}
		})
	}
}

// slots returns the correlation slots that an event goes to.
func (p *Publisher) slots(namespace string, e *workflow.Event) ([]*journalv1.SlotOpened, error) {
	var out []*journalv1.SlotOpened
	for _, r := range p.routes.Routes(namespace, e.Type()) {
		from := make([]workflow.Expr, 0, len(r.GetCorrelations()))
		for _, text := range r.GetCorrelations() {
			x, err := p.expression(text)
			if err != nil {
				return nil, fmt.Errorf("correlation %s of events of namespace %s: %w", text, namespace, err)
			}
			from = append(from, x)
		}
		if o := workflow.SlotOf(namespace, r, from, e); o != nil {
			out = append(out, o)
		}
	}
	return out, nil
}

func (p *Publisher) expression(text string) (workflow.Expr, error) {
	if x, known := p.expressions.Load(text); known {
		return x.(workflow.Expr), nil //nolint:errcheck,forcetypeassert // nothing else is in it
	}
	x, err := definition.EventExpression(text, p.limits)
	if err != nil {
		return nil, fmt.Errorf("compile: %w", err)
	}
	p.expressions.Store(text, x)
	return x, nil
}
