package gateway

import (
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/holdfast-run/holdfast/messages/adapterv1"
)

// mostUntaken is how many results of a stream that could not be taken are remembered. The adapter sends all results again by itself that
// are not acknowledged, if later.
const mostUntaken = 1 << 14

// untaken are the sequence numbers of results that could not be taken because the journal did not answer, or an answer was lost.
type untaken struct {
	mu   sync.Mutex
	seqs map[uint64]struct{}
}

func (u *untaken) add(seq uint64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.seqs == nil {
		u.seqs = map[uint64]struct{}{}
	}
	if len(u.seqs) < mostUntaken {
		u.seqs[seq] = struct{}{}
	}
}

// take returns the numbers in their order, and forgets them.
func (u *untaken) take() []uint64 {
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.seqs) == 0 {
		return nil
	}
	seqs := slices.Sorted(maps.Keys(u.seqs))
	u.seqs = nil
	return seqs
}

// askAgain has the adapter send again what could not be taken before.
func (c *connection) askAgain(st adapterConn) error {
	for seqs := range slices.Chunk(c.untaken.take(), maxFrame) {
		if err := st.Send(&adapterv1.ConnectResponse{Again: seqs}); err != nil {
			return fmt.Errorf("ask for results again: %w", err)
		}
	}
	return nil
}
