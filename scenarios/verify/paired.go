package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/holdfast-run/holdfast/scenarios/load"
)

// pairCount is how often two builds are measured beside each other, for each workload.
func (s *site) pairCount() int {
	if s.ci() {
		return 1
	}
	return 10
}

// pairsInDoubt is how often they are where a bar is missed after that: single pairs differ by some hundredths.
const pairsInDoubt = 30

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

// secureWorkloads are those of them that are compared once more, with this build's node secured and the other one's not.
var secureWorkloads = []string{"w3", "accept_stream", "latency"}

// secured is how the names begin of figures of a node that is secured.
const secured = "secured_"

// paired compares this build with another one. Both are measured at the same time, so that whatever else the machine does hits both;
// of the ratios of the pairs the median counts.
func paired(ctx context.Context, s *site) (figures, error) {
	if s.against == "" {
		return figures{"paired": "skipped: -against names no other build"}, nil
	}
	f := figures{}
	for _, w := range pairedWorkloads {
		args := append(slices.Clone(w.args), "--duration", "8s")
		if err := s.pairs(ctx, f, w.name, args, args); err != nil {
			return f, err
		}
		if slices.Contains(secureWorkloads, w.name) {
			if err := s.pairs(ctx, f, secured+w.name, append(slices.Clone(args), "--secure"), args); err != nil {
				return f, err
			}
		}
	}
	return f, nil
}

// pairs measures both builds again and again, each with arguments of its own.
func (s *site) pairs(ctx context.Context, f figures, name string, args, others []string) error {
	var rates, p50s []float64
	own := pairedBars(s)
	maps.DeleteFunc(own, func(figure string, _ bar) bool { return figure != name+"_rate_ratio" && figure != name+"_p50_ratio" })
	count := s.pairCount()
	for n := 0; n < count; n++ {
		mine, other, err := s.pair(ctx, n%2 == 0, args, others)
		if err != nil {
			return fmt.Errorf("pair %d of %s: %w", n, name, err)
		}
		s.sayf("paired: %s %d: %.0f/s against %.0f/s, median %.2f ms against %.2f ms", name, n, mine.RatePerS, other.RatePerS,
			mine.P50MS, other.P50MS)
		rates, p50s = append(rates, mine.RatePerS/other.RatePerS), append(p50s, mine.P50MS/other.P50MS)
		f[name+"_rate_ratio"], f[name+"_p50_ratio"] = round(median(len(rates), func(i int) float64 { return rates[i] }), 3),
			round(median(len(p50s), func(i int) float64 { return p50s[i] }), 3)
		if n+1 == s.pairCount() && !s.ci() && len(own.misses(f)) > 0 {
			count = pairsInDoubt
		}
	}
	f[name+"_rate_ratios"] = fmt.Sprintf("%.2f to %.2f of %d", slices.Min(rates), slices.Max(rates), count)
	return nil
}

// pair measures both builds at once. mineFirst: this one is started first.
func (s *site) pair(ctx context.Context, mineFirst bool, args, others []string) (mine, other *load.Result, err error) {
	theirs := *s
	theirs.holdfast = s.against
	type outcome struct {
		r   *load.Result
		err error
	}
	outcomes := map[*site]chan outcome{s: make(chan outcome, 1), &theirs: make(chan outcome, 1)}
	of := map[*site][]string{s: args, &theirs: others}
	order := []*site{s, &theirs}
	if !mineFirst {
		slices.Reverse(order)
	}
	for _, x := range order {
		go func() {
			r, err := runBench(ctx, x, of[x]...)
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
	for _, name := range secureWorkloads {
		b[secured+name+"_rate_ratio"] = atLeast(0.85)
	}
	return b
}
