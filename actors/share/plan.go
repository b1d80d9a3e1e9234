package share

import "time"

// plan says how many seats each holder is to have when those are free, and whether there are fewer than are needed.
func (g *Granter) plan(all []*holder, now time.Time) (goals []Seats, scarce bool) {
	goals = make([]Seats, len(all))
	seats := g.limit.seats()
	if !g.settled { // all go on with what they have, and nobody gets more
		for i, h := range all {
			goals[i].Concurrency = min(h.report.Held.Concurrency, seats.Concurrency)
			goals[i].Rate = min(h.report.Held.Rate, seats.Rate)
		}
		return goals, false
	}
	needs, has := make([]int, len(all)), make([]int, len(all))
	turn := int(now.UnixNano() / int64(g.slice(seats)))
	waits, scarce := waiting(all, seats.Rate, turn)
	for i, h := range all {
		needs[i], has[i] = min(h.report.Under+waits[i], seats.Concurrency), h.given.Concurrency
	}
	given, scarceTasks := divide(seats.Concurrency, needs, has, turn)
	for i := range all {
		goals[i].Concurrency = given[i]
	}
	if scarce = scarce || scarceTasks; seats.Rate == 0 || now.Before(g.rated) {
		return goals, scarce
	}
	for i, h := range all {
		has[i] = h.given.Rate
		switch {
		case seats.Concurrency > 0 && given[i] == 0:
			needs[i] = 0
		case waits[i] > 0:
			needs[i] = seats.Rate
		case h.report.Active:
			needs[i] = 1
		default:
			needs[i] = 0
		}
	}
	var scarceRate bool
	given, scarceRate = divide(seats.Rate, needs, has, turn)
	for i := range all {
		goals[i].Rate = given[i]
	}
	return goals, scarce || scarceRate
}

// waiting tells for how many of its tasks each holder is to get seats. If more holders have some than the rate has seats, it is the turn of
// so many of them: to the others, seats for tasks at a time would be of no use.
func waiting(all []*holder, rated, turn int) (waits []int, scarce bool) {
	waits = make([]int, len(all))
	var some []int
	for i, h := range all {
		if waits[i] = h.report.Waiting; waits[i] > 0 {
			some = append(some, i)
		}
	}
	if scarce = rated > 0 && len(some) > rated; scarce {
		for n := rated; n < len(some); n++ {
			waits[some[(n+turn)%len(some)]] = 0
		}
	}
	return waits, scarce
}

// worth is how many tasks a seat of a rate gives until it may be somebody else's turn: what it has saved for the next one is lost then.
const worth = 10

// slice is how long a seat stays with one of several holders that need it in turn.
func (g *Granter) slice(seats Seats) time.Duration {
	if g.limit.Rate == 0 {
		return g.config.Slice
	}
	tasks := worth * float64(seats.Rate) / g.limit.Rate
	return max(g.config.Slice, time.Duration(min(tasks, longestSlice.Seconds())*float64(time.Second)))
}

// longestSlice is how long a turn is at the most.
const longestSlice = time.Hour

// divide gives out seats: to those who need some, evenly; where there are fewer than that takes, to some of them in turn. What is left
// stays with who has it. scarce: there are fewer than are needed.
func divide(seats int, needs, has []int, turn int) (given []int, scarce bool) {
	given = make([]int, len(needs))
	left := seats
	for left > 0 {
		var short []int
		for i := range needs {
			if given[i] < needs[i] {
				short = append(short, i)
			}
		}
		if len(short) == 0 {
			break
		}
		each := left / len(short)
		if each == 0 {
			for n := range left {
				given[short[(n+turn)%len(short)]]++
			}
			left = 0
			break
		}
		for _, i := range short {
			more := min(each, needs[i]-given[i])
			given[i] += more
			left -= more
		}
	}
	for i := range needs {
		scarce = scarce || given[i] < needs[i]
	}
	for i := range has {
		kept := min(max(has[i]-given[i], 0), left)
		given[i] += kept
		left -= kept
	}
	return given, scarce
}
