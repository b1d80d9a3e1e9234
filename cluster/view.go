package cluster

import (
	"slices"
	"time"

	"github.com/holdfast-run/holdfast/cluster/placement"
	"github.com/holdfast-run/holdfast/messages"
)

// holdings are the partitions that a node has, from its claim until its release.
type holdings [messages.Partitions / 8]byte

func (h *holdings) has(p messages.Partition) bool { return h[p/8]&(1<<(p%8)) != 0 }

func (h *holdings) set(p messages.Partition, yes bool) {
	if h[p/8] &^= 1 << (p % 8); yes {
		h[p/8] |= 1 << (p % 8)
	}
}

// view is what a member knows of who has which partition, and who is to have it; from that follows what it wants itself. It knows no
// clock and does nothing: a model can drive it.
type view struct {
	self  messages.Incarnation
	stand time.Duration

	table *placement.Table // nil: no topology is known yet
	mine  holdings
	// others are the holdings of other members, as they have told last.
	others map[messages.Incarnation]*holdings
	// leaving: this node is to have nothing any more.
	leaving bool
	parts   [messages.Partitions]part
}

// part is what a member knows of one partition.
type part struct {
	// wanted: the host was told to take it. again: it is to be told once more, if it is to have it still.
	wanted, again bool
	// idle is since when nobody is known to have it; zero: somebody has.
	idle time.Time
	// until is how long this node has it in place of those before it in rank; zero: it does not.
	until time.Time
	// lost is until when it is not to be taken again, as another node has taken it; zero: it may be.
	lost time.Time
}

// lostFor is how long a partition is not taken again that another node has taken, unless the topology changes: it has its reasons.
const lostFor = 10 * time.Second

// place replaces the table. Whatever was lost may be taken again.
func (v *view) place(t *placement.Table) {
	v.table = t
	for p := range v.parts {
		v.parts[p].lost = time.Time{}
	}
}

// keep forgets the holdings of those who are not members any more.
func (v *view) keep(members []messages.Incarnation) {
	for who := range v.others {
		if !slices.Contains(members, who) {
			delete(v.others, who)
		}
	}
}

// holder returns which other member has a partition; empty: none is known to. If two say so, it is the one that is to have it.
func (v *view) holder(p messages.Partition) (who messages.Incarnation) {
	for other, h := range v.others {
		if h.has(p) && (who == "" || v.rank(other, p) < v.rank(who, p)) {
			who = other
		}
	}
	return who
}

// desired returns which member is to have a partition; empty: none.
func (v *view) desired(p messages.Partition) messages.Incarnation {
	if v.table == nil {
		return ""
	}
	return v.table.Owner(p)
}

// asked returns which other member is to be asked for a partition that is not here: who has it, or else who is to have it; empty: nobody
// is known to, or it is this one.
func (v *view) asked(p messages.Partition) messages.Incarnation {
	who := v.holder(p)
	if who == "" {
		who = v.desired(p)
	}
	if who == v.self {
		return ""
	}
	return who
}

// rank is the place of a member among those that may have a partition; one that may not is behind all.
func (v *view) rank(who messages.Incarnation, p messages.Partition) int {
	ranked := v.ranked(p)
	if i := slices.Index(ranked, who); i >= 0 {
		return i
	}
	return len(ranked)
}

func (v *view) ranked(p messages.Partition) []messages.Incarnation {
	if v.table == nil {
		return nil
	}
	return v.table.Rank(p)
}

// step looks at all partitions, and returns which the host is to take, also again, and which it is to give up.
func (v *view) step(now time.Time) (take, give []messages.Partition) {
	for i := range v.parts {
		p, x := messages.Partition(i), &v.parts[i]
		has, held := v.mine.has(p), v.holder(p) != ""
		freed := false
		switch {
		case has || held:
			x.idle = time.Time{}
		case x.idle.IsZero():
			x.idle, freed = now, true
		}
		want := v.wants(p, x, has, now)
		switch {
		case want && (!x.wanted || x.again || freed):
			take = append(take, p)
		case !want && x.wanted:
			give = append(give, p)
			x.until = time.Time{}
		}
		x.wanted, x.again = want, false
	}
	return take, give
}

// wants tells whether this node is to have a partition.
func (v *view) wants(p messages.Partition, x *part, has bool, now time.Time) bool {
	rank := v.rank(v.self, p)
	switch {
	case v.leaving || rank == len(v.ranked(p)), now.Before(x.lost):
		return false
	case rank == 0:
		x.until = time.Time{}
		return true
	case has:
		return now.Before(x.until)
	case !x.idle.IsZero() && v.table.MayClaim(p, v.self, now.Sub(x.idle)):
		x.until = now.Add(v.stand)
		return true
	}
	return x.wanted && now.Before(x.until) && !x.idle.IsZero()
}

// rebalance has who is to have a partition by the table get it now: nobody has it in place of another one any longer, and what was lost, or
// could not be claimed, is taken again.
func (v *view) rebalance() {
	for i := range v.parts {
		p, x := messages.Partition(i), &v.parts[i]
		x.until, x.lost = time.Time{}, time.Time{}
		x.again = !v.mine.has(p)
	}
}

// loses notes that another node has taken a partition.
func (v *view) loses(p messages.Partition, now time.Time) {
	v.parts[p] = part{lost: now.Add(lostFor)}
}
