package gateway

import (
	"slices"
	"sync"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/adapterv1"
)

// mostUntaken is how many results of a stream that could not be taken are remembered. The adapter sends all results again by itself that
// are not acknowledged, if later.
const mostUntaken = 1 << 14

// untaken are the results that could not be taken because the journal did not answer, or an answer was lost.
type untaken struct {
	mu   sync.Mutex
	seqs map[uint64]refused // by sequence number
}

// refused is what is kept of such a result: of which partition it is, and whether the journal was seen not to answer for that since.
type refused struct {
	partition messages.Partition
	away      bool
}

func (u *untaken) add(seq uint64, p messages.Partition) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.seqs == nil {
		u.seqs = map[uint64]refused{}
	}
	if len(u.seqs) < mostUntaken {
		u.seqs[seq] = refused{partition: p}
	}
}

// some tells whether there are any.
func (u *untaken) some() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return len(u.seqs) > 0
}

// take returns the numbers of results for which the journal answers, in their order, and forgets them: all of these, or those for which
// it did not answer when it was asked before.
func (u *untaken) take(all bool, answers func(messages.Partition) bool) (seqs []uint64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for seq, r := range u.seqs {
		switch {
		case !answers(r.partition):
			u.seqs[seq] = refused{partition: r.partition, away: true}
		case all || r.away:
			seqs = append(seqs, seq)
			delete(u.seqs, seq)
		}
	}
	slices.Sort(seqs)
	return seqs
}

// askAgain has the adapter send again what could not be taken before: all of it, or only what had to wait for the journal to answer.
func (c *connection) askAgain(st adapterConn, all bool) error {
	for seqs := range slices.Chunk(c.untaken.take(all, c.engine.Available), maxFrame) {
		if err := c.deliver(st, &adapterv1.ConnectResponse{Again: seqs}); err != nil {
			return err
		}
	}
	return nil
}
