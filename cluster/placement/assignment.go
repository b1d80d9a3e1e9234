package placement

import (
	"cmp"
	"slices"

	"github.com/holdfast-run/holdfast/messages"
)

// nobody stands for the owner of a partition that has none.
const nobody = -1

// assignment is a table in the making. Members are numbers, in the order of their names.
type assignment struct {
	members    []Member
	conditions Conditions
	// reaches tells for each partition which members reach its shard.
	reaches [messages.Partitions][]bool
	bounds  []Bounds
	// pairs are all partitions with all members that reach them, in the order of their scores. scores has those of each partition.
	pairs  []pair
	scores [messages.Partitions][]uint64
	// owner is who gets each partition, count how many each member gets.
	owner [messages.Partitions]int
	count []int
}

// pair is a partition, and a member that may own it.
type pair struct {
	score, hash       uint64
	partition, member int
}

func (a *assignment) reach() {
	byShard := map[int][]bool{}
	for p, shard := range a.conditions.Shard {
		if byShard[shard] == nil {
			byShard[shard] = make([]bool, len(a.members))
			for m := range a.members {
				byShard[shard][m] = slices.Contains(a.members[m].Shards, shard)
			}
		}
		a.reaches[p] = byShard[shard]
	}
}

// point is a partition in the unit that shares are computed in, rounded the most that rounding changes a share by: less than a unit for
// each partition and member.
const (
	point   = 1 << 40
	rounded = 1 << 20
)

// bound computes the bounds. Shares are such that those of all members that reach a partition add up to it exactly, so that there is an
// assignment of whole partitions within them.
func (a *assignment) bound() {
	shares := make([]uint64, len(a.members))
	for reaches, partitions := range a.alike() {
		sum := uint64(0)
		for m := range a.members {
			if reaches[m] == '1' {
				sum += uint64(a.members[m].Weight)
			}
		}
		left, heaviest := partitions*point, nobody
		for m := range a.members {
			if reaches[m] != '1' {
				continue
			}
			share := partsOf(partitions*point, uint64(a.members[m].Weight), sum)
			shares[m], left = shares[m]+share, left-share
			if heaviest == nobody || a.members[m].Weight > a.members[heaviest].Weight {
				heaviest = m
			}
		}
		if heaviest != nobody {
			shares[heaviest] += left
		}
	}
	a.bounds = make([]Bounds, len(a.members))
	for m, share := range shares {
		// What was rounded must not count where a tenth less or more is a whole number.
		below, above := 9*(share-min(share, rounded)), 11*(share+rounded)
		least, most := min(share/point, (below+10*point-1)/(10*point)), max((share+point-1)/point, above/(10*point))
		a.bounds[m] = Bounds{Least: int(least), Most: int(most)} //nolint:gosec // there are 256 partitions
	}
}

// alike counts the partitions that the same members reach; the key has a 1 for each member that does.
func (a *assignment) alike() map[string]uint64 {
	counts := map[string]uint64{}
	for p := range a.reaches {
		key := make([]byte, len(a.members))
		for m, reaches := range a.reaches[p] {
			key[m] = '0'
			if reaches {
				key[m] = '1'
			}
		}
		counts[string(key)]++
	}
	return counts
}

func (a *assignment) score() {
	for p := range a.scores {
		a.scores[p] = make([]uint64, len(a.members))
	}
	for m := range a.members {
		name := append([]byte(a.members[m].Incarnation.Node()), 0)
		for p := range a.scores {
			if a.reaches[p][m] {
				hash := hashOf(name, messages.Partition(p))
				a.scores[p][m] = scoreOf(hash, a.members[m].Weight)
				a.pairs = append(a.pairs, pair{score: a.scores[p][m], hash: hash, partition: p, member: m})
			}
		}
	}
	slices.SortFunc(a.pairs, func(x, y pair) int {
		switch {
		case x.score < y.score:
			return -1
		case x.score > y.score:
			return 1
		}
		return cmp.Or(cmp.Compare(y.hash, x.hash), cmp.Compare(x.partition, y.partition), cmp.Compare(x.member, y.member))
	})
}

// place gives each partition to the first member that has room, all pairs in the order of their scores.
func (a *assignment) place() {
	a.count = make([]int, len(a.members))
	for p := range a.owner {
		a.owner[p] = nobody
	}
	for _, pair := range a.pairs {
		if m := pair.member; a.owner[pair.partition] == nobody && a.count[m] < a.bounds[m].Most {
			a.owner[pair.partition] = m
			a.count[m]++
		}
	}
}

// table ranks the members of each partition: the owner, then all others by score.
func (a *assignment) table() *Table {
	t := &Table{bounds: make(map[messages.Incarnation]Bounds, len(a.members))}
	for m, bounds := range a.bounds {
		t.bounds[a.members[m].Incarnation] = bounds
	}
	for p, owner := range a.owner {
		if owner != nobody {
			t.ranks[p] = append(make([]messages.Incarnation, 0, len(a.members)), a.members[owner].Incarnation)
		}
	}
	for _, pair := range a.pairs {
		if pair.member != a.owner[pair.partition] {
			t.ranks[pair.partition] = append(t.ranks[pair.partition], a.members[pair.member].Incarnation)
		}
	}
	return t
}
