package view

import (
	"errors"
	"sync"
	"sync/atomic"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
)

// ErrElsewhere: orders may run at another node, and this one would not learn of it when they change.
var ErrElsewhere = errors.New("not all orders run at this node now, so it can't tell of each when it changes")

// Changes tell those who watch lists which orders to look at: those whose rows have changed lately. They are hints, and the journal is
// the truth: a hint that comes twice, late or in vain does no harm, and whoever has missed some reads the list anew. As long as nobody
// watches, a change costs a look at a number.
type Changes struct {
	watching atomic.Int64 // how many readers there are

	mu sync.Mutex
	// ring holds the latest changes, each at its number modulo the size; next is the number of the next one, and first that of the
	// oldest that is kept. It is nil while nobody watches.
	ring        []change
	first, next uint64
	// wake is closed with the next change; nil: nobody waits for one.
	wake chan struct{}
	// here are the partitions that this node has, missing is how many it has not, and lost how often it has lost one.
	here    [messages.Partitions]bool
	missing int
	lost    uint64
}

// change says that an order has changed. Row is its row since; nil: the journal has to be asked.
type change struct {
	handle messages.Handle
	row    *journalv1.OrderRow
}

// changesKept is how many changes are kept: as many as come in half a second at the highest rates.
const changesKept = 8192

func newChanges() *Changes { return &Changes{missing: messages.Partitions} }

// Changed says that the row of an order has changed, or may have: then it is nil. The journal must have the change by then, and the
// row must not change any more. It does not block.
func (c *Changes) Changed(h messages.Handle, row *journalv1.OrderRow) {
	if c.watching.Load() == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ring == nil {
		return // the last reader has left
	}
	size := uint64(len(c.ring))
	c.ring[c.next%size] = change{h, row}
	if c.next++; c.next-c.first > size {
		c.first = c.next - size
	}
	c.tell()
}

// tell wakes those who wait. The lock is held.
func (c *Changes) tell() {
	if c.wake != nil {
		close(c.wake)
		c.wake = nil
	}
}

// Serves says whether this node has a partition.
func (c *Changes) Serves(p messages.Partition, here bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.here[p] == here:
		return
	case here:
		c.missing--
	default:
		c.missing++
		c.lost++
		c.tell()
	}
	c.here[p] = here
}

// watch begins to read changes. The reader must leave.
func (c *Changes) watch() (*changeReader, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.missing > 0 {
		return nil, ErrElsewhere
	}
	if c.watching.Add(1) == 1 {
		c.ring, c.first = make([]change, changesKept), c.next
	}
	return &changeReader{of: c, at: c.next, lost: c.lost}, nil
}

// changeReader reads changes from when it was made.
type changeReader struct {
	of   *Changes
	at   uint64 // the number of the next one to be read
	lost uint64
}

// leave ends the reading.
func (r *changeReader) leave() {
	c := r.of
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.watching.Add(-1) == 0 {
		c.ring = nil
	}
}

// read returns the next changes, as many as there is room for; none if there are no more. missed: there were others before them, which
// are not kept any more. It fails with ErrElsewhere once orders may run at another node.
func (r *changeReader) read(into []change) (changes []change, missed bool, err error) {
	c := r.of
	c.mu.Lock()
	defer c.mu.Unlock()
	if r.lost != c.lost {
		return nil, false, ErrElsewhere
	}
	if r.at < c.first {
		r.at, missed = c.first, true
	}
	n := 0
	for ; n < len(into) && r.at < c.next; n++ {
		into[n] = c.ring[r.at%uint64(len(c.ring))]
		r.at++
	}
	return into[:n], missed, nil
}

// more returns what is closed when there is something to read.
func (r *changeReader) more() <-chan struct{} {
	c := r.of
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.wake == nil {
		c.wake = make(chan struct{})
	}
	out := c.wake
	if r.at < c.next || r.lost != c.lost {
		c.tell()
	}
	return out
}
