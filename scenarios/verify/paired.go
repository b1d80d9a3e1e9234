package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/holdfast-run/holdfast/scenarios/load"
)

// pairs is how often two builds are measured beside each other, for each workload.
func (s *site) pairs() int {
	if s.ci() {
		return 1
	}
	return 10
}

// pairedWorkloads are what is compared.
var pairedWorkloads = []struct {
	name string
	args []string
}{
	{"w3", []string{"--workload", "w3"}},
	{"accept_stream", []string{"--workload", "accept", "--submit", "stream"}},
	{"accept_unary", []string{"--workload", "accept", "--submit", "unary"}},
	{"latency", []string{"--workload", "w3", "--in-flight", "1"}},
}

// paired compares this build with another one. Both are measured at the same time, so that whatever else the machine does hits both;
// of the ratios of the pairs the median counts.
func paired(ctx context.Context, s *site) (figures, error) {
	if s.against == "" {
		return figures{"paired": "skipped: -against names no other build"}, nil
	}
	pairs := s.pairs()
	f := figures{"pairs": pairs}
	for _, w := range pairedWorkloads {
		var rates, p50s []float64
		for n := range pairs {
			mine, other, err := s.pair(ctx, n%2 == 0, append(slices.Clone(w.args), "--duration", "8s"))
			if err != nil {
				return f, fmt.Errorf("pair %d of %s: %w", n, w.name, err)
			}
			s.sayf("paired: %s %d: %.0f/s against %.0f/s, median %.2f ms against %.2f ms", w.name, n, mine.RatePerS, other.RatePerS,
				mine.P50MS, other.P50MS)
			rates, p50s = append(rates, mine.RatePerS/other.RatePerS), append(p50s, mine.P50MS/other.P50MS)
		}
		f[w.name+"_rate_ratio"], f[w.name+"_p50_ratio"] = round(median(pairs, func(i int) float64 { return rates[i] }), 3),
			round(median(pairs, func(i int) float64 { return p50s[i] }), 3)
		f[w.name+"_rate_ratios"] = fmt.Sprintf("%.2f to %.2f", slices.Min(rates), slices.Max(rates))
	}
	return f, nil
}

// pair runs the same on both builds at once. mineFirst: this one is started first.
func (s *site) pair(ctx context.Context, mineFirst bool, args []string) (mine, other *load.Result, err error) {
	theirs := *s
	theirs.holdfast = s.against
	type outcome struct {
		r   *load.Result
		err error
	}
	outcomes := map[*site]chan outcome{s: make(chan outcome, 1), &theirs: make(chan outcome, 1)}
	order := []*site{s, &theirs}
	if !mineFirst {
		slices.Reverse(order)
	}
	for _, x := range order {
		go func() {
			r, err := runBench(ctx, x, args...)
			outcomes[x] <- outcome{r, err}
		}()
	}
	a, b := <-outcomes[s], <-outcomes[&theirs]
	if err := errors.Join(a.err, b.err); err != nil {
		return nil, nil, err
	}
	if a.r.Errors+b.r.Errors != 0 || b.r.RatePerS == 0 || b.r.P50MS == 0 {
		return nil, nil, errors.New("a run had errors: " + strconv.FormatInt(a.r.Errors+b.r.Errors, 10))
	}
	return a.r, b.r, nil
}

func pairedBars(s *site) bars {
	b := bars{}
	if s.against == "" {
		return b
	}
	for _, w := range pairedWorkloads {
		b[w.name+"_rate_ratio"], b[w.name+"_p50_ratio"] = atLeast(0.97), atMost(1.03)
	}
	return b
}
