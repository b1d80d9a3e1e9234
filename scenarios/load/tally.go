package load

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
)

const (
	// shownErrors is how many errors are shown; all are counted.
	shownErrors = 5
	// maxErrors ends a run.
	maxErrors = 10_000
	// stallAfter ends a run in which nothing is answered.
	stallAfter = 30 * time.Second
)

// tally counts what the client sees. It is safe for concurrent use.
type tally struct {
	begin, end time.Time     // what happens between is counted
	patience   time.Duration // how long nothing may be heard
	out        io.Writer     // shows errors

	mu        sync.Mutex
	latencies histogram
	orders    int64     // in the measured time
	all       int64     // and before and after it, errors excluded
	errors    int64     // at any time
	last      time.Time // when something was heard
}

func newTally(begin, end time.Time, out io.Writer) *tally {
	return &tally{begin: begin, end: end, patience: stallAfter, out: out, last: time.Now()}
}

// counts is what a tally holds now.
type counts struct{ orders, all, errors int64 }

func (t *tally) counts() counts {
	t.mu.Lock()
	defer t.mu.Unlock()
	return counts{t.orders, t.all, t.errors}
}

// done counts an order that was submitted, and is done at a time.
func (t *tally) done(submitted, at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last = at
	t.all++
	if !at.Before(t.begin) && at.Before(t.end) {
		t.orders++
		t.latencies.record(at.Sub(submitted))
	}
}

// fail counts an error, and shows the first.
func (t *tally) fail(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.errors++
	t.last = time.Now()
	if t.errors <= shownErrors {
		_, _ = fmt.Fprintln(t.out, "error:", err)
	}
	if t.errors == shownErrors+1 {
		_, _ = fmt.Fprintln(t.out, "further errors are only counted")
	}
}

// heard tells that the run goes on.
func (t *tally) heard(at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last = at
}

// stuck says why the run can't go on; nil if it can.
func (t *tally) stuck(now time.Time) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.errors > maxErrors:
		return fmt.Errorf("more than %d errors", maxErrors)
	case now.Sub(t.last) > t.patience:
		return fmt.Errorf("%w within %v", errNoAnswer, t.patience)
	}
	return nil
}

var errNoAnswer = errors.New("no order was answered")
