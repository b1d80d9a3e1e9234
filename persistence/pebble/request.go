package pebble

import (
	"fmt"

	"github.com/holdfast-run/holdfast/persistence"
	"github.com/holdfast-run/holdfast/persistence/lane"
	"github.com/holdfast-run/holdfast/persistence/rows"
)

// add puts a request into the batch, if it passes; else the batch is as it was.
func (j *Journal) add(r *lane.Request) error {
	if err := j.failed(); err != nil {
		return fmt.Errorf("%w: %w", persistence.ErrClosed, err)
	}
	switch {
	case r.Commit != nil:
		return j.addCommit(r.Commit)
	case !r.Releases:
		return j.owners.check(r.Holding)
	}
	if err := j.owners.check(r.Holding); err != nil {
		return err
	}
	j.commits.key = appendOwnerKey(j.commits.key[:0], r.Holding.Partition)
	j.commits.set(appendOwner(nil, persistence.Owner{Epoch: r.Holding.Epoch}))
	j.owners.set(r.Holding.Partition, persistence.Owner{Epoch: r.Holding.Epoch})
	return nil
}

// Commit hands a commit over. After Close, Done is called before Commit returns.
func (j *Journal) Commit(c *persistence.Commit) { j.hand(lane.Request{Commit: c}) }

// Release gives up a partition, behind what was queued before.
func (j *Journal) Release(h persistence.Holding, done func(error)) {
	j.hand(lane.Request{Holding: h, Done: done, Releases: true})
}

// Check tells whether this incarnation owns a partition, behind what was queued before.
func (j *Journal) Check(h persistence.Holding, done func(error)) {
	j.hand(lane.Request{Holding: h, Done: done})
}

func (j *Journal) hand(r lane.Request) {
	if !j.lane.Put(r) {
		r.Answer(persistence.ErrClosed)
	}
}

// positionOf is the position that an order has after a commit in the queue of its key: the one that it had before, or, if it joins
// the queue, the next one; 0: it is in none, or its open row is as it was.
func (t *committer) positionOf(c *persistence.Commit, before *places) persistence.Position {
	if !rows.Queues(c.Open) {
		return 0
	}
	if x, queued := before.queued(); queued && x.Text == c.Open.GetOrderKey() {
		return persistence.Position(x.Number) //nolint:gosec // it was one
	}
	return t.position()
}

// position draws the next position in a queue. Positions up to a mark were set aside in the store; when they are used up, the
// batch sets aside more, so that none is ever given twice.
func (t *committer) position() persistence.Position {
	if t.next == t.mark {
		t.mark += positionBlock
		t.key = append(t.key[:0], kindPosition)
		t.set(appendNumber(nil, uint64(t.mark)))
	}
	t.next++
	return t.next
}

// loadPosition goes on behind the positions that were set aside: which of them were given is not known.
func (j *Journal) loadPosition() error {
	mark, err := getNumber(j.db, kindPosition)
	j.commits.mark = persistence.Position(mark)
	j.commits.next = j.commits.mark
	return err
}

// positionBlock is how many positions are set aside at once.
const positionBlock persistence.Position = 1 << 12
