package adapters

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/holdfast-run/holdfast/adapters/ledger"
	"github.com/holdfast-run/holdfast/messages/adapterv1"
)

// town drives a hub as streams of several nodes would, in any order, and checks two promises: no node gets a result that it would
// refuse, and every result that is held is sent by time, as long as some node would take it.
type town struct {
	h     *hub
	sides []*side
	epoch uint64
}

// side is a link, and what its node knows.
type side struct {
	*link

	node    string
	lists   bool // what the node's welcome will say
	greeted bool // a hello was sent, and no welcome has come
	hello   map[string]bool
	knows   map[string]bool // keys that it sent or that were listed on the stream
}

func TestEveryResultIsSentByTime(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		m := newTown()
		t.Repeat(map[string]func(*rapid.T){
			"greet": m.greet, "welcome": m.welcome, "end": m.end, "abandon": m.abandon, "offer": m.offer, "finish": m.finish,
			"ack": m.ack, "again": m.again, "not the owner": m.notOwner, "own": m.own, "time": m.time, "": m.flush,
		})
	})
}

func newTown() *town {
	a := New("town")
	Handle(a, "work", func(context.Context, Task, string) (string, error) { return "", nil }, Idempotent(), Concurrency(20))
	m := &town{h: newHub(a, Config{}.withDefaults())}
	m.h.pools[0].waking = true // the test takes the place of its workers
	m.h.ledger.Replay(ledger.Record{Kind: ledger.Ended, Result: &adapterv1.Result{
		Key: "of a dead process", Attempt: 1, Activity: "work", Outcome: adapterv1.Outcome_OUTCOME_SUCCEEDED,
	}}, 0)
	m.h.ledger.Replayed(0)
	for i, node := range []string{"a", "b", "a", "old", "older"} { // the first has two addresses
		s := &side{node: node, lists: i < 3}
		m.sides = append(m.sides, s)
		m.link(s)
	}
	return m
}

// link gives a side a new link, as when its address is announced.
func (m *town) link(s *side) {
	m.h.last++
	s.link = &link{hub: m.h, stream: m.h.last, address: fmt.Sprintf("link-%d:1", m.h.last), node: s.node, wake: make(chan struct{}, 1)}
	m.h.streams[s.stream], m.h.addresses[s.address] = s.link, s.link
	s.greeted = false
}

// pick picks a side.
func (m *town) pick(t *rapid.T, is string, which func(*side) bool) *side {
	var found []*side
	for _, s := range m.sides {
		if which(s) {
			found = append(found, s)
		}
	}
	if len(found) == 0 {
		t.Skip("none is", is)
	}
	return rapid.SampledFrom(found).Draw(t, is)
}

func (m *town) live(t *rapid.T) *side { return m.pick(t, "live", func(s *side) bool { return s.live }) }

// held picks a result.
func (m *town) held(t *rapid.T) uint64 {
	var found []uint64
	m.h.ledger.Resend(func(*ledger.Work) bool { return true }, m.h.now(), func(_ *ledger.Work, r *adapterv1.Result) {
		found = append(found, r.GetSeq())
	})
	if len(found) == 0 {
		t.Skip("none is held")
	}
	return rapid.SampledFrom(found).Draw(t, "held")
}

func (m *town) greet(t *rapid.T) {
	s := m.pick(t, "down", func(s *side) bool { return !s.live })
	s.greeted, s.hello, s.knows = true, map[string]bool{}, map[string]bool{}
	for _, key := range m.h.hello(s.link).GetHello().GetKeys() {
		s.hello[key], s.knows[key] = true, true
	}
}

func (m *town) welcome(t *rapid.T) {
	s := m.pick(t, "greeted", func(s *side) bool { return s.greeted })
	w := &adapterv1.Welcome{Node: s.node}
	if s.lists {
		w.Features = []adapterv1.Feature{adapterv1.Feature_FEATURE_OWNED}
	}
	s.greeted = false
	if err := m.h.attach(s.link, &adapterv1.ConnectResponse{Welcome: w}); (err == nil) != s.live {
		t.Fatalf("welcomed by %s: %v", s.node, err)
	}
}

func (m *town) end(t *rapid.T) { m.h.detach(m.live(t).link) }

