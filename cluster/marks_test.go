package cluster

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/holdfast-run/holdfast/messages"
)

// written is a batch in the log of a shard's database. A standby that is made the primary has a part of the log, from the beginning.
type written struct {
	by    messages.Incarnation
	lane  int
	batch int64
}

// shardLog is that log, and what is in it.
type shardLog []written

func (l *shardLog) commit(by messages.Incarnation, lane int) int64 {
	batch := l.upTo(len(*l), by, lane) + 1
	*l = append(*l, written{by, lane, batch})
	return batch
}

// upTo is the last batch of a lane in the first records of the log.
func (l *shardLog) upTo(n int, by messages.Incarnation, lane int) (last int64) {
	for _, w := range (*l)[:n] {
		if w.by == by && w.lane == lane {
			last = w.batch
		}
	}
	return last
}

// author is a node in the model: what it has had confirmed, and what it has heard.
type author struct {
	self      messages.Incarnation
	confirmed messages.Watermarks
	marks     marks
	due       []messages.Incarnation
	alive     bool
}

const (
	modelShards = 2
	modelLanes  = 3 // that of the incarnation itself included
)

// journalModel is a cluster's nodes, one after the other, the logs of its databases, and Consul.
type journalModel struct {
	logs    [modelShards]shardLog
	authors []*author
	consul  map[messages.Incarnation]messages.Watermarks
	// ever is the highest that was ever in Consul.
	ever map[messages.Incarnation]messages.Watermarks
}

func (m *journalModel) living(t *rapid.T) *author {
	living := slices.DeleteFunc(slices.Clone(m.authors), func(a *author) bool { return !a.alive })
	return rapid.SampledFrom(living).Draw(t, "who")
}

func (m *journalModel) start(t *rapid.T) {
	if len(m.authors) >= 6 {
		t.Skip("there were enough")
	}
	a := &author{self: messages.Incarnation(fmt.Sprintf("n%d", len(m.authors))), marks: newMarks(), alive: true}
	a.marks.is(a.self)
	for range modelShards {
		a.confirmed.Shards = append(a.confirmed.Shards, messages.ShardWatermarks{Batches: make([]int64, modelLanes)})
	}
	m.authors = append(m.authors, a)
}

// commit has a node commit something, which is confirmed, or not.
func (m *journalModel) commit(t *rapid.T) {
	a, s, lane := m.living(t), rapid.IntRange(0, modelShards-1).Draw(t, "shard"), rapid.IntRange(1, modelLanes-1).Draw(t, "lane")
	batch := m.logs[s].commit(a.self, lane)
	if rapid.Bool().Draw(t, "confirmed") {
		a.raise(s, lane, batch)
	}
}

// raise notes a batch that was confirmed. What others have been given stays as it is.
func (a *author) raise(shard, lane int, batch int64) {
	more := messages.Watermarks{Shards: make([]messages.ShardWatermarks, shard+1)}
	more.Shards[shard].Batches = make([]int64, lane+1)
	more.Shards[shard].Batches[lane] = batch
	a.confirmed = a.confirmed.Raised(more)
}

// die ends a node, unless it is the last one: nothing would happen any more.
func (m *journalModel) die(t *rapid.T) {
	if a := m.living(t); slices.ContainsFunc(m.authors, func(b *author) bool { return b.alive && b != a }) {
		a.alive = false
	}
}

// hear has a node hear of all that Consul has, of what another one knows, and who is gone: who is not is taken for it at times.
func (m *journalModel) hear(t *rapid.T) {
	a := m.living(t)
	for who, w := range m.consul {
		a.marks.hear(who, w)
	}
	other := rapid.SampledFrom(m.authors).Draw(t, "other")
	for who, w := range other.marks.left() {
		a.marks.hear(who, w)
	}
	for _, x := range m.authors {
		if !x.alive || rapid.IntRange(0, 9).Draw(t, "taken for dead") == 0 {
			a.marks.bury(x.self)
		}
	}
}

