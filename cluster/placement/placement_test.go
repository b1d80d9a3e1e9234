package placement_test

import (
	"fmt"
	"hash/fnv"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/holdfast-run/holdfast/cluster/placement"
	"github.com/holdfast-run/holdfast/messages"
)

// between is the most partitions that move between the members that stay when one of up to twelve comes or goes.
const between = 48

func member(name string, weight uint32) placement.Member {
	return placement.Member{Incarnation: messages.Incarnation(name), Weight: weight, Level: 1, Shards: []int{0}}
}

func members(weights ...uint32) []placement.Member {
	var all []placement.Member
	for i, weight := range weights {
		all = append(all, member(fmt.Sprintf("node%d/1", i+1), weight))
	}
	return all
}

// sharded are the conditions of a journal of some shards.
func sharded(shards int) placement.Conditions {
	c := placement.Conditions{Level: 1}
	for p := range c.Shard {
		c.Shard[p] = p % shards
	}
	return c
}

func can(m placement.Member, p messages.Partition, c placement.Conditions) bool {
	return m.Weight > 0 && m.Level >= c.Level && slices.Contains(m.Shards, c.Shard[p])
}

// holds checks all that is promised of one table.
func holds(t rapid.TB, all []placement.Member, c placement.Conditions, table *placement.Table) {
	t.Helper()
	shares := map[messages.Incarnation]*big.Rat{}
	for p := range messages.Partition(messages.Partitions) {
		sum := int64(0)
		var expected []string
		for _, m := range all {
			if can(m, p, c) {
				sum += int64(m.Weight)
				expected = append(expected, string(m.Incarnation))
			}
		}
		for _, m := range all {
			if can(m, p, c) {
				if shares[m.Incarnation] == nil {
					shares[m.Incarnation] = new(big.Rat)
				}
				shares[m.Incarnation].Add(shares[m.Incarnation], big.NewRat(int64(m.Weight), sum))
			}
		}
		var ranked []string
		for _, in := range table.Rank(p) {
			ranked = append(ranked, string(in))
		}
		slices.Sort(ranked)
		slices.Sort(expected)
		if !slices.Equal(ranked, expected) {
			t.Fatalf("partition %d: ranked are %v, and %v can have it", p, ranked, expected)
		}
	}
	// Where shares of several shards add up to a whole number, they may do so but nearly, and the bound is one further off.
	for _, m := range all {
		share, b := shares[m.Incarnation], table.Bounds(m.Incarnation)
		if share == nil {
			share = new(big.Rat)
		}
		exact, _ := share.Float64()
		// A share is a fraction whose parts are small, so that this is less than its distance from the next whole number.
		const little = 1e-9
		least, most := min(floor(exact+little), -floor(-0.9*exact+little)), max(-floor(-exact+little), floor(1.1*exact+little))
		if b.Least < least-1 || b.Least > least || b.Most < most || b.Most > most+1 {
			t.Fatalf("%s: bounds of the share %v are %+v, not from %d to %d", m.Incarnation, exact, b, least, most)
		}
		if n := len(table.Owned(m.Incarnation)); n < b.Least || n > b.Most {
			t.Fatalf("%s is to own %d partitions: the bounds are %+v", m.Incarnation, n, b)
		}
	}
}

func floor(x float64) int {
	n := int(x)
	if float64(n) > x {
		n--
	}
	return n
}

// moved counts the partitions that change their desired owner while one member comes or goes, and who has them is neither.
func moved(before, after *placement.Table, but messages.Incarnation) int {
	n := 0
	for p := range messages.Partition(messages.Partitions) {
		if a, b := before.Owner(p), after.Owner(p); a != b && a != but && b != but {
			n++
		}
	}
	return n
}

// TestBounds goes through all weights up to 4 of up to three members, and some of more: members of equal weight get equal parts, as
// near as 10 %.
func TestBounds(t *testing.T) {
	t.Parallel()
	var try func(weights []uint32)
	try = func(weights []uint32) {
		holds(t, members(weights...), sharded(1), placement.Assign(members(weights...), sharded(1)))
		if len(weights) < 3 {
			for w := range uint32(5) {
				try(append(slices.Clone(weights), w))
			}
		}
	}
	try(nil)
	for n := 4; n <= 64; n *= 2 {
		all := members(slices.Repeat([]uint32{3}, n)...)
		table := placement.Assign(all, sharded(1))
		holds(t, all, sharded(1), table)
		if b, share := table.Bounds("node1/1"), 256/n; b.Least < share*9/10 || b.Most > max(share, share*11/10) {
			t.Errorf("%d members: the bounds are %+v, the share is %d", n, b, share)
		}
	}
}

// TestShards draws members that reach some shards, and read some levels: the bounds hold however little choice there is.
func TestShards(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		shards := rapid.SampledFrom([]int{1, 2, 3, 8, 256}).Draw(t, "shards")
		c := sharded(shards)
		all := members(rapid.SliceOfN(rapid.Uint32Range(0, 4), 1, 12).Draw(t, "weights")...)
		for i := range all {
			all[i].Level = rapid.Uint32Range(0, 2).Draw(t, "level")
			all[i].Shards = nil
			for shard := range shards {
				if rapid.IntRange(0, 2).Draw(t, "reaches") > 0 {
					all[i].Shards = append(all[i].Shards, shard)
				}
			}
		}
		table := placement.Assign(all, c)
		holds(t, all, c, table)
		other := placement.Assign(rapid.Permutation(all).Draw(t, "order"), c)
		for p := range messages.Partition(messages.Partitions) {
			if !slices.Equal(table.Rank(p), other.Rank(p)) {
				t.Fatalf("partition %d is ranked %v and %v, by the order of the members", p, table.Rank(p), other.Rank(p))
			}
		}
	})
}

