package pebble

import (
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"google.golang.org/protobuf/proto"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/persistence"
)

// committer is what the committing goroutine uses again for each batch.
type committer struct {
	batch   *pebble.Batch
	writes  writes
	results []error
	// accepted are the acceptances of this batch, which the store does not show yet.
	accepted map[messages.OrderID]*persistence.Commit
	// key, row, open and entry are buffers of one commit.
	key, row, open, entry []byte
	directory             journalv1.DirectoryRow
	overflow              journalv1.OverflowRow
	// written is what was written since the free disk space was asked for because of it.
	written int64
}

// counters count since the journal was opened.
type counters struct {
	batches, commits, failed, bytes, fsyncs, free atomic.Uint64
	panicked                                      atomic.Bool
	// faulted and inDoubt are persistence.Fallout. They were counted when the journal was opened.
	faulted, inDoubt atomic.Int64
}

// fallout counts what a commit changes of what waits for an operator.
func (n *counters) fallout(c *persistence.Commit) {
	if c.Row == nil {
		return
	}
	count := func(row *journalv1.OrderRow, by int64) {
		if row.GetStatus() == int32(orderv1.Status_STATUS_FAULTED) {
			n.faulted.Add(by)
		}
		if row.GetInDoubt() {
			n.inDoubt.Add(by)
		}
	}
	count(c.RowBefore, -1)
	count(c.Row, 1)
}

// marshal is how rows are written.
var marshal = proto.MarshalOptions{}

// commit checks commits, makes those that pass durable together, and answers all.
func (j *Journal) commit(commits []*persistence.Commit, since time.Time) {
	begun := time.Now()
	t := &j.commits
	t.results = slices.Grow(t.results[:0], len(commits))
	b := persistence.Batch{Commits: len(commits), Waited: begun.Sub(since)}

	j.writing.Lock()
	t.batch.Reset()
	clear(t.accepted)
	for _, c := range commits {
		err := j.add(c)
		if err != nil {
			b.Failed++
		} else {
			b.Bytes += len(c.Record)
		}
		t.results = append(t.results, err)
	}
	if t.writes.into(t.batch); !t.batch.Empty() {
		if err := j.apply(t.batch); err != nil {
			err = fmt.Errorf("%w: %w", persistence.ErrUnknown, err)
			b.Failed = len(commits)
			for i, result := range t.results {
				if result == nil {
					t.results[i] = err
				}
			}
			// The engine may still hold it.
			t.batch = j.db.NewBatch()
		}
	}
	j.versions.trim()
	j.writing.Unlock()

	b.Took = time.Since(begun)
	j.count(b)
	for i, c := range commits {
		c.Done(t.results[i])
	}
	clear(t.results)
}

// spentShare is the share of the low-water mark that may be written before the free disk space is asked for again: a fast
// client must not fill the disk between two ticks.
const spentShare = 16

func (j *Journal) count(b persistence.Batch) {
	j.counts.batches.Add(1)
	j.counts.commits.Add(uint64(b.Commits - b.Failed)) //nolint:gosec // not negative
	j.counts.failed.Add(uint64(b.Failed))              //nolint:gosec // not negative
	j.counts.bytes.Add(uint64(b.Bytes))                //nolint:gosec // not negative
	if j.commits.written += int64(b.Bytes); j.commits.written > j.cfg.LowWaterBytes/spentShare {
		j.commits.written = 0
		signal(j.spent)
	}
	if j.cfg.Observer != nil {
		j.cfg.Observer.Synced(b)
	}
}

// add checks a commit and puts it into the batch. If it fails, the batch is as it was.
func (j *Journal) add(c *persistence.Commit) error {
	if err := j.failed(); err != nil {
		return fmt.Errorf("%w: %w", persistence.ErrClosed, err)
	}
	if err := j.checkShape(c); err != nil {
		return err
	}
	if epoch := messages.Epoch(j.epochs[c.Partition].Load()); c.Epoch != epoch {
		return fmt.Errorf("%w: partition %d has epoch %d, not %d", persistence.ErrFenced, c.Partition, epoch, c.Epoch)
	}
	if err := j.checkVersion(c); err != nil {
		return err
	}
	if err := j.commits.encode(c); err != nil {
		return err
	}
	j.commits.put(c)
	j.counts.fallout(c)
	j.versions.set(c.Handle, c.Expected+messages.Version(c.Events), c.Close) //nolint:gosec // at least 1
	return nil
}

// checkVersion compares the expected version with the last, or makes sure that an id is free.
func (j *Journal) checkVersion(c *persistence.Commit) error {
	if c.Expected == 0 {
		return j.checkFreeID(c)
	}
	last, known := j.versions.get(c.Handle)
	if !known {
		var err error
		if last, err = lastVersion(j.db, c.Handle); err != nil {
			return err
		}
	}
	if last != c.Expected {
		return fmt.Errorf("%w: order %s has version %d, not %d", persistence.ErrConflict, c.Handle, last, c.Expected)
	}
	return nil
}

// checkFreeID makes sure that an order can be accepted. An id that is taken is told even when the store is full.
func (j *Journal) checkFreeID(c *persistence.Commit) error {
	if other, found := j.commits.accepted[c.ID]; found {
		return &persistence.TakenError{Entry: persistence.Entry{
			Handle: other.Handle, Partition: other.Partition, ContentHash: slices.Clone(other.ContentHash),
		}}
	}
	entry, err := j.find(c.ID)
	switch {
	case err == nil:
		return &persistence.TakenError{Entry: entry}
	case !errors.Is(err, persistence.ErrNotFound):
		return fmt.Errorf("find order %s: %w", c.ID, err)
	case j.full.Load() && !c.Child:
		return fmt.Errorf("%w: its disk has %d bytes free; new orders are accepted from %d bytes on",
			persistence.ErrFull, j.counts.free.Load(), j.cfg.LowWaterBytes)
	}
	return nil
}

