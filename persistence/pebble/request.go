package pebble

import (
	"fmt"

	"github.com/holdfast-run/holdfast/persistence"
	"github.com/holdfast-run/holdfast/persistence/rows"
)

// request is what waits for the committer: a commit, or the release or check of a partition.
type request struct {
	commit *persistence.Commit // nil: it is one of the others
	// releases: the partition is given up; else its owner is checked.
	releases bool
	holding  persistence.Holding
	done     func(error)
}

// bytes is what the request counts in the queue.
func (r *request) bytes() int64 {
	if r.commit == nil {
		return 0
	}
	return int64(len(r.commit.Record))
}

func (r *request) answer(err error) {
	if r.commit != nil {
		r.commit.Done(err)
		return
	}
	r.done(err)
}

// add puts a request into the batch, if it passes; else the batch is as it was.
func (j *Journal) add(r *request) error {
	if err := j.failed(); err != nil {
		return fmt.Errorf("%w: %w", persistence.ErrClosed, err)
	}
	switch {
	case r.commit != nil:
		return j.addCommit(r.commit)
	case !r.releases:
		return j.owners.check(r.holding)
	}
	if err := j.owners.check(r.holding); err != nil {
		return err
	}
	j.commits.key = appendOwnerKey(j.commits.key[:0], r.holding.Partition)
	j.commits.set(appendOwner(nil, persistence.Owner{Epoch: r.holding.Epoch}))
	j.owners.set(r.holding.Partition, persistence.Owner{Epoch: r.holding.Epoch})
	return nil
}

// Commit hands a commit over. After Close, Done is called before Commit returns.
func (j *Journal) Commit(c *persistence.Commit) { j.hand(request{commit: c}) }

// Release gives up a partition, behind what was queued before.
func (j *Journal) Release(h persistence.Holding, done func(error)) {
	j.hand(request{holding: h, done: done, releases: true})
}

// Check tells whether this incarnation owns a partition, behind what was queued before.
func (j *Journal) Check(h persistence.Holding, done func(error)) {
	j.hand(request{holding: h, done: done})
}

func (j *Journal) hand(r request) {
	if !j.queue.put(r) {
		r.answer(persistence.ErrClosed)
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
