package cluster

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/holdfast-run/holdfast/cluster/placement"
	"github.com/holdfast-run/holdfast/messages"
)

// world is some views, with a journal that says who has what. Word of that takes one step.
type world struct {
	now   time.Time
	views map[messages.Incarnation]*view
	owner [messages.Partitions]messages.Incarnation
	// idle are members that claim nothing though they are told to.
	idle  map[messages.Incarnation]bool
	taken int // how often a view had something taken
}

func newWorld() *world {
	return &world{
		now: time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC), views: map[messages.Incarnation]*view{}, idle: map[messages.Incarnation]bool{},
	}
}

func name(n int) messages.Incarnation { return messages.Incarnation(fmt.Sprintf("node%d/1", n)) }

// join adds members, and gives all the table of all.
func (w *world) join(names ...messages.Incarnation) {
	for _, n := range names {
		w.views[n] = &view{self: n, stand: 30 * time.Second, others: map[messages.Incarnation]*holdings{}}
	}
	w.place()
}

func (w *world) place() {
	var members []placement.Member
	var all []messages.Incarnation
	for n, v := range w.views {
		all = append(all, n)
		if !v.leaving {
			members = append(members, placement.Member{Incarnation: n, Weight: 100, Shards: []int{0}})
		}
	}
	for _, v := range w.views {
		v.keep(all)
		v.place(placement.Assign(members, placement.Conditions{}))
	}
}

// step has a time pass, and everybody look.
func (w *world) step(d time.Duration) {
	w.now = w.now.Add(d)
	word := map[messages.Incarnation]holdings{}
	for n, v := range w.views {
		word[n] = v.mine
	}
	for n, v := range w.views {
		for other, h := range word {
			if other != n {
				v.others[other] = &h
			}
		}
		take, give := v.step(w.now)
		for _, p := range give {
			if w.owner[p] == n {
				w.owner[p] = ""
				v.mine.set(p, false)
			}
		}
		w.taken += len(take)
		for _, p := range take {
			if w.owner[p] == "" && !w.idle[n] {
				w.owner[p] = n
				v.mine.set(p, true)
			}
		}
	}
}

// counts returns how many partitions each has.
func (w *world) counts() map[messages.Incarnation]int {
	c := map[messages.Incarnation]int{}
	for _, o := range w.owner {
		c[o]++
	}
	return c
}

// wantPlaced checks that each partition is with its first in rank, and that nothing moves any more.
func (w *world) wantPlaced(t *testing.T) {
	t.Helper()
	for range 5 {
		w.step(50 * time.Millisecond)
	}
	for p, o := range w.owner {
		if first := w.views[anyOf(w.views)].ranked(messages.Partition(p))[0]; o != first {
			t.Fatalf("partition %d is with %q, and is to be with %q", p, o, first)
		}
	}
	before := w.taken
	w.step(time.Minute)
	if w.taken != before {
		t.Errorf("%d partitions are claimed though all are where they are to be", w.taken-before)
	}
}

func anyOf(views map[messages.Incarnation]*view) (n messages.Incarnation) {
	for n = range views {
		break
	}
	return n
}

func TestPartitionsMoveToWhoIsToHaveThem(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.join(name(1))
	w.wantPlaced(t)
	w.join(name(2), name(3))
	w.wantPlaced(t)
	w.views[name(2)].leaving = true
	w.place()
	w.wantPlaced(t)
	if w.views[name(2)].mine != (holdings{}) {
		t.Error("who leaves keeps something")
	}
	delete(w.views, name(2))
	w.place()
	w.wantPlaced(t)
}

func TestWhatIsGoneIsClaimedByTheOthers(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.join(name(1), name(2), name(3))
	w.wantPlaced(t)
	delete(w.views, name(1))
	for p, o := range w.owner {
		if o == name(1) {
			w.owner[p] = ""
		}
	}
	w.place()
	w.wantPlaced(t)
}

