package main

import (
	"bytes"
	"context"
	"fmt"

	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/scenarios/attack"
)

// hostileAdapters are the attacks of adapters.
var hostileAdapters = []attacked{
	{name: attack.Lies}, // refused as the node's metric says
	{name: attack.Hoard, refused: []string{"NOT_READING", "Unavailable"}},
	{name: attack.Answers, refused: []string{"NOT_READING", "Unavailable"}},
	{name: attack.Names, refused: []string{"ADAPTERS"}},
	{name: attack.Keys, refused: []string{"ADAPTERS"}},
	{name: attack.Reconnects},
	{name: attack.Silent, refused: []string{"SILENT", "ADAPTERS", "CALLS"}},
	{name: attack.Partial, refused: []string{"unread", "status 4", "status 8"}},
	{name: attack.Parts, refused: []string{"FRAME", "BAD_REQUEST"}},
}

// hostileAdapter has an adapter attack a node, and compares others beside it with others beside a process that burns as much.
func hostileAdapter(ctx context.Context, s *site) (figures, error) {
	if why := unconfined(s); why != "" {
		return figures{"hostile_adapter": why, "skipped": 1}, nil
	}
	claims := 0.0
	f, err := attackedNode(ctx, s, plainNode, hostileAdapters, hostileSettings(), func(ctx context.Context, h *hostile) error {
		if err := h.bait(ctx); err != nil {
			return err
		}
		if err := h.compareAttacks(ctx); err != nil {
			return err
		}
		m, err := h.node.Metrics(ctx)
		if err == nil {
			claims, err = m.Value(`holdfast_adapter_claims_refused_total{what="result"}`)
		}
		return err
	})
	if f != nil {
		f["lies_refused"] = claims
	}
	return f, err
}

// bait has orders accepted that wait for the adapter that attacks.
func (h *hostile) bait(ctx context.Context) error {
	h.baits = evilOrders
	input := bytes.Repeat([]byte("x"), evilBytes)
	waiting := newFlood(evilOrders, evilOrders, func(int) *orderv1.WorkOrder {
		return &orderv1.WorkOrder{Definition: "evil/take:1.0.0", Input: fmt.Appendf(nil, `{"s":%q}`, input)}
	})
	return waiting.run(ctx, h.conn)
}

func hostileAdapterBars(s *site) bars {
	if unconfined(s) != "" {
		return bars{"skipped": atLeast(1)}
	}
	b := comparedBars(s, hostileAdapters)
	b["lies_refused"] = atLeast(100)
	return b
}
