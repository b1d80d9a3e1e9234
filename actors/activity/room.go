package activity

import (
	"sync/atomic"

	"github.com/holdfast-run/holdfast/actors/dispatch"
)

// room is the memory for the tasks of one lane that wait for adapters, as much for each priority. Whether a task gets
// a place is known before it is committed: the others overflow, and wait on disk. So that none overtakes them, tasks of the
// same or a lower priority follow them there; but for those that follow another one of their order, whose place they take:
// what has begun is brought to its end before more is begun, and they are no more than adapters have tasks.
type room struct {
	capacity int64
	levels   [dispatch.Priorities]level
}

type level struct {
	// waiting is what the queue holds, reserved what is on its way there.
	waiting, reserved atomic.Int64
	// behind: tasks of this priority are on disk, or about to be.
	behind atomic.Bool
}

// taskOverhead is what a task takes beside its input.
const taskOverhead = 1 << 10

// size is what a task with so many bytes of input counts. However large it is, there is room for one.
func (r *room) size(input int) int64 { return min(int64(input)+taskOverhead, r.capacity) }

// reserve takes a place for a task that is about to be scheduled; false if it has to overflow.
func (r *room) reserve(priority int, size int64, follows bool) bool {
	if follows {
		r.levels[priority].reserved.Add(size)
		return true
	}
	for p := priority; p < len(r.levels); p++ {
		if r.levels[p].behind.Load() {
			return false
		}
	}
	if r.take(priority, size, r.capacity) {
		return true
	}
	r.levels[priority].behind.Store(true)
	return false
}

// take takes a place, if no more than so much is used then; or if it is the only one.
func (r *room) take(priority int, size, most int64) bool {
	l := &r.levels[priority]
	if used := l.reserved.Add(size) + l.waiting.Load(); used > most && used > size {
		l.reserved.Add(-size)
		return false
	}
	return true
}

// refillable returns how much of a priority tasks from disk may use, and whether it is time to fetch some. While some of a
// higher priority are on disk it is little: they would only be in the way; but those that have waited long get their share.
func (r *room) refillable(priority int) (most int64, now bool) {
	most = r.capacity
	for p := priority + 1; p < len(r.levels); p++ {
		if r.levels[p].behind.Load() {
			most = r.capacity / dispatch.AgedShare
		}
	}
	l := &r.levels[priority]
	return most, l.behind.Load() && l.waiting.Load()+l.reserved.Load() <= most*3/4
}

// giveBack ends a reservation: the task is in the queue, or will not come.
func (r *room) giveBack(priority int, size int64) { r.levels[priority].reserved.Add(-size) }

// update notes what the queue holds.
func (r *room) update(q *dispatch.Queue, version string) {
	for p, load := range q.Load(version) {
		if now := int64(load); r.levels[p].waiting.Load() != now {
			r.levels[p].waiting.Store(now)
		}
	}
}

// wanting tells whether it is time to fetch tasks from disk.
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
