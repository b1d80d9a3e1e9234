package dispatch

import (
	"time"

	"github.com/holdfast-run/holdfast/messages"
)

// Priorities is the number of priorities, from 0, the lowest.
const Priorities = 10

// Task is an attempt that waits for an adapter, or is with one.
type Task struct {
	Order     messages.OrderID
	Partition messages.Partition
	Key       string
	Attempt   uint32
	Version   string // of the activity; empty: any
	Priority  int
	// Ledger is where it was sent before; empty if it was not.
	Ledger string
	// MaybeStarted: it may have run somewhere.
	MaybeStarted bool
	OfferedAt    time.Time
	// Body is for the caller.
	Body any
}

// StreamID names a stream of an adapter.
type StreamID uint64

// Stream is an adapter that serves this queue's activity.
type Stream struct {
	ID         StreamID
	Process    string
	Ledger     string
	Version    string
	Idempotent bool
	// Keys are those that the adapter runs or holds results for.
	Keys map[string]bool
}

// Config bounds a Queue.
type Config struct {
	// Grace is how long tasks of a lost stream wait for the same adapter to come back before another may get them. A
	// task of an activity that is not idempotent waits LedgerGrace, and then goes on marked as maybe started.
	Grace, LedgerGrace time.Duration
}

// Output is what is to be done.
type Output interface{ isOutput() }

type (
	// Send sends a task on a stream.
	Send struct {
		Stream StreamID
		Task   *Task
	}
	// Reserve asks to journal that a task is about to be sent to a ledger; Confirm follows.
	Reserve struct {
		Task   *Task
		Ledger string
	}
	// SendCancel asks an adapter to give up an attempt.
	SendCancel struct {
		Stream StreamID
		Task   *Task
	}
	// NotDone: the task was cancelled before anybody got it.
	NotDone struct{ Task *Task }
)

func (Send) isOutput()       {}
func (Reserve) isOutput()    {}
func (SendCancel) isOutput() {}
func (NotDone) isOutput()    {}

type state int

const (
	ready state = iota
	reserved
	inFlight
	orphaned // its stream is lost
)

type item struct {
	task  *Task
	state state
	// stream is the one that it is with or reserved for; gone is when that was lost.
	stream  *stream
	process string
	gone    time.Time
	place   *entry // in a ready list
}

type stream struct {
	Stream
	total, sent, revoked uint64
}

func (s *stream) credit() uint64 {
	if used := s.sent + s.revoked; s.total > used {
		return s.total - used
	}
	return 0
}

// Queue holds the tasks of one activity. It is not safe for concurrent use.
type Queue struct {
	config  Config
	items   map[string]*item // by key
	ready   map[string]*[Priorities]fifo
	waiting int
	streams []*stream
	turn    int
	orphans int
	out     []Output
}

// New makes an empty queue.
func New(config Config) *Queue {
	return &Queue{config: config, items: map[string]*item{}, ready: map[string]*[Priorities]fifo{}}
}

// Waiting returns how many tasks wait for an adapter.
func (q *Queue) Waiting() int { return q.waiting }

// InFlight returns how many tasks adapters have, or are about to get.
func (q *Queue) InFlight() int { return len(q.items) - q.waiting }

// Oldest returns when the oldest of the waiting tasks of the highest priority was offered; zero if none waits.
func (q *Queue) Oldest() time.Time {
	var oldest time.Time
	for _, lists := range q.ready {
		for p := range lists {
			if it := lists[p].peek(); it != nil && (oldest.IsZero() || it.task.OfferedAt.Before(oldest)) {
				oldest = it.task.OfferedAt
			}
		}
	}
	return oldest
}

func (q *Queue) take() []Output {
	out := q.out
	q.out = nil
	return out
}

