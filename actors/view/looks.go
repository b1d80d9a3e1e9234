package view

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/nodev1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/persistence"
)

const (
	// mostLooks is how many looks at the journal are under way at once, for those who wait for orders.
	mostLooks = 4
	// lookWithin is how long one may take.
	lookWithin = 4 * time.Second
)

// standsFunc reads how an order stands, as far as that is wanted: the version that it has grown to, if that is beyond the one that is
// known, else 0; and how it has ended, if it has.
type standsFunc func(ctx context.Context, id messages.OrderID, wanted *nodev1.Await) (messages.Version, *orderv1.Order, error)

// look is a look at the journal: how an order stands.
type look struct {
	id     messages.OrderID
	wanted *nodev1.Await
	done   func(messages.Version, *orderv1.Order, error)
}

// looks are the looks that are wanted: at most one for each order that somebody waits for, and one for each await. They are done by
// goroutines that are there as long as there are any.
type looks struct {
	read   standsFunc
	ctx    context.Context //nolint:containedctx // of all reading
	cancel context.CancelFunc

	mu      sync.Mutex
	queue   []look
	running int
	stopped bool
	wg      sync.WaitGroup
}

// add has a look done; after the end it is not.
func (l *looks) add(x look) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stopped {
		return
	}
	l.queue = append(l.queue, x)
	if l.running < mostLooks {
		l.running++
		l.wg.Go(l.run)
	}
}

func (l *looks) run() {
	for {
		l.mu.Lock()
		if len(l.queue) == 0 || l.stopped {
			l.running--
			l.mu.Unlock()
			return
		}
		x := l.queue[0]
		if l.queue = l.queue[1:]; len(l.queue) == 0 {
			l.queue = nil
		}
		l.mu.Unlock()
		ctx, cancel := context.WithTimeout(l.ctx, lookWithin)
		v, ended, err := l.read(ctx, x.id, x.wanted)
		cancel()
		x.done(v, ended, err)
	}
}

// Stop ends the waiting: nobody is told anything any more by way of the journal.
func (w *Waiters) Stop() {
	l := &w.looks
	l.mu.Lock()
	l.stopped, l.queue = true, nil
	l.mu.Unlock()
	l.cancel()
	l.wg.Wait()
}

// stands implements standsFunc. There is nothing to tell of an order that was not accepted.
func (v *View) stands(ctx context.Context, id messages.OrderID, wanted *nodev1.Await) (messages.Version, *orderv1.Order, error) {
	e, err := v.parts.Journal.Find(ctx, id)
	switch {
	case errors.Is(err, persistence.ErrNotFound):
		return 0, nil, nil
	case err != nil:
		return 0, nil, fmt.Errorf("order %s: %w", id, err)
	}
	var grown messages.Version
	if wanted.GetGrows() {
		if grown, err = v.grown(ctx, e.Handle, messages.Version(wanted.GetVersion())); err != nil {
			return 0, nil, err
		}
	}
	if !wanted.GetEnds() {
		return grown, nil, nil
	}
	row, err := v.parts.Journal.Row(ctx, e.Handle)
	if err != nil {
		return 0, nil, fmt.Errorf("read the row of order %s: %w", id, err)
	}
	if row.GetEndedAt() == 0 {
		return grown, nil, nil
	}
	s, _, err := v.Load(ctx, id)
	switch {
	case err != nil:
		return 0, nil, err
	case !s.Ended(): // it has been reopened
		return grown, nil, nil
	case wanted.GetWhole():
		return grown, OrderOf(s), nil
	}
	return grown, EndOf(s), nil
}

// grown returns the last version of a history beyond one that is known; 0: there is none.
func (v *View) grown(ctx context.Context, h messages.Handle, known messages.Version) (messages.Version, error) {
	last := messages.Version(0)
	for stored, err := range v.parts.Journal.Records(ctx, h, known+1) {
		if err != nil {
			return 0, fmt.Errorf("read history: %w", err)
		}
		last = stored.First - 1
		for _, err := range persistence.Events(stored.Data) {
			if err != nil {
				return 0, persistence.DecodeError("record", err)
			}
			last++
		}
	}
	if last <= known {
		return 0, nil
	}
	return last, nil
}
