package placement

import (
	"math/bits"
	"slices"
)

// partsOf returns whole × weight ÷ sum, rounded down.
func partsOf(whole, weight, sum uint64) uint64 {
	hi, lo := bits.Mul64(whole, weight)
	quotient, _ := bits.Div64(hi, lo, sum)
	return quotient
}

// even brings all within the bounds: first the partitions for which all who reach them are full, then the members that have too few.
// Each step is a chain of members, as short as can be, in which each hands a partition to the next. There always is one, since there is
// an assignment within the bounds: what tells it from this one is made of such chains.
func (a *assignment) even() {
	for p, owner := range a.owner {
		if owner == nobody && slices.Contains(a.reaches[p], true) {
			a.fill(p)
		}
	}
	for m := range a.members {
		for a.count[m] < a.bounds[m].Least {
			from := func(n int) bool { return a.count[n] > a.bounds[n].Least }
			a.shift(a.chain([]int{m}, from, func(taker, giver int) bool { return a.handed(giver, taker) != nobody }), true)
		}
	}
}

// fill gives a partition to the first of those who reach it, by score, for which a chain leads to a member that has room.
func (a *assignment) fill(p int) {
	var starts []int
	for _, pair := range a.pairs {
		if pair.partition == p {
			starts = append(starts, pair.member)
		}
	}
	room := func(n int) bool { return a.count[n] < a.bounds[n].Most }
	path := a.chain(starts, room, func(giver, taker int) bool { return a.handed(giver, taker) != nobody })
	a.shift(path, false)
	a.owner[p] = path[0]
	a.count[path[0]]++
}

// chain finds the shortest way from one of some members to one that is an end.
func (a *assignment) chain(starts []int, end func(m int) bool, leads func(from, to int) bool) []int {
	const unseen, start = -2, -1
	before := slices.Repeat([]int{unseen}, len(a.members))
	for _, m := range starts {
		before[m] = start
	}
	for queue := slices.Clone(starts); len(queue) > 0; queue = queue[1:] {
		m := queue[0]
		if end(m) {
			var path []int
			for ; m != start; m = before[m] {
				path = append(path, m)
			}
			slices.Reverse(path)
			return path
		}
		for n := range a.members {
			if before[n] == unseen && leads(m, n) {
				before[n] = m
				queue = append(queue, n)
			}
		}
	}
	panic("placement: no assignment is within the bounds")
}

// shift moves a partition along each step of a chain: from its start to its end, or back.
func (a *assignment) shift(path []int, back bool) {
	if back {
		path = slices.Clone(path)
		slices.Reverse(path)
	}
	// The last step comes first, so that nobody hands on what it was just given.
	for i := len(path) - 2; i >= 0; i-- {
		giver, taker := path[i], path[i+1]
		a.owner[a.handed(giver, taker)] = taker
		a.count[giver]--
		a.count[taker]++
	}
}

// handed returns the partition that a member would hand to another one: that which suits the other best.
func (a *assignment) handed(giver, taker int) int {
	best := nobody
	for p, owner := range a.owner {
		if owner == giver && a.reaches[p][taker] && (best == nobody || a.scores[p][taker] < a.scores[best][taker]) {
			best = p
		}
	}
	return best
}
