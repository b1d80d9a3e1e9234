package main

import (
	"context"

	"github.com/holdfast-run/holdfast/scenarios/attack"
)

// hostileClients are the attacks of clients.
var hostileClients = []attacked{
	{name: attack.Expressions},
	{name: attack.Metadata, refused: []string{"status ENHANCE_YOUR_CALM", "ENHANCE_YOUR_CALM", "closed"}},
	{name: attack.Streams, refused: []string{"too_many_streams", "status REFUSED_STREAM"}},
	{name: attack.Slow, refused: []string{"status 4", "status 14"}},
	{name: attack.Resets, refused: []string{"idle_frames"}},
	{name: attack.Continuations, refused: []string{"idle_frames"}},
	{name: attack.Floods, refused: []string{"idle_frames"}},
	{name: attack.HalfOpen, refused: []string{"closed"}},
	{name: attack.Idle, refused: []string{"closed"}},
	{name: attack.Connects},
	{name: attack.Unread},
	{name: attack.Definitions, refused: []string{"TOO_MANY_DEFINITIONS"}},
}

// hostileHandshakes are their attacks on listeners with TLS.
var hostileHandshakes = []attacked{
	{name: attack.Handshakes},
	{name: attack.HalfHandshakes, refused: []string{"closed"}},
}

// hostileClient has a client attack a node, and another one with TLS, and compares others beside it with others beside a process that burns
// as much.
func hostileClient(ctx context.Context, s *site) (figures, error) {
	if why := unconfined(s); why != "" {
		return figures{"hostile_client": why, "skipped": 1}, nil
	}
	settings := hostileSettings("--max-definitions", "10", "--idle-frames", "100")
	compare := func(ctx context.Context, h *hostile) error { return h.compareAttacks(ctx) }
	f, err := attackedNode(ctx, s, plainNode, hostileClients, settings, compare)
	if err != nil {
		return f, err
	}
	secured, err := attackedNode(ctx, s, securedNode, hostileHandshakes, settings, compare)
	for name, v := range secured {
		f["tls_"+name] = v
	}
	return f, err
}

func hostileClientBars(s *site) bars {
	if unconfined(s) != "" {
		return bars{"skipped": atLeast(1)}
	}
	b := comparedBars(s, hostileClients)
	for name, bar := range comparedBars(s, hostileHandshakes) {
		b["tls_"+name] = bar
	}
	return b
}
