package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/holdfast-run/holdfast/scenarios/attack"
)

// noisyClients are the most expensive of what clients are allowed.
var noisyClients = []attacked{{name: attack.Expressions}, {name: attack.Costly}, {name: attack.Lists}, {name: attack.Definitions}}

// noisyPairs is how often others are measured beside a client that does all of that, noisyTime how long each time.
const noisyPairs, noisyTime = 15, 5 * time.Second

// noisy has one client do the most expensive that it may, and compares others beside it with others beside a process that burns as much.
func noisy(ctx context.Context, s *site) (figures, error) {
	if why := unconfined(s); why != "" {
		return figures{"noisy": why, "skipped": 1}, nil
	}
	return attackedNode(ctx, s, plainNode, noisyClients, hostileSettings(), func(ctx context.Context, h *hostile) error {
		var names []string
		for _, a := range noisyClients {
			names = append(names, a.name)
		}
		if _, _, err := h.turn(ctx, attack.Burn, confined, noisyTime/2); err != nil { // what comes first is no measure
			return err
		}
		for n := range noisyPairs {
			if err := h.pair(ctx, allAtOnce, strings.Join(names, ","), noisyTime, n%2 == 1); err != nil {
				return fmt.Errorf("pair %d: %w", n, err)
			}
		}
		return nil
	})
}

func noisyBars(s *site) bars {
	if unconfined(s) != "" {
		return bars{"skipped": atLeast(1)}
	}
	b := hostileBars(s, noisyClients)
	b["p99_ratio"] = s.within(2)
	return b
}
