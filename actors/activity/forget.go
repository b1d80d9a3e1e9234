package activity

import (
	"sync"
	"sync/atomic"
	"time"
)

// Messages by which a dispatcher finds out whether its activity can be forgotten.
type (
	// rests asks a backlog whether it has nothing to do.
	rests struct{}
	// rested answers that; the dispatcher tells itself one, too, so that it has read all that was sent before.
	rested struct{ quiet bool }
)

// forgetting is how far a dispatcher is with it.
type forgetting struct {
	// used is when its activity was used last, about.
	used time.Time
	// awaited is how many answers are to come; quiet: those that have come say that there is nothing to do.
	awaited int
	quiet   bool
}

// offeredOnly is how long an activity at the most is remembered that no order has called since it was made known here. It is longer than
// an ask lasts, so that what is left of a stream comes to its end before.
const offeredOnly = time.Minute

// patience is how long the activity is remembered when nothing uses it.
func (d *dispatcher) patience() time.Duration {
	if d.activity.uses.called.Load() {
		return d.all.parts.Config.ForgetAfter
	}
	return min(d.all.parts.Config.ForgetAfter, offeredOnly)
}

// empty tells whether nobody offers the activity, no order waits for it, and it has no limit.
func (d *dispatcher) empty() bool {
	if d.queue.Waiting() > 0 || d.queue.InFlight() > 0 || len(d.streams) > 0 || d.limited || d.activity.counts.overflow() != 0 {
		return false
	}
	for _, x := range *d.activity.demands.Load() {
		if len(x.used()) > 0 {
			return false
		}
	}
	return true
}

// calm tells whether the dispatcher has nothing to do before somebody tells it something, or until a time; 0: there is none.
func (d *dispatcher) calm() (until int64, yes bool) {
	c := &d.activity.counts
	switch {
	case d.queue.Waiting() > 0, d.queue.InFlight() > 0, d.limited, d.queue.Asking(), d.awaited > 0:
		return 0, false
	case len(d.streams) > 0:
		return 0, c.rate() == 0 // while there are adapters, it goes down by the second
	}
	return max(d.used.Add(d.patience()).UnixNano(), d.all.parts.Now().Add(time.Second).UnixNano()), true
}

// mayForget begins to forget the activity, if nothing has used it for a while.
func (d *dispatcher) mayForget(now time.Time) {
	q := d.activity
	if q.uses.touched.Swap(false) {
		d.used = now
	}
	if d.awaited > 0 || now.Sub(d.used) < d.patience() || !d.empty() || !q.uses.close() {
		return
	}
	demands := *q.demands.Load()
	d.awaited, d.quiet = len(demands)+1, true
	for _, x := range demands {
		d.all.tell(x.backlog, rests{})
	}
	d.all.tell(q.dispatcher, rested{quiet: true})
}

// rested takes an answer. With the last one the activity is forgotten, unless somebody has come to use it.
func (d *dispatcher) rested(m rested) {
	q := d.activity
	d.quiet = d.quiet && m.quiet
	if d.awaited--; d.awaited > 0 {
		return
	}
	if !d.quiet || !d.empty() || !d.all.forget(q) {
		q.uses.reopen()
		return
	}
	for _, x := range *q.demands.Load() {
		d.all.parts.System.Root.Stop(x.backlog)
	}
	d.all.parts.System.Root.Stop(q.dispatcher)
}

// forget takes an activity out of what is known; false: it is being used, or something is being made.
func (r *Activities) forget(q *queue) bool {
	if r.stopping.Load() || !r.making.TryLock() { // who makes something may be the one who waits for this turn
		return false
	}
	defer r.making.Unlock()
	if !q.uses.end() {
		return false
	}
	for _, d := range *q.demands.Load() {
		r.demands.Delete(d.called)
	}
	r.queues.Delete(q.name)
	r.known.Add(-1)
	r.shown.give(q)
	return true
}

// mostShown is how many activities have metrics of their own: some 1.5 KB each. The others are told together.
const mostShown = 400

// shown are the activities that have metrics of their own, and what was counted of others that are forgotten.
type shown struct {
	count atomic.Int64

	mu   sync.Mutex
	past Status
}

func (s *shown) take() bool {
	if s.count.Add(1) > mostShown {
		s.count.Add(-1)
		return false
	}
	return true
}

func (s *shown) give(q *queue) {
	if q.shown {
		s.count.Add(-1)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.past.Results += q.counts.results.Load()
	s.past.Redelivered += q.counts.redelivered.Load()
	s.past.Quarantined += q.counts.quarantined.Load()
}

// others is the name under which activities are told together that have no metrics of their own. Activities have a dot in theirs.
const others = "other"

// Shown tells about the activities that have metrics of their own, and about all others as if they were one, if there are or were some.
func (r *Activities) Shown() []Status {
	r.making.Lock() // nothing is forgotten meanwhile, and so what was counted is told once
	defer r.making.Unlock()
	all := r.All()
	r.shown.mu.Lock()
	rest := r.shown.past
	r.shown.mu.Unlock()
	some := rest != Status{}
	rest.Name = others
	out := all[:0]
	for _, s := range all {
		if s.Shown {
			out = append(out, s)
			continue
		}
		some = true
		rest.Waiting += s.Waiting
		rest.InFlight += s.InFlight
		rest.Overflow += s.Overflow
		rest.Results += s.Results
		rest.Away += s.Away
		rest.Suspects += s.Suspects
		rest.Redelivered += s.Redelivered
		rest.Quarantined += s.Quarantined
		rest.Age = max(rest.Age, s.Age)
	}
	if some {
		out = append(out, rest)
	}
	return out
}
