package partition

import (
	"bytes"
	"slices"
	"time"

	"github.com/holdfast-run/holdfast/actors/order"
	"github.com/holdfast-run/holdfast/messages"
)

// keyQueues keeps the orders of a partition that have a key in the order of their acceptance: of each key only the head
// runs. A head that has faulted stays it until it is released; reopened after that, it waits behind the others. The queues
// are rebuilt from the index of open orders; until that has been read, new orders only queue.
type keyQueues struct {
	byKey map[string]*keyQueue
	known map[messages.OrderID]bool
	// early are orders that were accepted while the index was still being read.
	early  []order.Queued
	loaded bool
	// waiting counts those behind a head, held the heads that have faulted.
	waiting, held int
}

// keyQueue is the queue of one key. It has a head as long as it exists, once the index was read.
type keyQueue struct {
	head   messages.OrderID // told to start, running, or faulted and not released
	held   bool             // the latter
	behind []waitingOrder
}

type waitingOrder struct {
	id    messages.OrderID
	since time.Time
	turn  messages.Handle // if it was read from the index
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

// hold notes that the head of a key has faulted, or goes on.
func (k *keyQueues) hold(id messages.OrderID, key string, held bool) {
	q := k.byKey[key]
	switch {
	case q == nil || q.head != id || q.held == held:
		return
	case held:
		k.held++
	default:
		k.held--
	}
	q.held = held
}

// add appends an order that waits for its key, if it is new.
func (k *keyQueues) add(id messages.OrderID, key string, since time.Time) {
	if !k.known[id] {
		q := k.queue(id, key)
		q.behind = append(q.behind, waitingOrder{id: id, since: since})
		k.waiting++
	}
}

// restore takes up such an order from the index: that is read in the order of acceptance, but one that was reopened waits
// behind those that came before that.
func (k *keyQueues) restore(id messages.OrderID, key string, turn messages.Handle) {
	if k.known[id] {
		return
	}
	q := k.queue(id, key)
	i := len(q.behind)
	for i > 0 && bytes.Compare(q.behind[i-1].turn[:], turn[:]) > 0 {
		i--
	}
	q.behind = slices.Insert(q.behind, i, waitingOrder{id, turn.Time(), turn})
	k.waiting++
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
	q.head, q.behind = q.behind[0].id, q.behind[1:]
	k.waiting--
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
		if q.held {
			k.held--
		}
		q.head, q.held = "", false
		return
	}
	if i := slices.IndexFunc(q.behind, func(w waitingOrder) bool { return w.id == id }); i >= 0 {
		q.behind = slices.Delete(q.behind, i, i+1)
		k.waiting--
	}
}

// oldest returns since when the order has waited that has waited longest; zero if none waits.
func (k *keyQueues) oldest() (since time.Time) {
	if k.waiting == 0 {
		return since
	}
	for _, q := range k.byKey {
		if len(q.behind) > 0 && (since.IsZero() || q.behind[0].since.Before(since)) {
			since = q.behind[0].since
		}
	}
	return since
}
