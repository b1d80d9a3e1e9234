package dispatch

import (
	"time"

	"github.com/holdfast-run/holdfast/messages"
)

type state int

const (
	ready state = iota
	journaling
	inFlight
	orphaned // its adapter is away
	nowhere  // while it is moved
)

// item is a task in the queue.
type item struct {
	task  *Task
	seq   uint64 // in the order of offering
	state state
	// stream is the one that has the item, is to get it as soon as its ledger is journaled, or alone may get it; nil if any may.
	stream *stream
	// process and ledger are those of the item's adapter: the one that had it last, or must have it.
	process, ledger string
	idempotent      bool // the activity is, as the item's adapter offers it
	// first and asked are the first and the last attempt that the item's adapter was asked for; 0: it certainly got none.
	first, asked uint32
	known        bool // the item's adapter says that it has the key
	// held: the item's adapter has not begun with it, as it awaits the confirmation. journaling: the ledger is being journaled, and
	// the confirmation follows.
	held, journaling bool
	// alone: the item's adapter was told to execute nothing else meanwhile.
	alone bool
	// holder is the process that the item was sent to last, if it was sent to be confirmed before it begins; else empty.
	holder string
	// last is the latest loss of a process with the item, if it was sent to nobody since.
	last      loss
	lost      bool      // another adapter, before the item's, may have begun with it
	since     time.Time // when the item's adapter got it, or began with it
	gone      time.Time // when the item was orphaned
	end       End       // how the stream came to its end, if the item is orphaned
	cancelled bool
	asking    bool      // the item is orphaned only until adapters have said whether they have it
	withdrawn bool      // the item is orphaned, and goes on only if its adapter comes back
	place     *entry    // where the item is in a list of ready items; nil if it is in none
	among     *suspects // the list of suspects that the item is in; nil if it is in none
	space     Space     // where the item takes space beside what waits; nil if it takes none. size is how much
	size      int
	had       bool // the item is in a list, and its adapter has it: to send it begins nothing
}

// loss notes that a process was lost that may have begun with an item, and how the item was before.
type loss struct {
	process, ledger, taskLedger    string
	idempotent, alone, maybe, lost bool
	first, asked                   uint32
}

// occupy has the item take space, unless it does.
func (it *item) occupy(r Space) {
	if r != nil && it.space == nil {
		it.space, it.size = r, it.task.Size
		r.Add(it.size)
	}
}

// vacate gives back the space that the item takes.
func (it *item) vacate() {
	if it.space != nil {
		it.space.Add(-it.size)
		it.space = nil
	}
}

// begun tells whether the item's adapter may have begun with it.
func (it *item) begun() bool { return (it.asked != 0 || it.known) && !it.held }

// refrains tells whether the item's adapter is to give it up before it begins: it was cancelled. But if somebody else may have
// begun with it, the adapter has to find out what came of that all the same.
func (it *item) refrains() bool { return it.cancelled && !it.unsure() }

// unsure tells whether somebody else may have begun with the item, so that its adapter has to find that out.
func (it *item) unsure() bool { return !it.idempotent && it.task.MaybeStarted }

// bound tells whether only the item's adapter may get it.
func (it *item) bound() bool { return it.known && !it.held || it.task.Ledger != "" }

// mark marks an item as maybe started, if a stream's adapter must know that another one may have begun with it. Work that is
// idempotent is marked, too: an adapter that gets it must not say that it was not done.
func (it *item) mark(s *stream) {
	t := it.task
	t.MaybeStarted = t.MaybeStarted || s.Idempotent && (it.lost || t.Again) || !s.Idempotent && t.Ledger != "" && t.Ledger != s.Ledger
}

// leave notes that another adapter is to get the item.
func (it *item) leave() {
	it.lost = it.lost || it.begun()
	it.process, it.ledger, it.first, it.asked = "", "", 0, 0
	it.known, it.held, it.journaling, it.alone, it.withdrawn = false, false, false, false, false
}

// unseen tells whether it is not known which adapter may have the item: it was offered before, to a queue that is gone or has
// forgotten it, and no adapter has come back with it.
func (it *item) unseen() bool {
	return it.task.Again && it.task.Ledger == "" && it.stream == nil && it.process == "" && !it.lost
}

// assign notes the stream that is to get the item.
func (it *item) assign(s *stream) {
	it.stream, it.process, it.ledger, it.idempotent = s, s.Process, s.Ledger, s.Idempotent
}

// stream is an attached stream.
type stream struct {
	Stream

	// total is how many credits the adapter has granted since the stream began, sent how many tasks used one up, and revoked how
	// many it took back.
	total, sent, revoked uint64
	// had, bound and suspects are the ready items that only this stream may get: its adapter has the first ones, and the suspects are to be
	// executed alone.
	had, bound fifo
	suspects   suspects
	// listed are the keys of this activity that the adapter has listed, with their partitions.
	listed map[string]messages.Partition
}

// credit returns how many more tasks the adapter takes.
func (s *stream) credit() uint64 {
	if used := s.sent + s.revoked; s.total > used {
		return s.total - used
	}
	return 0
}

// full tells whether the stream is to get nothing more now, whatever credit it has.
func (s *stream) full() bool { return s.Space != nil && s.Space.Full() }

// unsend has a task that was not sent after all use up no credit.
func (s *stream) unsend() { s.sent-- }

// awaits tells whether the stream's adapter awaits the confirmation before it begins with an item.
func (s *stream) awaits(it *item) bool { return s.Begun && (it.alone || !s.Idempotent) }

// serves tells whether the stream's adapter offers the version that an item asks for.
func (s *stream) serves(it *item) bool { return it.task.Version == "" || it.task.Version == s.Version }
