package connections

import "time"

// idleSample is of how many connections the one is closed that has had no call for longest, so that it costs little where there are many.
const idleSample = 128

// closeIdle closes a connection that has had no call for long, if there is one.
func (b *Bounds) closeIdle() {
	var sample []*meter
	b.mu.Lock()
	for m := range b.meters { // in no order
		if sample = append(sample, m); len(sample) == idleSample {
			break
		}
	}
	b.mu.Unlock()
	var idlest *meter
	var since time.Time
	for _, m := range sample {
		if at, idle := m.idle(); idle && (idlest == nil || at.Before(since)) {
			idlest, since = m, at
		}
	}
	why := Idle
	if idlest == nil || !idlest.doomed.CompareAndSwap(nil, &why) {
		return
	}
	idlest.told(why)
	_ = idlest.lowest().Close() // an error changes nothing
}

// idle tells since when a connection that has opened has had no call, if it has none. Of one that does not speak HTTP/2 it is not known
// what it has: it counts since when nothing came or was sent.
func (m *meter) idle() (since time.Time, idle bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.since, m.opened && len(m.streams) == 0 && !m.finished && m.doomed.Load() == nil
}
