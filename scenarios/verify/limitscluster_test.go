package main

import (
	"testing"
	"time"

	"github.com/holdfast-run/holdfast/scenarios/verify/players"
)

func TestAtOnceTellsTheMostAndTheAverage(t *testing.T) {
	t.Parallel()
	at := func(s int) time.Time { return time.Unix(int64(s), 0) }
	line := func(s int, over bool) players.GaugeLine {
		return players.GaugeLine{At: at(s), Activity: "one", Over: over}
	}
	lines := []players.GaugeLine{line(0, false), line(4, true), {At: at(5), Activity: "other"}, line(6, false), line(7, false), line(8, true), line(9, true)}
	most, used := atOnce(lines, "one", []span{{at(2), at(8)}})
	if want := (2.0 + 1 + 2) / 6; most != 2 || used < want-1e-6 || used > want+1e-6 {
		t.Errorf("%d at once, %.3f on average, want 2 and %.3f", most, used, want)
	}
}

func TestMostOfRateFindsATimeWithTooMany(t *testing.T) {
	t.Parallel()
	var begun []time.Time
	add := func(from, rate, seconds float64) {
		for i := range int(rate * seconds) {
			begun = append(begun, time.Unix(0, int64((from+float64(i)/rate)*1e9)))
		}
	}
	add(0, 50, 10)
	if got := mostOfRate(begun, 50, 2*time.Second); got > 1 || got < 0.9 {
		t.Errorf("of a rate that is just allowed, %.3f was used", got)
	}
	add(10, 150, 3)
	add(13, 50, 10)
	if got := mostOfRate(begun, 50, 2*time.Second); got < 2.5 {
		t.Errorf("of a rate that is three times too high, %.3f was used", got)
	}
	if got := paceWithin(begun, []span{{time.Unix(2, 0), time.Unix(4, 0)}}); got < 49 || got > 51 {
		t.Errorf("%.1f a second, want 50", got)
	}
}
