package connections

import (
	"net/netip"
	"time"
)

// goneEvery is how often, for an address that has no room left, it is looked whether the client of one that waits has gone.
const goneEvery = 20 * time.Millisecond

// dropGone closes a connection from an address that has no room left, if it waits for its turn and its client has gone: so those that come
// and go do not keep out whoever stays. It is not looked more often, as to refuse one that comes costs less.
func (b *Bounds) dropGone(at netip.Addr) {
	if c := b.longestWaiting(at, time.Now()); c != nil && hasGone(c.Conn) {
		_ = c.Close() // an error changes nothing
	}
}

// longestWaiting is a connection that waits for its turn, at which it was not looked for longest; nil: it need not be looked.
func (b *Bounds) longestWaiting(at netip.Addr, now time.Time) *conn {
	b.mu.Lock()
	defer b.mu.Unlock()
	a := b.from[at]
	if a == nil || a.waiting.Len() == 0 || !b.hasAll(at) || now.Sub(a.looked) < goneEvery {
		return nil
	}
	a.looked = now
	e := a.waiting.Front()
	a.waiting.MoveToBack(e)
	return connOf(e)
}
