package activity

import (
	"math"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/holdfast-run/holdfast/actors/dispatch"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/adapterv1"
	"github.com/holdfast-run/holdfast/messages/journalv1"
)

// counts are what is known of one activity without asking its dispatcher.
type counts struct {
	waiting, inFlight, ageMillis, adapters atomic.Int64
	// stored are the tasks on disk, by priority, those included that were offered since and have no result yet.
	stored [dispatch.Priorities]atomic.Int64
	// results is how many results have come, counted is what that was a second ago, and pace is how many a second came lately.
	results, counted atomic.Int64
	// away is how many tasks are with adapters that are away, awayUntil when the first of them goes to another adapter, in
	// nanoseconds since 1970, and suspects how many are suspects.
	away, awayUntil, suspects, redelivered, quarantined atomic.Int64
	pace                                                atomic.Uint64 // a float64
}

func (c *counts) set(waiting, inFlight, adapters int) {
	c.waiting.Store(int64(waiting))
	c.inFlight.Store(int64(inFlight))
	c.adapters.Store(int64(adapters))
}

// trouble notes how many tasks are with adapters that are away, and how many are suspects. It is called every second.
func (c *counts) trouble(q *dispatch.Queue) {
	away, until := q.Away()
	c.away.Store(int64(away))
	c.awayUntil.Store(0)
	if !until.IsZero() {
		c.awayUntil.Store(until.UnixNano())
	}
	c.suspects.Store(int64(q.Suspects()))
}

// overflow returns the number of tasks on disk.
func (c *counts) overflow() (sum int64) {
	for p := range c.stored {
		sum += c.stored[p].Load()
	}
	return sum
}

// Smoothing is the share of the last second in the rate of results: a second that was ten seconds ago has a third of that.
const Smoothing = 0.1

// second brings the rate of results up to date. It is called every second. While adapters are away the rate stays as it was: they will
// be as fast when they are back.
func (c *counts) second() {
	results := c.results.Load()
	if n := results - c.counted.Swap(results); n > 0 || c.adapters.Load() > 0 {
		pace := c.rate()*(1-Smoothing) + float64(n)*Smoothing
		if pace < leastPace {
			pace = 0
		}
		c.pace.Store(math.Float64bits(pace))
	}
}

// leastPace is a rate of results that is as good as none, in results/s.
const leastPace = 1e-4

// rate returns how many results a second came lately.
func (c *counts) rate() float64 { return math.Float64frombits(c.pace.Load()) }

func (c *counts) oldest(at, now time.Time) {
	if at.IsZero() {
		c.ageMillis.Store(0)
		return
	}
	c.ageMillis.Store(now.Sub(at).Milliseconds())
}

// Status is how things stand with an activity.
type Status struct {
	Name string
	// Shown: it has metrics of its own.
	Shown bool
	// Adapters is the number of streams of adapters that offer it.
	Adapters int64
	// Waiting is the number of tasks that wait in memory for an adapter, InFlight the number of those that adapters have. Overflow is
	// the number of tasks that overflowed to disk and have no result yet, and Stored the same by priority.
	Waiting, InFlight, Overflow int64
	Stored                      [dispatch.Priorities]int64
	// Age is how long the oldest of the tasks that wait in memory has waited.
	Age time.Duration
	// Rate is how many results a second came lately, Results how many since the node started.
	Rate    float64
	Results int64
	// Limit is what an operator has set; nil if there is none.
	Limit *journalv1.LimitRow
	// Away is how many of the tasks in flight are with an adapter that is away, AwayUntil when the first of them goes to another one.
	Away      int64
	AwayUntil time.Time
	// Suspects is how many tasks were under way when an adapter died, and are executed alone.
	Suspects int64
	// Redelivered counts the tasks that went to another adapter because theirs was lost, Quarantined those that were set apart.
	Redelivered, Quarantined int64
}

// status is how things stand now.
func (r *Activities) status(q *queue) Status {
	c := &q.counts
	s := Status{
		Name: q.name, Shown: q.shown, Adapters: c.adapters.Load(), Waiting: c.waiting.Load(), InFlight: c.inFlight.Load(), Overflow: c.overflow(),
		Age: time.Duration(c.ageMillis.Load()) * time.Millisecond, Rate: c.rate(), Results: c.results.Load(),
		Limit: r.parts.Limits.Limit(q.name), Away: c.away.Load(), Suspects: c.suspects.Load(), Redelivered: c.redelivered.Load(),
		Quarantined: c.quarantined.Load(),
	}
	if until := c.awayUntil.Load(); until != 0 {
		s.AwayUntil = time.Unix(0, until)
	}
	for p := range c.stored {
		s.Stored[p] = c.stored[p].Load()
	}
	return s
}

// All tells about all activities, by name.
func (r *Activities) All() []Status {
	var out []Status
	r.queues.Range(func(_, q any) bool {
		out = append(out, r.status(q.(*queue))) //nolint:errcheck,forcetypeassert // nothing else is stored
		return true
	})
	slices.SortFunc(out, func(a, b Status) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// Load tells how many tasks of an activity wait in memory, how many are on disk by priority, and how many results a second came
// lately.
func (r *Activities) Load(called string) (waiting int64, stored []int64, rate float64) {
	name, _ := messages.SplitActivity(called)
	var s Status
	if q, ok := r.queues.Load(name); ok {
		s = r.status(q.(*queue)) //nolint:errcheck,forcetypeassert // nothing else is stored
	}
	return s.Waiting, s.Stored[:], s.Rate
}

// Known returns how many activities are known.
func (r *Activities) Known() int { return int(r.known.Load()) }

// AdapterBytes returns what adapters have: their tasks, and what they offer and list.
func (r *Activities) AdapterBytes() int64 { return r.memory.used.Load() }

// Depths returns how many tasks wait for each of the activities that the stream's adapter offers, where that has changed since it was told
// last. It is called by one goroutine.
func (s *Stream) Depths() (changed []*adapterv1.QueueDepth) {
	for name, o := range s.offers {
		if n := o.counts.depth(); n != o.depth.Swap(n) {
			changed = append(changed, &adapterv1.QueueDepth{Activity: name, Waiting: uint64(max(n, 0))})
		}
	}
	return changed
}

// DepthsChanged tells whether Depths returns any.
func (s *Stream) DepthsChanged() bool {
	for _, o := range s.offers {
		if o.counts.depth() != o.depth.Load() {
			return true
		}
	}
	return false
}

// depth is how many tasks wait, those on disk included.
func (c *counts) depth() int64 { return c.waiting.Load() + c.overflow() }

// Used tells what is in the rooms of an activity; empty if nothing is.
func (r *Activities) Used(name string) []string {
	q, ok := r.queues.Load(name)
	if !ok {
		return nil
	}
	var used []string
	for _, d := range *q.(*queue).demands.Load() { //nolint:errcheck,forcetypeassert // nothing else is stored
		used = append(used, d.used()...)
	}
	return used
}
