package main

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/holdfast-run/holdfast/scenarios/simulation"
)

const (
	// modelWorlds is how many worlds there are at full scale, modelWorldsCI at the scale ci.
	modelWorlds   = 100_000
	modelWorldsCI = 500
	// modelTold is how many of the worlds in which something is wrong are told of.
	modelTold = 10
)

func (s *site) modelWorlds() uint64 {
	if s.ci() {
		return modelWorldsCI
	}
	return modelWorlds
}

// model runs clusters of five nodes on one goroutine each, from seeds: those behind the seed of the row.
func model(ctx context.Context, s *site) (figures, error) {
	sum, failed := simulation.NewReport(), 0
	var mu sync.Mutex
	var next atomic.Uint64
	var all sync.WaitGroup
	for range runtime.NumCPU() {
		all.Go(func() {
			for ctx.Err() == nil {
				n := next.Add(1)
				if n > s.modelWorlds() {
					return
				}
				r, err := simulation.Run(s.seed + n)
				mu.Lock()
				sum.Add(r)
				if err != nil {
					if failed++; failed <= modelTold {
						s.sayf("model: %v", err)
					}
				}
				mu.Unlock()
			}
		})
	}
	all.Wait()
	for _, kind := range sum.Idle() {
		s.sayf("model: nothing has come of the fault: %s", kind)
	}
	injected := 0
	for _, kind := range simulation.Kinds() {
		s.sayf("model: %d times %s; %d effects", sum.Injected[kind], kind, sum.Bit[kind])
		injected += sum.Injected[kind]
	}
	return figures{
		"worlds": sum.Worlds, "failed": failed, "faults": injected, "idle_faults": len(sum.Idle()), "commits": sum.Commits,
		"exits": sum.Exits, "taken_over": sum.TakenOver, "commits_refused": sum.Fenced, "tasks_refused": sum.Refused,
		"slowest_seconds": sum.Slowest.Seconds(),
	}, ctx.Err()
}

func modelBars(s *site) bars {
	worlds := float64(s.modelWorlds())
	return bars{
		"worlds": atLeast(worlds), "faults": atLeast(2 * worlds), "taken_over": atLeast(worlds / 4),
		"commits_refused": atLeast(worlds / 100), "tasks_refused": atLeast(worlds / 100),
	}.none("failed", "idle_faults")
}
