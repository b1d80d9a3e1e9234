package main

import (
	"context"
	"fmt"
	"syscall"
	"time"

	"github.com/holdfast-run/holdfast/scenarios/stage"
)

// clusterTTL is how long Consul keeps a node passing that does not refresh itself.
const clusterTTL = 3 * time.Second

// pauses are for how many TTLs a node is paused, and whether it goes on as the same member then: or it must end. In between it may do
// either.
func pauses(s *site) []pause {
	all := []pause{{0.5, goesOn}, {1, either}, {3, ends}}
	if !s.ci() {
		all = append(all, pause{30, ends})
	}
	return all
}

type pause struct {
	ttls float64
	then then
}

type then int

const (
	goesOn then = iota
	either
	ends
)

// pauseNode pauses nodes, for short and for long, under load.
func pauseNode(ctx context.Context, s *site) (figures, error) {
	return withCluster(ctx, s, func(ctx context.Context, r *clusterRow) (figures, error) {
		f, chance := figures{}, s.chance()
		wentOn, ended := 0, 0
		err := r.during(ctx, killNodeRate(s), f, func(ctx context.Context, _ *pulse) error {
			for _, p := range pauses(s) {
				if err := r.settled(ctx); err != nil {
					return err
				}
				n := r.Nodes[chance.IntN(len(r.Nodes))]
				starts := n.Starts()
				if err := r.pause(ctx, n, time.Duration(p.ttls*float64(clusterTTL))); err != nil {
					return err
				}
				if p.then == ends {
					if err := n.AwaitStart(ctx, starts); err != nil {
						return err
					}
					ended++
				}
				if err := r.settled(ctx); err != nil {
					return err
				}
				if p.then == goesOn && n.Starts() == starts {
					wentOn++
				}
			}
			return nil
		})
		f["went_on"], f["ended"] = wentOn, ended
		return f, err
	})
}

// pause pauses a node for a while.
func (r *clusterRow) pause(ctx context.Context, n *stage.Node, d time.Duration) error {
	if err := n.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	waited := stage.Pause(ctx, d)
	if err := n.Signal(syscall.SIGCONT); err != nil {
		return fmt.Errorf("go on: %w", err)
	}
	return waited
}

func pauseNodeBars(s *site) bars {
	if noCluster(s) {
		return bars{}
	}
	ended := 1.0
	if !s.ci() {
		ended = 2
	}
	return bars{"went_on": atLeast(1), "ended": atLeast(ended)}.none(clusterNone...)
}
