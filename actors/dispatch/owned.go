package dispatch

import (
	"maps"
	"slices"
	"time"

	"github.com/holdfast-run/holdfast/messages"
)

// asking is a partition that this node has taken over, while adapters are asked which of its tasks they have.
type asking struct {
	until time.Time
	// patient: adapters may be about to connect. Then it lasts until its end.
	patient bool
	// unanswered are the streams whose answers are awaited.
	unanswered map[StreamID]bool
}

// Owned says that this node has taken a partition over, and that the streams that list are asked which of its keys their adapters have.
// Until they have answered, or a time has come, a task of it that was offered before goes to nobody but who has it. patient: adapters
// that have some may be about to attach, and the time is awaited.
func (q *Queue) Owned(p messages.Partition, until time.Time, patient bool) {
	a := &asking{until: until, patient: patient, unanswered: map[StreamID]bool{}}
	for _, s := range q.streams {
		if s.Lists {
			a.unanswered[s.ID] = true
		}
	}
	if a.patient || len(a.unanswered) > 0 {
		q.asked[p] = a
	}
}

// Asking tells whether answers are awaited.
func (q *Queue) Asking() bool { return len(q.asked) > 0 }

// Asked tells whether answers are awaited about a partition.
func (q *Queue) Asked(p messages.Partition) bool { return q.asked[p] != nil }

// Listed are keys that an adapter has said it has.
type Listed struct {
	Keys      []string
	Partition messages.Partition
	// Own: all of them are of the queue's activity, and the partition is this node's. Else each of them may be.
	Own bool
}

// List says which keys a stream's adapter has, besides those that it said before.
func (q *Queue) List(id StreamID, l Listed) []Output {
	s := q.stream(id)
	if s == nil {
		return nil
	}
	var anywhere []*item
	for _, key := range l.Keys {
		s.Keys.Add(key)
		if l.Own {
			s.listed[key] = l.Partition
		}
		it := q.items[key]
		if it == nil || it.stream == s && (it.state == inFlight || it.state == journaling) {
			continue
		}
		if q.reattach(it, s) {
			anywhere = append(anywhere, it)
		}
	}
	q.again(anywhere)
	return q.done()
}

// Forget says that a stream's adapter does not have a key any more.
func (q *Queue) Forget(id StreamID, key string) []Output {
	if s := q.stream(id); s != nil {
		s.forget(key)
	}
	return q.done()
}

// forget forgets that an adapter has a key.
func (s *stream) forget(key string) {
	s.Keys.Remove(key)
	delete(s.listed, key)
}

// Answered says that a stream's adapter has listed all that it has of a partition.
func (q *Queue) Answered(id StreamID, p messages.Partition) []Output {
	q.answeredBy(id, p)
	return q.done()
}

func (q *Queue) answeredBy(id StreamID, p messages.Partition) {
	a := q.asked[p]
	if a == nil || !a.unanswered[id] {
		return
	}
	if delete(a.unanswered, id); len(a.unanswered) == 0 && !a.patient {
		q.heard(p)
	}
}

// heard ends the asking for a partition: nobody else is known to have its tasks.
func (q *Queue) heard(p messages.Partition) {
	delete(q.asked, p)
	var free []*item
	for _, it := range q.orphans {
		if !it.asking || it.task.Partition != p {
			continue
		}
		it.asking = false
		if !it.withdrawn { // else an adapter that is not connected may still come back with it
			free = append(free, it)
		}
	}
	sortItems(free)
	q.again(slices.DeleteFunc(free, func(it *item) bool {
		if it.cancelled {
			q.giveUp(it)
		}
		return it.cancelled
	}))
}

// partitionsAsked are the partitions whose answers are awaited, in their order.
func (q *Queue) partitionsAsked() []messages.Partition {
	if len(q.asked) == 0 {
		return nil
	}
	return slices.Sorted(maps.Keys(q.asked))
}

// overdue ends the asking that has lasted long enough.
func (q *Queue) overdue(now time.Time) {
	for _, p := range q.partitionsAsked() {
		if !now.Before(q.asked[p].until) {
			q.heard(p)
		}
	}
}

// await has an item wait until adapters have said whether they have it.
func (q *Queue) await(it *item) {
	q.orphan(it, it.task.OfferedAt)
	it.asking = true
}

// claimed takes up an item that adapters were asked for: a stream's has it.
func (q *Queue) claimed(it *item, s *stream) {
	if it.withdrawn {
		q.out = append(q.out, GoesOn{Task: it.task})
		it.withdrawn = false
	}
	q.take(it)
	switch {
	case it.cancelled:
		q.adopt(it, s)
	case q.holds(it, s):
		q.keepHeld(it, s)
	default:
		q.bind(it, s, true)
	}
}
