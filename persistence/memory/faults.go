package memory

import (
	"math/rand/v2"
	"sync"

	"github.com/holdfast-run/holdfast/persistence"
)

// Fault is what goes wrong with a commit or a read.
type Fault int

// The faults.
const (
	// None: nothing goes wrong.
	None Fault = iota
	// Conflict: the commit is not made, and answered persistence.ErrConflict.
	Conflict
	// Fence: this incarnation is fenced before the commit, which fails with all those behind it.
	Fence
	// Unavailable: nothing is done, and the answer is persistence.ErrUnavailable. It is the only fault of reads.
	Unavailable
	// UnknownDone: the commit is made if it passes, UnknownLost: it is not made. The answer is persistence.ErrUnknown either
	// way.
	UnknownDone
	UnknownLost
)

// Faults decides what goes wrong. It is called with each commit before it is made, in the order of the commits of an opening;
// and with nil before each read. It may be called by many goroutines at once, and must not call the journal.
type Faults func(c *persistence.Commit) Fault

// Script has the commits of an opening end as told, one after the other; those behind them, and reads, go well.
func Script(faults ...Fault) Faults {
	var mu sync.Mutex
	return func(c *persistence.Commit) Fault {
		mu.Lock()
		defer mu.Unlock()
		if c == nil || len(faults) == 0 {
			return None
		}
		next := faults[0]
		faults = faults[1:]
		return next
	}
}

// Odds are how often things go wrong, each from 0 to 1; together at most 1.
type Odds struct {
	Conflict, Fence, Unavailable, UnknownDone, UnknownLost float64
	// Read is how often a read is answered persistence.ErrUnavailable.
	Read float64
}

// Random has commits and reads go wrong by chance: the same for the same seed and the same calls.
func Random(seed uint64, odds Odds) Faults {
	rng := rand.New(rand.NewPCG(seed, 0))
	var mu sync.Mutex
	return func(c *persistence.Commit) Fault {
		mu.Lock()
		defer mu.Unlock()
		x := rng.Float64()
		if c == nil {
			if x < odds.Read {
				return Unavailable
			}
			return None
		}
		for _, f := range []struct {
			fault Fault
			odds  float64
		}{
			{Conflict, odds.Conflict},
			{Fence, odds.Fence},
			{Unavailable, odds.Unavailable},
			{UnknownDone, odds.UnknownDone},
			{UnknownLost, odds.UnknownLost},
		} {
			if x < f.odds {
				return f.fault
			}
			x -= f.odds
		}
		return None
	}
}
