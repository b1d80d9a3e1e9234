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
	// Key is the idempotency key: the same key is the same work.
	Key string
	// Attempt rises with each new attempt under the key.
	Attempt uint32
	// Version is that of the activity; empty: any.
	Version  string
	Priority int
	// Ledger is where the key was sent before; empty if it was not, or the activity is idempotent.
	Ledger string
	// MaybeStarted: it may have run somewhere. The queue sets it before it sends a task to another ledger.
	MaybeStarted bool
	// Again: it was offered before, to a queue that is gone, or that has forgotten it; some adapter may have it. The queue
	// sets it, too, for a new task with a Ledger.
	Again     bool
	OfferedAt time.Time
	// Since is when its order came to it: waiting in other queues counts. Zero: it never ages.
	Since time.Time
	// Size is what it takes of memory while it waits, in any unit.
	Size int
	// Body is for the caller.
	Body any
}

// since is when the task began to wait.
func (t *Task) since() time.Time {
	if t.Since.IsZero() {
		return t.OfferedAt
	}
	return t.Since
}

// StreamID names a stream of an adapter. No id is used twice.
type StreamID uint64

// Stream is an adapter that serves this queue's activity.
type Stream struct {
	ID      StreamID
	Process string
	// Ledger is the memory of the process, which may survive it.
	Ledger string
	// Version is that of the activity.
	Version    string
	Idempotent bool
	// Keys are those that the adapter runs or holds results for. The queue takes the map.
	Keys map[string]bool
}

// Config bounds a Queue.
type Config struct {
	// Grace is how long tasks of a lost stream wait for the same adapter to come back before another may get them. A
	// task of an activity that is not idempotent waits LedgerGrace, and then goes on marked as maybe started.
	Grace, LedgerGrace time.Duration
	// AgeAfter is how long a task waits before it ages: one send in AgedShare goes to the oldest of those that did, whatever
	// its priority. So what is of low priority is late, and never starves. 0: tasks don't age.
	AgeAfter time.Duration
}

// AgedShare is the number of sends of which one is for those that have waited long.
const AgedShare = 16

// Limit bounds what adapters get of an activity, whatever they could take. A zero field means no bound.
type Limit struct {
	// Rate is the most tasks a second that are sent, on average; one and a tenth of a second's may be sent at once.
	Rate float64
	// Concurrency is the most tasks that adapters have at a time.
	Concurrency int
}

// Output is what is to be done.
type Output interface{ isOutput() }

type (
	// Send sends a task on a stream.
	Send struct {
		Stream StreamID
		Task   *Task
	}
	// Reserve asks to journal that a task is about to be sent to a ledger; Confirm or Refuse follows.
	Reserve struct {
		Task   *Task
		Ledger string
	}
	// SendCancel asks an adapter to give up an attempt.
	SendCancel struct {
		Stream StreamID
		Task   *Task
	}
	// NotDone says that a task was cancelled before anybody got it.
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
	orphaned // its adapter is not here
)

// item is a task in the queue.
type item struct {
	task  *Task
	seq   uint64 // in the order of offering
	state state
	// stream is the one that has it, that it is reserved for, or that it is bound to; nil if it may go to any.
	stream *stream
	// process and ledger are those of the adapter that had it last, or must have it.
	process, ledger string
	idempotent      bool // as that adapter has it
	// first and asked are the first and the last attempt that this adapter was asked for; 0: none, or it certainly got none.
	first, asked uint32
	known        bool      // this adapter says that it has the key
	lost         bool      // an adapter before it may have it too
	gone         time.Time // when it was orphaned
	cancelled    bool
	place        *entry // in a list of ready items
}

// untouched tells whether certainly nobody has begun with it.
func (it *item) untouched() bool {
	return it.asked == 0 && !it.known && !it.lost && !it.task.Again && !it.task.MaybeStarted
}

// bound tells whether only the adapter that it is with may get it.
func (it *item) bound() bool { return it.known || it.task.Ledger != "" }

// assign notes the stream that is to get the item.
func (it *item) assign(s *stream) {
	it.stream, it.process, it.ledger, it.idempotent = s, s.Process, s.Ledger, s.Idempotent
}

// leave notes that another adapter is to get the item.
func (it *item) leave() {
	it.lost = it.lost || it.asked != 0 || it.known
	it.process, it.ledger, it.first, it.asked, it.known = "", "", 0, 0, false
}

// stream is an attached stream.
type stream struct {
	Stream

	// total, sent and revoked count credits.
	total, sent, revoked uint64
	bound                fifo // items that only it may get
}

func (s *stream) credit() uint64 {
	if used := s.sent + s.revoked; s.total > used {
		return s.total - used
	}
	return 0
}

func (s *stream) giveBack() { s.sent-- }