// A member that claims nothing is stood in for, in rank, and gets another chance.
func TestNextInRankStandsIn(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.idle[name(1)] = true
	w.join(name(1), name(2), name(3))
	for range 15 {
		w.step(100 * time.Millisecond)
	}
	first := 0
	for p := range w.owner {
		if w.views[name(2)].ranked(messages.Partition(p))[0] == name(1) {
			first++
		}
	}
	if got := w.counts()[""]; got != first || first == 0 {
		t.Fatalf("%d partitions are nobody's after 1.5 s, want the %d of the one that claims nothing", got, first)
	}
	for range 10 {
		w.step(100 * time.Millisecond)
	}
	if got := w.counts()[""]; got != 0 {
		t.Errorf("%d partitions are nobody's after 2.5 s", got)
	}
	w.idle[name(1)] = false
	for range 32 {
		w.step(time.Second)
	}
	w.wantPlaced(t)
}

// Rebalanced, a stand-in gives up at once what another one is to have, who gets it.
func TestRebalancingEndsStandingIn(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.idle[name(1)] = true
	w.join(name(1), name(2), name(3))
	for range 30 {
		w.step(100 * time.Millisecond)
	}
	w.idle[name(1)] = false
	w.step(time.Second)
	if c := w.counts(); c[name(1)] != 0 || c[""] != 0 {
		t.Fatalf("they have %v: the others are to stand in", c)
	}
	for _, v := range w.views {
		v.rebalance()
	}
	for range 3 {
		w.step(100 * time.Millisecond)
	}
	w.wantPlaced(t)
}

// Rebalanced, what was lost is taken again, though a while is not over.
func TestRebalancingTakesAgainWhatWasLost(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.join(name(1))
	w.wantPlaced(t)
	v, p := w.views[name(1)], messages.Partition(7)
	v.mine.set(p, false)
	v.loses(p, w.now)
	w.owner[p] = ""
	w.step(time.Second)
	if w.owner[p] != "" {
		t.Fatal("it is claimed before")
	}
	v.rebalance()
	w.step(time.Millisecond)
	if w.owner[p] != name(1) {
		t.Error("it is not claimed again")
	}
}

// Rebalanced just before there is another table, a member gives up what it was told to take and is not to have any more.
func TestRebalancingBeforeAnotherTableForgetsNothing(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.join(name(1))
	w.idle[name(1)] = true
	v := w.views[name(1)]
	if take, _ := v.step(w.now); len(take) != messages.Partitions {
		t.Fatalf("it takes %d partitions", len(take))
	}
	v.rebalance()
	w.join(name(2))
	_, give := v.step(w.now)
	for p := range messages.Partition(messages.Partitions) {
		if v.rank(v.self, p) > 0 && !slices.Contains(give, p) {
			t.Fatalf("it was told to take partition %d, and does not give it up for %q", p, v.desired(p))
		}
	}
}

// What another node has taken is not taken back at once, but when the topology changes or a while is over.
func TestWhatWasLostIsLeftAlone(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.join(name(1))
	w.wantPlaced(t)
	v, p := w.views[name(1)], messages.Partition(7)
	v.mine.set(p, false)
	v.loses(p, w.now)
	before := w.taken
	w.step(lostFor - time.Second)
	if w.taken != before {
		t.Error("it is claimed at once")
	}
	w.owner[p] = ""
	w.step(time.Second)
	if w.owner[p] != name(1) {
		t.Error("it is not claimed again, though nobody has it")
	}
	v.mine.set(p, false)
	v.loses(p, w.now)
	w.owner[p] = ""
	w.place()
	w.step(time.Millisecond)
	if w.owner[p] != name(1) {
		t.Error("another topology does not have it claimed")
	}
}

// Messages go to who says that it has a partition, also if another one is to have it.
func TestHolderIsWhoSaysSo(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.join(name(1), name(2), name(3))
	v := w.views[name(1)]
	p := messages.Partition(3)
	if who := v.holder(p); who != "" {
		t.Errorf("%q has it before anybody said so", who)
	}
	ranked := v.ranked(p)
	for _, next := range slices.Backward(ranked) {
		if next == v.self {
			continue
		}
		h := &holdings{}
		h.set(p, true)
		v.others[next] = h
		if who := v.holder(p); who != next {
			t.Errorf("%q has it, want the one before in rank, %q", who, next)
		}
	}
	v.keep([]messages.Incarnation{v.self})
	if who := v.holder(p); who != "" {
		t.Errorf("%q has it, who is no member", who)
	}
}
