package cluster

import (
	"maps"
	"slices"

	"github.com/holdfast-run/holdfast/messages"
)

// marks are the watermarks that a node has heard of: the highest of each other incarnation, until they are covered. It knows no clock and
// does nothing: a model can drive it.
//
//	heard, and raised ──► its incarnation is gone ──► covered in each shard ──► this node's own, which cover it, published ──► forgotten
//	                            ▲                           │
//	                            └──── heard of higher ones ─┘
//
// It holds as many as there are members, and incarnations that have ended and are not covered yet.
type marks struct {
	self  messages.Incarnation
	known map[messages.Incarnation]messages.Watermarks
	// gone are those of them that commit no more, as far as Consul says.
	gone map[messages.Incarnation]bool
	// covered are those that databases have shown before this node has committed something there itself.
	covered map[messages.Incarnation]messages.Watermarks
}

func newMarks() marks {
	return marks{
		known: map[messages.Incarnation]messages.Watermarks{}, gone: map[messages.Incarnation]bool{},
		covered: map[messages.Incarnation]messages.Watermarks{},
	}
}

// is says which incarnation the node itself is: what it has had confirmed, it knows better than others.
func (m *marks) is(self messages.Incarnation) {
	m.self = self
	m.forget(self)
}

// hear notes what somebody has said of an incarnation.
func (m *marks) hear(who messages.Incarnation, w messages.Watermarks) {
	if who != "" && who != m.self {
		m.known[who] = m.known[who].Raised(w)
	}
}

// living are those that are known, and not known to be gone.
func (m *marks) living() (all []messages.Incarnation) {
	for who := range m.known {
		if !m.gone[who] {
			all = append(all, who)
		}
	}
	slices.Sort(all)
	return all
}

// bury notes that an incarnation is gone.
func (m *marks) bury(who messages.Incarnation) {
	if _, known := m.known[who]; known {
		m.gone[who] = true
	}
}

// left are the watermarks of those that are gone.
func (m *marks) left() map[messages.Incarnation]messages.Watermarks {
	left := make(map[messages.Incarnation]messages.Watermarks, len(m.gone))
	for who := range m.gone {
		left[who] = m.known[who]
	}
	return left
}

// cover notes what a shard has shown before this node has committed something there that its own watermarks tell.
func (m *marks) cover(shard int, shown map[messages.Incarnation]messages.Watermarks) {
	for who, w := range shown {
		if !m.gone[who] {
			continue
		}
		of := messages.Watermarks{Shards: make([]messages.ShardWatermarks, shard+1)}
		of.Shards[shard] = w.Of(shard)
		m.covered[who] = m.covered[who].Raised(of)
	}
}

// due are those that may be forgotten as soon as this node's own watermarks, as they are now, are known to others.
func (m *marks) due() (all []messages.Incarnation) {
	for _, who := range slices.Sorted(maps.Keys(m.gone)) {
		if m.isDue(who) {
			all = append(all, who)
		}
	}
	return all
}

func (m *marks) isDue(who messages.Incarnation) bool {
	return m.gone[who] && m.covered[who].Cover(m.known[who])
}

// settle forgets an incarnation that was due, unless higher watermarks of it were heard of meanwhile.
func (m *marks) settle(who messages.Incarnation) {
	if m.isDue(who) {
		m.forget(who)
	}
}

// forget drops what is known of an incarnation.
func (m *marks) forget(who messages.Incarnation) {
	delete(m.known, who)
	delete(m.gone, who)
	delete(m.covered, who)
}
