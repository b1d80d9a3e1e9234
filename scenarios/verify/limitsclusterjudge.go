package main

import (
	"slices"
	"time"

	"github.com/holdfast-run/holdfast/scenarios/verify/players"
)

// judge finds out from what the gauges have written down whether the limits held, and how much of them was used while nothing happened.
func (l *limitedRow) judge(f figures) error {
	var lines []players.GaugeLine
	for _, log := range l.gauges {
		some, err := players.ReadLines[players.GaugeLine](log)
		if err != nil {
			return err
		}
		lines = append(lines, some...)
	}
	slices.SortFunc(lines, func(a, b players.GaugeLine) int { return a.At.Compare(b.At) })
	for name, limit := range map[string]int{"three": limitThree, "one": 1} {
		most, used := atOnce(lines, name, l.quiet)
		f[name+"_at_once"], f[name+"_used"] = most, round(used/float64(limit), 3)
	}
	var begun []time.Time
	for _, x := range lines {
		if x.Activity == "paced" && !x.Over {
			begun = append(begun, x.At)
		}
	}
	f["paced_executed"] = len(begun)
	f["paced_most_of_limit"] = round(mostOfRate(begun, limitRate, limitWindow), 3)
	f["paced_used"] = round(paceWithin(begun, l.quiet)/limitRate, 3)
	return nil
}

// atOnce returns how many executions of an activity there were at once at the most, and on average while nothing happened.
func atOnce(lines []players.GaugeLine, activity string, quiet []span) (most int, average float64) {
	now := 0
	var busy, all time.Duration
	var before time.Time
	for _, q := range quiet {
		all += q.to.Sub(q.from)
	}
	for _, x := range lines {
		if x.Activity != activity {
			continue
		}
		for _, q := range quiet {
			busy += time.Duration(now) * overlap(span{before, x.At}, q)
		}
		if before = x.At; x.Over {
			now--
		} else {
			now++
		}
		most = max(most, now)
	}
	return most, busy.Seconds() / all.Seconds()
}

func overlap(a, b span) time.Duration {
	from, to := a.from, a.to
	if from.Before(b.from) {
		from = b.from
	}
	if to.After(b.to) {
		to = b.to
	}
	return max(to.Sub(from), 0)
}

// mostOfRate returns the highest share of what a rate allows that was begun in any time that is at least as long as a window: what there
// may be at once beside is left out.
func mostOfRate(begun []time.Time, rate float64, window time.Duration) (most float64) {
	burst := 1 + rate/10
	first := 0
	for i, to := range begun {
		for first < i && to.Sub(begun[first+1]) >= window {
			first++
		}
		for j := first; j >= 0 && to.Sub(begun[j]) < 2*window; j-- {
			if span := to.Sub(begun[j]); span >= window {
				most = max(most, (float64(i-j+1)-burst)/(rate*span.Seconds()))
			}
		}
	}
	return most
}

// paceWithin returns how many were begun a second while nothing happened.
func paceWithin(begun []time.Time, quiet []span) float64 {
	var all time.Duration
	count := 0
	for _, q := range quiet {
		all += q.to.Sub(q.from)
		for _, at := range begun {
			if !at.Before(q.from) && at.Before(q.to) {
				count++
			}
		}
	}
	return float64(count) / all.Seconds()
}
