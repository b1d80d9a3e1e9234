package lease

import (
	"slices"
	"time"
)

// finding is what an inquiry has found out.
type finding uint8

const (
	unknown  finding = iota // none was answered since the evidence ran out
	noneHas                 // a quorum was reached, and none of it has evidence
	peerHas                 // a peer has evidence
	noQuorum                // no quorum was reached
)

// inquiry is what the lease knows of its peers.
type inquiry struct {
	last uint64    // the number of the last one
	open bool      // it awaits its answer
	sent time.Time // when it was sent
	due  time.Time // when the next one is to be

	found finding
	// lost is when the last question was sent to which a quorum has answered that it has no evidence.
	lost time.Time
}

// rest ends what is asked: evidence is there, or nothing to lose.
func (q *inquiry) rest() { q.open, q.due, q.found = false, time.Time{}, unknown }

// asks returns when the next inquiry is due, or the end of the one that is open.
func (l *Lease) asks() time.Time {
	if l.inquiry.open {
		return l.inquiry.sent.Add(l.set.Inquiry * 3 / 2)
	}
	return l.inquiry.due
}

// ask asks the peers, and Consul as well, if it is time. An inquiry that is not answered at all has found no quorum.
func (l *Lease) ask(now time.Time) []Output {
	q := &l.inquiry
	if now.Before(l.asks()) {
		return nil
	}
	if q.open {
		q.open, q.found = false, noQuorum
	}
	q.last++
	q.open, q.sent = true, now
	if len(l.peers) == 0 { // it is the quorum itself
		l.judge(nil)
		return []Output{Hurry{}}
	}
	return []Output{Hurry{}, Ask{Number: q.last, Peers: slices.Clone(l.peers), Within: l.set.Inquiry}}
}

// hear takes what came of an inquiry. Of one that is over nothing counts.
func (l *Lease) hear(a Answered) {
	if l.inquiry.open && a.Number == l.inquiry.last {
		l.judge(a.Said)
	}
}

// judge finds out what the answers mean, and when to ask again.
func (l *Lease) judge(said []Testimony) {
	q := &l.inquiry
	has, reached := false, 1 // this node can reach itself
	for _, peer := range l.peers {
		i := slices.IndexFunc(said, func(t Testimony) bool { return t.Node == peer && t.Answered })
		if i < 0 {
			continue
		}
		reached++
		has = has || l.fresh(said[i])
	}
	q.open, q.due = false, q.sent.Add(l.set.Inquiry)
	switch {
	case has:
		q.found = peerHas
	case reached > (len(l.peers)+1)/2:
		q.found, q.lost = noneHas, q.sent
		q.due = q.sent.Add(l.set.TTL / reads)
	default:
		q.found = noQuorum
	}
}

// fresh tells whether a peer had evidence when it was asked: it had so short a time ago that it need not wait before it removes others.
func (l *Lease) fresh(t Testimony) bool { return t.Seen && l.inquiry.sent.Sub(t.Dated) < l.set.Lull }
