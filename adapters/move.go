package adapters

import (
	"fmt"

	"github.com/holdfast-run/holdfast/adapters/ledger"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/adapterv1"
)

// What is under way goes where the owner of its partition is:
//
//	the owner's stream ──── it ends ────► any other stream ──── not the owner, try X ────► X's stream
//	        ▲                                                                                  │
//	        └────────────── a new owner says owned: what it is told of is its own ◄────────────┘

const (
	// maxHops is how often a result is sent to another node because one says that it is not the owner, until it is sent by time again:
	// nodes may disagree for a while.
	maxHops = 3
	// maxListed is how many keys go into one listing, and about how many into one message.
	maxListed = 256
)

// send has a result sent by its stream; by another one, if that is down; or else the ledger keeps it for later.
func (h *hub) send(w *ledger.Work, r *adapterv1.Result) {
	l := h.streams[w.Stream()]
	if l == nil || !l.live {
		if l = h.another(); l == nil {
			return
		}
		w.Move(l.stream)
	}
	switch {
	case w.Moved() && l.lists:
		l.list(w.Partition(), 0, []string{w.Key()})
	case w.Moved() && w.Serial() > l.listed:
		return // the node would refuse it
	}
	l.results = append(l.results, r)
	l.poke()
}

// another returns a stream that takes results of what was not sent on it; nil: there is none.
func (h *hub) another() (found *link) {
	for _, l := range h.streams {
		if l.live && l.lists && (found == nil || l.stream < found.stream) {
			found = l
		}
	}
	return found
}

// resend sends a result again. If it was a dead process's, it is sent on each stream whose hello lists the key.
func (h *hub) resend(w *ledger.Work, r *adapterv1.Result) {
	w.Hops = 0
	if h.streams[w.Stream()] != nil || w.Stream() != 0 && h.another() != nil {
		h.send(w, r)
		return
	}
	for _, l := range h.streams {
		if l.live && w.Serial() <= l.listed {
			l.results = append(l.results, r)
			l.poke()
		}
	}
}

// sendElsewhere sends the results of a stream that has ended on another one.
func (h *hub) sendElsewhere(ended *link) {
	if h.another() == nil {
		return
	}
	var picked *ledger.Work
	h.ledger.Resend(func(w *ledger.Work) bool {
		picked = w
		return w.Stream() == ended.stream
	}, h.now(), func(r *adapterv1.Result) { h.send(picked, r) })
}

// owned answers a node that has taken a partition over: it is told what is here of the partition, and gets it.
func (h *hub) owned(l *link, o *adapterv1.Owned, now int64) error {
	if o.GetPartition() >= messages.Partitions {
		return fmt.Errorf("it owns partition %d; there are %d", o.GetPartition(), messages.Partitions)
	}
	var keys []string
	if h.ledger.Owned(o.GetPartition(), o.GetEpoch(), l.stream, now, func(w *ledger.Work, r *adapterv1.Result) {
		keys = append(keys, w.Key())
		switch {
		case r != nil:
			l.results = append(l.results, r)
		case w.Announced():
			h.report(jobOf(w))
		}
	}) {
		l.list(o.GetPartition(), o.GetEpoch(), keys)
		l.poke()
	}
	return nil
}

// notOwner sends a result to the node that another one has named. If there is no stream to that, it is sent when there is.
func (h *hub) notOwner(l *link, n *adapterv1.NotOwner, now int64) {
	w, r := h.ledger.Again(n.GetSeq(), now)
	if r == nil || w.Stream() != l.stream {
		return
	}
	w.Move(l.stream) // the node has forgotten it
	for _, other := range h.streams {
		if other == l || other.node != n.GetNode() || n.GetNode() == "" || w.Hops >= maxHops {
			continue
		}
		w.Hops++
		if w.Move(other.stream); other.live {
			h.send(w, r)
		}
		return
	}
}

// list tells the node of keys, in as many listings as they need.
func (l *link) list(partition uint32, epoch uint64, keys []string) {
	for {
		n := min(len(keys), maxListed)
		l.listings = append(l.listings, &adapterv1.Listing{Partition: partition, Epoch: epoch, Keys: keys[:n], More: n < len(keys)})
		if keys = keys[n:]; len(keys) == 0 {
			return
		}
	}
}

// takeListings takes listings from what is unsent, as many as fit into one message.
func (l *link) takeListings() []*adapterv1.Listing {
	n, size := 0, 0
	for ; n < len(l.listings) && size < maxListed; n++ {
		size += 1 + len(l.listings[n].GetKeys())
	}
	taken := l.listings[:n:n]
	l.listings = l.listings[n:]
	return taken
}
