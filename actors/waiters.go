package actors

import (
	"sync"
	"sync/atomic"

	"github.com/cespare/xxhash/v2"

	"github.com/holdfast-run/holdfast/actors/workflow"
	"github.com/holdfast-run/holdfast/messages"
)

// waiters holds who waits for the end of an order, or for the growth of its history. It is bounded by its callers: each
// entry belongs to a call or to an order of a stream.
type waiters struct {
	shards [64]waiterShard
}

type waiterShard struct {
	mu      sync.Mutex
	byOrder map[messages.OrderID][]*Waiter
	count   atomic.Int64
}

// Waiter is told of an order.
type Waiter struct {
	// Ended is called once, when the order has ended. It must not block. May be nil.
	Ended func(*workflow.State)
	// Grown is called after each commit. It must not block. May be nil.
	Grown func()
}

func (w *waiters) shard(id messages.OrderID) *waiterShard {
	return &w.shards[xxhash.Sum64String(string(id))%uint64(len(w.shards))]
}

func (w *waiters) add(id messages.OrderID, x *Waiter) {
	s := w.shard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byOrder == nil {
		s.byOrder = map[messages.OrderID][]*Waiter{}
	}
	s.byOrder[id] = append(s.byOrder[id], x)
	s.count.Add(1)
}

func (w *waiters) remove(id messages.OrderID, x *Waiter) {
	s := w.shard(id)
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

func (w *waiters) count() int {
	n := int64(0)
	for i := range w.shards {
		n += w.shards[i].count.Load()
	}
	return int(n)
}

// grown tells that events of an order were committed; state is given if it has ended.
func (w *waiters) grown(id messages.OrderID, ended *workflow.State) {
	s := w.shard(id)
	if s.count.Load() == 0 {
		return
	}
	s.mu.Lock()
	list := s.byOrder[id]
	if ended != nil && len(list) > 0 {
		delete(s.byOrder, id)
		s.count.Add(-int64(len(list)))
	}
	s.mu.Unlock()
	for _, x := range list {
		if ended != nil && x.Ended != nil {
			x.Ended(ended)
		}
		if x.Grown != nil {
			x.Grown()
		}
	}
}