// encode encodes the rows of a commit.
func (t *committer) encode(c *persistence.Commit) (err error) {
	if c.Row != nil {
		if t.row, err = marshal.MarshalAppend(t.row[:0], c.Row); err != nil {
			return fmt.Errorf("commit: encode Row: %w", err)
		}
	}
	if c.Open != nil {
		if t.open, err = marshal.MarshalAppend(t.open[:0], c.Open); err != nil {
			return fmt.Errorf("commit: encode Open: %w", err)
		}
	}
	if c.Expected == 0 {
		t.directory.Handle = c.Handle[:]
		t.directory.Partition = uint32(c.Partition)
		t.directory.ContentHash = c.ContentHash
		if t.entry, err = marshal.MarshalAppend(t.entry[:0], &t.directory); err != nil {
			return fmt.Errorf("commit: encode the directory's row: %w", err)
		}
	}
	return nil
}

// put writes a commit that was checked and encoded into the batch.
func (t *committer) put(c *persistence.Commit) {
	t.key = appendRecordKey(t.key[:0], c.Handle, c.Expected+1)
	t.set(c.Record)
	if c.Expected == 0 {
		if t.accepted == nil {
			t.accepted = make(map[messages.OrderID]*persistence.Commit)
		}
		t.accepted[c.ID] = c
		t.key = appendDirectoryKey(t.key[:0], c.ID)
		t.set(t.entry)
	}
	if c.Row != nil {
		t.key = appendOrderKey(t.key[:0], c.Handle)
		t.set(t.row)
		t.putIndexes(c)
	}
	t.putOpen(c)
}

// putIndexes writes the keys by which orders are listed. Only the status of an order ever changes.
func (t *committer) putIndexes(c *persistence.Commit) {
	status := c.Row.GetStatus()
	if c.RowBefore != nil {
		if before := c.RowBefore.GetStatus(); endedBadly(before) && before != status {
			t.key = append(appendStatusPrefix(t.key[:0], before), c.Handle[:]...)
			t.unset()
		}
	}
	if endedBadly(status) {
		t.key = append(appendStatusPrefix(t.key[:0], status), c.Handle[:]...)
		if c.Row.GetInDoubt() {
			t.set(doubtful)
		} else {
			t.set(nil)
		}
	}
	if c.RowBefore != nil {
		return
	}
	name := persistence.DefinitionName(c.Row.GetDefinition())
	t.key = append(appendNamePrefix(t.key[:0], name), c.Handle[:]...)
	t.set(nil)
	if key := c.Row.GetOrderKey(); key != "" {
		t.key = append(appendKeyPrefix(t.key[:0], key), c.Handle[:]...)
		t.set(nil)
	}
	for _, l := range c.Row.GetLabels() {
		t.key = append(appendLabelPrefix(t.key[:0], l.GetName(), l.GetValue()), c.Handle[:]...)
		t.set(nil)
	}
}

// putOpen writes the rows of open orders and their due times.
func (t *committer) putOpen(c *persistence.Commit) {
	if c.Open == nil && !c.Close {
		return
	}
	before, due := c.OpenBefore.GetDue(), c.Open.GetDue()
	if before != 0 && before != due {
		t.key = appendDueKey(t.key[:0], c.Partition, before, c.Handle)
		t.unset()
	}
	if due != 0 && due != before {
		t.key = appendDueKey(t.key[:0], c.Partition, due, c.Handle)
		t.set(nil)
	}
	t.putOverflow(c)
	t.key = appendOpenKey(t.key[:0], c.Partition, c.Handle)
	switch {
	case c.Open != nil:
		t.set(t.open)
	case c.Expected != 0:
		t.unset()
	}
}

// putOverflow writes the rows of tasks that wait on disk.
func (t *committer) putOverflow(c *persistence.Commit) {
	before, now := c.OpenBefore.GetOverflow(), c.Open.GetOverflow()
	in := func(rows []*journalv1.Overflow, o *journalv1.Overflow) bool {
		return slices.ContainsFunc(rows, func(x *journalv1.Overflow) bool { return proto.Equal(x, o) })
	}
	for _, o := range before {
		if !in(now, o) {
			t.key = appendOverflowKey(t.key[:0], c.Partition, c.Handle, o)
			t.unset()
		}
	}
	for _, o := range now {
		if !in(before, o) {
			t.key = appendOverflowKey(t.key[:0], c.Partition, c.Handle, o)
			t.overflow.Id, t.overflow.Bytes = c.Open.GetId(), o.GetBytes()
			t.entry, _ = marshal.MarshalAppend(t.entry[:0], &t.overflow) // Its strings were checked.
			t.set(t.entry)
		}
	}
}

// set writes t.key.
func (t *committer) set(value []byte) { t.writes.add(t.key, value, false) }

// unset deletes t.key.
func (t *committer) unset() { t.writes.add(t.key, nil, true) }

// doubtful is the value in the index by status of an order of which an attempt is in doubt: so those can be counted without
// their rows. Others have none.
var doubtful = []byte{1} //nolint:gochecknoglobals // a constant

// endedBadly tells the statuses that have an index.
func endedBadly(status int32) bool {
	return status == int32(orderv1.Status_STATUS_FAULTED) || status == int32(orderv1.Status_STATUS_CANCELLED)
}
