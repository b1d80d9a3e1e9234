package memory

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/persistence"
)

// Config says how a store is opened. The zero value of a field means its default.
type Config struct {
	// Node is the node that opens it; default "node". The name of its incarnation begins with it.
	Node messages.NodeID
	// Faults decides what goes wrong; default: nothing.
	Faults Faults
	// Observer is told of each batch; default: nobody.
	Observer persistence.Observer
}

// Journal is one opening of a store. Its methods may be called by many goroutines at once. Its queue has no bound: what waits
// there is what its callers have under way.
type Journal struct {
	store  *Store
	self   messages.Incarnation
	faults Faults
	config Config

	mu      sync.Mutex
	waiting []request
	wake    chan struct{}
	closed  bool
	ended   chan struct{}
}

var _ persistence.Journal = (*Journal)(nil)

// request is a commit, or the release or check of a partition.
type request struct {
	commit   *persistence.Commit
	releases bool
	holding  persistence.Holding
	done     func(error)
}

// Open opens the store, as another incarnation. It must be closed.
func (s *Store) Open(c Config) *Journal {
	if c.Node == "" {
		c.Node = "node"
	}
	if c.Faults == nil {
		c.Faults = func(*persistence.Commit) Fault { return None }
	}
	j := &Journal{
		store: s, self: messages.NewIncarnation(c.Node), faults: c.Faults, config: c, wake: make(chan struct{}, 1),
		ended: make(chan struct{}),
	}
	go j.loop()
	return j
}

// Commit queues a commit. After Close, Done is called before Commit returns.
func (j *Journal) Commit(c *persistence.Commit) { j.hand(request{commit: c, done: c.Done}) }

// Release gives up a partition, behind what was queued before.
func (j *Journal) Release(h persistence.Holding, done func(error)) {
	j.hand(request{holding: h, done: done, releases: true})
}

// Check tells whether this incarnation owns a partition, behind what was queued before.
func (j *Journal) Check(h persistence.Holding, done func(error)) {
	j.hand(request{holding: h, done: done})
}

func (j *Journal) hand(r request) {
	j.mu.Lock()
	closed := j.closed
	if !closed {
		j.waiting = append(j.waiting, r)
	}
	j.mu.Unlock()
	if closed {
		r.done(persistence.ErrClosed)
		return
	}
	j.signal()
}

func (j *Journal) signal() {
	select {
	case j.wake <- struct{}{}:
	default:
	}
}

// loop makes the commits that wait, a batch at a time, until the journal is closed and none waits.
func (j *Journal) loop() {
	defer close(j.ended)
	for range j.wake {
		j.mu.Lock()
		batch, closed := j.waiting, j.closed
		j.waiting = nil
		j.mu.Unlock()
		j.make(batch)
		if closed {
			return
		}
	}
}

// make makes a batch, one request after the other, so that others may come in between; then it answers all.
func (j *Journal) make(batch []request) {
	begun := time.Now()
	results := make([]error, len(batch))
	b := persistence.Batch{}
	for i, r := range batch {
		if results[i] = j.one(r); r.commit == nil {
			continue
		}
		if b.Commits++; results[i] != nil {
			b.Failed++
		} else {
			b.Bytes += len(r.commit.Record)
		}
	}
	b.Took = time.Since(begun)
	if j.config.Observer != nil && b.Commits > 0 {
		j.config.Observer.Synced(b)
	}
	for i, r := range batch {
		r.done(results[i])
	}
}

func (j *Journal) one(r request) error {
	fault := None
	if r.commit != nil {
		fault = j.faults(r.commit)
	}
	j.store.mu.Lock()
	defer j.store.mu.Unlock()
	switch {
	case r.commit != nil:
		return j.commit(r.commit, fault)
	case !r.releases:
		return j.store.check(j.self, r.holding)
	}
	if err := j.store.check(j.self, r.holding); err != nil {
		return err
	}
	j.store.owners[r.holding.Partition] = persistence.Owner{Epoch: r.holding.Epoch}
	return nil
}

// commit makes a commit, unless something goes wrong with it.
func (j *Journal) commit(c *persistence.Commit, fault Fault) error {
	switch fault {
	case Conflict:
		return fmt.Errorf("%w: as it was told", persistence.ErrConflict)
	case Unavailable:
		return fmt.Errorf("%w: as it was told", persistence.ErrUnavailable)
	case UnknownLost:
		return fmt.Errorf("%w: as it was told", persistence.ErrUnknown)
	case Fence:
		j.store.fence(j.self)
	case None, UnknownDone:
	}
	err := j.store.commit(j.self, c)
	if err == nil && fault == UnknownDone {
		return fmt.Errorf("%w: as it was told", persistence.ErrUnknown)
	}
	return err
}

// enter begins to read or change the store; leave ends it.
func (j *Journal) enter(ctx context.Context) error {
	if ctx.Err() != nil {
		return fmt.Errorf("read the journal: %w", context.Cause(ctx))
	}
	if j.faults(nil) == Unavailable {
		return fmt.Errorf("%w: as it was told", persistence.ErrUnavailable)
	}
	j.mu.Lock()
	closed := j.closed
	j.mu.Unlock()
	if closed {
		return persistence.ErrClosed
	}
	j.store.mu.Lock()
	return nil
}

func (j *Journal) leave() { j.store.mu.Unlock() }

// Close waits for all commits that were queued. What the incarnation owns stays its own until it is fenced.
func (j *Journal) Close() error {
	j.mu.Lock()
	j.closed = true
	j.mu.Unlock()
	j.signal()
	<-j.ended
	return nil
}
