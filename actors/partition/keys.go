package partition

import (
	"context"
	"time"

	"github.com/holdfast-run/holdfast/actors/failure"
	"github.com/holdfast-run/holdfast/actors/order"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/nodev1"
	"github.com/holdfast-run/holdfast/persistence"
)

// keys are the order keys of a partition that an order has or waits for. Those who wait are in the journal, which gives them their
// order; here are the heads alone. Of each key only the head runs. A head that has faulted stays the head until its key is released;
// if it is reopened after that, it waits behind the others.
type keys struct {
	byKey map[string]*key
	// held counts the heads that have faulted: operators see it.
	held int
	// loaded: recovery has read all open orders. Until then new orders only queue.
	loaded bool
}

// key is an order key.
type key struct {
	head messages.OrderID // told to start, running, or faulted and not released; empty if there is none yet
	held bool             // the head has faulted, and was not released
	// since is about when the order began to wait that waits first behind the head. It means nothing if none waits. Operators see it.
	since time.Time
}

// Notes of a partition to itself about keys.
type (
	// startHead asks to start the head of a key again.
	startHead struct {
		id  messages.OrderID
		key string
	}
	// startNext asks to find the next head of a key again.
	startNext struct{ key string }
)

func newKeys() *keys { return &keys{byKey: map[string]*key{}} }

func (k *keys) get(name string) *key {
	q := k.byKey[name]
	if q == nil {
		q = &key{}
		k.byKey[name] = q
	}
	return q
}

