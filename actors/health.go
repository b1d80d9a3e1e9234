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
type health struct{ unavailable atomic.Bool }

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
	}
}

// probe asks the journal whether it answers again, if it did not.
func (h *health) probe(j persistence.Journal, within time.Duration) {
	if h.Available() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	_, err := j.Find(ctx, messages.OrderID(""))
	if errors.Is(err, persistence.ErrNotFound) {
		err = nil
	}
	h.Note(err)
}
