package connections

import "time"

// idleSample is of how many connections the one is closed that has had no call for longest, so that it costs little where there are many.
const idleSample = 128

// idlest is the connection that has had no call for longest, and since when; nil: all have one.
func (b *Bounds) idlest() (idlest *meter, since time.Time) {
	var sample []*meter
	b.mu.Lock()
	for m := range b.meters { // in no order
		if sample = append(sample, m); len(sample) == idleSample {
			break
		}
	}
	b.mu.Unlock()
	for _, m := range sample {
		if at, idle := m.idle(); idle && (idlest == nil || at.Before(since)) {
			idlest, since = m, at
		}
	}
	return idlest, since
}

// endIdle closes a connection that had no call, in favour of another one.
func (m *meter) endIdle() {
	why := Idle
	if m.doomed.CompareAndSwap(nil, &why) {
		m.cut(why)
	}
}

// idle tells since when a connection that has opened has had no call, if it has none. Of one that does not speak HTTP/2 it is not known
// what it has: it counts since when nothing came or was sent.
func (m *meter) idle() (since time.Time, idle bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.since, m.opened && len(m.streams) == 0 && !m.finished && m.doomed.Load() == nil
}