// Offer adds a task. A task with a key that is known already replaces it if its attempt is newer and nobody has it;
// otherwise it changes nothing.
func (q *Queue) Offer(t *Task) []Output {
	if it := q.items[t.Key]; it != nil {
		if it.state == ready || it.state == orphaned {
			it.task.Attempt = max(it.task.Attempt, t.Attempt)
			it.task.Body = t.Body
		} else if t.Attempt > it.task.Attempt {
			// The adapter has it under an older number: it joins, and answers under the newer.
			q.drop(it)
			q.add(t)
		}
		q.assign()
		return q.take()
	}
	q.add(t)
	q.assign()
	return q.take()
}

func (q *Queue) add(t *Task) {
	it := &item{task: t}
	q.items[t.Key] = it
	q.enqueue(it)
	// An adapter that says that it runs the key, or has its result, is the one to ask.
	for _, s := range q.streams {
		if s.Keys[t.Key] {
			delete(s.Keys, t.Key)
			q.dequeue(it)
			q.send(it, s)
			return
		}
	}
}

func (q *Queue) enqueue(it *item) {
	it.state, it.stream = ready, nil
	lists := q.ready[it.task.Version]
	if lists == nil {
		lists = new([Priorities]fifo)
		q.ready[it.task.Version] = lists
	}
	lists[it.task.Priority].push(it)
	q.waiting++
}

// dequeue takes a ready item out of its list.
func (q *Queue) dequeue(it *item) {
	it.place.taken = true
	q.waiting--
}

func (q *Queue) drop(it *item) {
	switch it.state {
	case ready:
		q.dequeue(it)
	case orphaned:
		q.orphans--
	case reserved, inFlight:
	}
	delete(q.items, it.task.Key)
}

// Done says that a result for the key has come, or that nobody waits for it any more.
func (q *Queue) Done(key string) []Output {
	if it := q.items[key]; it != nil {
		if it.state == reserved {
			it.stream.giveBack()
		}
		q.drop(it)
	}
	q.assign()
	return q.take()
}

// Confirm says that the ledger of a reserved task is journaled.
func (q *Queue) Confirm(key, ledger string) []Output {
	it := q.items[key]
	if it == nil || it.state != reserved || it.stream.Ledger != ledger {
		return nil
	}
	it.task.Ledger = ledger
	it.state = inFlight
	q.out = append(q.out, Send{Stream: it.stream.ID, Task: it.task})
	return q.take()
}

// Cancel gives a task up: at once if nobody has it, else by asking the adapter.
func (q *Queue) Cancel(key string) []Output {
	it := q.items[key]
	if it == nil {
		return nil
	}
	switch it.state {
	case inFlight:
		q.out = append(q.out, SendCancel{Stream: it.stream.ID, Task: it.task})
	case reserved, ready:
		if it.state == reserved {
			it.stream.giveBack()
		}
		q.drop(it)
		if !it.task.MaybeStarted && it.task.Ledger == "" {
			q.out = append(q.out, NotDone{Task: it.task})
		}
	case orphaned:
		// Whether it runs is known when its adapter is back, or not at all.
	}
	return q.take()
}

// DropPartition forgets the tasks of a partition that this node has lost.
func (q *Queue) DropPartition(p messages.Partition) {
	for _, it := range q.items {
		if it.task.Partition == p {
			if it.state == reserved {
				it.stream.giveBack()
			}
			q.drop(it)
		}
	}
}

func (s *stream) giveBack() { s.sent-- }

// Attach adds a stream. Tasks that its process had on a lost stream are its own again if it still has them; else, and if
// it is a new process with the ledger of a lost one, they are sent again.
func (q *Queue) Attach(st Stream) []Output {
	s := &stream{Stream: st}
	if s.Keys == nil {
		s.Keys = map[string]bool{}
	}
	for _, it := range q.items {
		switch {
		case it.state == ready && s.Keys[it.task.Key]:
			q.dequeue(it)
			q.send(it, s)
		case it.state != orphaned:
		case s.Keys[it.task.Key]:
			q.orphans--
			it.state, it.stream, it.process = inFlight, s, s.Process
		case it.process == s.Process || it.stream.Ledger == s.Ledger:
			// This process never got it or is done with it, or the one that had it is dead.
			q.orphans--
			if !s.Idempotent {
				it.task.MaybeStarted = it.process != s.Process
			}
			q.enqueue(it)
		}
		delete(s.Keys, it.task.Key)
	}
	q.streams = append(q.streams, s)
	q.assign()
	return q.take()
}

