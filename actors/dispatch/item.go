package dispatch

import "time"

type state int

const (
	ready state = iota
	reserved
	inFlight
	orphaned // its adapter is not here
	nowhere  // while it is moved
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
	known        bool // this adapter says that it has the key
	// held: this adapter has not begun with it, as it awaits the confirmation. reserving: its ledger is being journaled for that.
	held, reserving bool
	// alone: this adapter was told to execute nothing else meanwhile.
	alone bool
	// holder is the process that it was handed to last to be confirmed; empty if it was sent since without that.
	holder string
	// last is the loss after which it was sent to nobody yet.
	last      loss
	lost      bool      // an adapter before it may have begun with it, too
	since     time.Time // when its adapter got it, or began with it
	gone      time.Time // when it was orphaned
	end       End       // of its stream, if it is orphaned
	cancelled bool
	withdrawn bool      // it is orphaned only until it is known whether its adapter comes back
	place     *entry    // in a list of ready items
	among     *suspects // the list that it is in, in place of that
}

// loss is of a process that may have begun with an item, and how the item was before.
type loss struct {
	process, ledger, taskLedger    string
	idempotent, alone, maybe, lost bool
	first, asked                   uint32
}

// begun tells whether the adapter that it is with may have begun with it.
func (it *item) begun() bool { return (it.asked != 0 || it.known) && !it.held }

// refrains tells whether its adapter is to give it up before it begins. What was cancelled is found out all the same, if somebody
// else may have begun with it.
func (it *item) refrains() bool { return it.cancelled && !it.unsure() }

// unsure tells whether somebody else may have begun with it, so that its adapter is to find that out.
func (it *item) unsure() bool { return !it.idempotent && it.task.MaybeStarted }

// bound tells whether only the adapter that it is with may get it.
func (it *item) bound() bool { return it.known && !it.held || it.task.Ledger != "" }

// mark marks it, if a stream's adapter must know that another one may have begun with it. Also what is idempotent is marked: who
// gets it must not say that it was not done.
func (it *item) mark(s *stream) {
	t := it.task
	t.MaybeStarted = t.MaybeStarted || s.Idempotent && (it.lost || t.Again) || !s.Idempotent && t.Ledger != "" && t.Ledger != s.Ledger
}

// leave notes that another adapter is to get the item.
func (it *item) leave() {
	it.lost = it.lost || it.begun()
	it.process, it.ledger, it.first, it.asked = "", "", 0, 0
	it.known, it.held, it.reserving, it.alone, it.withdrawn = false, false, false, false, false
}

// unseen tells whether it is not known who may have it: it was offered again to this queue, and nobody has come back with it.
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

	// total, sent and revoked count credits.
	total, sent, revoked uint64
	// bound and suspects are the items that only it may get; the latter are to be executed alone.
	bound    fifo
	suspects suspects
}

func (s *stream) credit() uint64 {
	if used := s.sent + s.revoked; s.total > used {
		return s.total - used
	}
	return 0
}

func (s *stream) giveBack() { s.sent-- }

// awaits tells whether its adapter awaits the confirmation before it begins with an item.
func (s *stream) awaits(it *item) bool { return s.Begun && (it.alone || !s.Idempotent) }

// serves tells whether an item may ask for the version that it offers.
func (s *stream) serves(it *item) bool { return it.task.Version == "" || it.task.Version == s.Version }
