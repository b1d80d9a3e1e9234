package main

import (
	"context"
	"syscall"
	"time"

	"github.com/holdfast-run/holdfast/scenarios/stage"
)

// settlesWithin is how long all nodes may take to see the same once Consul is back.
const settlesWithin = 10 * time.Second

// consulGone is how long Consul is gone for all.
func consulGone(s *site) time.Duration {
	if s.ci() {
		return 10 * time.Second
	}
	return 10 * time.Minute
}

// consulCut takes Consul away from all nodes for a while, restarts it, and has it forget all, under load.
func consulCut(ctx context.Context, s *site) (figures, error) {
	return withCluster(ctx, s, func(ctx context.Context, r *clusterRow) (figures, error) {
		f := figures{}
		slowest := time.Duration(0)
		err := r.during(ctx, killNodeRate(s), f, func(ctx context.Context, _ *pulse) error {
			for _, fault := range []func(context.Context) error{
				func(ctx context.Context) error { return r.silence(ctx, 8*time.Second) },
				func(ctx context.Context) error { _, err := r.Consul.Kill(ctx); return err },
				r.Consul.Wipe,
				func(ctx context.Context) error { return r.silence(ctx, consulGone(s)) },
			} {
				if err := r.settled(ctx); err != nil {
					return err
				}
				if err := fault(ctx); err != nil {
					return err
				}
				healed := time.Now()
				if err := stage.Pause(ctx, time.Second); err != nil { // else what is seen is of before
					return err
				}
				if err := r.settled(ctx); err != nil {
					return err
				}
				slowest = max(slowest, time.Since(healed))
			}
			return stage.Pause(ctx, 2*clusterTTL) // a claim would come by then
		})
		if err != nil {
			return f, err
		}
		f["settled_within_s"], f["node_starts"] = round(slowest.Seconds(), 2), r.restarts()
		if f["fences"], err = r.logged("msg=\"takes over\""); err != nil {
			return f, err
		}
		f["frozen"], err = r.logged("Consul is lost for all nodes")
		return f, err
	})
}

// silence has Consul answer nobody for a while.
func (r *clusterRow) silence(ctx context.Context, d time.Duration) error {
	if err := r.Consul.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	waited := stage.Pause(ctx, d)
	if err := r.Consul.Signal(syscall.SIGCONT); err != nil {
		return err
	}
	return waited
}

func consulCutBars(s *site) bars {
	if noCluster(s) {
		return bars{}
	}
	return bars{
		"settled_within_s": atMost(settlesWithin.Seconds()), "frozen": atLeast(clusterNodes),
	}.none(clusterNone...).none("fences", "node_starts")
}