// Detach removes a stream. What it had waits for its adapter to come back, for the time that the config says.
func (q *Queue) Detach(id StreamID, now time.Time) []Output {
	for i, s := range q.streams {
		if s.ID == id {
			q.streams = append(q.streams[:i], q.streams[i+1:]...)
			for _, it := range q.items {
				if it.stream != s {
					continue
				}
				switch it.state {
				case reserved:
					q.enqueue(it)
				case inFlight:
					it.state, it.gone, it.process = orphaned, now, s.Process
					q.orphans++
				case ready, orphaned:
				}
			}
			break
		}
	}
	q.assign()
	return q.take()
}

// Tick sends elsewhere what has waited long enough for a lost adapter. Call it every second or so.
func (q *Queue) Tick(now time.Time) []Output {
	if q.orphans > 0 {
		for _, it := range q.items {
			if it.state != orphaned {
				continue
			}
			wait := q.config.Grace
			if !it.stream.Idempotent {
				wait = q.config.LedgerGrace
			}
			if now.Sub(it.gone) >= wait {
				q.orphans--
				it.task.MaybeStarted = it.task.MaybeStarted || !it.stream.Idempotent
				q.enqueue(it)
			}
		}
	}
	q.assign()
	return q.take()
}

// Credit sets how many tasks a stream may have been sent in all.
func (q *Queue) Credit(id StreamID, total uint64) []Output {
	if s := q.stream(id); s != nil && total > s.total {
		s.total = total
	}
	q.assign()
	return q.take()
}

// Revoke takes back credits that were not used, and returns how many.
func (q *Queue) Revoke(id StreamID, count uint64) uint64 {
	s := q.stream(id)
	if s == nil {
		return 0
	}
	n := min(count, s.credit())
	s.revoked += n
	return n
}

func (q *Queue) stream(id StreamID) *stream {
	for _, s := range q.streams {
		if s.ID == id {
			return s
		}
	}
	return nil
}

// assign gives ready tasks to streams with credit, in turn.
func (q *Queue) assign() {
	for q.waiting > 0 {
		progress := false
		for range q.streams {
			q.turn = (q.turn + 1) % len(q.streams)
			s := q.streams[q.turn]
			if s.credit() == 0 {
				continue
			}
			if it := q.pop(s.Version); it != nil {
				q.send(it, s)
				progress = true
			}
		}
		if !progress {
			return
		}
	}
}

// pop takes the first task of the highest priority that a stream of this version can serve.
func (q *Queue) pop(version string) *item {
	anyVersion, exact := q.ready[""], q.ready[version]
	for p := Priorities - 1; p >= 0; p-- {
		for _, lists := range [...]*[Priorities]fifo{exact, anyVersion} {
			if lists == nil {
				continue
			}
			if it := lists[p].pop(); it != nil {
				q.waiting--
				return it
			}
		}
	}
	return nil
}

func (q *Queue) send(it *item, s *stream) {
	it.stream, it.process = s, s.Process
	s.sent++
	if t := it.task; !s.Idempotent {
		if t.Ledger != "" && t.Ledger != s.Ledger {
			t.MaybeStarted = true
		}
		if t.Ledger != s.Ledger {
			it.state = reserved
			q.out = append(q.out, Reserve{Task: t, Ledger: s.Ledger})
			return
		}
	}
	it.state = inFlight
	q.out = append(q.out, Send{Stream: s.ID, Task: it.task})
}
