package main

import (
	"testing"
	"time"
)

// Rates are of the time while the node took orders, and of whole intervals, if there are enough.
func TestFloodRates(t *testing.T) {
	t.Parallel()
	begin := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	type session struct {
		begins, lasts time.Duration
		accepted      int // at an even pace
	}
	for name, c := range map[string]struct {
		sessions     []session
		lowest, mean float64
	}{
		"shorter than an interval": {[]session{{0, 500 * time.Millisecond, 1000}}, 2000, 2000},
		"some intervals":           {[]session{{0, 4500 * time.Millisecond, 4500}}, 1000, 1000},
		"a break": {
			[]session{{0, 2500 * time.Millisecond, 5000}, {time.Minute, 3500 * time.Millisecond, 3500}}, 1000, 8500.0 / 6,
		},
		"short on both sides of a break": {
			[]session{{0, 400 * time.Millisecond, 400}, {time.Minute, 600 * time.Millisecond, 2600}}, 3000, 3000,
		},
	} {
		f := newFlood(0, 0, nil)
		for _, s := range c.sessions {
			opened := begin.Add(s.begins)
			f.breakOff(opened)
			for n := range s.accepted {
				f.count(opened.Add(time.Duration(n+1) * s.lasts / time.Duration(s.accepted)))
			}
		}
		if lowest, mean := f.slowest(2); lowest != c.lowest || mean != c.mean {
			t.Errorf("%s: %v and %v, want %v and %v", name, lowest, mean, c.lowest, c.mean)
		}
	}
}
