package pebble

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"runtime/debug"
	"sync"
	"time"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/persistence"
)

// queue holds the commits that wait for the committer. It is bounded by number and by bytes; acceptances may fill half,
// those of orders that are not interactive three quarters of that half.
type queue struct {
	maxCommits int
	maxBytes   int64
	// wake has a token when there may be something to do.
	wake chan struct{}

	mu sync.Mutex
	// waiting are the commits that were taken in; refused those that weren't, which are still to be answered. The bound
	// of refused is the number of calls during one batch.
	waiting, refused []*persistence.Commit
	// since is when the first of waiting came.
	since time.Time
	// commits and bytes count what was taken in and not yet released.
	commits int
	bytes   int64
	closed  bool
}

func (q *queue) init(commits int, bytes int64) {
	q.maxCommits, q.maxBytes, q.wake = commits, bytes, make(chan struct{}, 1)
}

// put hands a commit to the committer; false if the queue is closed.
func (q *queue) put(c *persistence.Commit) bool {
	size := int64(len(c.Record))
	q.mu.Lock()
	if q.closed {
		q.mu.Unlock()
		return false
	}
	commits, bytes := q.maxCommits, q.maxBytes
	if c.Expected == 0 {
		commits, bytes = commits/2, bytes/2
		if c.Row.GetPriority() < messages.Interactive {
			commits, bytes = commits-commits/4, bytes-bytes/4
		}
	}
	// A commit that is larger than the bound is taken in alone.
	if q.commits >= commits || q.commits > 0 && q.bytes+size > bytes {
		q.refused = append(q.refused, c)
	} else {
		if len(q.waiting) == 0 {
			q.since = time.Now()
		}
		q.waiting = append(q.waiting, c)
		q.commits++
		q.bytes += size
	}
	q.mu.Unlock()
	signal(q.wake)
	return true
}

// work is what the committer takes from the queue at once.
type work struct {
	waiting, refused []*persistence.Commit
	since            time.Time
	closed           bool
}

// take empties the queue into w, whose slices it uses for what comes next.
func (q *queue) take(w *work) {
	q.mu.Lock()
	w.waiting, q.waiting = q.waiting, w.waiting[:0]
	w.refused, q.refused = q.refused, w.refused[:0]
	w.since, w.closed = q.since, q.closed
	q.mu.Unlock()
}

// release makes room for others.
func (q *queue) release(commits int, bytes int64) {
	q.mu.Lock()
	q.commits -= commits
	q.bytes -= bytes
	q.mu.Unlock()
}

// depth returns what waits or is under way.
func (q *queue) depth() (commits int, bytes int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.commits, q.bytes
}

// close lets nothing more in.
func (q *queue) close() {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	signal(q.wake)
}

// Commit hands a commit over. After Close, Done is called before Commit returns.
func (j *Journal) Commit(c *persistence.Commit) {
	if !j.queue.put(c) {
		c.Done(persistence.ErrClosed)
	}
}

// commitLoop makes commits durable until the queue is closed and empty.
func (j *Journal) commitLoop() {
	defer func() {
		if r := recover(); r != nil {
			j.cfg.Logger.LogAttrs(context.Background(), slog.LevelError, "journal: the committer panicked",
				slog.Any("reason", r), slog.String("stack", string(debug.Stack())))
			j.fail(fmt.Errorf("panic of the committer: %v", r))
		}
	}()
	var w work
	turn := time.NewTicker(time.Second)
	defer turn.Stop()
	for {
		select {
		case <-j.queue.wake:
		case <-turn.C:
		}
		for {
			j.cfg.Turn()
			j.queue.take(&w)
			for _, c := range w.refused {
				c.Done(fmt.Errorf("%w: the queue of the journal is full, of at most %d commits and %d bytes, half of both for new orders",
					persistence.ErrBusy, j.cfg.QueueCommits, j.cfg.QueueBytes))
			}
			clear(w.refused)
			if len(w.waiting) == 0 {
				break
			}
			for rest := w.waiting; len(rest) > 0; {
				n, bytes := j.nextBatch(rest)
				j.commit(rest[:n], w.since)
				j.queue.release(n, bytes)
				rest = rest[n:]
			}
			clear(w.waiting)
		}
		if w.closed {
			return
		}
	}
}

// nextBatch says how many commits, and how many bytes of records, go into the next batch.
func (j *Journal) nextBatch(rest []*persistence.Commit) (n int, bytes int64) {
	for n < len(rest) && (n == 0 || bytes < j.cfg.BatchBytes) {
		bytes += int64(len(rest[n].Record))
		n++
	}
	return n, bytes
}

// checkShape says what is wrong with a commit in itself. Such a commit is a mistake of the caller.
func (j *Journal) checkShape(c *persistence.Commit) error {
	accept := c.Expected == 0
	switch {
	case int(c.Partition) >= len(j.epochs):
		return fmt.Errorf("commit: Partition is %d: it must be below %d", c.Partition, len(j.epochs))
	case c.Handle.IsZero():
		return errors.New("commit: Handle is zero")
	case c.Events < 1:
		return fmt.Errorf("commit: Events is %d: it must be at least 1", c.Events)
	case int64(len(c.Record)) > j.cfg.CommitBytes:
		return fmt.Errorf("commit: Record has %d bytes, more than %d: raise CommitBytes, or keep payloads smaller",
			len(c.Record), j.cfg.CommitBytes)
	case accept != (c.ID != ""):
		return errors.New("commit: ID must be given with an acceptance, and only then")
	case accept && c.Row == nil:
		return errors.New("commit: Row must be given with an acceptance")
	case accept && (c.RowBefore != nil || c.OpenBefore != nil):
		return errors.New("commit: RowBefore and OpenBefore must be nil with an acceptance")
	case !accept && c.Row != nil && c.RowBefore == nil:
		return errors.New("commit: RowBefore must be given with Row, unless it is an acceptance")
	case c.Open != nil && c.Close:
		return errors.New("commit: Open and Close exclude each other")
	case accept && c.Open == nil && !c.Close:
		return errors.New("commit: Open or Close must be given with an acceptance")
	case !accept && c.Close && c.OpenBefore == nil:
		return errors.New("commit: OpenBefore must be given with Close, unless it is an acceptance")
	}
	for _, o := range c.Open.GetOverflow() {
		if len(o.GetActivity()) > maxString || o.GetPriority() < 0 || o.GetPriority() > math.MaxUint8 {
			return fmt.Errorf("commit: Open has overflow of an activity of %d bytes at priority %d: at most %d bytes and 0 to %d are expected",
				len(o.GetActivity()), o.GetPriority(), maxString, math.MaxUint8)
		}
	}
	if c.Row == nil {
		return nil
	}
	return checkStrings(c.Row)
}

// checkStrings makes sure that the strings of a row fit into keys.
func checkStrings(row *journalv1.OrderRow) error {
	for _, l := range row.GetLabels() {
		if len(l.GetName()) > maxString || len(l.GetValue()) > maxString {
			return fmt.Errorf("row of order %s has a label of more than %d bytes", row.GetId(), maxString)
		}
	}
	if len(row.GetOrderKey()) > maxString || len(row.GetDefinition()) > maxString {
		return fmt.Errorf("row of order %s has an order key or a definition of more than %d bytes", row.GetId(), maxString)
	}
	return nil
}
