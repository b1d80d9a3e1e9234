package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/holdfast-run/holdfast/messages/adminv1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/scenarios/stage"
)

// cutFor is how long two nodes do not reach each other.
func cutFor(s *site) time.Duration {
	if s.ci() {
		return 6 * time.Second
	}
	return 30 * time.Second
}

// lingers is how old an order is that has not ended in time, also while nodes are cut off from each other.
const lingers = 5 * time.Second

// nodeCut cuts two nodes off from each other, both ways, and then one way, under load.
func nodeCut(ctx context.Context, s *site) (figures, error) {
	return withHosts(ctx, s, false, func(ctx context.Context, r *clusterRow) (figures, error) {
		f, a, b := figures{"lingering": 0}, r.Nodes[0], r.Nodes[1]
		slowest := time.Duration(0)
		err := r.during(ctx, killNodeRate(s), f, func(ctx context.Context, p *pulse) error {
			return watching(ctx, s, p, []*stage.Node{a, b}, f, func() error {
				for _, ways := range [][]way{bothWays(a.Host, b.Host), {{a.Host, b.Host}}} {
					if err := r.settled(ctx); err != nil {
						return err
					}
					lingering, took, err := r.cut(ctx, ways, a, b)
					if err != nil {
						return err
					}
					f.add("lingering", lingering)
					slowest = max(slowest, took)
				}
				return r.settled(ctx)
			})
		})
		if err != nil {
			return f, err
		}
		f["progress_within_s"], f["node_starts"] = round(slowest.Seconds(), 2), r.restarts()
		for name, n := range map[string]*stage.Node{"lost_packets_1": a, "lost_packets_2": b} {
			if f[name], err = n.Host.Lost(ctx); err != nil {
				return f, err
			}
		}
		f["fences"], err = r.logged("msg=\"takes over\"")
		return f, err
	})
}

// cut cuts ways between two nodes for a while. It tells how many orders lingered meanwhile, and after how long all went on that came
// before the nodes reached each other again.
func (r *clusterRow) cut(ctx context.Context, ways []way, a, b *stage.Node) (lingering int, took time.Duration, err error) {
	heal, err := cut(ctx, ways)
	if err != nil {
		return 0, 0, err
	}
	began := time.Now()
	if err := r.linked(ctx, a, b, false); err != nil {
		return 0, 0, err
	}
	if err := stage.Pause(ctx, time.Until(began.Add(cutFor(r.s)))); err != nil {
		return 0, 0, err
	}
	if lingering, err = r.open(ctx, time.Now().Add(-lingers)); err != nil {
		return 0, 0, err
	}
	if err := heal(); err != nil {
		return 0, 0, err
	}
	healed := time.Now()
	if err := r.linked(ctx, a, b, true); err != nil {
		return 0, 0, err
	}
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for {
		before, err := r.open(ctx, healed)
		if err != nil || before == 0 {
			return lingering, time.Since(healed), err
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return 0, 0, fmt.Errorf("wait until what came before has ended: %w", context.Cause(ctx))
		}
	}
}

// open counts the orders that are open and were accepted before a time; those beyond a page are not counted.
func (r *clusterRow) open(ctx context.Context, before time.Time) (int, error) {
	const page = 1000
	l, err := r.conn.Orders().List(ctx, &orderv1.ListRequest{
		PageSize: page, AcceptedTo: timestamppb.New(before),
		Statuses: []orderv1.Status{orderv1.Status_STATUS_PENDING, orderv1.Status_STATUS_RUNNING, orderv1.Status_STATUS_WAITING},
	})
	return len(l.GetOrders()), err
}

// linked waits until two nodes, as each sees it, reach each other, or do not.
func (r *clusterRow) linked(ctx context.Context, a, b *stage.Node, up bool) error {
	for _, n := range []*stage.Node{a, b} {
		other := b
		if n == b {
			other = a
		}
		if err := r.link(ctx, n, other, up); err != nil {
			return err
		}
	}
	return nil
}

func (r *clusterRow) link(ctx context.Context, n, other *stage.Node, up bool) error {
	return shows(ctx, n, func(c *adminv1.ShowClusterResponse) bool {
		return up == slices.ContainsFunc(c.GetNodes(), func(m *adminv1.ClusterNode) bool {
			return m.GetPublicAddress() == other.Server && m.GetLink() == "up"
		})
	})
}

func nodeCutBars(s *site) bars {
	if noHosts(s) {
		return bars{}
	}
	return bars{
		"progress_within_s": atMost(5), "watched": atLeast(100), "watched_within_s": atMost(20),
		"lost_packets_1": atLeast(1), "lost_packets_2": atLeast(1),
	}.none(clusterNone...).none("fences", "node_starts", "lingering", "watch_errors")
}
