package activity

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfast-run/holdfast/supervision"
)

// rest is whether an actor has nothing to do until somebody tells it something, or a time comes: then no seconds are told to it, and that
// it does not turn is no sign of being stuck. So what a node has seen and does not use costs it nothing.
type rest struct {
	loop    *supervision.Loop
	resting atomic.Bool
	// until is in nanoseconds since 1970; 0: no time.
	until atomic.Int64
}

// begin is called by the actor at the end of a turn.
func (r *rest) begin(until int64) {
	r.until.Store(until)
	r.loop.Rest()
	r.resting.Store(true)
}

// wake ends the rest, if there is one: from now on the actor counts as stuck if it does not turn.
func (r *rest) wake() {
	if r.resting.Load() && r.resting.CompareAndSwap(true, false) {
		r.loop.Beat()
	}
}

// lasts tells whether the actor rests now.
func (r *rest) lasts(now int64) bool {
	until := r.until.Load()
	return r.resting.Load() && (until == 0 || now < until)
}

// Tick is to be called every second. It tells that to those who have something to do with it, and returns how many they are.
func (r *Activities) Tick() (awake int) {
	now := r.parts.Now().UnixNano()
	r.demands.Range(func(_, x any) bool {
		if d := x.(*demand); !d.rest.lasts(now) { //nolint:errcheck,forcetypeassert // nothing else is stored
			awake++
			d.rest.wake()
			r.tell(d.backlog, second{})
		}
		return true
	})
	r.queues.Range(func(_, x any) bool {
		if q := x.(*queue); q.uses.touched.Load() || !q.rest.lasts(now) { //nolint:errcheck,forcetypeassert // nothing else is stored
			awake++
			q.rest.wake()
			r.tell(q.dispatcher, second{})
		}
		return true
	})
	return awake
}

// throttleTick is how often a dispatcher looks whether a limit lets more tasks go, or there is space for them.
const throttleTick = 20 * time.Millisecond

// hurries are the dispatchers that are to look soon.
type hurries struct {
	mu sync.Mutex
	// of is bounded by the activities that there are. ticking: a tick will come.
	of      map[*queue]struct{}
	ticking bool
}

// hurry has a dispatcher get a tick soon.
func (r *Activities) hurry(q *queue) {
	h := &r.hurries
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.of == nil {
		h.of = map[*queue]struct{}{}
	}
	h.of[q] = struct{}{}
	if !h.ticking {
		h.ticking = true
		r.after(throttleTick, r.hurried)
	}
}

func (r *Activities) hurried() {
	h := &r.hurries
	h.mu.Lock()
	of := h.of
	h.of, h.ticking = nil, false
	h.mu.Unlock()
	for q := range of {
		r.tell(q.dispatcher, tick{})
	}
}
