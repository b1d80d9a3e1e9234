package partition

import (
	"github.com/holdfast-run/holdfast/actors/failure"
	"github.com/holdfast-run/holdfast/actors/order"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/nodev1"
)

// startHead asks to start the head of a key again.
type startHead struct {
	id  messages.OrderID
	key string
}

// queue takes up an order that was accepted.
func (p *partition) queue(m order.Queued) {
	if !p.keys.loaded {
		p.keys.early = append(p.keys.early, m)
		return
	}
	if q := p.keys.byKey[m.Key]; q != nil && q.head == m.ID {
		// It lost its turn in a commit whose outcome was not known then. Nobody has begun since: it may keep it.
		p.keys.hold(m.ID, m.Key, false)
		p.start(startHead{id: m.ID, key: m.Key})
		return
	}
	p.keys.add(m.ID, m.Key, m.Since)
	p.startNext(m.Key)
}

// ended lets the next order of a key start.
func (p *partition) ended(m order.KeyEnded) {
	p.keys.remove(m.ID, m.Key)
	if p.keys.loaded {
		p.startNext(m.Key)
	}
}

// startNext starts the first order of a key, if none runs.
func (p *partition) startNext(key string) {
	if id := p.keys.next(key); id != "" {
		p.start(startHead{id: id, key: key})
	}
}

// start starts the head of a key. An order that has ended already says so again.
func (p *partition) start(m startHead) {
	if q := p.keys.byKey[m.key]; q == nil || q.head != m.id {
		return
	}
	home := p.home
	e := &nodev1.Envelope{
		Partition: uint32(home.by.Partition), Epoch: uint64(home.by.Epoch), OrderId: string(m.id),
		Message: &nodev1.Envelope_Start{Start: &nodev1.Start{}},
	}
	home.Post.Ask(home.by, e, func(a *nodev1.Answer) {
		if f := a.GetFailure(); f != nil && !failure.IsFinal(f) {
			home.Again(func() { home.Tell(m) })
		}
	})
}

// loadedKeys starts the first order of each key, once the index of open orders was read.
func (p *partition) loadedKeys() {
	p.keys.loaded = true
	for key := range p.keys.byKey {
		p.startNext(key)
	}
	for _, m := range p.keys.early {
		p.queue(m)
	}
	p.keys.early = nil
}

// show answers who runs under a key, and who waits, once all open orders are known.
func (p *partition) show(e *nodev1.Envelope) {
	if !p.keys.loaded {
		p.refuse(e, failure.ErrStarting)
		return
	}
	m, out := e.GetShowKey(), &nodev1.KeyQueue{}
	if q := p.keys.byKey[m.GetKey()]; q != nil {
		out.Head, out.Held, out.Count = string(q.head), q.held, int64(len(q.behind))
		for _, w := range q.behind[:min(len(q.behind), int(m.GetMost()))] {
			out.Waiting = append(out.Waiting, string(w.id))
		}
	}
	p.Post.Answer(e, &nodev1.Answer{Message: &nodev1.Answer_KeyQueue{KeyQueue: out}})
}
