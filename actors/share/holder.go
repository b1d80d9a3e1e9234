package share

import (
	"time"

	"github.com/holdfast-run/holdfast/messages"
)

// Holder asks for the share of one node, and says what that is. It is not safe for concurrent use.
type Holder struct {
	config Config
	self   messages.Incarnation
	// last is the last report, said at; open: it has no answer. again is when to ask again after a failure.
	last  Report
	at    time.Time
	open  bool
	again time.Time
	// grant is the last one that was applied. until is when its share expires.
	grant Grant
	until time.Time
	// lost are the attempts that were under way in partitions that were lost; before is the first report that tells of them.
	lost []lost
	// limited: the limit has changed, and the granter is to look at it.
	limited bool
}

type lost struct {
	count  int
	before uint64
}

// Share is what a node may send.
type Share struct {
	// Rated: there is a limit of the rate. Rate is how many tasks a second may be sent, and Burst how many at once.
	Rated       bool
	Rate, Burst float64
	// Bounded: there is a limit of tasks at a time, and Concurrency is how many adapters may have, those included that others have sent.
	Bounded     bool
	Concurrency int
	// Until is when it expires.
	Until time.Time
}

// Status is what a holder tells of its node.
type Status struct {
	// Under is how many attempts are under way, as far as the partitions are here.
	Under int
	// Waiting is how many tasks could be sent besides; Starved: one would be sent now, if the share allowed it.
	Waiting int
	Starved bool
	Active  bool
	Counted Partitions
}

// NewHolder makes the holder of a node. now makes its reports newer than those of a holder before it.
func NewHolder(config Config, self messages.Incarnation, now time.Time) *Holder {
	return &Holder{config: config, self: self, last: Report{Number: uint64(now.UnixNano())}}
}

// Lose says that a partition was lost with so many attempts under way.
func (h *Holder) Lose(count int) {
	if count > 0 {
		h.lost = append(h.lost, lost{count, h.last.Number + 1})
	}
}

// Lost is how many attempts are under way in partitions that were lost, and may not be counted elsewhere.
func (h *Holder) Lost() (count int) {
	for _, l := range h.lost {
		count += l.count
	}
	return count
}

// Limited says that the limit has changed.
func (h *Holder) Limited() { h.limited = true }

// Look returns what is to be reported now, if anything.
func (h *Holder) Look(s Status, now time.Time) (Report, bool) {
	s.Under += h.Lost()
	switch {
	case h.open && !h.limited && now.Sub(h.at) < h.config.Again && !h.news(s, now):
		return Report{}, false
	case !h.open && !h.limited && now.Before(h.again):
		return Report{}, false
	}
	h.last = Report{
		By: h.self, Number: h.last.Number + 1, Granter: h.grant.Granter, Grant: h.grant.Number, Round: h.grant.Round,
		Under: s.Under, Lost: len(h.lost) > 0, Waiting: s.Waiting, Active: s.Active, Counted: s.Counted,
	}
	if now.Before(h.until) {
		h.last.Held, h.last.Of = h.grant.Seats, h.grant.Limit.Rate
	}
	h.at, h.open, h.limited = now, true, false
	return h.last, true
}

// pace is how often it is said at most that there is more or less that was counted.
const pace = 20 * time.Millisecond

// news tells whether the granter is to know at once what has changed since the last report.
func (h *Holder) news(s Status, now time.Time) bool {
	seats := h.grant.Seats
	switch {
	case s.Starved && h.last.Waiting == 0:
		return true // there is a task, and no seat for it
	case s.Starved && s.Under >= seats.Concurrency && h.last.Under+h.last.Waiting <= seats.Concurrency:
		return true // the seats that were asked for are all taken, and there are more tasks
	case h.last.Under > seats.Concurrency && s.Under < h.last.Under:
		return true // a seat that was taken back is free
	case h.grant.Scarce && s.Waiting == 0 && (h.last.Waiting > 0 || s.Under < h.last.Under):
		return true // others need what is not needed here
	}
	return h.Restless(s) && now.Sub(h.at) >= pace
}

// Restless tells whether there is something to be said that has a little time.
func (h *Holder) Restless(s Status) bool {
	return !s.Counted.within(&h.last.Counted) || len(h.lost) > 0 && !h.last.Lost
}

// Granted takes an answer. It returns how many tasks may be sent at once of those that the rate has saved, and false if the answer is
// not of the last report.
func (h *Holder) Granted(g Grant, now time.Time) (saved float64, ok bool) {
	if !h.open || g.Report != h.last.Number {
		return 0, false
	}
	before := 0
	if h.last.Of == g.Limit.Rate { // though they may have expired since: until then they were used
		before = h.last.Held.Rate
	}
	h.open, h.grant, h.again = false, g, now
	h.until = h.at.Add(h.config.Expiry)
	kept := h.lost[:0]
	for _, l := range h.lost {
		if l.before > g.Settled {
			kept = append(kept, l)
		}
	}
	h.lost = kept
	if more := g.Seats.Rate - before; more > 0 {
		rate, most := perSeat(g.Limit)
		saved = float64(more) * min(most, rate*max(g.Idle, 0).Seconds())
	}
	return saved, true
}

// Failed says that a report was not answered.
func (h *Holder) Failed(number uint64, again time.Time) {
	if h.open && number == h.last.Number {
		h.open, h.again = false, again
	}
}

// perSeat is how much of a rate a seat gives, and how many tasks at once.
func perSeat(l Limit) (rate, most float64) {
	n := float64(max(l.seats().Rate, 1))
	return l.Rate / n, burst(l.Rate) / n
}

// Share is what may be sent, by the last grant under a limit.
func (h *Holder) Share(limit Limit) Share {
	s := Share{Rated: limit.Rate > 0, Bounded: limit.Concurrency > 0, Until: h.until}
	if s.Bounded && h.grant.Limit.Concurrency > 0 {
		s.Concurrency = h.grant.Seats.Concurrency
	}
	if s.Rated && h.grant.Limit.Rate > 0 {
		rate, most := perSeat(h.grant.Limit)
		s.Rate, s.Burst = rate*float64(h.grant.Seats.Rate), most*float64(h.grant.Seats.Rate)
	}
	return s
}
