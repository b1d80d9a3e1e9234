package view

import (
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/holdfast-run/holdfast/actors/failure"
	"github.com/holdfast-run/holdfast/actors/runtime"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/nodev1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
)

const (
	// awaitWithin is how long another node waits here for word of an order until it is answered that there is none. Then it asks again, if
	// it is still there: so nothing stays behind of a node that is gone.
	awaitWithin = 10 * time.Second
	// mostAwaits is how many orders all other nodes together may await here. One more is refused, and its node looks at the journal
	// every few seconds instead.
	mostAwaits = 100_000
	// mostTold is the largest order, in bytes, that is told to another node when it has ended. A larger one that node reads in the
	// journal.
	mostTold = 64 << 10
)

// awaiter is an order that a node awaits.
type awaiter struct {
	node string
	id   messages.OrderID
}

// await is another node's wait for word of an order that is here. It is a waiter like any other, and ends with the first word, at its
// deadline, or with the partition.
type await struct {
	awaiter

	envelope *nodev1.Envelope
	waiter   *Waiter
	until    int64 // the tick that ends it
}

// Await takes another node's wait for word of an order, and sees to its answer.
func (w *Waiters) Await(e *nodev1.Envelope) {
	s, m := &w.shards[e.GetPartition()], e.GetAwait()
	x := &await{
		awaiter: awaiter{e.GetAsker(), messages.OrderID(e.GetOrderId())}, envelope: e, until: w.seconds.Load() + int64(awaitWithin/time.Second),
		waiter: &Waiter{Brief: !m.GetWhole()},
	}
	if m.GetEnds() {
		x.waiter.Ended = func(o *orderv1.Order) { w.answer(s, x, wordOf(0, o)) }
	}
	if m.GetGrows() {
		x.waiter.Grown = func(v messages.Version) {
			if uint64(v) > m.GetVersion() {
				w.answer(s, x, wordOf(v, nil))
			}
		}
	}
	s.mu.Lock()
	before := s.awaits[x.awaiter]
	var err error
	switch {
	case !s.here:
		err = runtime.ErrNotOwner
	case before != nil && before.envelope.GetAsk() == e.GetAsk():
		s.mu.Unlock()
		return // it has come twice
	case w.awaits.Load() >= mostAwaits && before == nil:
		err = fmt.Errorf("%w: %d orders are awaited by other nodes", runtime.ErrBusy, mostAwaits)
	default:
		if before != nil {
			w.drop(s, before)
		}
		w.add(s, x.id, x.waiter)
		s.awaits[x.awaiter] = x
		w.awaits.Add(1)
	}
	s.mu.Unlock()
	if err != nil {
		w.refuse(x, err)
		return
	}
	if before != nil {
		w.post.Answer(before.envelope, wordOf(0, nil))
	}
	w.looks.add(look{id: x.id, wanted: m, done: func(v messages.Version, ended *orderv1.Order, err error) {
		switch {
		case err != nil:
			w.answer(s, x, &nodev1.Answer{Failure: failure.Of(err)})
		case v > 0, ended != nil:
			w.answer(s, x, wordOf(v, ended))
		}
	}})
}

// wordOf is an answer that tells of an order that it has grown to a version, if that is not 0, and how it has ended, if it has.
func wordOf(v messages.Version, ended *orderv1.Order) *nodev1.Answer {
	word := &nodev1.Awaited{Version: uint64(v), Ended: ended != nil}
	if ended != nil && proto.Size(ended) <= mostTold {
		word.Order = ended
	}
	return &nodev1.Answer{Message: &nodev1.Answer_Awaited{Awaited: word}}
}

// answer ends an await, unless it has ended.
func (w *Waiters) answer(s *waiterShard, x *await, a *nodev1.Answer) {
	s.mu.Lock()
	open := s.awaits[x.awaiter] == x
	if open {
		w.drop(s, x)
	}
	s.mu.Unlock()
	if open {
		w.post.Answer(x.envelope, a)
	}
}

func (w *Waiters) refuse(x *await, err error) {
	w.post.Answer(x.envelope, &nodev1.Answer{Failure: failure.Of(err)})
}

// drop forgets an await that is open. The lock is held.
func (w *Waiters) drop(s *waiterShard, x *await) {
	delete(s.awaits, x.awaiter)
	w.awaits.Add(-1)
	w.remove(s, x.id, x.waiter)
}

// leave forgets all awaits of a partition, and returns them. The lock is held.
func (w *Waiters) leave(s *waiterShard) (all []*await) {
	for _, x := range s.awaits {
		w.drop(s, x)
		all = append(all, x)
	}
	return all
}

// tick ends the awaits whose deadline has come.
func (w *Waiters) tick() {
	now := w.seconds.Add(1)
	if w.awaits.Load() == 0 {
		return
	}
	for p := range w.shards {
		s := &w.shards[p]
		var over []*await
		s.mu.Lock()
		for _, x := range s.awaits {
			if now >= x.until {
				over = append(over, x)
			}
		}
		s.mu.Unlock()
		for _, x := range over {
			w.answer(s, x, wordOf(0, nil))
		}
	}
}
