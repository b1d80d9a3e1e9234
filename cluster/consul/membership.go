package consul

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/holdfast-run/holdfast/supervision"
)

// Membership is a node's part in a cluster. Its methods are safe for concurrent use.
type Membership struct {
	cfg Config

	cancel func() // ends all that goes on
	onEnd  func(f func()) (stop func() bool)
	all    sync.WaitGroup

	keeper keeper
	soon   chan struct{}                      // holds one: the next read of evidence is due
	cut    atomic.Pointer[context.CancelFunc] // ends the query of the watch
	ending sync.Mutex                         // held while the node leaves
	left   bool

	observing sync.Mutex // held while Observe is called
}

// retry is the pause after a failure.
var retry = supervision.Backoff{Initial: 100 * time.Millisecond, Max: 2 * time.Second, Jitter: 0.5}

// Join begins to keep the node registered, and to observe. It awaits nothing: that the node is registered is observed.
func Join(cfg Config) (*Membership, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	m := &Membership{cfg: cfg, soon: make(chan struct{}, 1)}
	ctx, cancel := context.WithCancel(context.Background())
	m.cancel = cancel
	m.onEnd = func(f func()) (stop func() bool) { return context.AfterFunc(ctx, f) }
	keeping, stop := context.WithCancel(ctx)
	m.keeper = keeper{
		m: m, endpoint: endpoint{cfg: &m.cfg}, stop: stop, stopped: make(chan struct{}),
		announced: make(chan Announcement, 1), missed: make(chan time.Time, 1), hurry: make(chan struct{}, 1),
		now: cfg.Announcement,
	}
	m.loop(keeping, "consul registration", m.keeper.run)
	m.loop(ctx, "consul evidence", m.prove)
	m.loop(ctx, "consul watch", m.watch)
	return m, nil
}

// loop starts a loop, which ends with the context.
func (m *Membership) loop(ctx context.Context, name string, run func(ctx context.Context, turn func())) {
	turn := m.cfg.Loop(name)
	m.all.Go(func() { run(ctx, turn) })
}

// Announce replaces what others are told. It awaits nothing.
func (m *Membership) Announce(a Announcement) error {
	if err := a.validate(); err != nil {
		return err
	}
	m.keeper.announce(a)
	return nil
}

// Look has all nodes asked for now: a query of the watch that awaits a change is given up. It awaits nothing, and must not be called often.
func (m *Membership) Look() {
	if cut := m.cut.Load(); cut != nil {
		(*cut)()
	}
}

// Hurry has the node refreshed now, and not when it is time, and read of as evidence as soon as that is confirmed. It awaits nothing.
func (m *Membership) Hurry() { latest(m.keeper.hurry, struct{}{}) }

// leaveDwell is how long a node that leaves is critical before it is gone. Whoever watches asks more often than that.
const leaveDwell = 500 * time.Millisecond

// Leave ends the registration: the node says that it is critical, so that others act at once, and is deregistered a moment later.
// The observations go on. It takes leaveDwell and two requests, each of one TTL at most; it returns what could not be done, and isn't
// tried again: Consul finds out after one TTL. It may be called more than once.
func (m *Membership) Leave(ctx context.Context) error {
	m.ending.Lock()
	defer m.ending.Unlock()
	if m.left {
		return nil
	}
	m.left = true
	ctx, stop := m.until(ctx)
	defer stop()
	m.keeper.stop()
	<-m.keeper.stopped
	told := m.keeper.tell(ctx, m.cfg.TTL, api.HealthCritical, leavingOutput)
	if told == nil {
		wait(ctx, leaveDwell)
	}
	gone := m.keeper.endpoint.deregister(ctx, m.cfg.TTL, Instance{Incarnation: m.cfg.Self})
	if unknown(told) && unknown(gone) { // it was not registered, or no more
		told, gone = nil, nil
	}
	return errors.Join(told, gone)
}

// Close ends all that goes on, and waits for it: it takes no longer than a call of Observe, Renew or Loop. A node that has not left
// stays registered, and is critical after one TTL.
func (m *Membership) Close() {
	m.cancel()
	m.all.Wait()
	m.ending.Lock()
	defer m.ending.Unlock()
	m.left = true
	m.keeper.endpoint.close()
}

// until returns a context that ends with another one, or when all ends.
func (m *Membership) until(ctx context.Context) (ending context.Context, stop func()) {
	ending, cancel := context.WithCancel(ctx)
	forget := m.onEnd(cancel)
	return ending, func() { forget(); cancel() }
}

// observe hands on an observation.
func (m *Membership) observe(o Observation) {
	m.observing.Lock()
	defer m.observing.Unlock()
	m.cfg.Observe(o)
}

// sooner takes up to a tenth off a pause, so that nodes that began together don't go on so.
func (m *Membership) sooner(d time.Duration) time.Duration {
	return d - time.Duration(float64(d)*m.cfg.Random()/10)
}

// wait waits for a time; false: the context has ended.
func wait(ctx context.Context, d time.Duration) bool { return waitUnless(ctx, d, nil) }

// waitUnless waits for a time, or less if something is due; false: the context has ended.
func waitUnless(ctx context.Context, d time.Duration, due <-chan struct{}) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-due:
		return true
	case <-ctx.Done():
		return false
	}
}

// streak logs the first of some failures in a row, and the end of the row.
type streak struct {
	log      *slog.Logger
	what     string
	failures int
	since    time.Time
}

func (s *streak) note(err error) {
	switch {
	case err != nil:
		s.failures++
		if s.failures == 1 {
			s.since = time.Now()
			s.log.Warn("Consul fails; it is asked again and again", "what", s.what, "error", err)
		}
	case s.failures > 0:
		s.log.Info("Consul answers again", "what", s.what, "failures", s.failures, "after", time.Since(s.since))
		s.failures = 0
	}
}
