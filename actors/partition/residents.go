package partition

import (
	"container/list"
	"fmt"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/holdfast-run/holdfast/actors/order"
	"github.com/holdfast-run/holdfast/actors/runtime"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/nodev1"
	"github.com/holdfast-run/holdfast/persistence"
)

// resident is an order in memory.
type resident struct {
	id         messages.OrderID
	activation uint64
	pid        *actor.PID
	box        order.Box
	sent       uint64
	touched    time.Time
	place      *list.Element // in residents.idlest
	// failed is when the order panicked last.
	failed time.Time
}

// residents are the orders of a partition that are in memory.
type residents struct {
	resident map[messages.OrderID]*resident
	byPID    map[string]*resident
	// idlest has the residents in the order of their last messages, the one that had none for longest first.
	idlest list.List
}

func newResidents() residents {
	return residents{resident: map[messages.OrderID]*resident{}, byPID: map[string]*resident{}}
}

// deliver hands a message to an order, and activates it if need be.
func (p *partition) deliver(id messages.OrderID, h messages.Handle, message any) {
	if p.Inject != nil {
		p.Inject("partition", p.pid.GetId())
	}
	r := p.resident[id]
	if r == nil {
		if p.Kinds[id.Kind()] == nil {
			p.strange(id, message)
			return
		}
		r = p.activate(id, h, nil)
	}
	if e, ok := message.(*nodev1.Envelope); ok && e.GetAsk() != 0 &&
		r.sent-r.box.Received() >= uint64(p.Config.OrderMailbox) { //nolint:gosec // positive
		p.refuse(e, runtime.TooMany(p.Config.OrderMailbox, "order"))
		return
	}
	p.send(r, message)
	p.relieve()
}

// strange leaves an instance alone that is of a kind which only a later version knows.
func (p *partition) strange(id messages.OrderID, message any) {
	delete(p.resuming, id)
	delete(p.firing, id)
	if p.Unloadable(id, true) {
		p.Log.Error("instance is of a kind that this version does not know", "id", id)
	}
	if e, ok := message.(*nodev1.Envelope); ok {
		p.refuse(e, fmt.Errorf("%w: the kind of %q", persistence.ErrFeatureLevel, id))
	}
}

// send hands a message to a resident, which may handle it before send returns.
func (p *partition) send(r *resident, message any) {
	r.sent++
	r.touched = p.at
	p.idlest.MoveToBack(r.place)
	p.loop.At((*string)(&r.id))
	p.ctx.Send(r.pid, message)
	p.loop.At(nil)
}

func (p *partition) activate(id messages.OrderID, h messages.Handle, poison error) *resident {
	r := &resident{id: id, activation: p.activations.Add(1)}
	r.pid = p.Kinds[id.Kind()].Spawn(p.ctx, p.home, order.Activation{
		ID: id, Handle: h, Number: r.activation, Box: &r.box, Poison: poison,
	}, p.Courier)
	p.resident[id] = r
	p.byPID[r.pid.GetId()] = r
	r.place = p.idlest.PushBack(r)
	p.inMemory.Store(int64(len(p.resident)))
	return r
}

// release lets an order leave memory, if no message is on its way to it. One that has panicked stays as long as the panic counts: else
// an order that panics whenever it is loaded would never be faulted.
func (p *partition) release(m order.Release) {
	r := p.resident[m.ID]
	if r == nil || r.activation != m.Activation || r.sent != m.Received || p.resuming[m.ID] || p.firing[m.ID] ||
		!r.failed.IsZero() && p.Now().Sub(r.failed) < p.Config.Poison.Within {
		return
	}
	p.forget(r)
	p.ctx.Stop(r.pid)
}

func (p *partition) forget(r *resident) {
	delete(p.resident, r.id)
	delete(p.byPID, r.pid.GetId())
	p.idlest.Remove(r.place)
	delete(p.resuming, r.id)
	delete(p.firing, r.id)
	p.inMemory.Store(int64(len(p.resident)))
}

// idle returns the order that had no message for longest; nil if there is none.
func (p *partition) idle() *resident {
	if e := p.idlest.Front(); e != nil {
		return e.Value.(*resident) //nolint:errcheck,forcetypeassert // nothing else is in it
	}
	return nil
}

// sweep asks orders that had no message since a time to leave memory.
func (p *partition) sweep(since time.Time) {
	for r := p.idle(); r != nil && !r.touched.After(since); r = p.idle() {
		p.send(r, order.Yield{})
	}
}

// relieve asks the orders that had no message for longest to leave memory, when they take too much of it. It asks more orders than were
// activated meanwhile, so that memory gets less.
func (p *partition) relieve() {
	if p.Parts.resident.Load() <= p.Config.ResidentBytes {
		return
	}
	for range 2 {
		p.send(p.idle(), order.Yield{})
	}
}
