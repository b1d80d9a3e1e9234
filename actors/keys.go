package actors

import (
	"slices"

	"github.com/holdfast-run/holdfast/actors/workflow"
	"github.com/holdfast-run/holdfast/messages"
)

// keyQueues keeps the orders of a partition that have a key in the order of their acceptance: of each key only the head
// runs. It is rebuilt from the index of open orders; until that has been read, new orders only queue.
type keyQueues struct {
	byKey map[string]*keyQueue
	known map[messages.OrderID]bool
	// early are orders that were accepted while the index was still being read.
	early  []queued
	loaded bool
}

// keyQueue is the queue of one key. It has a head as long as it exists, once the index was read.
type keyQueue struct {
	head   messages.OrderID // told to start, or running
	behind []messages.OrderID
}

func newKeyQueues() *keyQueues {
	return &keyQueues{byKey: map[string]*keyQueue{}, known: map[messages.OrderID]bool{}}
}

func (k *keyQueues) queue(id messages.OrderID, key string) *keyQueue {
	k.known[id] = true
	q := k.byKey[key]
	if q == nil {
		q = &keyQueue{}
		k.byKey[key] = q
	}
	return q
}

// running takes up an order that has started: nobody may start before it ends, whatever was accepted before it.
func (k *keyQueues) running(id messages.OrderID, key string) {
	k.queue(id, key).head = id
}

// add appends an order that has not started, if it is new.
func (k *keyQueues) add(id messages.OrderID, key string) {
	if !k.known[id] {
		q := k.queue(id, key)
		q.behind = append(q.behind, id)
	}
}

// next makes the first order of a key its head. It returns that order; empty if there is a head already, or no order.
func (k *keyQueues) next(key string) messages.OrderID {
	q := k.byKey[key]
	if q == nil || q.head != "" {
		return ""
	}
	if len(q.behind) == 0 {
		delete(k.byKey, key)
		return ""
	}
	q.head, q.behind = q.behind[0], q.behind[1:]
	return q.head
}

// remove takes out an order that has ended.
func (k *keyQueues) remove(id messages.OrderID, key string) {
	if !k.known[id] {
		return
	}
	delete(k.known, id)
	q := k.byKey[key]
	if q.head == id {
		q.head = ""
		return
	}
	if i := slices.Index(q.behind, id); i >= 0 {
		q.behind = slices.Delete(q.behind, i, i+1)
	}
}

// queue takes up an order that was accepted.
func (p *partition) queue(m queued) {
	if !p.keys.loaded {
		p.keys.early = append(p.keys.early, m)
		return
	}
	p.keys.add(m.id, m.key)
	p.startNext(m.key)
}

// ended lets the next order of a key start.
func (p *partition) ended(m keyEnded) {
	p.keys.remove(m.id, m.key)
	if p.keys.loaded {
		p.startNext(m.key)
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
	p.deliver(&deliver{id: m.id, message: &command{cmd: workflow.Start{}, answer: func(err error) {
		if err != nil && !isFinal(err) {
			p.engine.later(func() { p.engine.tell(p.pid, m) })
		}
	}}})
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
