package main

import (
	"context"
	"errors"
	"slices"
	"time"
)

// hostRounds is how often a host is lost.
const hostRounds = 5

// hostLost has a host vanish with all that is on it, a node and its agent of Consul, under load. Nobody is told by a closed connection.
func hostLost(ctx context.Context, s *site) (figures, error) {
	if s.ci() {
		return skippedAtCI(), nil
	}
	return withHosts(ctx, s, true, func(ctx context.Context, r *clusterRow) (figures, error) {
		f, chance := figures{}, s.chance()
		var took []time.Duration
		err := r.during(ctx, killNodeRate(s), f, func(ctx context.Context, _ *pulse) error {
			for range hostRounds {
				if err := r.settled(ctx); err != nil {
					return err
				}
				if err := between(ctx, chance, 500*time.Millisecond, 1500*time.Millisecond); err != nil {
					return err
				}
				d, err := r.lose(ctx, chance.IntN(len(r.Nodes)))
				if err != nil {
					return err
				}
				took = append(took, d)
			}
			return r.settled(ctx)
		})
		if err != nil {
			return f, err
		}
		f["hosts_lost"], f["takeover_max_s"] = len(took), round(slices.Max(took).Seconds(), 2)
		f["fences"], err = r.logged("msg=\"takes over\"")
		return f, err
	})
}

// lose has a host vanish for a while, and tells after how long the others had all that its node had.
func (r *clusterRow) lose(ctx context.Context, victim int) (took time.Duration, err error) {
	n := r.Nodes[victim]
	n.StayAway(untilTold)
	n.Agent.StayAway(untilTold)
	defer n.StayAway(nodeBack)
	defer n.Agent.StayAway(nodeBack)
	if err := n.Host.Unplug(ctx); err != nil {
		return 0, err
	}
	lost := time.Now()
	_, err = n.Kill(ctx)
	_, errAgent := n.Agent.Kill(ctx)
	if err := errors.Join(err, errAgent); err != nil {
		return 0, err
	}
	if err := r.taken(ctx, victim); err != nil {
		return 0, err
	}
	took = time.Since(lost)
	return took, n.Host.Plug(ctx)
}

func hostLostBars(s *site) bars {
	switch {
	case s.ci():
		return bars{"skipped": atLeast(1)}
	case noHosts(s):
		return bars{}
	}
	return bars{"hosts_lost": atLeast(hostRounds), "fences": atLeast(hostRounds)}.none(clusterNone...)
}
