package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"google.golang.org/grpc"

	"github.com/holdfast-run/holdfast/client"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/scenarios/stage"
)

const (
	// linearGrowth is how much longer an item may take in the longest loops than in those that are a tenth as long.
	linearGrowth = 1.2
	// linearRested is how many orders with a long history are read again.
	linearRested = 3
	// linearMemory is how much more memory the node may take than after its first order.
	linearMemory = 384 << 20
)

// lengths are how many items loops have.
type lengths struct{ small, medium, large int }

// linearLengths are those of the row, and how often they are measured.
func linearLengths(s *site) (of lengths, rounds int) {
	if s.ci() {
		return lengths{500, 2000, 10_000}, 2
	}
	return lengths{1000, 10_000, 100_000}, 5
}

// linearEvents is how many events the orders have that are read again.
func linearEvents(s *site) int {
	if s.ci() {
		return 30_000
	}
	return 100_000
}

// linear has orders go through items, one after the other, and compares what an item takes in short and in long loops; then it kills the
// node, and has orders with a long history go on.
func linear(ctx context.Context, s *site) (figures, error) {
	ctx, st := stage.New(ctx, s.dir)
	defer st.Stop()
	node, err := st.StartNode(ctx, s.holdfast, true)
	if err != nil {
		return nil, err
	}
	conn, err := prepared(ctx, node, "linear", "linear-rests")
	if err != nil {
		return nil, err
	}
	defer conn.Close() //nolint:errcheck // it fails only if it was closed before
	f := figures{}
	of, _ := linearLengths(s)
	_, version, err := linearOrder(ctx, conn, of.small) // the first one is no measure
	if err != nil {
		return f, why(ctx, err)
	}
	before, err := node.Usage()
	if err != nil {
		return f, err
	}
	memory := watchMemory(ctx, node)
	err = linearLoops(ctx, s, conn, f)
	if err == nil {
		err = linearReload(ctx, node, conn, f, linearEvents(s)*of.small/version+of.small)
	}
	most := memory()
	f["node_most_rss_bytes"], f["node_more_rss_bytes"] = most, max(most-before.RSS, 1)
	if err != nil {
		return f, why(ctx, err)
	}
	return f, node.Live(ctx)
}

// linearOrder has an order go through so many items, and returns what each took, and the version of the order at its end.
func linearOrder(ctx context.Context, conn *client.Client, items int) (each time.Duration, version int, err error) {
	began := time.Now()
	r, err := conn.Orders().Submit(ctx, &orderv1.SubmitRequest{Wait: orderv1.Wait_WAIT_ENDED, Order: &orderv1.WorkOrder{
		Id: string(messages.NewOrderID()), Definition: "verify/linear:1.0.0", Input: fmt.Appendf(nil, `{"all":%d}`, items),
	}})
	if err != nil {
		return 0, 0, fmt.Errorf("run an order with %d items: %w", items, err)
	}
	took := time.Since(began)
	if o := r.GetOrder(); o.GetStatus() != orderv1.Status_STATUS_COMPLETED || string(o.GetOutput()) != fmt.Sprintf(`{"n":%d}`, items) {
		return 0, 0, fmt.Errorf("an order with %d items is %v, and leaves %s: %v", items, o.GetStatus(), o.GetOutput(), o.GetError())
	}
	return took / time.Duration(items), int(r.GetOrder().GetVersion()), nil //nolint:gosec // a million at most
}

