package dispatch

import (
	"time"

	"github.com/holdfast-run/holdfast/messages"
)

// Limit bounds what adapters get of an activity from here, whatever they could take. The zero value bounds nothing.
type Limit struct {
	// Rated: there may be Rate tasks a second on average, and Burst at once. Saved of them may be sent now, beside those that the limit
	// before had left.
	Rated              bool
	Rate, Burst, Saved float64
	// Bounded: adapters may have Concurrency tasks at a time, those included that they had before they were offered here.
	Bounded     bool
	Concurrency int
	// Until is when nothing more may be sent; zero: never.
	Until time.Time
}

// SetLimit bounds what adapters get from now on. What they have they keep.
func (q *Queue) SetLimit(l Limit, now time.Time) []Output {
	q.Advance(now)
	if !q.limit.Rated {
		q.tokens = 0 // they were not counted
	}
	q.limit = l
	if q.tokens = min(q.tokens+l.Saved, l.Burst); q.over() {
		q.tokens = 0
	}
	return q.done()
}

// Pause has tasks wait, whatever credit there is, or go again with what is asked of the queue next.
func (q *Queue) Pause(yes bool) { q.paused = yes }

// Throttled tells whether tasks wait that will be allowed when some time has passed.
func (q *Queue) Throttled() bool {
	return q.waiting > 0 && q.limit.Rated && q.tokens < 1 && q.limit.Rate > 0
}

// Crowded tells whether tasks wait for space of an adapter that has credit for them. Nobody says when there is some: Tick finds out.
func (q *Queue) Crowded() bool { return q.crowded && q.waiting > 0 }

// Starved tells whether a task would be sent that the limit does not allow.
func (q *Queue) Starved() bool { return !q.paused && !q.allowed() && q.Sendable() > 0 }

// allowed tells whether one more task may be sent that no adapter has.
func (q *Queue) allowed() bool {
	l := &q.limit
	return !q.paused && (!l.Bounded || q.under < l.Concurrency) && (!l.Rated || q.tokens >= 1) && !q.over()
}

// over tells whether the limit has ended, so that nothing is allowed.
func (q *Queue) over() bool { return !q.limit.Until.IsZero() && !q.now.Before(q.limit.Until) }

// Advance adds the tokens that the rate allows for the time that has passed. Those beyond the burst are lost, and all when the limit ends.
func (q *Queue) Advance(now time.Time) {
	if passed := now.Sub(q.now); passed > 0 && q.limit.Rated {
		q.tokens = min(q.tokens+q.limit.Rate*passed.Seconds(), q.limit.Burst)
	}
	q.now = now
	if q.limit.Rated && q.over() {
		q.tokens = 0
	}
}

// Under returns how many attempts are under way: those that adapters have or are about to get, and those that they say they have and that
// were not sent from here.
func (q *Queue) Under() int {
	n := q.InFlight() + q.had
	for _, s := range q.streams {
		for key := range s.listed {
			if q.items[key] == nil {
				n++
			}
		}
	}
	return n
}

// UnderOf is Under for one partition.
func (q *Queue) UnderOf(p messages.Partition) (n int) {
	for _, it := range q.items {
		if it.task.Partition == p && (it.state != ready || it.had) {
			n++
		}
	}
	for _, s := range q.streams {
		for key, of := range s.listed {
			if of == p && q.items[key] == nil {
				n++
			}
		}
	}
	return n
}

// Sendable returns how many tasks could be sent if the limit allowed it, about.
func (q *Queue) Sendable() int {
	var credit uint64
	some := false
	for _, s := range q.streams {
		if c := s.credit(); c > 0 && !s.full() {
			credit += c
			some = some || s.bound.peek() != nil || q.suspect(s) != nil || q.next(s) != nil
		}
	}
	if !some {
		return 0
	}
	return int(min(uint64(q.waiting-q.had), credit)) //nolint:gosec // it is not negative, and small
}