// cover has a node hold a shard against what it knows, and commit something behind.
func (m *journalModel) cover(t *rapid.T) {
	a, s := m.living(t), rapid.IntRange(0, modelShards-1).Draw(t, "shard")
	shown := maps.Clone(a.marks.known)
	a.raise(s, 0, m.logs[s].commit(a.self, 0))
	a.marks.cover(s, shown)
}

func (m *journalModel) look(t *rapid.T) {
	a := m.living(t)
	a.due = a.marks.due()
}

// publish has a node publish, and forget what was due when it looked.
func (m *journalModel) publish(t *rapid.T) {
	a := m.living(t)
	m.consul[a.self], m.ever[a.self] = a.confirmed, m.ever[a.self].Raised(a.confirmed)
	for _, who := range a.due {
		if !a.marks.isDue(who) {
			continue
		}
		if was := a.marks.known[who]; !was.Cover(m.consul[who]) {
			continue // it lives, and has published more in this moment: it does so again
		}
		delete(m.consul, who)
		a.marks.settle(who)
	}
	a.due = nil
}

// check makes sure that no standby may take over that lacks something which was known.
func (m *journalModel) check(t *rapid.T) {
	for s := range m.logs {
		for n := range len(m.logs[s]) + 1 {
			if m.lacks(s, n, m.ever) && !m.lacks(s, n, m.consul) {
				t.Fatalf("shard %d with %d of %d records is taken for right: Consul has %v, of %v", s, n, len(m.logs[s]), m.consul, m.ever)
			}
		}
	}
}

// lacks tells whether the first records of a log lack something.
func (m *journalModel) lacks(shard, n int, bounds map[messages.Incarnation]messages.Watermarks) bool {
	for who, w := range bounds {
		for lane, batch := range w.Of(shard).Batches {
			if m.logs[shard].upTo(n, who, lane) < batch {
				return true
			}
		}
	}
	return false
}

// Whatever nodes come, go, and forget: a database that lacks a batch which was ever published is refused by what is published still.
func TestForgottenOnlyWhenCovered(t *testing.T) {
	t.Parallel()
	forgotten := 0
	rapid.Check(t, func(t *rapid.T) {
		m := &journalModel{
			consul: map[messages.Incarnation]messages.Watermarks{}, ever: map[messages.Incarnation]messages.Watermarks{},
		}
		m.start(t)
		t.Repeat(map[string]func(*rapid.T){
			"start": m.start, "commit": m.commit, "die": m.die, "hear": m.hear, "cover": m.cover, "look": m.look, "publish": m.publish,
			"": m.check,
		})
		forgotten += len(m.ever) - len(m.consul)
	})
	if forgotten == 0 {
		t.Error("nothing was ever forgotten")
	}
}

func TestMarks(t *testing.T) {
	t.Parallel()
	of := func(batches ...int64) messages.Watermarks {
		return messages.Watermarks{Shards: []messages.ShardWatermarks{{Batches: batches}}}
	}
	m := newMarks()
	m.hear("n1/1", of(0, 5))
	m.is("n1/1")
	m.hear("n1/1", of(0, 6))
	m.hear("n2/1", of(0, 7))
	m.hear("n2/1", of(0, 3))
	if len(m.known) != 1 || m.known["n2/1"].Shards[0].Batches[1] != 7 {
		t.Errorf("known is %v", m.known)
	}
	m.cover(0, maps.Clone(m.known))
	m.bury("n3/1")
	if len(m.left()) != 0 || len(m.due()) != 0 {
		t.Errorf("nobody is gone, and left is %v, due %v", m.left(), m.due())
	}
	m.bury("n2/1")
	shown := maps.Clone(m.known)
	m.hear("n2/1", of(0, 8))
	m.cover(0, shown)
	if due := m.due(); len(due) != 0 {
		t.Errorf("due is %v, and something was not shown", due)
	}
	m.cover(0, maps.Clone(m.known))
	if due := m.due(); len(due) != 1 {
		t.Errorf("due is %v", due)
	}
	m.settle("n2/1")
	if len(m.known)+len(m.gone)+len(m.covered) != 0 {
		t.Errorf("there still is %+v", m)
	}
}
