package dispatch

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Dump tells where each task is, in the order of their offering.
func (q *Queue) Dump() string {
	var items []*item
	for _, it := range q.items {
		items = append(items, it)
	}
	sortItems(items)
	var out strings.Builder
	for _, it := range items {
		fmt.Fprintf(&out, "%s/%d %s", it.task.Key, it.task.Attempt, [...]string{"ready", "journaling", "in flight", "orphaned"}[it.state])
		if it.stream != nil {
			fmt.Fprintf(&out, " on %d", it.stream.ID)
		}
		if it.process != "" || it.ledger != "" {
			fmt.Fprintf(&out, " with %s/%s", it.process, it.ledger)
		}
		for _, is := range []struct {
			yes  bool
			word string
		}{
			{it.cancelled, " cancelled"},
			{it.withdrawn, " withdrawn"},
			{it.held, " held"},
			{it.alone, " alone"},
			{it.task.suspected(), fmt.Sprintf(" suspect, %d deaths", it.task.killed())},
		} {
			if is.yes {
				out.WriteString(is.word)
			}
		}
		out.WriteString("\n")
	}
	fmt.Fprintf(&out, "waiting %d, in flight %d", q.Waiting(), q.InFlight())
	for _, s := range q.streams {
		fmt.Fprintf(&out, ", stream %d sent %d of %d", s.ID, s.sent, s.total-s.revoked)
	}
	return out.String() + "\n"
}

// Where tells the state of a task, the stream that it is with or bound to (0: none), and whether it was cancelled.
func (q *Queue) Where(key string) (state string, on StreamID, cancelled bool) {
	it := q.items[key]
	if it == nil {
		return "gone", 0, false
	}
	if it.stream != nil {
		on = it.stream.ID
	}
	return [...]string{"ready", "journaling", "in flight", "orphaned"}[it.state], on, it.cancelled
}

// Listed returns how many entries the lists hold, those taken from their middle included.
func (q *Queue) Listed() int {
	n := 0
	for _, c := range q.classes {
		for p := range c.ready {
			n += len(c.ready[p].entries) - c.ready[p].head
		}
	}
	return n
}

// checkSpace finds out whether an item takes space where it has to, and nowhere else.
func (q *Queue) checkSpace(it *item) error {
	var want Space
	switch it.state {
	case journaling, inFlight:
		want = it.stream.Space
	case orphaned:
		want = q.config.Away
	case ready, nowhere:
	}
	if it.space != want {
		return fmt.Errorf("%s takes space in the wrong place", it.task.Key)
	}
	return nil
}

// Check finds what does not fit together.
func (q *Queue) Check() error {
	listed := map[*item]bool{}
	note := func(f *fifo, s *stream) error {
		for _, e := range f.entries[f.head:] {
			if e.taken {
				continue
			}
			if listed[e.item] || e.item.state != ready || e.item.stream != s || q.items[e.item.task.Key] != e.item {
				return fmt.Errorf("%s is in a list where it should not be", e.item.task.Key)
			}
			listed[e.item] = true
		}
		return nil
	}
	accused := func(list suspects, s *stream) error {
		for i, it := range list {
			if listed[it] || it.state != ready || it.stream != s || !it.task.suspected() || q.items[it.task.Key] != it || list.search(it) != i {
				return fmt.Errorf("%s is among suspects where it should not be", it.task.Key)
			}
			listed[it] = true
		}
		return nil
	}
	if err := accused(q.suspects, nil); err != nil {
		return err
	}
	for process, it := range q.alone {
		if it.state != inFlight || it.process != process || !it.alone || q.items[it.task.Key] != it {
			return fmt.Errorf("%s is not alone in %s", it.task.Key, process)
		}
	}
	for _, c := range q.classes {
		for p := range c.ready {
			if err := note(&c.ready[p], nil); err != nil {
				return err
			}
		}
	}
	for _, s := range q.streams {
		if err := errors.Join(note(&s.had, s), note(&s.bound, s), accused(s.suspects, s)); err != nil {
			return err
		}
		if s.sent+s.revoked > s.total {
			return fmt.Errorf("stream %d was sent %d, revoked %d, of %d", s.ID, s.sent, s.revoked, s.total)
		}
	}
	load := map[string][Priorities]int{}
	for it := range listed {
		l := load[it.task.Version]
		l[it.task.Priority] += it.task.Size
		load[it.task.Version] = l
	}
	for version, c := range q.classes {
		if c.load != load[version] {
			return fmt.Errorf("load of version %q is %v, not %v", version, c.load, load[version])
		}
	}
	if len(listed) != q.waiting {
		return fmt.Errorf("%d are listed, %d waiting", len(listed), q.waiting)
	}
	for key, it := range q.items {
		if it.state == ready != listed[it] || it.state == orphaned != (q.orphans[key] == it) {
			return fmt.Errorf("%s is %d, listed: %t", key, it.state, listed[it])
		}
		if (it.state == journaling || it.state == inFlight) && !slices.Contains(q.streams, it.stream) {
			return fmt.Errorf("%s is with a stream that is gone", key)
		}
		if err := q.checkSpace(it); err != nil {
			return err
		}
		if it.held && (it.state != inFlight && it.state != orphaned && it.state != ready || it.stream == nil) && it.state != orphaned {
			return fmt.Errorf("%s is held by nobody", key)
		}
		if it.state == inFlight && it.alone && q.alone[it.process] != it {
			return fmt.Errorf("%s is alone, but not so listed", key)
		}
	}
	for key := range q.orphans {
		if q.items[key] == nil {
			return fmt.Errorf("%s is orphaned, but gone", key)
		}
	}
	return nil
}