func (m *town) abandon(t *rapid.T) {
	s := m.pick(t, "down", func(s *side) bool { return !s.live })
	m.h.abandon(s.link)
	m.link(s)
}

func (m *town) tell(t *rapid.T, s *side, r *adapterv1.ConnectResponse) {
	if err := m.h.receive(s.link, r); err != nil {
		t.Fatal(err)
	}
}

func (m *town) offer(t *rapid.T) {
	s := m.live(t)
	if s.shares[0].outstanding() == 0 {
		t.Skip("no credit")
	}
	key := rapid.SampledFrom([]string{"k", "l", "m"}).Draw(t, "key")
	s.knows[key] = true
	m.tell(t, s, &adapterv1.ConnectResponse{Tasks: []*adapterv1.Task{{
		Key: key, Attempt: uint32(rapid.IntRange(1, 3).Draw(t, "attempt")), Activity: "work", Epoch: m.epoch,
	}}})
}

// finish ends the oldest job.
func (m *town) finish(t *rapid.T) {
	p := m.h.pools[0]
	if p.queue.len == 0 {
		t.Skip("nothing to do")
	}
	j := p.queue.pop()
	if !p.take(j, m.h.now()) {
		return
	}
	r := &adapterv1.Result{Outcome: adapterv1.Outcome_OUTCOME_SUCCEEDED}
	if rapid.Bool().Draw(t, "fails") {
		r = resultOf(interrupted, context.Canceled, false)
	}
	p.finish(j, r, r)
}

func (m *town) ack(t *rapid.T) {
	m.tell(t, m.live(t), &adapterv1.ConnectResponse{Acks: []uint64{m.held(t)}})
}

func (m *town) again(t *rapid.T) {
	m.tell(t, m.live(t), &adapterv1.ConnectResponse{Again: []uint64{m.held(t)}})
}

func (m *town) notOwner(t *rapid.T) {
	node := rapid.SampledFrom([]string{"a", "b", "old", "older", "nowhere", ""}).Draw(t, "owner")
	m.tell(t, m.live(t), &adapterv1.ConnectResponse{NotOwner: []*adapterv1.NotOwner{{Seq: m.held(t), Node: node}}})
}

func (m *town) own(t *rapid.T) {
	s := m.pick(t, "live, and takes listings", func(s *side) bool { return s.live && s.lists })
	epoch := rapid.Uint64Range(max(m.epoch, 1)-1, m.epoch+1).Draw(t, "epoch")
	m.epoch = max(m.epoch, epoch)
	m.tell(t, s, &adapterv1.ConnectResponse{Owned: []*adapterv1.Owned{{Epoch: epoch}}})
}

// flush sends what is unsent, and checks that the nodes take it.
func (m *town) flush(t *rapid.T) { m.sent(t) }

// sent sends what is unsent, and returns the keys of its results.
func (m *town) sent(t *rapid.T) map[string]bool {
	keys := map[string]bool{}
	for _, s := range m.sides {
		for s.live {
			out, _ := m.h.compose(s.link, false, false)
			if out == nil {
				break
			}
			for _, l := range out.GetListings() {
				if !s.lists {
					t.Fatalf("%s gets a listing", s.node)
				}
				for _, key := range l.GetKeys() {
					s.knows[key] = true
				}
			}
			for _, r := range out.GetResults() {
				if keys[r.GetKey()] = true; !s.knows[r.GetKey()] {
					t.Fatalf("%s gets a result of %s, and knows nothing of that", s.node, r.GetKey())
				}
			}
		}
	}
	return keys
}

// time passes until all that is held must have been sent again.
func (m *town) time(t *rapid.T) {
	m.h.started = m.h.started.Add(-13 * time.Second) // longer than ResendAfter and a fifth
	m.h.tick()
	sent := m.sent(t)
	m.h.ledger.Resend(func(w *ledger.Work) bool {
		if taken := slices.ContainsFunc(m.sides, func(s *side) bool {
			return s.live && (s.lists || s.hello[w.Key()] && w.Serial() <= s.listed)
		}); taken && !sent[w.Key()] {
			t.Fatalf("the result of %s was not sent by time", w.Key())
		}
		return false
	}, 0, nil)
}
