package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"

	"github.com/holdfast-run/holdfast/client"
	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/scenarios/stage"
)

const (
	// bigAnswer is what a client takes of one message if it doesn't say otherwise.
	bigAnswer = 4 << 20
	// bigWatches is how many watch the order with large events at the same time.
	bigWatches = 12
	// bigUnread is how many watch it on each of bigClients connections, and do not read.
	bigUnread, bigClients = 100, 4
	// bigText is how long the text is that each large event has.
	bigText = 900_000
)

// bigRounds is how many times the order with many events goes round, with 254 events each time.
func bigRounds(s *site) int {
	if s.ci() {
		return 60
	}
	return 3937
}

// bigPads is how many large events the other order has, but for a few more.
func bigPads(s *site) int {
	if s.ci() {
		return 20
	}
	return 800
}

// big has an order with very many events, and one with very large ones, told to the end by clients with gRPC's own limits.
func big(ctx context.Context, s *site) (figures, error) {
	f := figures{}
	ctx, st := stage.New(ctx, s.dir)
	defer st.Stop()
	node, err := st.StartNode(ctx, s.holdfast, true, "--max-events", "1100000")
	if err != nil {
		return nil, err
	}
	conn, err := bigDial(node)
	if err != nil {
		return nil, err
	}
	defer conn.Close() //nolint:errcheck // it fails only if it was closed before
	if err := bigOrders(ctx, s, conn, f); err != nil {
		return f, why(ctx, err)
	}
	before, err := node.Usage()
	if err != nil {
		return f, err
	}
	f["node_before_rss_bytes"] = before.RSS
	memory := watchMemory(ctx, node)
	err = errors.Join(bigMany(ctx, conn, f), bigLarge(ctx, node, conn, f))
	if err == nil {
		err = bigUnreadBeside(ctx, node, f)
	}
	most := memory()
	f["node_most_rss_bytes"], f["node_more_rss_bytes"] = most, max(most-before.RSS, 1)
	return f, why(ctx, err)
}

func bigDial(node *stage.Node) (*client.Client, error) {
	return node.Dial(grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(bigAnswer)))
}

// bigOrders runs the two orders to their ends.
func bigOrders(ctx context.Context, s *site, conn *client.Client, f figures) error {
	// The many events come of a list of tasks more than of jumps backward, which are slowed down.
	var many strings.Builder
	many.WriteString("document: {dsl: 1.0.3, namespace: verify, name: many, version: 1.0.0}\ndo:\n- round:\n    do:\n" +
		"    - count: {set: {n: '${ .n + 1 }'}}\n")
	for i := range 124 {
		fmt.Fprintf(&many, "    - s%d: {set: {n: '${ .n }'}}\n", i)
	}
	fmt.Fprintf(&many, "- more: {switch: [{again: {when: '${ .n < %d }', then: round}}]}\n", bigRounds(s))
	many.WriteString("- last: {if: '${ false }', set: {n: 0}}\n")
	large := fmt.Sprintf(`document: {dsl: 1.0.3, namespace: verify, name: large, version: 1.0.0}
do:
- pad: {set: {n: '${ .n + 1 }', s: '${ .s }'}}
- more: {switch: [{again: {when: '${ .n < %d }', then: pad}}]}
`, bigPads(s))
	client := conn.Orders()
	for _, order := range []struct{ name, document, input string }{
		{"many", many.String(), `{"n":0}`},
		{"large", large, fmt.Sprintf(`{"n":0,"s":%q}`, strings.Repeat("x", bigText))},
	} {
		if err := deployDocument(ctx, conn, []byte(order.document)); err != nil {
			return fmt.Errorf("deploy %s: %w", order.name, err)
		}
		began := time.Now()
		r, err := client.Submit(ctx, &orderv1.SubmitRequest{Wait: orderv1.Wait_WAIT_ENDED, Order: &orderv1.WorkOrder{
			Id: order.name, Definition: "verify/" + order.name + ":1.0.0", Input: []byte(order.input),
		}})
		if err != nil {
			return fmt.Errorf("run %s: %w", order.name, err)
		}
		if got := r.GetOrder().GetStatus(); got != orderv1.Status_STATUS_COMPLETED {
			return fmt.Errorf("%s is %v: %v", order.name, got, r.GetOrder().GetError())
		}
		f[order.name+"_run_s"] = round(time.Since(began).Seconds(), 2)
	}
	return nil
}

// bigMany lists and watches the order with many events, and compares what pages at its beginning and at its end take.
func bigMany(ctx context.Context, conn *client.Client, f figures) error {
	client := conn.Orders()
	began := time.Now()
	order, err := client.Get(ctx, &orderv1.GetRequest{Id: "many"})
	if err != nil {
		return fmt.Errorf("get many: %w", err)
	}
	f["many_get_s"] = round(time.Since(began).Seconds(), 3)
	var took []time.Duration
	told, next := uint64(0), uint64(1)
	began = time.Now()
	for next != 0 {
		asked := time.Now()
		page, err := client.History(ctx, &orderv1.HistoryRequest{Id: "many", FromVersion: next})
		if err != nil {
			return fmt.Errorf("history of many from %d: %w", next, err)
		}
		took = append(took, time.Since(asked))
		for _, ev := range page.GetEvents() {
			if told++; ev.GetVersion() != told {
				return fmt.Errorf("history of many: version %d is where %d should be", ev.GetVersion(), told)
			}
		}
		next = page.GetNextVersion()
	}
	f["many_list_s"] = round(time.Since(began).Seconds(), 2)
	f["many_events"], f["many_unlisted"] = int64(told), int64(order.GetOrder().GetVersion()-told) //nolint:gosec // about a million
	f["many_last_quarter_ratio"] = lastToFirst(took)
	began = time.Now()
	watched, _, err := bigWatch(ctx, client, "many")
	f["many_watch_s"] = round(time.Since(began).Seconds(), 2)
	f["many_unwatched"] = int64(told - watched)
	return err
}

