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

// send has a result sent by its stream. If that can't be, another one gets it; or, if no node takes listings or a dead process had the
// work, each whose hello lists the key. Else the ledger keeps it: for a new stream, or until it is sent by time.
func (h *hub) send(w *ledger.Work, r *adapterv1.Result) {
	l := h.streams[w.Stream()]
	if l == nil || !l.takes(w) {
		if l = h.another(); l == nil || w.Stream() == 0 {
			h.sendListed(w, r)
			return
		}
		w.Move(l.stream)
	}
	if w.Moved() && l.lists {
		l.list(w.Partition(), 0, []string{w.Key()}, []string{w.Activity()})
	}
	l.results = append(l.results, r)
	l.poke()
}

// takes tells whether the result of a work that is its own can be sent on a stream now: the node would refuse what it knows nothing of.
func (l *link) takes(w *ledger.Work) bool {
	return l.live && (l.lists || !w.Moved() || w.Serial() <= l.listed)
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

// sendListed sends a result on each stream whose hello lists its key.
func (h *hub) sendListed(w *ledger.Work, r *adapterv1.Result) {
	for _, l := range h.streams {
		if l.live && w.Serial() <= l.listed {
			l.results = append(l.results, r)
			l.poke()
		}
	}
}

// resend sends a result again.
func (h *hub) resend(w *ledger.Work, r *adapterv1.Result) {
	w.Hops = 0
	h.send(w, r)
}

// sendElsewhere sends the results of a stream that has ended on others.
func (h *hub) sendElsewhere(ended *link) {
	h.ledger.Resend(func(w *ledger.Work) bool { return w.Stream() == ended.stream }, h.now(), h.send)
}

// sendWaiting sends the results that wait for a stream that begins: its own, and those of streams that have ended. A key that is
// younger than its hello is listed, or its result is not sent.
func (h *hub) sendWaiting(l *link, now int64) {
	h.ledger.Resend(func(w *ledger.Work) bool {
		home := h.streams[w.Stream()]
		return (home == nil || home == l || !home.live) && (l.lists || w.Serial() <= l.listed)
	}, now, func(w *ledger.Work, r *adapterv1.Result) {
		if w.Stream() != 0 && l.lists { // 0: a dead process's is sent on all
			w.Move(l.stream)
		}
		if w.Serial() > l.listed {
			l.list(w.Partition(), 0, []string{w.Key()}, []string{w.Activity()})
		}
		l.results = append(l.results, r)
	})
}

// owned answers a node that has taken a partition over: it is told what is here of the partition, and gets it.
func (h *hub) owned(l *link, o *adapterv1.Owned, now int64) error {
	if o.GetPartition() >= messages.Partitions {
		return fmt.Errorf("it owns partition %d; there are %d", o.GetPartition(), messages.Partitions)
	}
	var keys, activities []string
	if h.ledger.Owned(o.GetPartition(), o.GetEpoch(), l.stream, now, func(w *ledger.Work, r *adapterv1.Result) {
		keys, activities = append(keys, w.Key()), append(activities, w.Activity())
		switch {
		case r != nil:
			l.results = append(l.results, r)
		case w.Announced():
			h.report(jobOf(w))
		}
	}) {
		l.list(o.GetPartition(), o.GetEpoch(), keys, activities)
		l.poke()
	}
	return nil
}

// notOwner sends a result to the node that another one has named. If there is no stream to that, it is sent when there is. If there is
// one, and the node would refuse it, it waits for the next; when it is due again before, another node is asked.
func (h *hub) notOwner(l *link, n *adapterv1.NotOwner, now int64) {
	w, r := h.ledger.Again(n.GetSeq(), now)
	if r == nil || w.Stream() != l.stream {
		return
	}
	w.Move(l.stream) // the node has forgotten it
	owner := h.linkTo(n.GetNode())
	if owner == nil || owner == l || w.Hops >= maxHops {
		return
	}
	w.Hops++
	if w.Move(owner.stream); owner.takes(w) {
		h.send(w, r)
	}
}

// linkTo returns the link to a node; nil: there is none. A node that is known under several addresses has several: the one that is live
// counts.
func (h *hub) linkTo(node string) (found *link) {
	for _, l := range h.streams {
		if node != "" && l.node == node && (found == nil || l.live) {
			found = l
		}
	}
	return found
}

// list tells the node of keys, and which activities they are of, in as many listings as they need.
func (l *link) list(partition uint32, epoch uint64, keys, activities []string) {
	for {
		n := min(len(keys), maxListed)
		l.listings = append(l.listings, &adapterv1.Listing{
			Partition: partition, Epoch: epoch, Keys: keys[:n], Activities: activities[:n], More: n < len(keys),
		})
		if keys, activities = keys[n:], activities[n:]; len(keys) == 0 {
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
