package pebble

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/batchrepr"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/persistence"
	"github.com/holdfast-run/holdfast/persistence/lane"
	"github.com/holdfast-run/holdfast/persistence/rows"
)

// committer is what the committing goroutine uses again for each batch.
type committer struct {
	batch   *pebble.Batch
	writes  writes
	results []error
	// accepted are the acceptances of this batch, which the store does not show yet.
	accepted map[messages.OrderID]*persistence.Commit
	// key, row, open, entry and fixed are buffers of one commit.
	key, row, open, entry []byte
	fixed                 []rows.Place
	// next is the position in a queue that was given last, mark the last one that was set aside in the store.
	next, mark persistence.Position
	directory  journalv1.DirectoryRow
	overflow   journalv1.OverflowRow
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

// fallout counts that an order left or took these places among those that ended badly.
func (n *counters) fallout(places []rows.Place, by int64) {
	for _, x := range places {
		if x.Index != rows.ByStatus || x.Number != int64(orderv1.Status_STATUS_FAULTED) {
			continue
		}
		n.faulted.Add(by)
		if x.Doubt {
			n.inDoubt.Add(by)
		}
	}
}

// fieldPosition is that of the position in journalv1.OpenRow.
const fieldPosition = 12

// marshal is how rows are written.
var marshal = proto.MarshalOptions{}

// commit checks requests, makes those that pass durable together, and answers all.
func (j *Journal) commit(requests []lane.Request, since time.Time) (done int) {
	begun := time.Now()
	t := &j.commits
	t.results = slices.Grow(t.results[:0], len(requests))
	b := persistence.Batch{Waited: begun.Sub(since)}

	j.writing.Lock()
	t.batch.Reset()
	clear(t.accepted)
	for i := range requests {
		r := &requests[i]
		err := j.add(r)
		t.results = append(t.results, err)
		switch {
		case r.Commit == nil:
			continue
		case err != nil:
			b.Failed++
		default:
			b.Bytes += len(r.Commit.Record)
		}
		b.Commits++
	}
	if t.writes.into(t.batch); !t.batch.Empty() {
		if err := j.apply(t.batch); err != nil {
			err = fmt.Errorf("%w: %w", persistence.ErrUnknown, err)
			b.Failed = b.Commits
			for i, result := range t.results {
				if result == nil {
					t.results[i] = err
				}
			}
			// The engine may still hold it.
			t.batch = j.newBatch()
		}
	}
	j.orders.trim()
	j.writing.Unlock()

	b.Took = time.Since(begun)
	j.count(b)
	for i := range requests {
		requests[i].Answer(t.results[i])
	}
	clear(t.results)
	return len(requests)
}

// commitLoop makes commits durable until the journal is closed and none waits.
func (j *Journal) commitLoop() {
	defer func() {
		if r := recover(); r != nil {
			j.cfg.Logger.LogAttrs(context.Background(), slog.LevelError, "journal: the committer panicked",
				slog.Any("reason", r), slog.String("stack", string(debug.Stack())))
			j.fail(fmt.Errorf("panic of the committer: %v", r))
		}
	}()
	j.lane.Run(j.cfg.Turn, j.commit, j.shrink)
}

// muchLog is how many bytes the log may have that is left as it is when there is nothing to do.
const muchLog = 1 << 20

// shrink gives up the memory that large batches have left. With a new log it is also the engine's, and the next start has less to read.
func (j *Journal) shrink() {
	j.writing.Lock()
	defer j.writing.Unlock()
	if j.failed() == nil && j.db.Metrics().WAL.Size >= muchLog {
		if _, err := j.db.AsyncFlush(); err != nil {
			j.fail(err)
		}
	}
	t := &j.commits
	t.batch.Reset()
	_ = t.batch.SetRepr(make([]byte, batchrepr.HeaderLen)) // the engine holds the batch itself until the next one; an empty one is not wrong
	t.writes, t.results, t.accepted = writes{}, nil, nil
	t.key, t.row, t.open, t.entry, t.fixed = nil, nil, nil, nil, nil
}

func (j *Journal) newBatch() *pebble.Batch {
	return j.db.NewBatchWithSize(1<<20, pebble.WithMaxRetainedSizeBytes(int(2*j.cfg.BatchBytes)))
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
	if j.cfg.Observer != nil && b.Commits > 0 {
		j.cfg.Observer.Synced(b)
	}
}

// addCommit checks a commit and puts it into the batch.
func (j *Journal) addCommit(c *persistence.Commit) error {
	if err := c.Check(j.cfg.CommitBytes); err != nil {
		return err
	}
	if c.Expected != 0 || c.Epoch != 0 {
		if err := j.owners.check(persistence.Holding{Partition: c.Partition, Epoch: c.Epoch}); err != nil {
			return err
		}
	}
	o, err := j.check(c)
	if err != nil {
		return err
	}
	before := o.places
	position := j.commits.positionOf(c, before)
	if err := j.commits.encode(c, position); err != nil {
		return err
	}
	if o.version = c.Expected + messages.Version(c.Events); before != nil { //nolint:gosec // at least 1
		o.places = before.after(c, position)
	}
	j.commits.put(c, before, o.places)
	o.intake = j.commits.putIntake(c, o.intake)
	if c.Row != nil {
		j.counts.fallout(before.row, -1)
		j.counts.fallout(o.places.row, 1)
	}
	j.orders.set(c.Handle, o, c.Close)
	return nil
}

// check compares the expected version with the last, or makes sure that an id is free. It returns what is known of the order:
// its places, too, if the commit changes rows.
func (j *Journal) check(c *persistence.Commit) (o known, err error) {
	if c.Expected == 0 {
		return known{places: nowhere}, j.checkFreeID(c)
	}
	o, found := j.orders.get(c.Handle)
	if !found {
		if o.version, err = lastVersion(j.db, c.Handle); err != nil {
			return o, err
		}
		if c.Expected == 1 {
			if o.intake, err = has(j.db, appendIntakeKey(make([]byte, 0, 32), c.Partition, c.Handle)); err != nil {
				return o, err
			}
		}
	}
	if o.version != c.Expected {
		return o, fmt.Errorf("%w: order %s has version %d, not %d", persistence.ErrConflict, c.Handle, o.version, c.Expected)
	}
	if o.places == nil && (c.Row != nil || c.Open != nil || c.Close) {
		// No commit of this batch has changed its rows, or they would be known: the store shows them.
		if o.places, err = readPlaces(j.db, c.Partition, c.Handle); err != nil {
			return o, fmt.Errorf("read the rows of order %s: %w", c.Handle, err)
		}
	}
	return o, nil
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

// encode encodes the rows of a commit, after which the order has a position in a queue; 0: it is in none.
func (t *committer) encode(c *persistence.Commit, position persistence.Position) (err error) {
	if c.Row != nil {
		if t.row, err = marshal.MarshalAppend(t.row[:0], c.Row); err != nil {
			return fmt.Errorf("commit: encode Row: %w", err)
		}
	}
	if c.Open != nil {
		if t.open, err = marshal.MarshalAppend(t.open[:0], c.Open); err != nil {
			return fmt.Errorf("commit: encode Open: %w", err)
		}
		if position != 0 {
			t.open = protowire.AppendTag(t.open, fieldPosition, protowire.VarintType)
			t.open = protowire.AppendVarint(t.open, uint64(position))
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

// put writes a commit that was checked and encoded into the batch. The order had the places before, and has those after it;
// both are nil if the commit changes no rows.
func (t *committer) put(c *persistence.Commit, before, after *places) {
	t.key = appendRecordKey(t.key[:0], c.Handle, c.Expected+1)
	t.set(c.Record)
	if c.Expected == 0 {
		if t.accepted == nil {
			t.accepted = make(map[messages.OrderID]*persistence.Commit)
		}
		t.accepted[c.ID] = c
		t.fixed = rows.OfOrder(t.fixed[:0], c.Row)
		for _, x := range t.fixed {
			t.enter(c, x)
		}
	}
	if c.Row != nil {
		t.key = appendOrderKey(t.key[:0], c.Handle)
		t.set(t.row)
		t.move(c, before.row, after.row)
	}
	if c.Open != nil || c.Close {
		t.move(c, before.open, after.open)
	}
}

// move has an order leave places, and take others. The open row is written anew, though its place stays.
func (t *committer) move(c *persistence.Commit, before, after []rows.Place) {
	for _, x := range before {
		if !slices.Contains(after, x) {
			t.key = appendPlaceKey(t.key[:0], c.Partition, c.Handle, x)
			t.unset()
		}
	}
	for _, x := range after {
		if x.Index == rows.ByPartition || !slices.Contains(before, x) {
			t.enter(c, x)
		}
	}
}

// enter writes the key of a place, and what is kept there.
func (t *committer) enter(c *persistence.Commit, x rows.Place) {
	t.key = appendPlaceKey(t.key[:0], c.Partition, c.Handle, x)
	switch {
	case x.Index == rows.ByID:
		t.set(t.entry)
	case x.Index == rows.ByPartition:
		t.set(t.open)
	case x.Index == rows.ByQueue:
		t.set(append(append(t.entry[:0], c.Handle[:]...), c.Open.GetId()...))
	case x.Index == rows.ByOverflow:
		t.overflow.Id, t.overflow.Bytes = c.Open.GetId(), x.Bytes
		t.entry, _ = marshal.MarshalAppend(t.entry[:0], &t.overflow) // Its strings were checked.
		t.set(t.entry)
	case x.Doubt:
		t.set(doubtful)
	default:
		t.set(nil)
	}
}

// putIntake has an order that was accepted without an epoch wait in the intake, until more of it is committed. It tells whether
// it waits there after the commit, if it did before as told.
func (t *committer) putIntake(c *persistence.Commit, waits bool) bool {
	if c.Expected != 0 && !waits {
		return false
	}
	t.key = appendIntakeKey(t.key[:0], c.Partition, c.Handle)
	switch {
	case waits:
		t.unset()
	case c.Epoch == 0:
		t.set(nil)
		return true
	}
	return false
}

// set writes t.key.
func (t *committer) set(value []byte) { t.writes.add(t.key, value, false) }

// unset deletes t.key.
func (t *committer) unset() { t.writes.add(t.key, nil, true) }

// doubtful is the value in the index by status of an order of which an attempt is in doubt: so those can be counted without
// their rows. Others have none.
var doubtful = []byte{1} //nolint:gochecknoglobals // a constant
