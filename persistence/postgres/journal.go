package postgres

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/persistence"
	"github.com/holdfast-run/holdfast/persistence/clock"
	"github.com/holdfast-run/holdfast/persistence/lane"
)

// Journal is one opening of a journal, as one incarnation. Its methods may be called by many goroutines at once.
type Journal struct {
	cfg    Config
	self   messages.Incarnation
	shards []*shard
	held   held
	// identity is which journal it is.
	identity identity
	alone    alone
	time     timekeeper

	// ctx ends with the journal.
	ctx    context.Context //nolint:containedctx // that of its own connections
	cancel context.CancelFunc
	// lanes, directories and keepers are its goroutines: those that commit, those that make entries for them, and those that do upkeep, read
	// clocks, and prepare what was away.
	lanes, directories, keepers sync.WaitGroup
}

var _ persistence.Journal = (*Journal)(nil)

// Open opens a journal, as a new incarnation, and makes what is missing of it in the databases. It must be closed. Databases that can't
// be reached are used as soon as they can. If none can, or none that can tells the time, it fails with persistence.ErrUnavailable; and
// otherwise if one is not fit to keep a journal, with the reason.
func Open(ctx context.Context, cfg Config) (*Journal, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	j := &Journal{cfg: cfg, self: messages.NewIncarnation(cfg.Node)}
	j.time.began, j.time.shards = time.Now(), make([]clock.Estimate, len(cfg.Shards))
	j.ctx, j.cancel = context.WithCancel(context.Background())
	if cfg.Alone {
		j.alone.note(errNotLocked)
	}
	for i, at := range cfg.Shards {
		s, err := j.newShard(i, at)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("open shard %d of the journal: %w", i, err), j.Close()) //nolint:contextcheck // it is short
		}
		j.shards = append(j.shards, s)
	}
	err = j.prepare(ctx)
	if err == nil {
		err = j.knowsTime()
	}
	if err != nil {
		return nil, errors.Join(err, j.Close()) //nolint:contextcheck // it is short
	}
	j.run() //nolint:contextcheck // it lives longer than the call
	return j, nil
}

// run starts the goroutines of the journal.
func (j *Journal) run() {
	for _, s := range j.shards {
		for _, c := range s.committers {
			_ = c.connect() // it is told with the first batch
			c.stayTogether()
			turn := j.cfg.Loop(fmt.Sprintf("shard %d lane %d", s.number, c.number))
			j.lanes.Go(func() { c.run(turn) })
		}
		accepted := j.cfg.Loop(fmt.Sprintf("shard %d acceptances", s.number))
		j.lanes.Go(func() { s.acceptor.run(accepted) })
		j.keepers.Go(s.keepTime)
		j.directories.Go(func() { s.entries.Run(func() {}, s.enterAll, func() {}) })
		if s.isDown() != nil {
			j.keepers.Go(s.prepareLater)
		}
	}
	j.keepers.Go(j.upkeep)
	if j.cfg.Watermarks != (none{}) {
		j.keepers.Go(j.watch)
	}
	if j.cfg.Alone {
		j.keepers.Go(j.stayAlone)
	}
}

// Incarnation is the one that this opening is.
func (j *Journal) Incarnation() messages.Incarnation { return j.self }

// Shards is how many databases the journal has.
func (j *Journal) Shards() int { return len(j.shards) }

// Reached tells whether a database is used: it has answered since the journal was opened.
func (j *Journal) Reached(shard int) bool { return j.shards[shard].down.Load() == nil }

// ShardOf is the database where a partition lives.
func (j *Journal) ShardOf(p messages.Partition) int { return int(p) % len(j.shards) }

// shard is where a partition lives.
func (j *Journal) shard(p messages.Partition) *shard { return j.shards[j.ShardOf(p)] }

// Commit hands a commit over. After Close, Done is called before Commit returns.
func (j *Journal) Commit(c *persistence.Commit) {
	if err := c.Partition.Validate(); err != nil {
		c.Done(err)
		return
	}
	r := lane.Request{Commit: c}
	if s := j.directory(c); s != nil {
		if !s.entries.Put(r) {
			r.Answer(persistence.ErrClosed)
		}
		return
	}
	j.put(c.Partition, r)
}

// Release gives up a partition, behind what was queued before.
func (j *Journal) Release(h persistence.Holding, done func(error)) {
	j.put(h.Partition, lane.Request{Holding: h, Done: done, Releases: true})
}

// Check tells whether this incarnation owns a partition, behind what was queued before.
func (j *Journal) Check(h persistence.Holding, done func(error)) {
	j.put(h.Partition, lane.Request{Holding: h, Done: done})
}

func (j *Journal) put(p messages.Partition, r lane.Request) {
	s := j.shard(p)
	c := s.committers[int(p)/len(j.shards)%len(s.committers)]
	if r.Commit != nil && r.Commit.Expected == 0 && r.Commit.Epoch == 0 {
		c = s.acceptor
	}
	if !c.lane.Put(r) {
		r.Answer(persistence.ErrClosed)
	}
}

// Close waits for commits under way. What the incarnation owns stays its own until it is fenced.
func (j *Journal) Close() error {
	for _, s := range j.shards {
		s.entries.Close()
	}
	j.directories.Wait() // they hand over to the lanes
	for _, s := range j.shards {
		for _, c := range s.all() {
			c.lane.Close()
		}
	}
	j.lanes.Wait()
	j.cancel()
	j.keepers.Wait()
	j.alone.release() // if the journal was never open
	for _, s := range j.shards {
		for _, c := range s.all() {
			c.disconnect(persistence.ErrClosed)
		}
		if s.pool != nil {
			s.pool.Close()
		}
	}
	return nil
}
