package lane

import (
	"fmt"
	"sync"
	"time"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/persistence"
)

// Bounds are what a lane may hold.
type Bounds struct {
	// Commits is the most requests that wait, or are under way; Bytes the most bytes of their records.
	Commits int
	Bytes   int64
	// BatchCommits and BatchBytes bound a batch; the last request may exceed BatchBytes.
	BatchCommits int
	BatchBytes   int64
}

// Request is what waits in a lane: a commit, or the release or check of a partition.
type Request struct {
	Commit *persistence.Commit // nil: it is one of the others
	// Releases: the partition is given up; else its owner is checked.
	Releases bool
	Holding  persistence.Holding
	Done     func(error)

	bytes int64 // that of its record
}

// Answer tells who asked what came of it.
func (r *Request) Answer(err error) {
	if r.Commit != nil {
		r.Commit.Done(err)
		return
	}
	r.Done(err)
}

// Lane holds the requests that wait. It must be made with New.
type Lane struct {
	bounds Bounds
	// wake has a token when there may be something to do.
	wake chan struct{}

	mu sync.Mutex
	// waiting are the requests that were taken in; refused those that weren't, which are still to be answered. That is done beside the
	// batches, so that they are not held in memory for as long as one takes.
	waiting, refused []Request
	refusing         bool
	answering        sync.WaitGroup
	// since is when the first of waiting came.
	since time.Time
	// commits and bytes count what was taken in and not yet released.
	commits int
	bytes   int64
	closed  bool
}

// New makes an empty lane.
func New(b Bounds) *Lane { return &Lane{bounds: b, wake: make(chan struct{}, 1)} }

// Put hands a request over, and never blocks; false if the lane is closed.
func (l *Lane) Put(r Request) bool {
	if r.Commit != nil {
		r.bytes = int64(len(r.Commit.Record))
	}
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return false
	}
	commits, bytes := l.bounds.Commits, l.bounds.Bytes
	if c := r.Commit; c != nil && c.Expected == 0 {
		commits, bytes = commits/2, bytes/2
		if c.Row.GetPriority() < messages.Interactive {
			commits, bytes = commits-commits/4, bytes-bytes/4
		}
	}
	// One that is larger than the bound is taken in alone.
	if l.commits >= commits || l.commits > 0 && l.bytes+r.bytes > bytes {
		l.refused = append(l.refused, r)
		if !l.refusing {
			l.refusing = true
			l.answering.Go(l.refuse)
		}
	} else {
		if len(l.waiting) == 0 {
			l.since = time.Now()
		}
		l.waiting = append(l.waiting, r)
		l.commits++
		l.bytes += r.bytes
	}
	l.mu.Unlock()
	l.signal()
	return true
}

func (l *Lane) signal() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// Depth returns what waits or is under way.
func (l *Lane) Depth() (commits int, bytes int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.commits, l.bytes
}

// Close lets nothing more in. Run goes on until nothing waits.
func (l *Lane) Close() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.signal()
}

// work is what is taken from the lane at once.
type work struct {
	waiting []Request
	since   time.Time
	closed  bool
}

// Run has batches made until the lane is closed and nothing waits. turn is called before each batch, and every second when there is
// nothing to do. do gets a batch, and since when the oldest request waits; it answers each. What it does not do yet
// it leaves at the end, and returns how many it has done, at least one: the others are first in the next batch. rest is called once there
// was nothing to do for ten seconds, to give up memory that was kept for the next batch.
func (l *Lane) Run(turn func(), do func(batch []Request, since time.Time) (done int), rest func()) {
	var w work
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for idle := 0; ; {
		select {
		case <-l.wake:
			idle = 0
		case <-ticker.C:
			idle++
		}
		for {
			turn()
			l.take(&w)
			if len(w.waiting) == 0 {
				break
			}
			for rest := w.waiting; len(rest) > 0; {
				n := do(rest[:l.next(rest)], w.since)
				l.release(rest[:n])
				clear(rest[:n])
				if rest = rest[n:]; len(rest) > 0 {
					turn()
				}
			}
		}
		if w.closed {
			l.answering.Wait()
			return
		}
		if idle == restAfter {
			l.forget(&w)
			rest()
		}
	}
}

// restAfter is after how many seconds without anything to do memory is given up.
const restAfter = 10

// forget gives up the slices, which are as long as the longest batch.
func (l *Lane) forget(w *work) {
	w.waiting = nil
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.waiting) == 0 {
		l.waiting = nil
	}
}

// take empties the lane into w, whose slices it uses for what comes next.
func (l *Lane) take(w *work) {
	l.mu.Lock()
	w.waiting, l.waiting = l.waiting, w.waiting[:0]
	w.since, w.closed = l.since, l.closed
	l.mu.Unlock()
}

// refuse answers the requests that were not taken in.
func (l *Lane) refuse() {
	for {
		l.mu.Lock()
		refused := l.refused
		l.refused, l.refusing = nil, len(refused) > 0
		l.mu.Unlock()
		if len(refused) == 0 {
			return
		}
		for _, r := range refused {
			r.Answer(fmt.Errorf("%w: the queue of the journal is full, of at most %d commits and %d bytes, half of both for new orders",
				persistence.ErrBusy, l.bounds.Commits, l.bounds.Bytes))
		}
	}
}

// next says how many requests go into the next batch.
func (l *Lane) next(rest []Request) (n int) {
	for bytes := int64(0); n < min(len(rest), l.bounds.BatchCommits) && (n == 0 || bytes < l.bounds.BatchBytes); n++ {
		bytes += rest[n].bytes
	}
	return n
}

// release makes room for others.
func (l *Lane) release(done []Request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.commits -= len(done)
	for i := range done {
		l.bytes -= done[i].bytes
	}
}
