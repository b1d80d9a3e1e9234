package topology

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-run/holdfast/messages"
)

// Step takes an input, and returns what has changed of the topology. All times have a monotonic reading, or none has.
func (t *Topology) Step(in Input, now time.Time) []Change {
	var changes []Change
	switch in := in.(type) {
	case Answer:
		changes = t.answer(in, now)
	case Failed:
		t.interrupt()
	case Link:
		t.link(in)
	case Found:
		changes = t.found(in.Incarnation, now)
	case Frozen:
		if in.Frozen != t.frozen {
			t.frozen = in.Frozen
			t.away()
		}
	}
	t.version += uint64(len(changes))
	return changes
}

// interrupt ends all periods: what comes next is no continuation of what was before.
func (t *Topology) interrupt() {
	for _, n := range t.nodes {
		n.Missed = time.Time{}
	}
}

// away says that Consul is not what it was when it last answered: removals wait once it has answered again.
func (t *Topology) away() {
	t.interrupt()
	t.last, t.returned = time.Time{}, time.Time{}
}

func (t *Topology) link(in Link) {
	name := in.Incarnation.Node()
	switch {
	case in.Up && in.Incarnation >= t.links[name]:
		t.links[name] = in.Incarnation
	case !in.Up && in.Incarnation == t.links[name]:
		delete(t.links, name)
	}
}

// found takes up an incarnation that no answer has shown. If there are none that do, it is gone after a period.
func (t *Topology) found(in messages.Incarnation, now time.Time) []Change {
	if t.frozen {
		return nil
	}
	_, changes := t.node(in, now)
	return changes
}

// node returns the node of an incarnation, which supersedes those of its name that are older; nil: it is superseded itself.
func (t *Topology) node(in messages.Incarnation, now time.Time) (*Node, []Change) {
	name := in.Node()
	n := t.nodes[name]
	switch {
	case n == nil:
		n = &Node{}
		t.nodes[name] = n
	case in < n.Incarnation:
		return nil, nil
	case in == n.Incarnation:
		return n, nil
	}
	before := *n
	*n = Node{Incarnation: in, Since: now, Reason: Seen}
	if before.Member {
		return n, []Change{{before.Incarnation, Superseded}}
	}
	return n, nil
}

func (t *Topology) answer(in Answer, now time.Time) []Change {
	if in.Sent.Before(t.taken) {
		return nil
	}
	t.taken = in.Sent
	switch {
	case t.frozen:
		return nil
	case in.Fell:
		t.away()
		return nil
	case len(in.Instances) == 0:
		t.interrupt()
		return nil
	}
	changes := t.show(newest(in.Instances), now)
	own := slices.ContainsFunc(in.Instances, func(i Instance) bool { return i.Incarnation == t.self && i.State == Passing })
	if !own || now.Sub(in.Received) > t.margin {
		t.interrupt()
		return changes
	}
	t.good(in)
	removed := t.remove(in, now)
	for _, r := range removed { // that it announced something is no news then
		changes = slices.DeleteFunc(changes, func(c Change) bool { return c.Incarnation == r.Incarnation })
	}
	t.forget()
	return append(changes, removed...)
}

// newest returns the newest incarnation of each name, sorted by name.
func newest(instances []Instance) []Instance {
	sorted := slices.SortedFunc(slices.Values(instances), func(a, b Instance) int {
		return cmp.Or(strings.Compare(string(a.Incarnation.Node()), string(b.Incarnation.Node())),
			strings.Compare(string(b.Incarnation), string(a.Incarnation)))
	})
	return slices.CompactFunc(sorted, func(a, b Instance) bool { return a.Incarnation.Node() == b.Incarnation.Node() })
}

// show takes over how an answer shows the nodes. It supersedes and admits, and removes nobody else.
func (t *Topology) show(shown []Instance, now time.Time) []Change {
	for _, n := range t.nodes {
		n.State = Absent
	}
	var changes []Change
	for _, in := range shown {
		n, superseded := t.node(in.Incarnation, now)
		changes = append(changes, superseded...)
		if n == nil {
			continue
		}
		before := n.counts()
		n.State, n.Leaving, n.Announcement = in.State, in.Leaving, in.Announcement
		n.Announcement.Shards = slices.Clone(n.Announcement.Shards)
		if in.State >= Warning {
			n.Missed = time.Time{}
		}
		switch {
		case n.Member && !n.counts().equal(before):
			changes = append(changes, Change{n.Incarnation, Announced})
		case !n.Member && in.State == Passing:
			n.Member, n.Gone, n.Since, n.Reason = true, false, now, Admitted
			changes = append(changes, Change{n.Incarnation, Admitted})
		}
	}
	return changes
}

// good notes a good answer. One that comes a period after the one before shows that Consul was away.
func (t *Topology) good(in Answer) {
	if !t.last.IsZero() && in.Received.Sub(t.last) > t.period {
		t.away()
	}
	if t.last = in.Received; t.returned.IsZero() {
		t.returned = in.Received
	}
}

// remove removes those that a good answer has out of sight, and for whom it was time when it was sent.
func (t *Topology) remove(in Answer, now time.Time) []Change {
	var changes []Change
	for _, n := range t.sorted() {
		if n.State >= Warning || n.Gone || n.Incarnation == t.self {
			continue
		}
		if n.Missed.IsZero() {
			n.Missed = in.Received
		}
		if !in.MayRemove {
			continue
		}
		over := func(since time.Time) bool { return in.Sent.Sub(since) >= t.period }
		silent := over(n.Missed)
		switch calm := over(t.returned); {
		case calm && n.State == Critical && n.Leaving:
			n.Reason = Left
		case calm && n.State == Critical && !t.linked(n):
			n.Reason = Dead
		case silent && n.State == Critical:
			n.Reason = Silent
		case silent:
			n.Reason = Missing
		default:
			continue
		}
		if n.Member {
			changes = append(changes, Change{n.Incarnation, n.Reason})
		}
		n.Member, n.Gone, n.Since = false, true, now
	}
	return changes
}

// forget keeps the last of those that are gone and not in the answers, up to the bound.
func (t *Topology) forget() {
	var gone []*Node
	for _, n := range t.sorted() {
		if n.Gone && n.State == Absent {
			gone = append(gone, n)
		}
	}
	slices.SortStableFunc(gone, func(a, b *Node) int { return b.Since.Compare(a.Since) })
	for _, n := range gone[min(len(gone), Remembered):] {
		delete(t.nodes, n.Incarnation.Node())
	}
}