// hold notes that the head of a key has faulted, or goes on.
func (k *keys) hold(id messages.OrderID, name string, held bool) {
	q := k.byKey[name]
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

// oldest returns since when the order has waited that has waited longest, of the keys that waits names; zero if there is none.
func (k *keys) oldest(waits func(name string) bool) (since time.Time) {
	for name, q := range k.byKey {
		if !q.since.IsZero() && (since.IsZero() || q.since.Before(since)) && waits(name) {
			since = q.since
		}
	}
	return since
}

// takeUpKey takes up the key of an open order, as its row says.
func (p *partition) takeUpKey(o persistence.OpenOrder) {
	name, id := o.Row.GetOrderKey(), messages.OrderID(o.Row.GetId())
	switch {
	case name == "":
		return
	case o.Row.GetQueued():
		if q := p.keys.get(name); q.since.IsZero() {
			q.since = o.Handle.Time()
		}
	default:
		p.keys.get(name).head = id // no other order of the key may start before this one ends
	}
	if o.Row.GetHeld() {
		p.keys.hold(id, name, true)
	}
}

// queue takes up an order that waits for its key.
func (p *partition) queue(m order.Queued) {
	if !p.keys.loaded {
		return // it is found in the journal once all open orders are read
	}
	q := p.keys.get(m.Key)
	if q.head == m.ID {
		// The order lost its turn in a commit whose outcome was not known then. No other one has begun since: it may keep the turn.
		p.keys.hold(m.ID, m.Key, false)
		p.start(startHead{id: m.ID, key: m.Key})
		return
	}
	if q.since.IsZero() || p.counts.waitFor(m.Key) <= 1 {
		q.since = m.Since
	}
	p.startNext(m.Key)
}

// ended lets the next order of a key start.
func (p *partition) ended(m order.KeyEnded) {
	q := p.keys.byKey[m.Key]
	if q == nil || q.head != m.ID {
		return
	}
	p.keys.hold(m.ID, m.Key, false)
	q.head = ""
	if p.keys.loaded {
		p.startNext(m.Key)
	}
}

// startNext makes the first of those who wait for a key its head, and starts it, unless there is a head.
func (p *partition) startNext(name string) {
	q := p.keys.byKey[name]
	if q == nil || q.head != "" {
		return
	}
	var first []persistence.QueuedOrder
	var err error
	p.Workers.Blocking(func() { first, err = p.readQueue(name, 0, 2) })
	if err != nil {
		p.unread("the queue of an order key", err)
		home := p.home
		home.Again(func() { home.Tell(startNext{name}) })
		return
	}
	if q.since = (time.Time{}); len(first) > 1 {
		q.since = first[1].Handle.Time()
	}
	p.promote(name, first)
}

// promote makes the first of those who wait for a key its head.
func (p *partition) promote(name string, first []persistence.QueuedOrder) {
	q := p.keys.byKey[name]
	if len(first) == 0 {
		delete(p.keys.byKey, name)
		return
	}
	q.head = first[0].ID
	p.start(startHead{id: q.head, key: name})
}

func (p *partition) readQueue(name string, after persistence.Position, limit int) ([]persistence.QueuedOrder, error) {
	ctx, cancel := context.WithTimeout(context.Background(), p.Config.ReadTimeout)
	defer cancel()
	return p.Journal.Queue(ctx, p.by.Partition, name, after, limit)
}

// start starts the head of a key. A head that has ended already tells with KeyEnded again that it has.
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

// loadKeys starts the first order of each key that has no head, once the index of open orders was read. It returns false if the journal
// does not answer now.
func (p *partition) loadKeys() bool {
	for after := ""; ; {
		ctx, cancel := context.WithTimeout(context.Background(), p.Config.ReadTimeout)
		page, err := p.Journal.QueuedKeys(ctx, p.by.Partition, after, recoveryPage)
		cancel()
		if err != nil {
			p.unread("the queues of order keys", err)
			return false
		}
		p.loop.Beat() // there may be many pages
		for _, first := range page {
			if q := p.keys.get(first.Key); q.head == "" {
				p.promote(first.Key, []persistence.QueuedOrder{first})
			}
			after = first.Key
		}
		if len(page) < recoveryPage {
			p.keys.loaded = true
			return true
		}
	}
}

// show answers who runs under a key, and who waits, once all open orders are known.
func (p *partition) show(e *nodev1.Envelope) {
	if !p.keys.loaded {
		p.refuse(e, failure.ErrStarting)
		return
	}
	m, out := e.GetShowKey(), &nodev1.KeyQueue{}
	if q := p.keys.byKey[m.GetKey()]; q != nil {
		out.Head, out.Held = string(q.head), q.held
	}
	// The first one in the queue may be the head, which was told to start and has not begun.
	var first, waiting []persistence.QueuedOrder
	var err error
	p.Workers.Blocking(func() {
		if first, err = p.readQueue(m.GetKey(), 0, 1); err == nil {
			waiting, err = p.readQueue(m.GetKey(), persistence.Position(m.GetAfter()), int(m.GetMost())+2)
		}
	})
	if err != nil {
		p.Health.Note(p.by.Partition, err)
		p.refuse(e, err)
		return
	}
	out.Count = p.counts.waitFor(m.GetKey())
	if isHead := len(first) > 0 && string(first[0].ID) == out.GetHead(); isHead && out.GetCount() > 0 {
		out.Count-- // it may have been told to start before it was taken up, and so counted
	}
	for _, w := range waiting {
		switch {
		case m.GetAfter() == 0 && string(w.ID) == out.GetHead():
		case len(out.GetWaiting()) == int(m.GetMost()):
			out.More = true
		default:
			out.Waiting, out.Places = append(out.GetWaiting(), string(w.ID)), append(out.GetPlaces(), uint64(w.Position))
		}
	}
	p.answerChecked(e, &nodev1.Answer{Message: &nodev1.Answer_KeyQueue{KeyQueue: out}})
}

// answerChecked gives an answer that came of no event, once the journal has said that this node still owns the partition.
func (p *partition) answerChecked(e *nodev1.Envelope, a *nodev1.Answer) {
	home := p.home
	home.check(func(err error) {
		if err != nil {
			a = &nodev1.Answer{Failure: failure.Of(err)}
		}
		home.Post.Answer(e, a)
	})
}
