package flaky

import (
	"context"
	"fmt"
	"sync"

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

	mu    sync.Mutex
	state State
	count int      // of commits that came while it was not up
	held  []func() // what is done with those that wait
}

// Wrap makes a journal that stands before another one. It is up.
func Wrap(j persistence.Journal) *Journal { return &Journal{Journal: j} }

// Set sets how the journal answers from now on. If it is up then, commits that wait for an answer get it before Set returns.
func (j *Journal) Set(s State) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.state = s; s != Up {
		return
	}
	for _, end := range j.held {
		end()
	}
	j.held = nil
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
	if j.state == Up {
		j.Journal.Commit(c)
		return
	}
	j.count++
	n := j.count
	end := func() {
		if n%2 == 0 {
			j.made(c)
		} else {
			c.Done(errUnknown)
		}
	}
	switch {
	case j.state == Silent:
		j.held = append(j.held, end)
	case n%4 < 2:
		end()
	default:
		c.Done(errAway)
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
	j.hand(func() { j.Journal.Release(h, done) }, done)
}

// Check implements persistence.Ownership.
func (j *Journal) Check(h persistence.Holding, done func(error)) {
	j.hand(func() { j.Journal.Check(h, done) }, done)
}

// hand passes a release or a check on to the journal behind.
func (j *Journal) hand(over func(), done func(error)) {
	j.mu.Lock()
	defer j.mu.Unlock()
	switch j.state {
	case Up:
		over()
	case Away:
		done(errAway)
	case Silent:
		j.held = append(j.held, over)
	}
}

var (
	errAway    = fmt.Errorf("%w: as it was told", persistence.ErrUnavailable)
	errUnknown = fmt.Errorf("%w: as it was told", persistence.ErrUnknown)
)

// answers returns why something can't be read or changed now; nil if it can.
func (j *Journal) answers(ctx context.Context) error {
	j.mu.Lock()
	state := j.state
	j.mu.Unlock()
	switch state {
	case Up:
	case Away:
		return errAway
	case Silent:
		<-ctx.Done()
		return fmt.Errorf("wait for the journal: %w", context.Cause(ctx))
	}
	return nil
}
