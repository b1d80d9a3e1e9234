package actors

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/persistence"
)

// health tells whether the journal answers, as far as is known.
type health struct {
	unavailable atomic.Bool
	// refused is when it said last that it can't do something now, in nanoseconds since 1970.
	refused atomic.Int64
}

// Available implements partition.Health.
func (h *health) Available() bool { return !h.unavailable.Load() }

// Note implements partition.Health.
func (h *health) Note(err error) {
	switch {
	case err == nil:
		if h.unavailable.Load() {
			h.unavailable.Store(false)
		}
	case errors.Is(err, persistence.ErrUnavailable), errors.Is(err, context.DeadlineExceeded):
		h.unavailable.Store(true)
		if !errors.Is(err, context.DeadlineExceeded) { // else it was asked long ago
			h.refused.Store(time.Now().UnixNano())
		}
	}
}

// steadyAfter is how long a journal must have refused nothing before the node counts as ready again: one that can be read
// and not written answers each probe.
const steadyAfter = time.Second

// steady tells whether the journal answers, and has done so for a while.
func (h *health) steady(now time.Time) bool {
	return h.Available() && now.Sub(time.Unix(0, h.refused.Load())) >= steadyAfter
}

const (
	// probeEvery is how often a journal that did not answer is asked whether it does again, and probeWithin how long the answer may
	// take. Both are so short that what waits for the journal goes on within two seconds.
	probeEvery  = 200 * time.Millisecond
	probeWithin = time.Second
)

// probe asks a journal that did not answer whether it does again, and returns true if it does.
func (h *health) probe(ctx context.Context, j persistence.Reader) (again bool) {
	if h.Available() {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, probeWithin)
	defer cancel()
	_, err := j.Find(ctx, messages.OrderID(""))
	if errors.Is(err, persistence.ErrNotFound) {
		err = nil
	}
	h.Note(err)
	return h.Available()
}

// countFallout counts the orders that have faulted. While the journal does not answer, that is as it told last.
func (e *Engine) countFallout(ctx context.Context) persistence.Fallout {
	ctx, cancel := context.WithTimeout(ctx, probeWithin)
	defer cancel()
	n, err := e.deps.Journal.Fallout(ctx)
	if err != nil {
		return *e.fallout.Load()
	}
	e.fallout.Store(&n)
	return n
}
