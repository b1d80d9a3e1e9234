package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc"

	"github.com/holdfast-run/holdfast/client"
	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/scenarios/stage"
)

// backlogOrders is how many orders wait for adapters that are away.
func backlogOrders(s *site) int {
	if s.ci() {
		return 30_000
	}
	return 500_000
}

// backlogPriorities are those of the orders, in turn.
var backlogPriorities = []int32{1, 5, 9}

// backlogSlack is how many orders of a higher priority may be open when one of a lower ends: those that adapters and the
// node have under way.
const backlogSlack = 4000

// backlog has orders accepted while no adapter is there, kills the node once, and then lets adapters come.
func backlog(ctx context.Context, s *site) (figures, error) {
	f := figures{}
	ctx, st := stage.New(ctx, s.dir)
	defer st.Stop()
	node, err := st.StartNode(ctx, s.holdfast, true)
	if err != nil {
		return nil, err
	}
	conn, err := prepared(ctx, node, "backlog")
	if err != nil {
		return nil, err
	}
	defer conn.Close() //nolint:errcheck // it fails only if it was closed before
	flood := newFlood(backlogOrders(s), 256, func(n int) *orderv1.WorkOrder {
		return &orderv1.WorkOrder{
			Definition: "verify/backlog:1.0.0", Input: fmt.Appendf(nil, `{"number":"%0100d"}`, n),
			Priority: backlogPriorities[n%len(backlogPriorities)],
		}
	})
	var submitting sync.WaitGroup
	submitted := make(chan error, 1)
	submitting.Go(func() { submitted <- flood.run(ctx, conn) })
	defer submitting.Wait()
	if err := flood.await(ctx, backlogOrders(s)/2); err != nil {
		return f, why(ctx, err)
	}
	before, err := node.Usage()
	if err != nil {
		return f, err
	}
	if _, err := node.Kill(ctx); err != nil {
		return f, err
	}
	if err := <-submitted; err != nil {
		return f, why(ctx, err)
	}
	lowest, mean := flood.slowest(5)
	f["accept_rate_per_s"], f["accept_lowest_rate_per_s"] = round(mean, 0), round(lowest, 0)
	began := time.Now()
	_, err = st.Start(ctx, stage.Spec{Name: "adapter", Path: s.holdfast, Args: []string{"adapter", "bench", "--server", node.Server}})
	if err != nil {
		return f, err
	}
	if err := drained(ctx, node); err != nil {
		return f, why(ctx, err)
	}
	f["drain_rate_per_s"] = round(float64(backlogOrders(s))/time.Since(began).Seconds(), 0)
	after, err := node.Usage()
	if err != nil {
		return f, err
	}
	f["node_peak_rss_bytes"] = max(before.PeakRSS, after.PeakRSS)
	return f, judgeBacklog(ctx, s, conn, f)
}

// drained waits until no order is open.
func drained(ctx context.Context, node *stage.Node) error { return atMostOpen(ctx, node, 0) }

// atMostOpen waits until no more than so many orders are open.
func atMostOpen(ctx context.Context, node *stage.Node, most int) error {
	poll := time.NewTicker(250 * time.Millisecond)
	defer poll.Stop()
	for {
		m, err := node.Metrics(ctx)
		if err != nil {
			return err
		}
		open, err := m.Value("holdfast_orders_running")
		if err != nil {
			return err
		}
		if open <= float64(most) {
			return nil
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			return fmt.Errorf("%.0f orders are open: %w", open, context.Cause(ctx))
		}
	}
}

// judgeBacklog compares the ends of the orders, in their order, with their priorities.
func judgeBacklog(ctx context.Context, s *site, conn *client.Client, f figures) error {
	type end struct {
		at       time.Time
		priority int32
	}
	var ends []end
	open := map[int32]int{}
	completed := 0
	err := eachOrder(ctx, conn, "verify/backlog:1.0.0", func(o *orderv1.Order) {
		if o.GetStatus() == orderv1.Status_STATUS_COMPLETED {
			completed++
		}
		open[o.GetPriority()]++
		ends = append(ends, end{o.GetEndedAt().AsTime(), o.GetPriority()})
	})
	if err != nil {
		return err
	}
	slices.SortFunc(ends, func(a, b end) int { return cmp.Or(a.at.Compare(b.at), cmp.Compare(b.priority, a.priority)) })
	overtook := 0
	for _, e := range ends {
		before := 0
		for priority, n := range open {
			if priority > e.priority {
				before += n
			}
		}
		if before > backlogSlack {
			overtook++
		}
		open[e.priority]--
	}
	f["orders"], f["completed"] = len(ends), completed
	f["lost"] = backlogOrders(s) - completed
	f["overtook_higher_priority"] = overtook
	return nil
}

// eachOrder visits all orders of a definition.
func eachOrder(ctx context.Context, conn *client.Client, definition string, visit func(*orderv1.Order)) error {
	client := conn.Orders()
	q := &orderv1.ListRequest{Definition: definition, PageSize: 1000}
	for {
		page, err := client.List(ctx, q, grpc.WaitForReady(true))
		if err != nil {
			return fmt.Errorf("list orders: %w", err)
		}
		for _, o := range page.GetOrders() {
			visit(o)
		}
		if q.PageToken = page.GetNextPageToken(); q.PageToken == "" {
			return nil
		}
	}
}

func backlogBars(s *site) bars {
	return bars{
		"accept_lowest_rate_per_s": s.atRate(7500), "node_peak_rss_bytes": atMost(1<<30 - 1), "completed": atLeast(float64(backlogOrders(s))),
	}.none("lost", "overtook_higher_priority")
}
