package actors

import (
	"time"

	"github.com/holdfast-run/holdfast/actors/workflow"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
)

// deliver carries a message to an order, through its partition.
type deliver struct {
	id messages.OrderID
	// handle is zero if the sender does not know it.
	handle  messages.Handle
	message any
}

func (d *deliver) refuse(err error) { refuse(d.message, err) }

// asking is a message whose sender is told once what came of it: done when it is durable, or refuse.
type asking interface {
	refusable
	done(s *workflow.State)
}

// accept asks an order to come into being.
type accept struct {
	order  *journalv1.OrderAccepted
	def    *workflow.Definition
	queued bool // it is not to be started yet
	answer func(*workflow.State, error)
}

func (a *accept) done(s *workflow.State) { a.answer(s, nil) }
func (a *accept) refuse(err error)       { a.answer(nil, err) }

// command is any other command to an order. answer may be nil.
type command struct {
	cmd    workflow.Command
	answer func(error)
	// process is that of the adapter that says so, if one does.
	process string
}

func (c *command) done(*workflow.State) { c.refuse(nil) }

func (c *command) refuse(err error) {
	if c.answer != nil {
		c.answer(err)
	}
}

// handOver asks an order to hand over an attempt that has overflowed: there is room for it now, of this size.
type handOver struct {
	frame  uint32
	size   int64
	answer func(error)
}

func (h *handOver) refuse(err error) { h.answer(err) }

// Notes of an instance to itself.
type (
	// committed tells the outcome of the commit of one incarnation.
	committed struct {
		to  *instance
		err error
	}
	// fired tells an order that its due time has come.
	fired struct{}
	// resume makes an order take up whatever is outstanding.
	resume struct{}
	// yield asks an order to leave memory, if it can.
	yield struct{}
)

// Notes of an instance to its partition.
type (
	// dueAt says when the order wants to be fired next; 0 means never. indexed says that the journal's index knows.
	dueAt struct {
		id      messages.OrderID
		handle  messages.Handle
		at      int64
		indexed bool
	}
	// release says that the order can leave memory if no message came after the first received ones.
	release struct {
		id       messages.OrderID
		mail     *mail
		received uint64
	}
	// queued says that an order with a key waits for it, from then on; keyEnded that it has ended.
	queued struct {
		id    messages.OrderID
		key   string
		since time.Time
	}
	keyEnded struct {
		id  messages.OrderID
		key string
	}
	// keyHeld says that an order with a key has faulted, and holds it; or that it does so no longer.
	keyHeld struct {
		id   messages.OrderID
		key  string
		held bool
	}
	// startHead asks to start the head of a key again.
	startHead struct {
		id  messages.OrderID
		key string
	}
	// rested says that an order that was resumed or fired has nothing to do now.
	rested struct{ id messages.OrderID }
)

// Notes of a partition to itself.
type (
	tick  struct{}
	sweep struct{}
	probe struct{}
)

func (committed) isNote() {}
func (fired) isNote()     {}
func (resume) isNote()    {}
func (yield) isNote()     {}
func (dueAt) isNote()     {}
func (release) isNote()   {}
func (rested) isNote()    {}
func (queued) isNote()    {}
func (keyEnded) isNote()  {}
func (keyHeld) isNote()   {}
func (startHead) isNote() {}
func (tick) isNote()      {}
func (sweep) isNote()     {}
func (probe) isNote()     {}

// timeOf is what nano was given.
func timeOf(ns int64) time.Time {
	if ns == 0 {
		return time.Time{}
	}
	return time.Unix(0, ns)
}

func nano(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}
