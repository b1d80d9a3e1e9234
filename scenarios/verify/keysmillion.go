package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/holdfast-run/holdfast/client"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/adminv1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/scenarios/stage"
	"github.com/holdfast-run/holdfast/scenarios/verify/players"
)

const (
	// keysMillionWindow is how many orders are submitted before the first of them is acknowledged: fewer than there are keys, as of each
	// key one is acknowledged before the next is submitted.
	keysMillionWindow = 128
	// keysMillionListed is how many queues are listed, keysMillionPage how many orders at a time.
	keysMillionListed, keysMillionPage = 20, 300
)

// keysMillionKeys is how many keys there are, keysMillionOrders how many orders wait for them.
func keysMillionKeys(s *site) int {
	if s.ci() {
		return 200
	}
	return 1000
}

func keysMillionOrders(s *site) int {
	if s.ci() {
		return 20_000
	}
	return 1_000_000
}

// keysMillionRun is how many of the orders are executed: all would take longer than the row may.
func keysMillionRun(s *site) int {
	if s.ci() {
		return 10_000
	}
	return 200_000
}

// waiting are the orders of the row. The nth is of the key n modulo the number of keys.
type waiting struct {
	s     *site
	node  *stage.Node
	conn  *client.Client
	flood *flood
}

func (w *waiting) id(n int) messages.OrderID {
	keys := keysMillionKeys(w.s)
	return messages.OrderID(fmt.Sprintf("key-%d-%d", n%keys, n/keys))
}

// request makes the nth order, once the one before it of its key is acknowledged: only then it is certain in which order they run.
func (w *waiting) request(n int) *orderv1.WorkOrder {
	keys := keysMillionKeys(w.s)
	if n >= keys && w.flood.waiting[string(w.id(n-keys))] != nil {
		return nil
	}
	return &orderv1.WorkOrder{Definition: "verify/keys-million:1.0.0", Id: string(w.id(n)), OrderKey: fmt.Sprint("key-", n%keys)}
}

// keysMillion has many orders wait for a few keys while no adapter is there, kills the node, and starts it again. Then an adapter comes.
func keysMillion(ctx context.Context, s *site) (figures, error) {
	ctx, st := stage.New(ctx, s.dir)
	defer st.Stop()
	w := &waiting{s: s}
	w.flood = newFlood(keysMillionOrders(s), keysMillionWindow, w.request)
	f := figures{}
	var err error
	if w.node, err = st.StartNode(ctx, s.holdfast, true, "--profiles"); err != nil {
		return nil, err
	}
	if w.conn, err = w.node.Dial(); err != nil {
		return nil, err
	}
	defer w.conn.Close() //nolint:errcheck // it fails only if it was closed before
	if err := deploy(ctx, w.conn, "keys-million"); err != nil {
		return nil, why(ctx, err)
	}
	if err := w.away(ctx, f); err != nil {
		return f, why(ctx, err)
	}
	if err := w.listed(ctx, f); err != nil {
		return f, why(ctx, err)
	}
	log := s.dir + "/executions.jsonl"
	began := time.Now()
	_, err = st.Start(ctx, stage.Spec{
		Name: players.Sleeper, Path: s.self, Args: []string{players.Sleeper, "-server", w.node.Server, "-log", log, "-for", "0s"},
	})
	if err != nil {
		return f, err
	}
	if err := atMostOpen(ctx, w.node, keysMillionOrders(s)-keysMillionRun(s)); err != nil {
		return f, why(ctx, err)
	}
	f["drain_rate_per_s"] = round(float64(keysMillionRun(s))/time.Since(began).Seconds(), 0)
	st.Stop() // what was executed is written down by now
	executions, err := players.ReadLines[players.Execution](log)
	if err != nil {
		return f, err
	}
	return f, disorderOfQueues(f, executions)
}

