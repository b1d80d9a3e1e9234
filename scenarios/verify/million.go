package main

import (
	"context"
	"fmt"
	"time"

	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/scenarios/stage"
)

// millionOrders is how many orders wait for a time.
func millionOrders(s *site) int {
	if s.ci() {
		return 20_000
	}
	return 1_000_000
}

// millionDelay is how long each of them waits. They are submitted as fast as they are accepted, and come due in that time.
func millionDelay(s *site) time.Duration {
	if s.ci() {
		return 15 * time.Second
	}
	return 4 * time.Minute
}

// million has many orders wait for a time, kills the node, and starts it again before any of them is due.
func million(ctx context.Context, s *site) (figures, error) {
	f := figures{}
	ctx, st := stage.New(ctx, s.dir)
	defer st.Stop()
	node, err := st.StartNode(ctx, s.holdfast, true)
	if err != nil {
		return nil, err
	}
	conn, err := prepared(ctx, node, "million")
	if err != nil {
		return nil, err
	}
	defer conn.Close() //nolint:errcheck // it fails only if it was closed before
	delay := millionDelay(s)
	flood := newFlood(millionOrders(s), 256, func(n int) *orderv1.WorkOrder {
		return &orderv1.WorkOrder{
			Definition: "verify/million:1.0.0", Input: fmt.Appendf(nil, `{"delay":"PT%.0fS","number":%d}`, delay.Seconds(), n),
		}
	})
	if err := flood.run(ctx, conn); err != nil {
		return f, why(ctx, err)
	}
	_, mean := flood.slowest(1)
	f["accept_rate_per_s"] = round(mean, 0)
	before, err := node.Usage()
	if err != nil {
		return f, err
	}
	killed, err := node.Kill(ctx)
	if err != nil {
		return f, err
	}
	if err := node.Ready(ctx); err != nil {
		return f, why(ctx, err)
	}
	f["ready_s"] = round(time.Since(killed).Seconds(), 2)
	if err := drained(ctx, node); err != nil {
		return f, why(ctx, err)
	}
	after, err := node.Usage()
	if err != nil {
		return f, err
	}
	f["node_peak_rss_bytes"] = max(before.PeakRSS, after.PeakRSS)
	completed, early := 0, 0
	var latest time.Duration
	err = eachOrder(ctx, conn, "verify/million:1.0.0", func(o *orderv1.Order) {
		if o.GetStatus() != orderv1.Status_STATUS_COMPLETED {
			return
		}
		completed++
		late := o.GetEndedAt().AsTime().Sub(o.GetAcceptedAt().AsTime()) - delay
		latest = max(latest, late)
		if late < 0 {
			early++
		}
	})
	f["completed"], f["lost"], f["early"] = completed, millionOrders(s)-completed, early
	f["latest_s"] = round(latest.Seconds(), 3)
	return f, err
}

func millionBars(s *site) bars {
	return bars{
		"ready_s": s.within(10), "latest_s": s.within(60), "node_peak_rss_bytes": atMost(1536 << 20),
		"completed": atLeast(float64(millionOrders(s))),
	}.none("lost", "early")
}