// linearLoops runs loops of each length in turns, and compares them.
func linearLoops(ctx context.Context, s *site, conn *client.Client, f figures) error {
	of, rounds := linearLengths(s)
	sizes := []int{of.small, of.medium, of.large}
	took := map[int][]time.Duration{}
	events := 0
	for range rounds {
		for _, size := range sizes {
			// Short ones are repeated, as a single one is over too soon to be measured.
			repeats := min(of.large/size, 10)
			sum := time.Duration(0)
			for range repeats {
				each, version, err := linearOrder(ctx, conn, size)
				if err != nil {
					return err
				}
				sum += each
				events = max(events, version)
			}
			took[size] = append(took[size], sum/time.Duration(repeats))
		}
		slices.Reverse(sizes)
	}
	for name, size := range map[string]int{"small": of.small, "medium": of.medium, "large": of.large} {
		f[name+"_item_ms"] = round(median(rounds, func(i int) float64 { return took[size][i].Seconds() * 1000 }), 4)
	}
	f["large_growth"] = round(median(rounds, func(i int) float64 { return took[of.large][i].Seconds() / took[of.medium][i].Seconds() }), 3)
	f["items"], f["events"] = of.large, events
	return nil
}

// linearReload has orders with a long history rest, kills the node, and has them go on.
func linearReload(ctx context.Context, node *stage.Node, conn *client.Client, f figures, items int) error {
	rested := func(n int) *orderv1.WorkOrder {
		return &orderv1.WorkOrder{
			Id: fmt.Sprint("rested-", n), Definition: "verify/linear-rests:1.0.0", Input: fmt.Appendf(nil, `{"all":%d,"n":%d}`, items, n),
		}
	}
	for n := range linearRested {
		if _, err := conn.Orders().Submit(ctx, &orderv1.SubmitRequest{Order: rested(n)}); err != nil {
			return fmt.Errorf("submit: %w", err)
		}
	}
	waiting := func() (bool, error) {
		n := 0
		err := eachOrder(ctx, conn, "verify/linear-rests:1.0.0", func(o *orderv1.Order) {
			if o.GetStatus() == orderv1.Status_STATUS_WAITING {
				n++
			}
		})
		return n == linearRested, err
	}
	if err := eventually(ctx, waiting); err != nil {
		return err
	}
	killed, err := node.Kill(ctx)
	if err != nil {
		return err
	}
	if err := node.Ready(ctx); err != nil {
		return err
	}
	f["ready_s"] = round(time.Since(killed).Seconds(), 2)
	// A connection is made again before anything is measured.
	if _, err := conn.Orders().List(ctx, &orderv1.ListRequest{PageSize: 1}, grpc.WaitForReady(true)); err != nil {
		return fmt.Errorf("list: %w", err)
	}
	least, asked, gone := 0, time.Duration(0), time.Duration(0)
	for n := range linearRested {
		began := time.Now()
		got, err := conn.Orders().Get(ctx, &orderv1.GetRequest{Id: fmt.Sprint("rested-", n)}, grpc.WaitForReady(true))
		if err != nil {
			return fmt.Errorf("get: %w", err)
		}
		asked = max(asked, time.Since(began))
		if version := int(got.GetOrder().GetVersion()); least == 0 || version < least { //nolint:gosec // as above
			least = version
		}
		began = time.Now()
		if err := publish(ctx, conn, time.Minute, numbered("verify.rested", n)); err != nil {
			return err
		}
		r, err := conn.Orders().Submit(ctx, &orderv1.SubmitRequest{Order: rested(n), Wait: orderv1.Wait_WAIT_ENDED})
		if err != nil {
			return fmt.Errorf("await the end: %w", err)
		}
		gone = max(gone, time.Since(began))
		if got := r.GetOrder().GetStatus(); got != orderv1.Status_STATUS_COMPLETED {
			return fmt.Errorf("an order that has rested is %v: %v", got, r.GetOrder().GetError())
		}
	}
	f["rested_events"], f["get_s"], f["go_on_s"] = least, round(asked.Seconds(), 4), round(gone.Seconds(), 3)
	return nil
}

func linearBars(s *site) bars {
	growth := atMost(linearGrowth)
	if s.ci() {
		growth = bar{}.aiming(linearGrowth) // it is over too soon to be measured well
	}
	of, _ := linearLengths(s)
	return bars{
		"items": exactly(float64(of.large)), "large_growth": growth, "node_more_rss_bytes": atMost(linearMemory),
		"rested_events": atLeast(float64(linearEvents(s))), "get_s": s.within(1), "go_on_s": s.within(1),
	}
}