// bigLarge does the same with the order that has large events, which several watch at the same time.
func bigLarge(ctx context.Context, node *stage.Node, conn *client.Client, f figures) error {
	client := conn.Orders()
	told, next := uint64(0), uint64(1)
	var took []time.Duration
	began := time.Now()
	for next != 0 {
		asked := time.Now()
		page, err := client.History(ctx, &orderv1.HistoryRequest{Id: "large", FromVersion: next})
		if err != nil {
			return fmt.Errorf("history of large from %d: %w", next, err)
		}
		took = append(took, time.Since(asked))
		told += uint64(len(page.GetEvents()))
		next = page.GetNextVersion()
	}
	f["large_list_s"], f["large_events"] = round(time.Since(began).Seconds(), 2), int64(told) //nolint:gosec // some thousands
	f["large_last_quarter_ratio"] = lastToFirst(took)
	var bytes, unwatched atomic.Int64
	var all sync.WaitGroup
	errs := make([]error, bigWatches)
	began = time.Now()
	for i := range bigWatches {
		all.Go(func() {
			conn, err := bigDial(node)
			if err != nil {
				errs[i] = err
				return
			}
			defer conn.Close() //nolint:errcheck // as above
			watched, n, err := bigWatch(ctx, conn.Orders(), "large")
			bytes.Add(n)
			unwatched.Add(int64(told - watched)) //nolint:gosec // as above
			errs[i] = err
		})
	}
	all.Wait()
	f["large_watch_s"], f["large_unwatched"] = round(time.Since(began).Seconds(), 2), unwatched.Load()
	f["large_watched_bytes"] = bytes.Load()
	return errors.Join(errs...)
}

// bigWatch watches an order to its end, and tells how many events came, and how many bytes of data.
func bigWatch(ctx context.Context, client orderv1.OrderServiceClient, id string) (events uint64, bytes int64, err error) {
	stream, err := client.Watch(ctx, &orderv1.WatchRequest{Id: id})
	for err == nil {
		var frame *orderv1.WatchResponse
		if frame, err = stream.Recv(); err != nil {
			break
		}
		for _, ev := range frame.GetEvents() {
			events++
			bytes += int64(len(ev.GetData()))
		}
	}
	if errors.Is(err, io.EOF) {
		return events, bytes, nil
	}
	return events, bytes, fmt.Errorf("watch %s behind version %d: %w", id, events, err)
}

// bigUnreadBeside has many watches that nobody reads, and then reads a page of the history, as somebody else would.
func bigUnreadBeside(ctx context.Context, node *stage.Node, f figures) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for range bigClients {
		conn, err := bigDial(node)
		if err != nil {
			return err
		}
		defer conn.Close() //nolint:errcheck // as above
		client := conn.Orders()
		for range bigUnread {
			if _, err := client.Watch(ctx, &orderv1.WatchRequest{Id: "large"}); err != nil {
				return fmt.Errorf("watch large without reading: %w", err)
			}
		}
	}
	if err := waitUntilUnsent(ctx, node); err != nil {
		return err
	}
	conn, err := bigDial(node)
	if err != nil {
		return err
	}
	defer conn.Close() //nolint:errcheck // as above
	asked := time.Now()
	if _, err := conn.Orders().History(ctx, &orderv1.HistoryRequest{Id: "large"}); err != nil {
		return fmt.Errorf("history of large beside unread watches: %w", err)
	}
	f["beside_unread_s"] = round(time.Since(asked).Seconds(), 3)
	return nil
}

// waitUntilUnsent returns when watches that nobody reads have taken as much as they get.
func waitUntilUnsent(ctx context.Context, node *stage.Node) error {
	before := -1.0
	for {
		metrics, err := node.Metrics(ctx)
		if err != nil {
			return err
		}
		now, err := metrics.Value("holdfast_unsent_bytes")
		if err != nil {
			return err
		}
		if now > 0 && now == before {
			return nil
		}
		before = now
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// watchMemory looks at a node's memory until the function that it returns is called, which tells the most that was seen.
func watchMemory(ctx context.Context, node *stage.Node) func() int64 {
	ctx, cancel := context.WithCancel(ctx)
	most := make(chan int64, 1)
	go func() {
		seen := int64(0)
		defer func() { most <- seen }()
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				if u, err := node.Usage(); err == nil {
					seen = max(seen, u.RSS)
				}
			}
		}
	}()
	return func() int64 {
		cancel()
		return <-most
	}
}

// lastToFirst compares what pages of the last quarter take with what those of the first take.
func lastToFirst(took []time.Duration) float64 {
	quarter := len(took) / 4
	middle := func(of []time.Duration) float64 {
		return median(len(of), func(i int) float64 { return of[i].Seconds() })
	}
	return round(middle(took[len(took)-quarter:])/middle(took[:quarter]), 2)
}

func bigBars(s *site) bars {
	events := float64(254*bigRounds(s) + 4)
	return bars{
		"many_events": {Min: &events, Max: &events}, "large_events": atLeast(float64(4 * bigPads(s))),
		"many_last_quarter_ratio": s.within(2), "large_last_quarter_ratio": s.within(2),
		"node_more_rss_bytes": atMost(256 << 20), "beside_unread_s": s.within(1),
	}.none("many_unlisted", "many_unwatched", "large_unwatched")
}
