package actors

import (
	"github.com/holdfast-run/holdfast/actors/workflow"
	"github.com/holdfast-run/holdfast/messages"
)

// keyQueues keeps the orders of a partition that have a key in the order of their acceptance: of each key only the first
// runs. It is rebuilt from the index of open orders; until that has been read, new orders only queue.
type keyQueues struct {
	byKey map[string][]messages.OrderID
	known map[messages.OrderID]bool
	// early are orders that were accepted while the index was still being read.
	early  []queued
	loaded bool
}

func newKeyQueues() *keyQueues {
	return &keyQueues{byKey: map[string][]messages.OrderID{}, known: map[messages.OrderID]bool{}}
}

// add appends an order. It returns true if the order is the first of its key and may start.
func (k *keyQueues) add(id messages.OrderID, key string) bool {
	if k.known[id] {
		return k.byKey[key][0] == id
	}
	k.known[id] = true
	k.byKey[key] = append(k.byKey[key], id)
	return len(k.byKey[key]) == 1
}

// remove takes an order out. It returns the order that may start now; empty if none.
func (k *keyQueues) remove(id messages.OrderID, key string) messages.OrderID {
	if !k.known[id] {
		return ""
	}
	delete(k.known, id)
	list := k.byKey[key]
	for i, x := range list {
		if x != id {
			continue
		}
		list = append(list[:i:i], list[i+1:]...)
		if len(list) == 0 {
			delete(k.byKey, key)
			return ""
		}
		k.byKey[key] = list
		if i == 0 {
			return list[0]
		}
	}
	return ""
}

// queue takes up an order that was accepted.
func (p *partition) queue(m queued) {
	if !p.keys.loaded {
		p.keys.early = append(p.keys.early, m)
		return
	}
	if p.keys.add(m.id, m.key) {
		p.startOrder(m.id, m.key)
	}
}

// ended lets the next order of a key start.
func (p *partition) ended(m keyEnded) {
	if next := p.keys.remove(m.id, m.key); next != "" && p.keys.loaded {
		p.startOrder(next, m.key)
	}
}

func (p *partition) startOrder(id messages.OrderID, key string) {
	p.deliver(&deliver{id: id, message: &command{cmd: workflow.Start{}, answer: func(err error) {
		if err != nil {
			p.engine.log.Error("order could not be started; it is tried again", "order", id, "error", err)
			p.engine.later(p.pid, queued{id: id, key: key})
		}
	}}})
}

// loadedKeys starts the first order of each key, once the index of open orders was read.
func (p *partition) loadedKeys() {
	p.keys.loaded = true
	for key, list := range p.keys.byKey {
		p.startOrder(list[0], key)
	}
	for _, m := range p.keys.early {
		p.queue(m)
	}
	p.keys.early = nil
}
