package view

import (
	"math/rand/v2"
	"time"

	"github.com/holdfast-run/holdfast/actors/runtime"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/nodev1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/supervision"
)

// pursuit is what is undertaken to learn how an order stands whose commits this node did not learn of, or does not:
//
//	partition not here: ask the owner ──► answered: told, and asked again
//	                      ▲        └────► failed: wait a while
//	                      └── look at the journal ◄──┘
//	partition has come here: look at the journal ──► told, and over; failed: wait a while, look again
type pursuit struct {
	// turn is the number of what was undertaken last: what comes of anything before is of no use. 0: there is nothing to learn.
	turn uint64
	// wanted is what that is about.
	wanted *nodev1.Await
	// tries is how often it has failed in a row.
	tries int
}

// askWithin is how long an ask for word of an order may take: longer than its receiver takes for an answer that tells nothing.
const askWithin = awaitWithin + 3*time.Second

// pursueAgain is how long to wait after a failure.
//
//nolint:gochecknoglobals // a constant
var pursueAgain = supervision.Backoff{Initial: 20 * time.Millisecond, Max: 5 * time.Second, Jitter: 0.2}

// serves says whether this node has a partition.
func (w *Waiters) serves(p messages.Partition, here bool) {
	s := &w.shards[p]
	s.mu.Lock()
	if s.here == here {
		s.mu.Unlock()
		return
	}
	s.here = here
	moved := w.leave(s)
	var all []func()
	for id, a := range s.byOrder {
		a.tries = 0
		all = append(all, w.pursue(s, id, a))
	}
	s.mu.Unlock()
	for _, x := range moved {
		w.refuse(x, runtime.ErrNotOwner)
	}
	for _, begin := range all {
		begin()
	}
}

// pursue returns what begins a new turn, in which it is learnt how an order stands. The lock is held.
func (w *Waiters) pursue(s *waiterShard, id messages.OrderID, a *awaited) (begin func()) {
	if s.here {
		return w.look(s, id, a)
	}
	a.turn, a.wanted = w.turns.Add(1), wantedBy(a.waiters)
	a.wanted.Version = uint64(a.version)
	e := &nodev1.Envelope{
		Partition: uint32(s.partition), OrderId: string(id), Message: &nodev1.Envelope_Await{Await: a.wanted},
	}
	turn := a.turn
	return func() {
		w.post.AskWithin(askWithin, runtime.Owner{}, e, func(answer *nodev1.Answer) { w.heard(s, id, turn, answer) })
	}
}

// look is pursue by way of the journal.
func (w *Waiters) look(s *waiterShard, id messages.OrderID, a *awaited) (begin func()) {
	a.turn, a.wanted = w.turns.Add(1), wantedBy(a.waiters)
	a.wanted.Version = uint64(a.version)
	turn, m := a.turn, a.wanted
	return func() {
		w.looks.add(look{id: id, wanted: m, done: func(v messages.Version, ended *orderv1.Order, err error) {
			if err != nil {
				w.later(s, id, turn)
				return
			}
			w.learnt(s, id, turn, v, ended, 0)
		}})
	}
}

// heard takes the owner's answer.
func (w *Waiters) heard(s *waiterShard, id messages.OrderID, turn uint64, answer *nodev1.Answer) {
	word := answer.GetAwaited()
	switch {
	case answer.GetFailure() != nil, word == nil:
		w.later(s, id, turn)
	case word.GetEnded() && word.GetOrder() == nil:
		w.on(s, id, turn, w.look)
	default:
		w.learnt(s, id, turn, messages.Version(word.GetVersion()), word.GetOrder(), pursueAgain.Initial)
	}
}

// on goes on with the pursuit of an order, if the turn is the last one.
func (w *Waiters) on(
	s *waiterShard, id messages.OrderID, turn uint64, how func(*waiterShard, messages.OrderID, *awaited) (begin func()),
) {
	s.mu.Lock()
	a := s.byOrder[id]
	if a == nil || a.turn != turn {
		s.mu.Unlock()
		return
	}
	begin := how(s, id, a)
	s.mu.Unlock()
	begin()
}

// later looks at the journal after a while.
func (w *Waiters) later(s *waiterShard, id messages.OrderID, turn uint64) {
	w.on(s, id, turn, func(_ *waiterShard, _ messages.OrderID, a *awaited) func() {
		a.tries++
		wait := pursueAgain.Next(a.tries, rand.Float64)
		return func() { time.AfterFunc(wait, func() { w.on(s, id, turn, w.look) }) }
	})
}

// learnt tells what was learnt of an order: that it has grown to a version, if that is not 0, or has ended. Then it goes on, unless the
// partition is here: if there was no news, after a pause, lest an owner that answers at once is asked without end.
func (w *Waiters) learnt(
	s *waiterShard, id messages.OrderID, turn uint64, v messages.Version, order *orderv1.Order, pause time.Duration,
) {
	s.mu.Lock()
	a := s.byOrder[id]
	if a == nil || a.turn != turn {
		s.mu.Unlock()
		return
	}
	var list []*Waiter
	var ended func(bool) *orderv1.Order
	if order != nil {
		ended = func(bool) *orderv1.Order { return order }
	}
	if order != nil || v > a.version {
		list = w.told(s, id, a, v, ended != nil)
		a.tries, pause = 0, 0
	}
	begin := func() {}
	switch {
	case s.here:
		a.pursuit = pursuit{}
	case len(a.waiters) == 0:
	case pause == 0:
		begin = w.pursue(s, id, a)
	default:
		a.tries = 0
		begin = func() { time.AfterFunc(pause, func() { w.on(s, id, turn, w.pursue) }) }
	}
	s.mu.Unlock()
	tell(list, v, ended)
	begin()
}
