package pebble

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/persistence"
)

// queue holds the requests that wait for the committer. It is bounded by number and by bytes; acceptances may fill half,
// those of orders that are not interactive three quarters of that half.
type queue struct {
	maxCommits int
	maxBytes   int64
	// wake has a token when there may be something to do.
	wake chan struct{}

	mu sync.Mutex
	// waiting are the commits that were taken in; refused those that weren't, which are still to be answered. The bound
	// of refused is the number of calls during one batch.
	waiting, refused []request
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

// put hands a request to the committer; false if the queue is closed.
func (q *queue) put(r request) bool {
	size := r.bytes()
	q.mu.Lock()
	if q.closed {
		q.mu.Unlock()
		return false
	}
	commits, bytes := q.maxCommits, q.maxBytes
	if c := r.commit; c != nil && c.Expected == 0 {
		commits, bytes = commits/2, bytes/2
		if c.Row.GetPriority() < messages.Interactive {
			commits, bytes = commits-commits/4, bytes-bytes/4
		}
	}
	// One that is larger than the bound is taken in alone.
	if q.commits >= commits || q.commits > 0 && q.bytes+size > bytes {
		q.refused = append(q.refused, r)
	} else {
		if len(q.waiting) == 0 {
			q.since = time.Now()
		}
		q.waiting = append(q.waiting, r)
		q.commits++
		q.bytes += size
	}
	q.mu.Unlock()
	signal(q.wake)
	return true
}

// work is what the committer takes from the queue at once.
type work struct {
	waiting, refused []request
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
			for _, r := range w.refused {
				r.answer(fmt.Errorf("%w: the queue of the journal is full, of at most %d commits and %d bytes, half of both for new orders",
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

// nextBatch says how many requests, and how many bytes of records, go into the next batch.
func (j *Journal) nextBatch(rest []request) (n int, bytes int64) {
	for n < len(rest) && (n == 0 || bytes < j.cfg.BatchBytes) {
		bytes += rest[n].bytes()
		n++
	}
	return n, bytes
}
