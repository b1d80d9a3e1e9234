package actors

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/holdfast-run/holdfast/actors/workflow"
	"github.com/holdfast-run/holdfast/messages"
)

// keyQueues keeps the orders of a partition that have a key in the order of their acceptance: of each key only the head
// runs. A head that has faulted stays it until it is released; reopened after that, it waits behind the others. The queues
// are rebuilt from the index of open orders; until that has been read, new orders only queue.
type keyQueues struct {
	byKey map[string]*keyQueue
	known map[messages.OrderID]bool
	// early are orders that were accepted while the index was still being read.
	early  []queued
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

// queue takes up an order that was accepted.
func (p *partition) queue(m queued) {
	if !p.keys.loaded {
		p.keys.early = append(p.keys.early, m)
		return
	}
	if q := p.keys.byKey[m.key]; q != nil && q.head == m.id {
		// It lost its turn in a commit whose outcome was not known then. Nobody has begun since: it may keep it.
		p.keys.hold(m.id, m.key, false)
		p.start(startHead{id: m.id, key: m.key})
		return
	}
	p.keys.add(m.id, m.key, m.since)
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

// withTurn gives a command that may have an order queue again a place.
func (i *instance) withTurn(cmd workflow.Command) workflow.Command {
	switch c := cmd.(type) {
	case workflow.Reopen:
		h := i.engine.handles.next()
		c.Turn = h[:]
		return c
	case workflow.Cancel:
		if c.Compensate {
			h := i.engine.handles.next()
			c.Turn = h[:]
		}
		return c
	}
	return cmd
}

// showKey asks a partition for the queue of a key.
type showKey struct {
	key    string
	most   int
	answer func(KeyQueue, error)
}

func (m *showKey) refuse(err error) { m.answer(KeyQueue{}, err) }

// KeyQueue is who runs under an order key, and who waits for it.
type KeyQueue struct {
	// Head runs, or has faulted and holds the key, as Held tells; empty if nobody has the key.
	Head messages.OrderID
	Held bool
	// Waiting are the first of those behind it, in the order in which they will run; Count counts all.
	Waiting []messages.OrderID
	Count   int
}

// show answers once all open orders are known.
func (p *partition) show(m *showKey) {
	if !p.keys.loaded {
		m.refuse(ErrStarting)
		return
	}
	var out KeyQueue
	if q := p.keys.byKey[m.key]; q != nil {
		out = KeyQueue{Head: q.head, Held: q.held, Count: len(q.behind)}
		for _, w := range q.behind[:min(len(q.behind), m.most)] {
			out.Waiting = append(out.Waiting, w.id)
		}
	}
	m.answer(out, nil)
}

// Key tells the queue of an order key, with at most so many of those who wait.
func (e *Engine) Key(ctx context.Context, key string, most int) (KeyQueue, error) {
	type answer struct {
		queue KeyQueue
		err   error
	}
	answers := make(chan answer, 1)
	pid := e.placement.Order(messages.PartitionOf("", key), "")
	if pid == nil {
		return KeyQueue{}, ErrNotOwner
	}
	e.tell(pid, &showKey{key: key, most: most, answer: func(q KeyQueue, err error) { answers <- answer{q, err} }})
	select {
	case a := <-answers:
		return a.queue, a.err
	case <-ctx.Done():
		return KeyQueue{}, fmt.Errorf("ask for an order key: %w", context.Cause(ctx))
	}
}
