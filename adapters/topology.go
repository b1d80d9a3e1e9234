package adapters

import "github.com/holdfast-run/holdfast/messages/adapterv1"

// toldNodes is which nodes there are, as one of them has told it.
type toldNodes struct {
	*adapterv1.Topology

	at uint64 // how many were told before, by all nodes
}

// newerThan tells whether it counts beside another one.
func (t *toldNodes) newerThan(other *toldNodes) bool {
	if t == nil || other == nil {
		return other == nil
	}
	if t.GetVersion() != other.GetVersion() {
		return t.GetVersion() > other.GetVersion()
	}
	return t.at > other.at
}

// welcomeNodes are the nodes that come with a welcome. A node that tells no topology may name addresses.
func welcomeNodes(w *adapterv1.Welcome, t *adapterv1.Topology) *adapterv1.Topology {
	if t != nil || len(w.GetNodes()) == 0 {
		return t
	}
	t = &adapterv1.Topology{}
	for _, address := range w.GetNodes() {
		t.Nodes = append(t.Nodes, &adapterv1.Node{Address: address})
	}
	return t
}

// announce takes a node's word which nodes there are; nil: it says nothing. Of what was told on streams that are live, the newest counts.
func (h *hub) announce(l *link, t *adapterv1.Topology) {
	if len(t.GetNodes()) == 0 {
		return
	}
	h.tellings++
	l.nodes = &toldNodes{t, h.tellings}
	h.follow()
}

// follow starts links to the nodes that are announced and not known yet: also while the adapter drains, as its results may be for them.
// Links to nodes that are not among them end with their streams.
func (h *hub) follow() {
	var newest *toldNodes
	for _, l := range h.streams {
		if l.live && l.nodes != nil && l.nodes.newerThan(newest) {
			newest = l.nodes
		}
	}
	if newest == nil || newest == h.followed || h.closing {
		return
	}
	h.followed = newest
	clear(h.announced)
	for _, n := range newest.GetNodes() {
		address := n.GetAddress()
		if err := checkAddress(address); err != nil {
			h.config.Log.Warn("a node announces a wrong address", "server", address, "error", err)
			continue
		}
		h.announced[address] = true
		h.connect(address)
		if l := h.addresses[address]; l != nil && !l.live {
			l.node = n.GetId()
		}
	}
}

// connect starts a link, unless there is one to that address.
func (h *hub) connect(address string) {
	if h.addresses[address] != nil {
		return
	}
	if len(h.addresses) >= maxNodes {
		h.config.Log.Warn("too many nodes: no stream is opened", "server", address, "limit", maxNodes)
		return
	}
	h.last++
	l := &link{hub: h, stream: h.last, address: address, wake: make(chan struct{}, 1)}
	h.streams[l.stream], h.addresses[address] = l, l
	h.running.Go(func() { l.run(h.links, h.transport) })
}

// abandon forgets a link whose address is neither configured nor announced.
func (h *hub) abandon(l *link) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.announced[l.address] || h.configured(l.address) {
		return false
	}
	delete(h.streams, l.stream)
	delete(h.addresses, l.address)
	return true
}
