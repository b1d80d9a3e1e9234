package runtime

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfast-run/holdfast/messages"
)

// Asks are the messages that want an answer and have none yet, as their sender keeps them. An ask ends once: by its answer, at its
// deadline, or with its owner. What it asked for may have been done all the same: whoever asked says it again.
type Asks[A any] struct {
	last   atomic.Uint64
	shards [askShards]askShard[A]
}

const askShards = 64

type askShard[A any] struct {
	mu   sync.Mutex
	asks map[uint64]Ask[A]
	_    [40]byte // so that neighbours are not in each other's way
}

// Ask is one of them.
type Ask[A any] struct {
	// Owner is for whom it is asked: it ends with that. The zero Owner does not end.
	Owner Owner
	// Deadline is when it ends without an answer.
	Deadline time.Time
	// Done is called with the answer, once, by whoever brings it. It must not block.
	Done func(A)
}

// Owner is a partition as one of its owners has it.
type Owner struct {
	Partition messages.Partition
	Epoch     messages.Epoch
}

// Add keeps an ask, and returns its number: not 0, and never used again.
func (a *Asks[A]) Add(ask Ask[A]) uint64 {
	n := a.last.Add(1)
	s := &a.shards[n%askShards]
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.asks == nil {
		s.asks = map[uint64]Ask[A]{}
	}
	s.asks[n] = ask
	return n
}

// Take ends an ask; false if it has ended already.
func (a *Asks[A]) Take(n uint64) (Ask[A], bool) {
	s := &a.shards[n%askShards]
	s.mu.Lock()
	defer s.mu.Unlock()
	ask, there := s.asks[n]
	delete(s.asks, n)
	return ask, there
}

// End answers the asks that are over, in no order.
func (a *Asks[A]) End(over func(Ask[A]) bool, answer A) {
	for i := range a.shards {
		var ended []Ask[A]
		s := &a.shards[i]
		s.mu.Lock()
		for n, ask := range s.asks {
			if over(ask) {
				delete(s.asks, n)
				ended = append(ended, ask)
			}
		}
		s.mu.Unlock()
		for _, ask := range ended {
			ask.Done(answer)
		}
	}
}

// Len returns how many there are.
func (a *Asks[A]) Len() (n int) {
	for i := range a.shards {
		s := &a.shards[i]
		s.mu.Lock()
		n += len(s.asks)
		s.mu.Unlock()
	}
	return n
}
