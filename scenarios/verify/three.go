package main

import (
	"context"
	"time"

	"github.com/holdfast-run/holdfast/scenarios/load"
	"github.com/holdfast-run/holdfast/scenarios/stage"
)

// w3AtCluster measures the main workload at the nodes of a cluster.
func w3AtCluster(ctx context.Context, s *site, c *stage.Cluster, inFlight int, duration time.Duration) (figures, error) {
	r, err := load.Run(ctx, load.Config{
		Holdfast: s.holdfast, Dir: s.dir, Nodes: c.Nodes, Workload: load.W3, InFlight: inFlight, Duration: duration, Errors: s.log,
	})
	if err != nil {
		return nil, err
	}
	f := figuresOf(r)
	delete(f, "bytes_per_order") // they are not in the nodes' folders
	return f, nil
}

// three measures the main workload with three nodes, their database and the client on the same cores.
func three(ctx context.Context, s *site) (figures, error) {
	if noCluster(s) {
		return withoutCluster(), nil
	}
	c, err := s.clusters.take(ctx, s)
	if err != nil {
		return nil, err
	}
	return c.enter(ctx, s, func(ctx context.Context, _ *stage.Stage, r *clusterRow) (figures, error) {
		if err := r.settled(ctx); err != nil {
			return nil, err
		}
		duration := 20 * time.Second
		if s.ci() {
			duration = 8 * time.Second
		}
		f, err := w3AtCluster(ctx, s, r.Cluster, 256, duration)
		if err != nil {
			return f, err
		}
		f["restarts"] = r.restarts()
		return f, nil
	})
}

func threeBars(s *site) bars {
	if noCluster(s) {
		return bars{}
	}
	return bars{"rate_per_s": s.atRate(2000)}.none("errors", "restarts")
}
