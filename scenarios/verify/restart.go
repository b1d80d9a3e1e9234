package main

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/scenarios/stage"
	"github.com/holdfast-run/holdfast/scenarios/verify/players"
)

const (
	restartOrders = 1000
	// activitiesEach is how many activities each of the orders has.
	activitiesEach = 3
)

// restart kills the node once, with orders in flight whose activities go on meanwhile.
func restart(ctx context.Context, s *site) (figures, error) {
	f := figures{"orders": restartOrders}
	ctx, st := stage.New(ctx, s.dir)
	defer st.Stop()
	node, err := st.StartNode(ctx, s.holdfast, true)
	if err != nil {
		return nil, err
	}
	if err := node.Ready(ctx); err != nil {
		return nil, err
	}
	log := s.dir + "/executions.jsonl"
	_, err = st.Start(ctx, stage.Spec{
		Name: players.Sleeper, Path: s.self, Args: []string{players.Sleeper, "-server", node.Server, "-log", log},
	})
	if err != nil {
		return nil, err
	}
	conn, err := prepared(ctx, node, "restart")
	if err != nil {
		return nil, err
	}
	defer conn.Close() //nolint:errcheck // it fails only if it was closed before
	// A trial: the adapter is connected when it is over.
	if _, err := voyage(ctx, s, node, 1, nil); err != nil {
		return nil, err
	}
	var killed, ready time.Time
	client, err := voyage(ctx, s, node, restartOrders, func(ctx context.Context) error {
		if err := between(ctx, s.chance(), 200*time.Millisecond, 2800*time.Millisecond); err != nil {
			return err
		}
		var err error
		if killed, err = node.Kill(ctx); err != nil {
			return err
		}
		err = node.Ready(ctx)
		ready = time.Now()
		return err
	})
	if err != nil {
		return f, err
	}
	executions, err := players.ReadLines[players.Execution](log)
	if err != nil {
		return f, err
	}
	c := client.counts()
	f["completed"], f["lost"], f["wrong_answers"] = c.completed, c.lost(), len(client.wrong)
	f["node_ready_s"] = round(ready.Sub(killed).Seconds(), 3)
	f["node_starts"] = node.Starts()
	settle(f, client.orders, executions, killed)
	return f, nil
}

// voyage runs a fleet of n orders to its end. Once all are accepted, meanwhile is called.
func voyage(ctx context.Context, s *site, node *stage.Node, n int, meanwhile func(context.Context) error) (*fleet, error) {
	conn, err := node.Dial()
	if err != nil {
		return nil, err
	}
	defer conn.Close() //nolint:errcheck // it fails only if it was closed before
	client := newFleet(func(int) *orderv1.WorkOrder { return &orderv1.WorkOrder{Definition: "verify/restart:1.0.0"} })
	client.finish() // an end makes no new order
	sailing, sink := context.WithCancelCause(ctx)
	defer sink(nil)
	var fleet sync.WaitGroup
	var failed error
	fleet.Go(func() {
		if failed = client.run(sailing, conn, n); failed != nil {
			sink(failed)
		}
	})
	err = client.await(sailing, func(c counts) bool { return c.accepted == n })
	if err == nil && meanwhile != nil {
		err = meanwhile(sailing)
	}
	if err != nil {
		sink(err)
	}
	fleet.Wait()
	for _, wrong := range client.wrong {
		s.sayf("restart: %v", wrong)
	}
	if errors.Is(failed, errStall) {
		failed = nil // the orders that are missing tell
	}
	if err := errors.Join(err, failed); err != nil {
		return client, why(ctx, err)
	}
	return client, nil
}

// settle tells what was executed twice, and how much longer than their activities needed the orders took.
func settle(f figures, orders []*order, executions []players.Execution, killed time.Time) {
	started := map[string]int{}
	type progress struct {
		over    int
		running time.Time // since when; zero: nothing runs
	}
	atKill := map[messages.OrderID]progress{}
	ofOrders := map[messages.OrderID]bool{}
	for _, o := range orders {
		ofOrders[o.id] = true
	}
	for _, e := range executions {
		if !ofOrders[e.Order] {
			continue // the trial
		}
		if !e.Over {
			started[e.Key]++
		}
		if e.At.After(killed) {
			continue
		}
		p := atKill[e.Order]
		if e.Over {
			p.over++
			p.running = time.Time{}
		} else {
			p.running = e.At
		}
		atKill[e.Order] = p
	}
	twice := 0
	for _, n := range started {
		if n > 1 {
			twice++
		}
	}
	var longest, excess time.Duration
	for _, o := range orders {
		p := atKill[o.id]
		left := time.Duration(activitiesEach-p.over) * players.SleepTime
		if !p.running.IsZero() {
			left -= min(killed.Sub(p.running), players.SleepTime)
		}
		longest = max(longest, left)
		if !o.ended.IsZero() {
			excess = max(excess, o.ended.Sub(killed)-left)
		}
	}
	f["executed"], f["executed_twice"] = len(started), twice
	f["remaining_max_s"], f["excess_max_s"] = round(longest.Seconds(), 3), round(excess.Seconds(), 3)
	var last time.Time
	for _, o := range orders {
		if o.ended.After(last) {
			last = o.ended
		}
	}
	f["kill_to_done_s"] = round(last.Sub(killed).Seconds(), 3)
}

func restartBars(s *site) bars {
	return bars{
		"completed": atLeast(restartOrders), "executed": atLeast(restartOrders * activitiesEach), "node_starts": atLeast(2),
		"excess_max_s": s.within(2),
	}.none("executed_twice", "lost", "wrong_answers")
}