// TestMovement states what moves beside what must: all members once with equal weights, and weights that are drawn.
func TestMovement(t *testing.T) {
	t.Parallel()
	for n := 1; n <= 12; n++ {
		all := members(slices.Repeat([]uint32{1}, n)...)
		before := placement.Assign(all, sharded(1))
		for i, m := range all {
			after := placement.Assign(slices.Delete(slices.Clone(all), i, i+1), sharded(1))
			if got := moved(before, after, m.Incarnation); n > 1 && got > between/2 {
				t.Errorf("%s of %d goes: %d partitions move between the others", m.Incarnation, n, got)
			}
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		all := members(rapid.SliceOfN(rapid.Uint32Range(0, 4), 1, 12).Draw(t, "weights")...)
		for i := range all {
			name := rapid.StringMatching(`[a-z]{1,8}`).Draw(t, "name")
			all[i].Incarnation = messages.Incarnation(fmt.Sprintf("%s%d/1", name, i))
		}
		before := placement.Assign(all, sharded(1))
		i := rapid.IntRange(0, len(all)-1).Draw(t, "who")
		after := placement.Assign(slices.Delete(slices.Clone(all), i, i+1), sharded(1))
		got := moved(before, after, all[i].Incarnation)
		if got > between || all[i].Weight == 0 && got > 0 {
			t.Fatalf("%s goes: %d partitions move between the others", all[i].Incarnation, got)
		}
		all[i].Weight = 0
		if left := placement.Assign(all, sharded(1)); moved(after, left, "") > 0 {
			t.Fatal("who has weight 0 counts for something")
		}
	})
}

// TestRestart shows that a node which comes back under its name gets what it had, also while its old incarnation is still there.
func TestRestart(t *testing.T) {
	t.Parallel()
	old := members(1, 2, 3, 4)
	before := placement.Assign(old, sharded(1))
	again := slices.Clone(old)
	again[1].Incarnation = "node2/2"
	for name, all := range map[string][]placement.Member{"alone": again, "beside the old one": append(slices.Clone(again), old[1])} {
		after := placement.Assign(all, sharded(1))
		if got := after.Owned("node2/2"); !slices.Equal(got, before.Owned("node2/1")) || len(got) == 0 {
			t.Errorf("%s: it had %v, and gets %v", name, before.Owned("node2/1"), got)
		}
		if got := after.Owned("node2/1"); len(got) > 0 || after.Bounds("node2/1") != (placement.Bounds{}) {
			t.Errorf("%s: the old incarnation gets %v", name, got)
		}
		if moved(before, after, "node2/1") > 0 {
			t.Errorf("%s: others move", name)
		}
	}
	// The new one counts also where it can have nothing.
	again[1].Weight = 0
	if got := placement.Assign(append(again, old[1]), sharded(1)).Owned("node2/1"); len(got) > 0 {
		t.Errorf("the old incarnation gets %v", got)
	}
}

func TestMayClaim(t *testing.T) {
	t.Parallel()
	table := placement.Assign(members(1, 1, 1, 0), sharded(1))
	rank := table.Rank(7)
	for k, who := range rank {
		due := time.Duration(k) * placement.Patience
		if !table.MayClaim(7, who, due) || table.MayClaim(7, who, due-1) {
			t.Errorf("%s, at place %d, is not due after exactly %v", who, k, due)
		}
	}
	if len(rank) != 3 || table.Owner(7) != rank[0] || table.MayClaim(7, "node4/1", time.Hour) {
		t.Errorf("ranked are %v", rank)
	}
	none := placement.Assign(members(0), sharded(1))
	if none.Owner(7) != "" || none.MayClaim(7, "node1/1", time.Hour) {
		t.Error("a node of weight 0 may claim")
	}
}

// TestStable pins the function: another one would move partitions while a cluster is upgraded, when nodes of both versions compute
// tables, and differ. Who changes it has to think of that.
func TestStable(t *testing.T) {
	t.Parallel()
	table := placement.Assign(members(1, 2, 3, 1, 1), sharded(1))
	sum := fnv.New64a()
	var shares []string
	for p := range messages.Partition(messages.Partitions) {
		fmt.Fprintln(sum, table.Rank(p))
	}
	for _, m := range members(1, 2, 3, 1, 1) {
		shares = append(shares, fmt.Sprint(len(table.Owned(m.Incarnation))))
	}
	if got := fmt.Sprintf("%s: %x", strings.Join(shares, " "), sum.Sum64()); got != "32 63 94 35 32: 1fb2373b38987af5" {
		t.Errorf("got %s", got)
	}
}

func BenchmarkAssign(b *testing.B) {
	for _, n := range []int{3, 12, 64} {
		all := members(slices.Repeat([]uint32{1}, n)...)
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				placement.Assign(all, sharded(1))
			}
		})
	}
}
