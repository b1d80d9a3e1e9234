package flaky

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/persistence"
)

// State is how a journal answers.
type State int

// The states.
const (
	// Up: as the journal behind it does.
	Up State = iota
	// Away: everything is refused with persistence.ErrUnavailable. But of four commits one is made, one is not, and both are
	// answered persistence.ErrUnknown.
	Away
	// Silent: reads wait until their context ends. Commits, releases and checks are not answered before it is up again: then every
	// other commit is made, and all are answered persistence.ErrUnknown.
	Silent
)

// Journal stands before another one. Its methods may be called by many goroutines at once.
type Journal struct {
	persistence.Journal

	mu     sync.Mutex
	shards []shard
	count  int // of commits that came while their shards were not up
}

// shard is how a shard answers.
type shard struct {
	state State
	held  []func() // what is done with those that wait
}

// Wrap makes a journal that stands before another one, and has one shard. It is up.
func Wrap(j persistence.Journal) *Journal { return Split(j, 1) }

// Split makes one that has some shards, as the journal behind it has one. They are up.
func Split(j persistence.Journal, shards int) *Journal {
	return &Journal{Journal: j, shards: make([]shard, shards)}
}

// Shards implements persistence.Sharding.
func (j *Journal) Shards() int { return len(j.shards) }

// ShardOf implements persistence.Sharding.
func (j *Journal) ShardOf(p messages.Partition) int { return int(p) % len(j.shards) }

// directory is the shard where the entry of an order lives.
func (j *Journal) directory(id messages.OrderID) int { return j.ShardOf(messages.PartitionOf(id, "")) }

// Set sets how shards answer from now on; without any, how all of them do. If they are up then, commits that wait for an answer get it
// before Set returns.
func (j *Journal) Set(s State, shards ...int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(shards) == 0 {
		shards = j.all()
	}
	for _, n := range shards {
		x := &j.shards[n]
		if x.state = s; s != Up {
			continue
		}
		for _, end := range x.held {
			end()
		}
		x.held = nil
	}
}

// all are the numbers of all shards.
func (j *Journal) all() (shards []int) {
	for n := range j.shards {
		shards = append(shards, n)
	}
	return shards
}

// Unanswered returns how many commits came while it was not up.
func (j *Journal) Unanswered() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.count
}

// Commit implements persistence.Committer.
func (j *Journal) Commit(c *persistence.Commit) {
	j.mu.Lock()
	defer j.mu.Unlock()
	x := &j.shards[j.ShardOf(c.Partition)]
	entry := j.directory(c.ID)
	isKept := c.ID != "" && j.shards[entry].state != Up && x != &j.shards[entry] // as it gets no entry
	if x.state == Up && !isKept {
		j.Journal.Commit(c)
		return
	}
	j.count++
	if isKept {
		c.Done(away(entry))
		return
	}
	n := j.count
	end := func() {
		if n%2 == 0 {
			j.made(c)
		} else {
			c.Done(errUnknown)
		}
	}
	switch {
	case x.state == Silent:
		x.held = append(x.held, end)
	case n%4 < 2:
		end()
	default:
		c.Done(away(j.ShardOf(c.Partition)))
	}
}

// made makes a commit, and does not tell that it was made.
func (j *Journal) made(c *persistence.Commit) {
	silent := *c
	silent.Done = func(err error) {
		if err == nil {
			err = errUnknown
		}
		c.Done(err)
	}
	j.Journal.Commit(&silent)
}

// Release implements persistence.Ownership.
func (j *Journal) Release(h persistence.Holding, done func(error)) {
	j.hand(h.Partition, func() { j.Journal.Release(h, done) }, done)
}

// Check implements persistence.Ownership.
func (j *Journal) Check(h persistence.Holding, done func(error)) {
	j.hand(h.Partition, func() { j.Journal.Check(h, done) }, done)
}

// hand passes a release or a check of a partition on to the journal behind.
func (j *Journal) hand(p messages.Partition, over func(), done func(error)) {
	j.mu.Lock()
	defer j.mu.Unlock()
	switch x := &j.shards[j.ShardOf(p)]; x.state {
	case Up:
		over()
	case Away:
		done(away(j.ShardOf(p)))
	case Silent:
		x.held = append(x.held, over)
	}
}

var (
	errTold    = errors.New("as it was told")
	errUnknown = fmt.Errorf("%w: %w", persistence.ErrUnknown, errTold)
)

func away(shard int) error { return &persistence.UnavailableError{Shard: shard, Err: errTold} }

// answers returns why something can't be read or changed now in some shards; nil if it can.
func (j *Journal) answers(ctx context.Context, shards ...int) error {
	for _, n := range shards {
		j.mu.Lock()
		state := j.shards[n].state
		j.mu.Unlock()
		switch state {
		case Up:
		case Away:
			return away(n)
		case Silent:
			<-ctx.Done()
			return fmt.Errorf("wait for the journal: %w", context.Cause(ctx))
		}
	}
	return nil
}
