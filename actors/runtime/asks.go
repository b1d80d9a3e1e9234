package runtime

import (
	"sync"
	"sync/atomic"

	"github.com/holdfast-run/holdfast/messages"
)

// Asks are the messages that want an answer and have none yet, as their sender keeps them. An ask ends once: by its answer, at its
// deadline, or with its owner. What it asked for may have been done all the same: whoever asked says it again.
type Asks[Q any] struct {
	last   atomic.Uint64
	shards [askShards]askShard[Q]
}

const askShards = 64

type askShard[Q any] struct {
	mu   sync.Mutex
	asks map[uint64]Q
	_    [40]byte // so that each has a cache line of its own
}

// Owner is a partition as one of its owners has it. The zero value is nobody.
type Owner struct {
	Partition messages.Partition
	Epoch     messages.Epoch
}

// NewAsks makes an empty table of asks, whose numbers begin behind from. That should be random, so that a late answer to an earlier
// process of this node is not taken for an answer to this one.
func NewAsks[Q any](from uint64) *Asks[Q] {
	a := &Asks[Q]{}
	a.last.Store(from)
	return a
}

// Number returns the number of an ask to be added: not 0, and never used again.
func (a *Asks[Q]) Number() uint64 { return a.last.Add(1) }

// Add keeps an ask under its number.
func (a *Asks[Q]) Add(n uint64, ask Q) {
	s := &a.shards[n%askShards]
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.asks == nil {
		s.asks = map[uint64]Q{}
	}
	s.asks[n] = ask
}

// Has tells whether an ask has not ended.
func (a *Asks[Q]) Has(n uint64) bool {
	s := &a.shards[n%askShards]
	s.mu.Lock()
	defer s.mu.Unlock()
	_, there := s.asks[n]
	return there
}

// Take ends an ask; false if it has ended already.
func (a *Asks[Q]) Take(n uint64) (Q, bool) {
	s := &a.shards[n%askShards]
	s.mu.Lock()
	defer s.mu.Unlock()
	ask, there := s.asks[n]
	delete(s.asks, n)
	return ask, there
}

// Those returns the asks that are as wanted, in no order.
func (a *Asks[Q]) Those(wanted func(Q) bool) (some []Q) {
	for i := range a.shards {
		s := &a.shards[i]
		s.mu.Lock()
		for _, ask := range s.asks {
			if wanted(ask) {
				some = append(some, ask)
			}
		}
		s.mu.Unlock()
	}
	return some
}

// TakeAll ends all asks that are over, in no order.
func (a *Asks[Q]) TakeAll(over func(Q) bool) (ended []Q) {
	for i := range a.shards {
		s := &a.shards[i]
		s.mu.Lock()
		for n, ask := range s.asks {
			if over(ask) {
				delete(s.asks, n)
				ended = append(ended, ask)
			}
		}
		s.mu.Unlock()
	}
	return ended
}

// Len returns how many asks there are.
func (a *Asks[Q]) Len() (n int) {
	for i := range a.shards {
		s := &a.shards[i]
		s.mu.Lock()
		n += len(s.asks)
		s.mu.Unlock()
	}
	return n
}
