package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/holdfast-run/holdfast/client"
	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/scenarios/stage"
)

// watchEvery is how often one more order is watched at a node.
const watchEvery = 100 * time.Millisecond

// watchers watch orders at one node, whichever has them, from their acceptance to their end.
type watchers struct {
	mu      sync.Mutex
	ended   int
	slowest time.Duration
	failed  []error
}

// run watches orders of a pulse until ctx ends, and waits for the last ones.
func (w *watchers) run(ctx context.Context, p *pulse, conn *client.Client) {
	var all sync.WaitGroup
	defer all.Wait()
	ticks := time.NewTicker(watchEvery)
	defer ticks.Stop()
	for {
		select {
		case <-ticks.C:
		case <-ctx.Done():
			return
		}
		if o := p.newest(); o != nil {
			all.Go(func() { w.watch(context.WithoutCancel(ctx), conn, o) })
		}
	}
}

// newest is the order that was accepted last; nil: none.
func (p *pulse) newest() *order {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.orders) == 0 {
		return nil
	}
	return p.orders[len(p.orders)-1]
}

func (w *watchers) watch(ctx context.Context, conn *client.Client, o *order) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	began := time.Now()
	err := watchToEnd(ctx, conn, o)
	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil {
		w.failed = append(w.failed, fmt.Errorf("watch %s for %v: %w", o.id, time.Since(began).Round(time.Millisecond), err))
		return
	}
	w.ended++
	w.slowest = max(w.slowest, time.Since(began))
}

func watchToEnd(ctx context.Context, conn *client.Client, o *order) error {
	stream, err := conn.Orders().Watch(ctx, &orderv1.WatchRequest{Id: string(o.id)})
	for err == nil {
		_, err = stream.Recv()
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err //nolint:wrapcheck // it is told with the order's id
}

// watching has orders watched at nodes, each, while something is done, and tells what became of that.
func watching(ctx context.Context, s *site, p *pulse, nodes []*stage.Node, f figures, do func() error) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	w := &watchers{}
	var all sync.WaitGroup
	for _, n := range nodes {
		conn, err := n.Dial()
		if err != nil {
			return err
		}
		defer conn.Close() //nolint:errcheck // it fails only if it was closed before
		all.Go(func() { w.run(ctx, p, conn) })
	}
	err := do()
	stop()
	all.Wait()
	for _, wrong := range w.failed[:min(len(w.failed), maxWrong)] {
		s.sayf("%s: %v", s.row, wrong)
	}
	f["watched"], f["watch_errors"], f["watched_within_s"] = w.ended, len(w.failed), round(w.slowest.Seconds(), 2)
	return err
}
