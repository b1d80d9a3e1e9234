package postgres

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/persistence"
	"github.com/holdfast-run/holdfast/persistence/lane"
)

// Journal is one opening of a journal, as one incarnation. Its methods may be called by many goroutines at once.
type Journal struct {
	cfg    Config
	self   messages.Incarnation
	shards []*shard
	held   held

	// ctx ends with the journal.
	ctx    context.Context //nolint:containedctx // that of its own connections
	cancel context.CancelFunc
	// lanes, directories and keeper are its goroutines: those that commit, those that make entries for them, and the one that does upkeep.
	lanes, directories, keeper sync.WaitGroup
}

var _ persistence.Journal = (*Journal)(nil)

// Open opens a journal, as a new incarnation, and makes what is missing of it in the databases. It must be closed. It fails with
// persistence.ErrUnavailable if a database can't be reached; and otherwise if one is not fit to keep a journal, with the reason.
func Open(ctx context.Context, cfg Config) (*Journal, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	j := &Journal{cfg: cfg, self: messages.NewIncarnation(cfg.Node)}
	j.ctx, j.cancel = context.WithCancel(context.Background())
	for i, at := range cfg.Shards {
		s, err := j.openShard(ctx, i, at)
		if s != nil {
			j.shards = append(j.shards, s)
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("open shard %d of the journal: %w", i, err), j.Close()) //nolint:contextcheck // it is short
		}
	}
	for _, s := range j.shards {
		for _, c := range s.committers {
			if err := c.connect(); err != nil { //nolint:contextcheck // it lives longer than the call
				return nil, errors.Join(fmt.Errorf("open shard %d of the journal: %w", s.number, err), j.Close())
			}
		}
	}
	for _, s := range j.shards {
		for _, c := range s.committers {
			turn := cfg.Loop(fmt.Sprintf("shard %d lane %d", s.number, c.number))
			j.lanes.Go(func() { c.run(turn) }) //nolint:contextcheck // it lives longer than the call
		}
		j.directories.Go(func() { s.entries.Run(func() {}, s.enterAll) })
	}
	j.keeper.Go(j.upkeep)
	return j, nil
}

// Incarnation is the one that this opening is.
func (j *Journal) Incarnation() messages.Incarnation { return j.self }

// shard is where a partition lives.
func (j *Journal) shard(p messages.Partition) *shard { return j.shards[int(p)%len(j.shards)] }

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
	if c := s.committers[int(p)/len(j.shards)%len(s.committers)]; !c.lane.Put(r) {
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
		for _, c := range s.committers {
			c.lane.Close()
		}
	}
	j.lanes.Wait()
	j.cancel()
	j.keeper.Wait()
	for _, s := range j.shards {
		for _, c := range s.committers {
			c.disconnect(persistence.ErrClosed)
		}
		s.pool.Close()
	}
	return nil
}
