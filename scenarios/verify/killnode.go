package main

import (
	"context"
	"slices"
	"time"
)

// untilTold has a node stay away until it is told otherwise.
const untilTold = time.Hour

func killNodeRounds(s *site) int {
	if s.ci() {
		return 1
	}
	return 20
}

// killNodeRate is how many orders come in a second.
func killNodeRate(s *site) int {
	if s.ci() {
		return 100
	}
	return 1000
}

// killNode kills one of three nodes, again and again, under load.
func killNode(ctx context.Context, s *site) (figures, error) {
	return withCluster(ctx, s, func(ctx context.Context, r *clusterRow) (figures, error) {
		f, chance := figures{}, s.chance()
		var took []time.Duration
		err := r.during(ctx, killNodeRate(s), f, func(ctx context.Context, _ *pulse) error {
			for range killNodeRounds(s) {
				if err := r.settled(ctx); err != nil {
					return err
				}
				if err := between(ctx, chance, 500*time.Millisecond, 1500*time.Millisecond); err != nil {
					return err
				}
				d, err := r.kill(ctx, chance.IntN(len(r.Nodes)))
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
		slices.Sort(took)
		f["kills"], f["takeover_p50_s"] = len(took), round(took[len(took)/2].Seconds(), 2)
		f["takeover_p99_s"] = round(took[(len(took)*99+99)/100-1].Seconds(), 2)
		f["fences"], err = r.logged("msg=\"takes over\"")
		return f, err
	})
}

// kill kills a node, and tells after how long the others had all that it had. The node stays away until then.
func (r *clusterRow) kill(ctx context.Context, victim int) (took time.Duration, err error) {
	r.Nodes[victim].StayAway(untilTold)
	defer r.Nodes[victim].StayAway(nodeBack)
	killed, err := r.Nodes[victim].Kill(ctx)
	if err == nil {
		err = r.taken(ctx, victim)
	}
	return time.Since(killed), err
}

// taken waits until the other nodes have all that a node had, as each of them sees it, and have read what is open there.
func (r *clusterRow) taken(ctx context.Context, victim int) error {
	for i, n := range r.Nodes {
		if i == victim {
			continue
		}
		if err := r.placed(ctx, n, nodeName(victim)); err != nil {
			return err
		}
	}
	return nil
}

func killNodeBars(s *site) bars {
	if noCluster(s) {
		return bars{}
	}
	return bars{
		"kills": atLeast(float64(killNodeRounds(s))), "fences": atLeast(float64(killNodeRounds(s))), "takeover_p99_s": atMost(5),
		"acknowledged": atLeast(float64(killNodeRate(s))),
	}.none(clusterNone...)
}

// clusterNone must be nothing in each row that has a cluster.
var clusterNone = []string{
	"client_errors", "seconds_without_acceptance", "lost", "duplicated", "missing", "history_gaps", "unexplained", "surplus",
	"without_history",
}

func noCluster(s *site) bool { return noPostgres(s) != "" || s.consul == "" }
