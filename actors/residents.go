package actors

import (
	"container/list"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/holdfast-run/holdfast/actors/workflow"
	"github.com/holdfast-run/holdfast/messages"
)

// resident is an order in memory.
type resident struct {
	id      messages.OrderID
	pid     *actor.PID
	mail    *mail
	sent    uint64
	touched time.Time
	place   *list.Element // in the partition's list
	// failed is when it panicked last.
	failed time.Time
}

// deliver hands a message to an order, and activates it if need be.
func (p *partition) deliver(d *deliver) {
	inject("partition", p.pid.GetId())
	r := p.resident[d.id]
	if r == nil {
		r = p.activate(d.id, d.handle, nil)
	}
	if !isNote(d.message) && r.sent-r.mail.received.Load() >= uint64(p.engine.config.Mailbox) { //nolint:gosec // positive
		d.refuse(tooMany(p.engine.config.Mailbox, "order"))
		return
	}
	p.send(r, d.message)
	p.relieve()
}

// send hands a message to a resident, which may handle it before send returns.
func (p *partition) send(r *resident, message any) {
	r.sent++
	r.touched = p.engine.now()
	p.idlest.MoveToBack(r.place)
	p.loop.At((*string)(&r.id))
	p.ctx.Send(r.pid, message)
	p.loop.At(nil)
}

func (p *partition) activate(id messages.OrderID, h messages.Handle, poison error) *resident {
	r := &resident{id: id, mail: &mail{}}
	incarnations := 0
	props := actor.PropsFromProducer(func() actor.Actor {
		incarnations++
		return &instance{
			engine: p.engine, partition: p.slot, id: id, handle: h, mail: r.mail,
			restarted: incarnations > 1 || poison != nil, poison: poison,
		}
	}, actor.WithMailbox(orderMailbox(2*p.engine.config.Mailbox, id, r.mail)), actor.WithDispatcher(&p.engine.workers))
	r.pid = p.ctx.Spawn(props)
	p.resident[id] = r
	p.byPID[r.pid.GetId()] = r
	r.place = p.idlest.PushBack(r)
	p.engine.metrics.resident.Inc()
	return r
}

// release lets an order leave memory, if no message is on its way to it. One that has panicked stays as long as that
// counts: else an order that panics whenever it is loaded would never be faulted.
func (p *partition) release(m release) {
	r := p.resident[m.id]
	if r == nil || r.mail != m.mail || r.sent != m.received || p.resuming[m.id] || p.firing[m.id] ||
		p.engine.now().Sub(r.failed) < poisonWithin {
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
	p.engine.metrics.resident.Dec()
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
		p.send(r, yield{})
	}
}

// relieve asks the orders that had no message for longest to leave memory, when there is too much in it: more than have
// come, so that it gets less.
func (p *partition) relieve() {
	if p.engine.resident.Load() <= p.engine.config.ResidentBytes {
		return
	}
	for range 2 {
		p.send(p.idle(), yield{})
	}
}

// overhead is what an order takes beside its payloads: about that much was measured.
const overhead = 4 << 10

func sizeOf(s *workflow.State) int64 {
	if s == nil {
		return overhead
	}
	return overhead + int64(s.Size())
}

// resize tells the engine how much memory the order takes.
func (i *instance) resize(size int64) {
	if size != i.size {
		i.engine.resident.Add(size - i.size)
		i.size = size
	}
}
