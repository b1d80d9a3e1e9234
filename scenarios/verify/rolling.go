package main

import (
	"context"
	"syscall"
	"time"

	"github.com/holdfast-run/holdfast/scenarios/stage"
)

// quietFor is how long orders come before nodes are restarted, to compare with.
const quietFor = 10 * time.Second

// forgottenWithin is how long the nodes may take to have Consul forget the watermarks of those that have ended.
const forgottenWithin = 15 * time.Second

// rolling stops all nodes gracefully, one after the other, and starts them again, under load.
func rolling(ctx context.Context, s *site) (figures, error) {
	return withCluster(ctx, s, func(ctx context.Context, r *clusterRow) (figures, error) {
		f := figures{}
		err := r.during(ctx, killNodeRate(s), f, func(ctx context.Context, p *pulse) error {
			if err := r.settled(ctx); err != nil {
				return err
			}
			began := time.Now()
			if err := stage.Pause(ctx, quietFor); err != nil {
				return err
			}
			restarting := time.Now()
			for _, n := range r.Nodes {
				starts := n.Starts()
				if err := n.Signal(syscall.SIGTERM); err != nil {
					return err
				}
				if err := n.AwaitStart(ctx, starts); err != nil {
					return err
				}
				if err := r.settled(ctx); err != nil {
					return err
				}
			}
			over := time.Now()
			before, during := p.p99(began, restarting), p.p99(restarting, over)
			f["p99_before_ms"], f["p99_during_ms"] = round(before.Seconds()*1000, 1), round(during.Seconds()*1000, 1)
			f["p99_ratio"] = round(during.Seconds()/before.Seconds(), 2)
			var err error
			f["watermarks_left"], err = r.Consul.Keys(ctx, "holdfast/watermarks/", len(r.Nodes), forgottenWithin)
			return err
		})
		if err != nil {
			return f, err
		}
		f["restarts"] = len(r.Nodes)
		f["fences"], err = r.logged("msg=\"takes over\"")
		return f, err
	})
}

func rollingBars(s *site) bars {
	if noCluster(s) {
		return bars{}
	}
	b := bars{"restarts": atLeast(clusterNodes), "watermarks_left": exactly(clusterNodes)}.none(clusterNone...).none("fences")
	if !s.ci() {
		b["p99_ratio"] = atMost(3)
	}
	return b
}
