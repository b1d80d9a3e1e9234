package adapters

import (
	"crypto/rand"
	"encoding/hex"
	"slices"

	"github.com/holdfast-run/holdfast/adapters/ledger"
	"github.com/holdfast-run/holdfast/messages/adapterv1"
)

func newProcessID() string {
	var id [16]byte
	_, _ = rand.Read(id[:]) // never fails
	return hex.EncodeToString(id[:])
}

// hello is the first message of a link's stream.
func (h *hub) hello(l *link) *adapterv1.ConnectRequest {
	h.mu.Lock()
	defer h.mu.Unlock()
	l.listed = h.ledger.Added()
	hello := &adapterv1.Hello{
		Adapter: h.name, Process: h.process, Ledger: h.memory, Keys: h.ledger.Keys(), Protocol: 1,
		Features: []adapterv1.Feature{adapterv1.Feature_FEATURE_BEGUN, adapterv1.Feature_FEATURE_OWNED},
	}
	for _, p := range h.pools {
		hello.Activities = append(hello.Activities, p.act.describe())
	}
	return &adapterv1.ConnectRequest{Hello: hello, Drain: h.draining}
}

// attach makes a stream live: it gets its share of the credits, and the results that wait for it.
func (h *hub) attach(l *link, first *adapterv1.ConnectResponse) error {
	now, w := h.now(), first.GetWelcome()
	h.mu.Lock()
	defer h.mu.Unlock()
	l.node = w.GetNode()
	for _, other := range h.streams {
		if other != l && other.live && other.node == l.node && l.node != "" {
			return errSameNode
		}
	}
	h.welcomed = true
	l.live, l.maxOutput = true, int(w.GetMaxOutputBytes())
	l.lists = slices.Contains(w.GetFeatures(), adapterv1.Feature_FEATURE_OWNED)
	l.results, l.revocations, l.progress, l.begun, l.shares, l.listings = nil, nil, nil, nil, nil, nil
	l.leaving = false // the hello said it
	for _, p := range h.pools {
		l.shares = append(l.shares, p.credits.join())
	}
	if h.draining {
		l.close()
	}
	h.sendWaiting(l, now)
	h.announce(l, welcomeNodes(w, first.GetTopology()))
	h.rebalance()
	l.poke()
	h.config.Log.Info("connected to the node", "server", l.address, "node", l.node)
	return nil
}

// detach ends a stream's share of the credits. What was not sent on it is sent on the next one.
func (h *hub) detach(l *link) {
	h.mu.Lock()
	defer h.unlock()
	l.live, l.nodes = false, nil
	h.follow() // others may have told something else
	for _, j := range l.progress {
		j.noted = false
	}
	for _, j := range l.begun {
		j.reporting = false
	}
	h.ledger.Lost(l.stream, func(w *ledger.Work) { h.over(jobOf(w)) })
	h.checkQuiet()
	l.results, l.revocations, l.progress, l.begun, l.listings = nil, nil, nil, nil, nil
	h.sendElsewhere(l)
	for i, p := range h.pools {
		p.credits.leave(l.shares[i])
	}
	h.rebalance()
	close(h.detached)
	h.detached = make(chan struct{})
}

// compose makes a message of what is unsent at a link: nil if that is nothing and no heartbeat is due. At a beat it takes signs of
// life of jobs, too. It also tells whether nothing more will come.
func (h *hub) compose(l *link, beat, due bool) (m *adapterv1.ConnectRequest, finished bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(l.listings) > 0 { // before the results that they are about
		return &adapterv1.ConnectRequest{Listings: l.takeListings()}, false
	}
	m = &adapterv1.ConnectRequest{Results: l.take(), Revocations: l.revocations, Drain: l.leaving, Begun: l.announcements()}
	l.revocations, l.leaving = nil, false
	for i, s := range l.shares {
		if s.dirty {
			s.dirty = false
			m.Credits = append(m.Credits, &adapterv1.Credit{Activity: h.pools[i].act.name, Total: s.granted})
		}
	}
	if due || beat && len(l.progress) > 0 {
		m.Heartbeat = &adapterv1.Heartbeat{}
		for _, j := range l.progress {
			j.noted = false
			m.Heartbeat.Progress = append(m.Heartbeat.Progress, &adapterv1.Progress{Key: j.task.GetKey(), Note: j.note})
		}
		l.progress = nil
	}
	if len(m.GetResults())+len(m.GetCredits())+len(m.GetRevocations())+len(m.GetBegun()) == 0 && m.GetHeartbeat() == nil && !m.GetDrain() {
		return nil, l.finished
	}
	return m, false
}

// maxBegun is how many jobs are reported as about to be executed in one message.
const maxBegun = 128

// announcements takes jobs that are about to be executed from what is unsent, as many as fit into one message.
func (l *link) announcements() []*adapterv1.Begun {
	var begun []*adapterv1.Begun
	for n := 0; len(l.begun) > 0 && n < maxBegun; n++ {
		j := l.begun[0]
		l.begun = l.begun[1:]
		j.reporting = false
		if !j.over {
			begun = append(begun, &adapterv1.Begun{Key: j.task.GetKey(), Attempt: j.work.Attempt()})
		}
	}
	return begun
}

// take takes results from what is unsent, as many as fit into one message.
func (l *link) take() []*adapterv1.Result {
	n, size := 0, 0
	for ; n < len(l.results); n++ {
		r := l.results[n]
		const rest = 64 // numbers and lengths
		size += len(r.GetOutput()) + len(r.GetKey()) + len(r.GetOrderId()) + len(r.GetActivity()) + len(r.GetError().GetDetail()) + rest
		if size > frameBytes && n > 0 {
			break
		}
	}
	taken := l.results[:n:n]
	if n < len(l.results) {
		l.results = l.results[n:]
	} else {
		l.results = make([]*adapterv1.Result, 0, n) // as many are likely to gather again
	}
	return taken
}
