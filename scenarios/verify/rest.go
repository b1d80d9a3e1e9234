package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/scenarios/attack"
	"github.com/holdfast-run/holdfast/scenarios/stage"
)

const (
	// restOrders is how many orders others have run at each of both nodes.
	restOrders = 200_000
	// restAttacked is how long a node is attacked at least, restGone how long everybody is gone then until it is measured, and restMeasured
	// how long that takes.
	restAttacked, restGone, restMeasured = time.Minute, time.Minute, 10 * time.Second
)

// rest attacks a node in all ways at once, and compares what is left of that when everybody is gone with what is left at a node that nobody
// attacks, and that has run as many orders of others.
func rest(ctx context.Context, s *site) (figures, error) {
	if why := unconfined(s); why != "" {
		return figures{"rest": why, "skipped": 1}, nil
	}
	settings := hostileSettings("--max-definitions", "10", "--idle-frames", "100", "--idle", "2s", "--forget-after", "3s")
	all := slices.Concat(hostileAdapters, hostileClients)
	calm, attacked := figures{}, figures{}
	if _, err := attackedNode(ctx, s, "calm", nil, settings, func(ctx context.Context, h *hostile) error {
		return h.rests(ctx, calm, attack.Burn)
	}); err != nil {
		return nil, fmt.Errorf("a node that nobody attacks: %w", err)
	}
	var names []string
	for _, a := range all {
		names = append(names, a.name)
	}
	f, err := attackedNode(ctx, s, plainNode, all, settings, func(ctx context.Context, h *hostile) error {
		return h.rests(ctx, attacked, strings.Join(names, ","))
	})
	if err != nil {
		return f, err
	}
	for name, v := range attacked {
		f[name], f["calm_"+name] = v, calm[name]
	}
	heap, _ := attacked.number("heap_bytes")
	before, _ := calm.number("heap_bytes")
	f["heap_ratio"] = round(heap/before, 3)
	return f, nil
}

// rests has others' orders run while a node is attacked, has everybody leave, and measures what is left.
func (h *hostile) rests(ctx context.Context, f figures, attacks string) error {
	if attacks != attack.Burn {
		if err := h.bait(ctx); err != nil {
			return err
		}
	}
	err := h.attack(ctx, attacks, confined, func(*stage.Process) error {
		until := time.Now().Add(restAttacked)
		others := h.others()
		others.most = restOrders
		if err := others.run(ctx, h.conn, hostileInFlight); err != nil {
			return err
		}
		h.note(others)
		if attacks == attack.Burn {
			return nil
		}
		return stage.Pause(ctx, time.Until(until))
	})
	if err != nil {
		return err
	}
	if err := h.cancelEvil(ctx); err != nil {
		return err
	}
	if err := drained(ctx, h.node); err != nil {
		return err
	}
	h.leaves()
	if _, err := h.adapter.AwaitEnd(ctx, 1); err != nil {
		return err
	}
	h.unwatch()
	if err := stage.Pause(ctx, restGone); err != nil {
		return err
	}
	return h.left(ctx, f, restMeasured)
}

// cancelEvil cancels the orders that wait for the adapter that has attacked.
func (h *hostile) cancelEvil(ctx context.Context) error {
	var ids []string
	err := eachOrder(ctx, h.conn, "evil/take:1.0.0", func(o *orderv1.Order) {
		if o.GetStatus() == orderv1.Status_STATUS_RUNNING || o.GetStatus() == orderv1.Status_STATUS_WAITING {
			ids = append(ids, o.GetId())
		}
	})
	for _, id := range ids {
		if err == nil {
			_, err = h.conn.Orders().Cancel(ctx, &orderv1.CancelRequest{Id: id})
		}
	}
	return err
}

// left measures what is left at a node at rest.
func (h *hostile) left(ctx context.Context, f figures, d time.Duration) error {
	before, err := h.node.Usage()
	if err != nil {
		return err
	}
	if err := stage.Pause(ctx, d); err != nil {
		return err
	}
	after, err := h.node.Usage()
	if err != nil {
		return err
	}
	f["rest_cpu"] = round((after.CPU-before.CPU).Seconds()/d.Seconds(), 4)
	metrics, err := h.node.Metrics(ctx)
	if err != nil {
		return err
	}
	f["metrics_bytes"] = len(metrics)
	f["heap_bytes"], err = h.node.Heap(ctx)
	return err
}

func restBars(s *site) bars {
	if unconfined(s) != "" {
		return bars{"skipped": atLeast(1)}
	}
	b := bars{"heap_ratio": atMost(1.2), "rest_cpu": s.within(0.01), "metrics_bytes": atMost(1 << 20), "node_memory_share": atMost(1.25)}
	return b.none("not_live", "restarts", "changed", "without_history", "not_completed", "wrong_answers")
}
