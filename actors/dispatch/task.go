package dispatch

import (
	"time"

	"github.com/holdfast-run/holdfast/messages"
)

// Priorities is the number of priorities, from 0, the lowest.
const Priorities = messages.Priorities

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
	// MaybeStarted: an attempt before may have done the work. The queue sets it before it sends a task to another ledger.
	MaybeStarted bool
	// Again: it was offered before, to a queue that is gone, or that has forgotten it; some adapter may have it. The queue
	// sets it, too, for a new task with a Ledger.
	Again bool
	// Suspect: it was set apart before. It is executed alone.
	Suspect bool
	// Deaths are the processes that died while the task was under way there, perhaps because of it. The queue adds to them, and
	// takes out a process that comes back.
	Deaths    []messages.Death
	OfferedAt time.Time
	// Since is when its order scheduled it: the time on disk, and in the queues of other nodes, counts. Zero: it never ages.
	Since time.Time
	// Size is how much memory it takes while it waits, in any unit: see Queue.Load.
	Size int
	// Body is the caller's; the queue does not look at it.
	Body any
}

// suspected tells whether a task is to be executed alone.
func (t *Task) suspected() bool { return t.Suspect || len(t.Deaths) > 0 }

// killed counts the processes that died while they executed a task, and nothing else.
func (t *Task) killed() int {
	n := 0
	for _, d := range t.Deaths {
		if d.Alone {
			n++
		}
	}
	return n
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
	// Begun: the adapter reports what it is about to execute, and awaits the confirmation; and it executes a task alone if asked
	// to.
	Begun bool
	// Recoverable: it can find out what came of work that another process may have begun.
	Recoverable bool
	// Lists: it can be asked which keys of a partition it has.
	Lists bool
	// Keys are those that the adapter runs or holds results for.
	Keys Keys
	// Space is for the tasks that the adapter has of all queues; nil: it has no end.
	Space Space
}

// Keys are those that a stream's adapter has said it has. All queues that the stream serves may share them, and look at them at any time.
type Keys interface {
	Has(key string) bool
	Add(key string)
	Remove(key string)
}

// Space is for the tasks that adapters have. All queues may share it.
type Space interface {
	// Full tells whether the adapter is to be sent nothing more now.
	Full() bool
	// Add notes that the adapter has tasks of so many bytes more, or fewer if it is negative.
	Add(bytes int)
}

// Set are the Keys of one queue alone.
type Set map[string]struct{}

// Has implements Keys.
func (s Set) Has(key string) bool {
	_, has := s[key]
	return has
}

// Add implements Keys.
func (s Set) Add(key string) { s[key] = struct{}{} }

// Remove implements Keys.
func (s Set) Remove(key string) { delete(s, key) }

// End tells how a stream came to its end.
type End struct {
	// Closed: the adapter's side closed it. A process that lives is back soon.
	Closed bool
	// Left: the adapter had drained it, and ended it in good order. That is no death.
	Left bool
	// Alone is the key of the task that the adapter was executing, and nothing else beside it; empty if there was none.
	Alone string
}

// Config bounds a Queue.
type Config struct {
	// Grace is how long tasks of a lost stream wait for the same adapter to come back before another may get them. A
	// task of an activity that is not idempotent waits LedgerGrace, and then goes on marked as maybe started; but only
	// RecoverGrace, if the adapter closed the stream, and another one can find out what came of it.
	Grace, LedgerGrace, RecoverGrace time.Duration
	// Deaths is how many processes may die that execute a task and nothing else, before it is set apart.
	Deaths int
	// Away is the space for the tasks whose adapters are away; nil: it has no end. It is never too full for one.
	Away Space
	// AgeAfter is how long a task waits before it ages: one send in AgedShare goes to the oldest of those that did, whatever
	// its priority. So what is of low priority is late, and never starves. 0: tasks don't age.
	AgeAfter time.Duration
}

// AgedShare is the number of sends of which one is for those that have waited long.
const AgedShare = 16

// Output is what is to be done.
type Output interface{ isOutput() }

type (
	// Send sends a task on a stream. Await: the adapter must report begun, and Begun follows. Alone: it must execute nothing else
	// meanwhile.
	Send struct {
		Stream StreamID
		Task   *Task
		Await  bool
		Alone  bool
	}
	// Adopt says that a stream's adapter has a task that was not sent on it: its process was sent it before. Alone: it executes
	// it, and nothing else.
	Adopt struct {
		Stream StreamID
		Task   *Task
		Alone  bool
	}
	// JournalLedger asks to journal that a task is about to be sent to a ledger, or about to be executed there; Confirm or Refuse
	// follows.
	JournalLedger struct {
		Task   *Task
		Ledger string
	}
	// SendConfirm lets an adapter execute what it has reported as begun. It tells anew whether another one may have begun with it:
	// that may have become known after the task was sent.
	SendConfirm struct {
		Stream StreamID
		Task   *Task
		Alone  bool
	}
	// SendCancel asks an adapter to give up an attempt. Task is nil if the task is not here.
	SendCancel struct {
		Task    *Task
		Stream  StreamID
		Key     string
		Attempt uint32
	}
	// NotDone says that a task was given up before anybody began with it.
	NotDone struct{ Task *Task }
	// InDoubt says that a task was given up while nobody had it, and that somebody may have begun with it before.
	InDoubt struct{ Task *Task }
	// GoesOn says that a task that was to be withdrawn is with an adapter, or may be, and goes on.
	GoesOn struct{ Task *Task }
	// Lost says that a process which may have begun with a task is gone, and that the task goes to another one now. Suspect: the
	// process may have died of this task. Alone: it executed nothing else.
	Lost struct {
		Task           *Task
		Process        string
		Suspect, Alone bool
	}
	// Found says that a process that was Lost with a task is back, and so has not died of it. Kept: it has the task, and nobody else
	// was sent it since.
	Found struct {
		Task    *Task
		Process string
		Kept    bool
	}
	// Quarantine says that a task was dropped because so many processes have died of it, the last of them Process.
	Quarantine struct {
		Task    *Task
		Process string
		Deaths  int
	}
)

func (Send) isOutput()          {}
func (Adopt) isOutput()         {}
func (JournalLedger) isOutput() {}
func (SendConfirm) isOutput()   {}
func (SendCancel) isOutput()    {}
func (NotDone) isOutput()       {}
func (InDoubt) isOutput()       {}
func (GoesOn) isOutput()        {}
func (Lost) isOutput()          {}
func (Found) isOutput()         {}
func (Quarantine) isOutput()    {}
