package actors

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/persistence"
)

// health tells which shards of the journal answer, as far as is known. One that does not holds up its own partitions.
type health struct {
	journal persistence.Sharding
	shards  []shardHealth
}

// shardHealth is what is known of one shard.
type shardHealth struct {
	unavailable atomic.Bool
	// refused is when it said last that it can't do something now, in nanoseconds since 1970.
	refused atomic.Int64
	// why is what came last of something that could not be done.
	why atomic.Pointer[error]
}

// reason is why the shard does not answer, in a line.
func (s *shardHealth) reason() string {
	why := s.why.Load()
	if why == nil {
		return ""
	}
	err := *why
	if away, ok := errors.AsType[*persistence.UnavailableError](err); ok {
		err = away.Err
	}
	return messages.Clip(strings.Join(strings.Fields(err.Error()), " "), mostReason)
}

// mostReason bounds a reason, in bytes.
const mostReason = 1 << 10

// catalogShard is the shard that has the catalogue.
const catalogShard = 0

func newHealth(j persistence.Sharding) *health {
	return &health{journal: j, shards: make([]shardHealth, j.Shards())}
}

// Available implements partition.Health.
func (h *health) Available(p messages.Partition) bool { return h.answers(h.journal.ShardOf(p)) }

// answers tells whether a shard does.
func (h *health) answers(shard int) bool { return !h.shards[shard].unavailable.Load() }

// Note implements partition.Health. An error may say that it is another shard which does not answer: that of the order's id.
func (h *health) Note(p messages.Partition, err error) { h.note(h.journal.ShardOf(p), err) }

// note is told what came of a commit or a read in a shard.
func (h *health) note(shard int, err error) {
	if away, ok := errors.AsType[*persistence.UnavailableError](err); ok {
		shard = away.Shard
	}
	s := &h.shards[shard]
	switch {
	case err == nil:
		if s.unavailable.Load() {
			s.unavailable.Store(false)
		}
	case errors.Is(err, persistence.ErrUnavailable), errors.Is(err, context.DeadlineExceeded):
		why := err
		s.why.Store(&why)
		s.unavailable.Store(true)
		if !errors.Is(err, context.DeadlineExceeded) { // else it was asked long ago
			s.refused.Store(time.Now().UnixNano())
		}
	}
}

// steadyAfter is how long a shard must have refused nothing before the node counts as ready again: one that can be read
// and not written answers each probe.
const steadyAfter = time.Second

// steady makes sure that all shards answer, and have done so for a while, or says which don't.
func (h *health) steady(now time.Time) error {
	var away []string
	var first string
	for n, s := range h.status(now) {
		if s.answers {
			continue
		}
		if len(away) == 0 {
			first = s.why
		}
		away = append(away, strconv.Itoa(n))
	}
	switch {
	case len(away) == 0:
		return nil
	case len(h.shards) == 1:
		return fmt.Errorf("%w: %s", persistence.ErrUnavailable, first)
	}
	return fmt.Errorf("%w: of its %d shards, these: %s; shard %s: %s", persistence.ErrUnavailable, len(h.shards), strings.Join(away, ", "),
		away[0], first)
}

// shardStatus is how a shard of the journal is, as far as is known.
type shardStatus struct {
	// answers: it does, and has refused nothing for a while.
	answers bool
	// why is why it does not.
	why string
}

// status returns how all shards are, in their order.
func (h *health) status(now time.Time) (all []shardStatus) {
	for n := range h.shards {
		s, x := &h.shards[n], shardStatus{answers: true}
		if s.unavailable.Load() || now.Sub(time.Unix(0, s.refused.Load())) < steadyAfter {
			x = shardStatus{why: s.reason()}
		}
		all = append(all, x)
	}
	return all
}

const (
	// probeEvery is how often a shard that did not answer is asked whether it does again, and probeWithin how long the answer may
	// take. Both are so short that what waits for the journal goes on within two seconds.
	probeEvery  = 200 * time.Millisecond
	probeWithin = time.Second
)

// probe asks a shard that did not answer whether it does again, and returns true if it does.
func (h *health) probe(ctx context.Context, shard int, j persistence.Reader) (again bool) {
	if h.answers(shard) {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, probeWithin)
	defer cancel()
	_, err := j.Row(ctx, messages.NewHandle(h.livesIn(shard), time.Now())) // an order that there is not
	if errors.Is(err, persistence.ErrNotFound) {
		err = nil
	}
	h.note(shard, err)
	return h.answers(shard)
}

// livesIn is a partition that lives in a shard.
func (h *health) livesIn(shard int) (p messages.Partition) {
	for h.journal.ShardOf(p) != shard {
		p++
	}
	return p
}

// countFallout counts the orders that have faulted. While a shard of the journal does not answer, that is as it told last.
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
