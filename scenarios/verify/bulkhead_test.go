package main

import (
	"testing"
	"time"
)

// TestTurnOf: what ended before and after the time is left out, and so is what has not ended.
func TestTurnOf(t *testing.T) {
	t.Parallel()
	begin := time.Unix(1000, 0)
	end := begin.Add(2 * time.Second)
	ended := func(at time.Time, took time.Duration) *order { return &order{submitted: at.Add(-took), ended: at} }
	orders := []*order{
		ended(begin.Add(-1), time.Minute), ended(end, time.Minute),
		{submitted: begin},
		ended(begin, 100*time.Millisecond),
	}
	for i := range 99 {
		orders = append(orders, ended(end.Add(-1), time.Duration(99-i)*time.Millisecond))
	}
	if l := turnOf(orders, begin, end); l.rate != 50 || l.p99 != 99 {
		t.Errorf("of 100 orders in 2 s: %+v", l)
	}
	if l := turnOf(append(orders, ended(begin, 200*time.Millisecond)), begin, end); l.rate != 50.5 || l.p99 != 100 {
		t.Errorf("of 101 orders in 2 s: %+v", l)
	}
	if l := turnOf(orders[:3], begin, end); l != (turn{}) {
		t.Errorf("of no orders: %+v", l)
	}
}

// TestCompare: ratios are taken within the pairs, so that a machine that gets slower is no matter.
func TestCompare(t *testing.T) {
	t.Parallel()
	dry := []turn{{1000, 10, 0.1, 0.01}, {500, 20, 0.2, 0.02}, {100, 100, 0.4, 0.9}}
	flooded := []turn{{900, 15, 0.11, 0}, {500, 20, 0.2, 0}, {95, 110, 0.42, 0}}
	f := figures{}
	compare(f, dry, flooded)
	for name, want := range map[string]any{
		"pairs": 3, "dry_rate_per_s": 500.0, "rate_per_s": 500.0, "rate_ratio": 0.95, "p99_ms": 20.0, "p99_ratio": 1.1,
		"cpu_ratio": 1.05, "rest_cpu": 0.02, "dry_rest_cpu": 0.0,
	} {
		if f[name] != want {
			t.Errorf("%s is %v, want %v", name, f[name], want)
		}
	}
	compare(f, dry[:2], flooded[:2])
	if f["rate_ratio"] != 0.95 || f["dry_rate_per_s"] != 750.0 {
		t.Errorf("of two pairs: %v", f)
	}
}
