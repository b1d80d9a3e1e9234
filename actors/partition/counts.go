package partition

import (
	"bytes"
	"errors"
	"maps"
	"sync"

	"github.com/holdfast-run/holdfast/actors/order"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/persistence"
)

// counts count the open orders of a partition, each of them once: by the commit that accepts it or takes it up here, or else when
// recovery finds it in the index, or when it is loaded before that. From then on its commits change the counts, even if the order's actor
// has failed meanwhile.
type counts struct {
	mu sync.Mutex
	// open are the orders that have not ended, suspended those that an operator has suspended.
	open, suspended int64
	// stored are the tasks on disk.
	stored map[storedAt]int64
	// queued is how many orders wait for an order key, for the keys for which any does, and queuedAll how many do in all. A head counts
	// as waiting until it has begun.
	queued    map[string]int64
	queuedAll int64
	closed    bool

	// upTo is how far recovery has read the index; all: to its end. seen are the orders behind upTo that were counted already, or count by
	// their commits alone.
	upTo messages.Handle
	all  bool
	seen map[messages.Handle]struct{}
	// unsure are orders of which a commit may or may not have been made: they are counted again when they are loaded, or by their next
	// commit. The key is the handle, as an id may have been accepted twice, once by a commit whose outcome is unknown.
	unsure map[messages.Handle]doubt
	// doubts is how many commits there were whose outcome is unknown.
	doubts uint64
}

// doubt is that of an order, and which one of its partition's it is.
type doubt struct {
	id     messages.OrderID
	number uint64
}

type storedAt struct {
	called   string
	priority int
}

// found counts an order that the index has, unless it was counted before, or is in the intake: then it counts from when it is taken up.
// Until read is called, somebody may load it meanwhile.
func (h *home) found(o persistence.OpenOrder) {
	if o.Row.GetIntake() {
		return
	}
	c := &h.counts
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.first(o.Handle) {
		h.count(o.Row, 1)
	}
}

// read says how far the index was read, and whether that is all of it.
func (c *counts) read(upTo messages.Handle, all bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.all || !isBehind(upTo, c.upTo) && !all {
		return // by the actor before this one
	}
	c.upTo, c.all = upTo, all
	maps.DeleteFunc(c.seen, func(x messages.Handle, _ struct{}) bool { return all || !isBehind(x, upTo) })
}

func isBehind(x, upTo messages.Handle) bool { return bytes.Compare(x[:], upTo[:]) > 0 }

// Loading implements order.Home.
func (h *home) Loading() (mark uint64) {
	c := &h.counts
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.doubts
}

// Loaded implements order.Home. A commit whose outcome turned out to be unknown since it is read may be in what was read, or not: of that,
// the next commit or the next look tells.
func (h *home) Loaded(id messages.OrderID, x messages.Handle, open *journalv1.OpenRow, mark uint64) {
	c := &h.counts
	c.mu.Lock()
	defer c.mu.Unlock()
	d, again := c.unsure[x]
	again = again && d.number <= mark
	maps.DeleteFunc(c.unsure, func(_ messages.Handle, d doubt) bool { return d.id == id && d.number <= mark })
	if again {
		h.Lists.Changed(x, nil)
	}
	if again || open != nil && c.first(x) {
		h.count(open, 1)
	}
}

// Committing implements order.Home. The commit may be in the index long before anybody hears of that.
func (h *home) Committing(x messages.Handle) {
	c := &h.counts
	c.mu.Lock()
	defer c.mu.Unlock()
	c.see(x)
}

// first tells whether an order was never counted that the index may have, or will, and notes that it is.
func (c *counts) first(x messages.Handle) bool {
	if c.all || !isBehind(x, c.upTo) {
		return false
	}
	if _, before := c.seen[x]; before {
		return false
	}
	c.see(x)
	return true
}

// see notes that an order is not to be counted if recovery finds it in the index later.
func (c *counts) see(x messages.Handle) {
	if c.all || !isBehind(x, c.upTo) {
		return
	}
	if c.seen == nil {
		c.seen = map[messages.Handle]struct{}{}
	}
	c.seen[x] = struct{}{}
}

// Committed implements order.Home.
func (h *home) Committed(c *persistence.Commit, id messages.OrderID, before order.Rows, err error) {
	h.Health.Note(h.by.Partition, err)
	n := &h.counts
	n.mu.Lock()
	defer n.mu.Unlock()
	_, unsure := n.unsure[c.Handle]
	switch {
	case err == nil:
		if before.Row == nil {
			maps.DeleteFunc(n.unsure, func(_ messages.Handle, d doubt) bool { return d.id == id }) // nor was it before
		} else if unsure { // it was loaded anew before anybody knew that
			delete(n.unsure, c.Handle)
			h.Lists.Changed(c.Handle, nil)
			h.count(before.Open, 1)
		}
		if c.Row != nil && id.Kind() == messages.KindOrder {
			h.Observer.Committed(before.Row, c.Row)
			h.Lists.Changed(c.Handle, c.Row)
		}
		if c.Open != nil || c.Close {
			h.count(before.Open, -1)
			h.count(c.Open, 1)
		}
	case errors.Is(err, persistence.ErrUnknown):
		h.Lists.Changed(c.Handle, nil)
		if n.unsure == nil {
			n.unsure = map[messages.Handle]doubt{}
		}
		n.doubts++
		n.unsure[c.Handle] = doubt{id, n.doubts} // it is counted when it is loaded, not when recovery finds it
		if !unsure {                             // else it does not count now
			h.count(before.Open, -1)
		}
	case errors.Is(err, persistence.ErrConflict): // a commit whose outcome was unknown was made after all
		h.Lists.Changed(c.Handle, nil)
	}
}

// count counts an open row, or that it is gone; the lock is held.
func (h *home) count(row *journalv1.OpenRow, n int64) {
	c := &h.counts
	if row == nil || c.closed || messages.OrderID(row.GetId()).Kind() != messages.KindOrder {
		return
	}
	if !row.GetHeld() && !row.GetTelling() {
		c.open += n
	}
	if row.GetSuspended() || row.GetSuspending() {
		c.suspended += n
	}
	if key := row.GetOrderKey(); row.GetQueued() && key != "" {
		if c.queued == nil {
			c.queued = map[string]int64{}
		}
		c.queuedAll += n
		if c.queued[key] += n; c.queued[key] == 0 {
			delete(c.queued, key)
		}
	}
	for _, o := range row.GetOverflow() {
		at := storedAt{o.GetActivity(), int(o.GetPriority())}
		if c.stored == nil {
			c.stored = map[storedAt]int64{}
		}
		if c.stored[at] += n; c.stored[at] == 0 {
			delete(c.stored, at)
		}
		h.Backlogs.Stored(at.called, at.priority, n)
	}
}

// end takes back what was counted: the partition is not here any more.
func (h *home) end() {
	c := &h.counts
	c.mu.Lock()
	defer c.mu.Unlock()
	for at, n := range c.stored {
		h.Backlogs.Stored(at.called, at.priority, -n)
	}
	c.open, c.suspended, c.stored, c.closed, c.seen, c.unsure = 0, 0, nil, true, nil, nil
	c.queued, c.queuedAll = nil, 0
}

// totals are the orders that are open, and suspended.
func (c *counts) totals() (open, suspended int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.open, c.suspended
}

// waitFor is how many orders wait for an order key.
func (c *counts) waitFor(key string) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.queued[key]
}

// waiting is how many orders wait for order keys.
func (c *counts) waiting() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.queuedAll
}
