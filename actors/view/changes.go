package view

import (
	"sync"
	"sync/atomic"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
)

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
	// here are the partitions that this node has, and missing is how many it has not. doubt counts how often orders may have changed of
	// which this node was told nothing.
	here    [messages.Partitions]bool
	missing int
	doubt   uint64
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

// serves says whether this node has a partition. When it has lost one, or got one back, others may have changed orders there.
func (c *Changes) serves(p messages.Partition, here bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.here[p] == here {
		return
	}
	if c.here[p] = here; here {
		c.missing--
	} else {
		c.missing++
	}
	c.doubt++
	c.tell()
}

// tick is to be called every second: as long as a partition is not here, other nodes may have changed orders meanwhile.
func (c *Changes) tick() {
	if c.watching.Load() == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.missing > 0 {
		c.doubt++
		c.tell()
	}
}

// watch begins to read changes. The reader must leave.
func (c *Changes) watch() *changeReader {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.watching.Add(1) == 1 {
		c.ring, c.first = make([]change, changesKept), c.next
	}
	return &changeReader{of: c, at: c.next, doubt: c.doubt}
}

// changeReader reads changes from when it was made.
type changeReader struct {
	of    *Changes
	at    uint64 // the number of the next one to be read
	doubt uint64
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
// are not kept any more. doubtful: orders that run elsewhere may have changed, too.
func (r *changeReader) read(into []change) (changes []change, missed, doubtful bool) {
	c := r.of
	c.mu.Lock()
	defer c.mu.Unlock()
	doubtful, r.doubt = r.doubt != c.doubt, c.doubt
	if r.at < c.first {
		r.at, missed = c.first, true
	}
	n := 0
	for ; n < len(into) && r.at < c.next; n++ {
		into[n] = c.ring[r.at%uint64(len(c.ring))]
		r.at++
	}
	return into[:n], missed, doubtful
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
	if r.at < c.next || r.doubt != c.doubt {
		c.tell()
	}
	return out
}
