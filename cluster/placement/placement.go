package placement

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-run/holdfast/messages"
)

// Patience is how long a partition that nobody has waits for each member in its rank before the next one may claim it.
const Patience = 2 * time.Second

// Member is a node that may own partitions.
type Member struct {
	Incarnation messages.Incarnation
	// Weight is its share of the partitions, beside the weights of others; 0: it is to have none.
	Weight uint32
	// Level is the highest feature level that it can read.
	Level uint32
	// Shards are the numbers of the journal's databases that it reaches.
	Shards []int
}

// Conditions are what a journal asks of those who own its partitions.
type Conditions struct {
	// Level is the feature level of the journal. Who can't read it gets no partitions.
	Level uint32
	// Shard is the number of the shard that each partition lives in. Who does not reach it does not get the partition.
	Shard [messages.Partitions]int
}

// Table says which members are to own which partitions. It does not change.
type Table struct {
	ranks  [messages.Partitions][]messages.Incarnation
	bounds map[messages.Incarnation]Bounds
}

// Bounds are the least and the most partitions that a member gets.
type Bounds struct{ Least, Most int }

// Rank returns the members that may own a partition: first the desired owner; each next one is to claim it if those before it do not.
// It is not to be changed.
func (t *Table) Rank(p messages.Partition) []messages.Incarnation { return t.ranks[p] }

// Owner returns the desired owner of a partition; empty: there is none.
func (t *Table) Owner(p messages.Partition) messages.Incarnation {
	if len(t.ranks[p]) == 0 {
		return ""
	}
	return t.ranks[p][0]
}

// Owned returns the partitions that a member is to own, in rising order.
func (t *Table) Owned(by messages.Incarnation) []messages.Partition {
	var owned []messages.Partition
	for p := range t.ranks {
		if len(t.ranks[p]) > 0 && t.ranks[p][0] == by {
			owned = append(owned, messages.Partition(p))
		}
	}
	return owned
}

// Bounds returns those of a member; both are 0 for who is to have none.
func (t *Table) Bounds(of messages.Incarnation) Bounds { return t.bounds[of] }

// MayClaim tells whether a member may claim a partition that nobody has had for a time while this table was in force: the desired owner
// at once, the one at place k of the rank after k times Patience.
func (t *Table) MayClaim(p messages.Partition, who messages.Incarnation, idle time.Duration) bool {
	k := slices.Index(t.ranks[p], who)
	return k >= 0 && idle >= time.Duration(k)*Patience
}

// Assign computes the table of some members. Each incarnation is there once; their order does not matter.
func Assign(members []Member, c Conditions) *Table {
	a := &assignment{members: eligible(members, c.Level), conditions: c}
	a.reach()
	a.bound()
	a.score()
	a.place()
	a.even()
	return a.table()
}

// eligible returns the members that may have partitions, sorted by name: of each name the newest incarnation, if it can.
func eligible(members []Member, level uint32) []Member {
	sorted := slices.Clone(members)
	slices.SortFunc(sorted, func(a, b Member) int {
		return cmp.Or(strings.Compare(string(a.Incarnation.Node()), string(b.Incarnation.Node())),
			strings.Compare(string(b.Incarnation), string(a.Incarnation)))
	})
	sorted = slices.CompactFunc(sorted, func(a, b Member) bool { return a.Incarnation.Node() == b.Incarnation.Node() })
	return slices.DeleteFunc(sorted, func(m Member) bool { return m.Weight == 0 || m.Level < level })
}
