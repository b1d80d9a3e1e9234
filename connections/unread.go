package connections

import (
	"cmp"
	"slices"
	"time"
)

// holder is a connection for which something is unread.
type holder struct {
	*meter

	unread int64
	since  time.Time
}

// relieve closes the connections for which something is unread for longest, until an eighth of the room is free. Who has much
// unread for a moment is not asked: whoever wants to take all the room has to keep it.
func (b *Bounds) relieve() {
	if !b.closing.TryLock() {
		return // somebody else does so
	}
	defer b.closing.Unlock()
	if b.unread.Load() <= b.config.Unread {
		return
	}
	over := b.unread.Load() - b.config.Unread/8*7
	var all []holder
	b.mu.Lock()
	for m := range b.meters {
		all = append(all, holder{meter: m})
	}
	b.mu.Unlock()
	for i := range all {
		all[i].look()
	}
	slices.SortFunc(all, func(x, y holder) int { return cmp.Or(x.since.Compare(y.since), cmp.Compare(y.unread, x.unread)) })
	for _, h := range all {
		if h.unread > 0 && over > 0 {
			over -= h.forget()
			h.doom(Unreadable)
		}
	}
}

// forget counts no more what is unread of a connection that will be closed, and tells how much that was: so no others are closed for it.
func (m *meter) forget() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.forgotten = true
	unread := m.unread
	m.b.unread.Add(-unread)
	m.unread = 0
	return unread
}

// look reads how much of a connection is unread, and since when.
func (h *holder) look() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.unread, h.since = h.meter.unread, time.Now()
	for _, s := range h.streams {
		if s.unread > 0 && s.since.Before(h.since) {
			h.since = s.since
		}
	}
}

// doom has a connection closed by who reads from it, or, if nobody does now, at once.
func (m *meter) doom(why Reason) {
	if !m.doomed.CompareAndSwap(nil, &why) {
		return
	}
	err := m.lowest().SetReadDeadline(time.Unix(1, 0))
	if err != nil || !m.reading.Load() {
		m.cut(why)
	}
}

// cut closes the connection, whose client is not told why.
func (m *meter) cut(why Reason) {
	m.told(why)
	_ = m.lowest().Close() // an error changes nothing
}
