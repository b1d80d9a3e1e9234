package dispatch

import "time"

// SetLimit bounds what adapters get from now on. What they have they keep.
func (q *Queue) SetLimit(l Limit, now time.Time) []Output {
	q.allow(now)
	if q.limit.Rate == 0 {
		q.tokens = 0 // they were not counted
	}
	q.limit = l
	return q.done()
}

// Pause has tasks wait, whatever credit there is, or go again with what is asked of the queue next.
func (q *Queue) Pause(yes bool) { q.paused = yes }

// Throttled tells whether tasks wait that will be allowed when some time has passed.
func (q *Queue) Throttled() bool { return q.waiting > 0 && q.limit.Rate > 0 && q.tokens < 1 }

// allowed tells whether one more task may be sent.
func (q *Queue) allowed() bool {
	return !q.paused && (q.limit.Concurrency == 0 || q.InFlight() < q.limit.Concurrency) && (q.limit.Rate == 0 || q.tokens >= 1)
}

// allow adds the tokens that the rate allows for the time since the last Tick. Tokens that are not used within a tenth of a
// second are lost, but for one.
func (q *Queue) allow(now time.Time) {
	if passed := now.Sub(q.now); passed > 0 && q.limit.Rate > 0 {
		q.tokens = min(q.tokens+q.limit.Rate*passed.Seconds(), 1+q.limit.Rate/10)
	}
	q.now = now
}
