package actors

import (
	"bytes"
	"errors"
	"maps"
	"sync"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/persistence"
)

// tally has the metrics count each order of a partition once: when it is found open at the start, or loaded before that,
// and then by its commits, whoever lives to see them.
type tally struct {
	mu sync.Mutex
	// upTo is how far the orders that were there at the start have been counted; all: to their end.
	upTo messages.Handle
	all  bool
	// known are orders behind it that were loaded before that.
	known map[messages.OrderID]messages.Handle
	// unsure are orders of which a commit may or may not have happened: they are counted again when they are loaded. Of one
	// that may have been accepted before, only the handle tells by which commit it was.
	unsure map[messages.Handle]messages.OrderID
}

// first tells whether an order that was there at the start is to be counted now that it is read from the index, or loaded.
func (t *tally) first(id messages.OrderID, h messages.Handle) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, known := t.known[id]; known || t.all || !isBehind(h, t.upTo) {
		return false
	}
	if t.known == nil {
		t.known = map[messages.OrderID]messages.Handle{}
	}
	t.known[id] = h
	return true
}

// read says how far the index was counted, and whether that is all of it. True: it is for the first time.
func (t *tally) read(upTo messages.Handle, all bool) (ended bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.all || !isBehind(upTo, t.upTo) && !all {
		return false
	}
	t.upTo, t.all = upTo, all
	maps.DeleteFunc(t.known, func(_ messages.OrderID, h messages.Handle) bool { return all || !isBehind(h, upTo) })
	return all
}

func isBehind(h, upTo messages.Handle) bool { return bytes.Compare(h[:], upTo[:]) > 0 }

// anew tells whether an order is to be counted again now that it is loaded; it was not accepted if the handle is zero.
func (t *tally) anew(id messages.OrderID, h messages.Handle) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, again := t.unsure[h]
	maps.DeleteFunc(t.unsure, func(_ messages.Handle, x messages.OrderID) bool { return x == id })
	return again
}

// doubt says that nobody knows whether a commit of an order has happened.
func (t *tally) doubt(id messages.OrderID, h messages.Handle) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.unsure == nil {
		t.unsure = map[messages.Handle]messages.OrderID{}
	}
	t.unsure[h] = id
}

// count counts what came of a commit of an order that had these rows before.
func (t *tally) count(
	e *Engine, id messages.OrderID, c *persistence.Commit, row *journalv1.OrderRow, open *journalv1.OpenRow, err error,
) {
	switch {
	case err == nil:
		if row == nil {
			t.anew(id, messages.Handle{}) // nor was it before
		}
		e.metrics.committed(row, c.Row)
		if c.Open != nil || c.Close {
			e.countWaiting(open, -1)
			e.countWaiting(c.Open, 1)
		}
	case errors.Is(err, persistence.ErrUnknown):
		t.doubt(id, c.Handle)
		e.countOpen(open, -1)
	}
}

// countOpen counts an order that is open, or no longer so, and its tasks on disk.
func (e *Engine) countOpen(row *journalv1.OpenRow, n int64) {
	if row != nil && !row.GetHeld() && !row.GetTelling() {
		e.metrics.open.Add(float64(n))
	}
	e.countWaiting(row, n)
}

// countWaiting counts an order that waits for an operator, and the tasks of one that are on disk, or no longer so.
func (e *Engine) countWaiting(row *journalv1.OpenRow, n int64) {
	if row.GetSuspended() || row.GetSuspending() {
		e.metrics.suspended.Add(n)
	}
	for _, o := range row.GetOverflow() {
		name, _ := splitActivity(o.GetActivity())
		e.metrics.queue(name).stored[o.GetPriority()].Add(n)
	}
}
