package view

import (
	"slices"
	"sync"
	"sync/atomic"

	"github.com/cespare/xxhash/v2"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/orderv1"
)

// Waiters are those who wait for the end of an order, or for the growth of its history. They are bounded by their callers: each
// belongs to a call or to an order of a stream.
type Waiters struct {
	shards [64]waiterShard
	// growing counts those that are told of each commit.
	growing atomic.Int64
}

type waiterShard struct {
	mu      sync.Mutex
	byOrder map[messages.OrderID][]*Waiter
	count   atomic.Int64
}

// Waiter is told of an order.
type Waiter struct {
	// Ended is called once, when the order has ended, with what it has come to; nothing more is told then. It must not block. May be
	// nil: an order that has ended may go on, and be watched.
	Ended func(*orderv1.Order)
	// Brief: the order's status, error and output are enough for Ended.
	Brief bool
	// Grown is called after each commit. It must not block. May be nil.
	Grown func()
}

func (w *Waiters) shard(id messages.OrderID) *waiterShard {
	return &w.shards[xxhash.Sum64String(string(id))%uint64(len(w.shards))]
}

// Add has a waiter told of an order until forget is called.
func (w *Waiters) Add(id messages.OrderID, x *Waiter) (forget func()) {
	s := w.shard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byOrder == nil {
		s.byOrder = map[messages.OrderID][]*Waiter{}
	}
	s.byOrder[id] = append(s.byOrder[id], x)
	s.count.Add(1)
	if x.Grown == nil {
		return func() { s.remove(id, x) }
	}
	w.growing.Add(1)
	return sync.OnceFunc(func() {
		s.remove(id, x)
		w.growing.Add(-1)
	})
}

func (s *waiterShard) remove(id messages.OrderID, x *Waiter) {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := s.byOrder[id]
	for i, y := range list {
		if x == y {
			s.count.Add(-1)
			if len(list) == 1 {
				delete(s.byOrder, id)
			} else {
				s.byOrder[id] = append(list[:i:i], list[i+1:]...)
			}
			return
		}
	}
}

// end forgets those who wait for the end of an order; the lock is held.
func (s *waiterShard) end(id messages.OrderID) {
	var stay []*Waiter
	for _, x := range s.byOrder[id] {
		if x.Ended == nil {
			stay = append(stay, x)
		}
	}
	s.count.Add(int64(len(stay) - len(s.byOrder[id])))
	if len(stay) == 0 {
		delete(s.byOrder, id)
	} else {
		s.byOrder[id] = stay
	}
}

// Len returns how many waiters there are.
func (w *Waiters) Len() int {
	n := int64(0)
	for i := range w.shards {
		n += w.shards[i].count.Load()
	}
	return int(n)
}

// Grown tells that events of an order were committed. ended makes what it has come to, if it has ended; else it is nil. Whole: with
// all that is told of orders.
func (w *Waiters) Grown(id messages.OrderID, ended func(whole bool) *orderv1.Order) {
	if ended == nil && w.growing.Load() == 0 {
		return
	}
	s := w.shard(id)
	if s.count.Load() == 0 {
		return
	}
	s.mu.Lock()
	list := s.byOrder[id]
	if ended != nil {
		s.end(id)
	}
	s.mu.Unlock()
	var order *orderv1.Order
	for _, x := range list {
		if ended != nil && x.Ended != nil {
			if order == nil {
				order = ended(slices.ContainsFunc(list, func(y *Waiter) bool { return !y.Brief }))
			}
			x.Ended(order)
		}
		if x.Grown != nil {
			x.Grown()
		}
	}
}
