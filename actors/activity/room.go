package activity

import (
	"sync/atomic"

	"github.com/holdfast-run/holdfast/actors/dispatch"
)

// room is the memory for the tasks of one demand that wait for adapters, as much for each priority. An order reserves room for
// a task before it commits that the task is scheduled: a task that gets none overflows to disk. So that none overtakes those on
// disk, tasks of the same or a lower priority overflow too. But a task that follows another one of its order always gets room:
// what has begun is brought to its end before more is begun, and such tasks are no more than adapters have tasks.
type room struct {
	capacity int64
	all      *rooms
	served   *atomic.Int64 // by how many streams of adapters
	levels   [dispatch.Priorities]level
}

// rooms is the memory for the tasks of all demands. Each priority of a demand may have as much as is left, so that some always is. If there
// are adapters for it, it may always have one task: so those that wait for adapters that are away are not in the way of others for good.
type rooms struct {
	most int64
	used atomic.Int64
}

type level struct {
	// waiting is what the queue holds, reserved what is on its way there.
	waiting, reserved atomic.Int64
	// behind: tasks of this priority are on disk, or are about to be.
	behind atomic.Bool
}

// taskOverhead is what a task takes beside its input.
const taskOverhead = 1 << 10

// size is how many bytes of room a task takes that has so many bytes of input. However large it is, the room holds one.
func (r *room) size(input int) int64 { return min(int64(input)+taskOverhead, r.capacity) }

// reserve reserves room for a task that is about to be scheduled; false if the task has to overflow. follows: it follows
// another one of its order.
func (r *room) reserve(priority int, size int64, follows bool) bool {
	if follows {
		r.levels[priority].reserved.Add(size)
		r.all.used.Add(size)
		return true
	}
	for p := priority; p < len(r.levels); p++ {
		if r.levels[p].behind.Load() {
			return false
		}
	}
	if r.reserveWithin(r.capacity, priority, size) {
		return true
	}
	r.levels[priority].behind.Store(true)
	return false
}

// reserveWithin reserves room if no more than most is used then, or if nothing else is.
func (r *room) reserveWithin(most int64, priority int, size int64) bool {
	l := &r.levels[priority]
	used, all := l.reserved.Add(size)+l.waiting.Load(), r.all.used.Add(size)
	if used <= most && used <= r.all.most-all || used <= size && r.served.Load() > 0 || all <= size {
		return true
	}
	r.release(priority, size)
	return false
}

// refillable returns how much of the room of a priority may be used for it to be refilled, and whether it is time to do so.
// While tasks of a higher priority are on disk that is little: those of a lower one would only be in their way. It is not
// nothing: tasks that have waited long get their share.
func (r *room) refillable(priority int) (most int64, now bool) {
	most = r.capacity
	for p := priority + 1; p < len(r.levels); p++ {
		if r.levels[p].behind.Load() {
			most = r.capacity / dispatch.AgedShare
		}
	}
	most = max(min(most, r.all.most-r.all.used.Load()), 0)
	l := &r.levels[priority]
	return most, l.behind.Load() && l.waiting.Load()+l.reserved.Load() <= most*3/4
}

// release ends a reservation: the task is in the queue, or will not come.
func (r *room) release(priority int, size int64) {
	r.levels[priority].reserved.Add(-size)
	r.all.used.Add(-size)
}

// update notes how much room the tasks in the queue take. What is beyond the capacity has come back from adapters that died, or follows
// another task: others have no less room for it.
func (r *room) update(q *dispatch.Queue, version string) {
	for p, load := range q.Load(version) {
		if now, before := int64(load), r.levels[p].waiting.Load(); before != now {
			r.levels[p].waiting.Store(now)
			r.all.used.Add(min(now, r.capacity) - min(before, r.capacity))
		}
	}
}

// wanting tells whether it is time to refill the room of some priority.
func (r *room) wanting() bool {
	for p := range r.levels {
		if !r.levels[p].behind.Load() {
			continue
		}
		if _, now := r.refillable(p); now {
			return true
		}
	}
	return false
}