// away has the orders accepted, and the node killed and started again, and tells what they take of its memory.
func (w *waiting) away(ctx context.Context, f figures) error {
	empty, err := w.node.Heap(ctx)
	if err != nil {
		return err
	}
	if err := w.flood.run(ctx, w.conn); err != nil {
		return err
	}
	_, mean := w.flood.slowest(1)
	f["accept_rate_per_s"] = round(mean, 0)
	killed, err := w.node.Kill(ctx)
	if err != nil {
		return err
	}
	if err := w.node.Ready(ctx); err != nil {
		return err
	}
	f["ready_s"] = round(time.Since(killed).Seconds(), 2)
	full, err := w.node.Heap(ctx)
	if err != nil {
		return err
	}
	f["heap_empty_bytes"], f["heap_more_bytes"] = empty, max(full-empty, 1)
	usage, err := w.node.Usage()
	if err != nil {
		return err
	}
	f["node_peak_rss_bytes"] = usage.PeakRSS
	m, err := w.node.Metrics(ctx)
	if err != nil {
		return err
	}
	open, err := m.Value("holdfast_orders_running")
	f["lost"] = keysMillionOrders(w.s) - int(open)
	return err
}

// listed lists the queues of some keys, a page at a time.
func (w *waiting) listed(ctx context.Context, f figures) error {
	admin, err := w.node.DialAdmin()
	if err != nil {
		return err
	}
	defer admin.Close() //nolint:errcheck // it fails only if it was closed before
	keys := keysMillionKeys(w.s)
	each := keysMillionOrders(w.s) / keys
	listed, wrong := 0, 0
	for key := range keysMillionListed {
		r := &adminv1.ShowKeyRequest{OrderKey: fmt.Sprint("key-", key), Limit: keysMillionPage}
		next := 0
		for {
			page, err := admin.Admin().ShowKey(ctx, r)
			if err != nil {
				return fmt.Errorf("list the queue of %s: %w", r.GetOrderKey(), err)
			}
			if page.GetWaiting() != int64(each-1) {
				wrong++
			}
			for _, o := range page.GetOrders() {
				if o.GetPosition() != int64(next) || o.GetId() != string(w.id(next*keys+key)) {
					wrong++
				}
				next++
			}
			if r.PageToken = page.GetNextPageToken(); r.GetPageToken() == "" {
				break
			}
		}
		listed += next
	}
	f["listed"], f["listed_wrong"] = listed, wrong
	return nil
}

// disorderOfQueues counts what was executed, and what not in its turn: beside another one of its key, or not next after the one before.
func disorderOfQueues(f figures, executions []players.Execution) error {
	overlaps, inversions, executed := 0, 0, 0
	under := map[int]messages.OrderID{} // who is being executed
	next := map[int]int{}
	for _, e := range executions {
		key, round, err := keyAndRound(e.Order)
		if err != nil {
			return err
		}
		if e.Over {
			delete(under, key)
			continue
		}
		executed++
		if _, another := under[key]; another {
			overlaps++
		}
		under[key] = e.Order
		if round != next[key] {
			inversions++
		}
		next[key] = round + 1
	}
	f["executed"], f["overlaps"], f["inversions"] = executed, overlaps, inversions
	return nil
}

// keyAndRound tells of which key an order is, and how many of that key were submitted before it.
func keyAndRound(id messages.OrderID) (key, round int, err error) {
	parts := strings.Split(string(id), "-")
	if len(parts) == 3 {
		if key, err = strconv.Atoi(parts[1]); err == nil {
			round, err = strconv.Atoi(parts[2])
		}
	}
	if len(parts) != 3 || err != nil {
		return 0, 0, fmt.Errorf("an order %q was executed, which nobody has submitted", id) //nolint:err113 // for people
	}
	return key, round, nil
}

func keysMillionBars(s *site) bars {
	keys := float64(keysMillionKeys(s))
	return bars{
		"ready_s": s.within(10), "heap_more_bytes": atMost(128 << 20), "executed": atLeast(float64(keysMillionRun(s))),
		"listed": atLeast(keysMillionListed * float64(keysMillionOrders(s)) / keys),
	}.none("lost", "listed_wrong", "overlaps", "inversions")
}
