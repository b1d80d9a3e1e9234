package main

import (
	"context"
	"math/rand/v2"
	"sync"

	"github.com/holdfast-run/holdfast/scenarios/stage"
)

func keysClusterKills(s *site) int {
	if s.ci() {
		return 1
	}
	return 5
}

func sagaClusterKills(s *site) int {
	if s.ci() {
		return 1
	}
	return 20
}

// keysCluster does as keys at a cluster: any node takes any of the orders, and any node is killed.
func keysCluster(ctx context.Context, s *site) (figures, error) {
	return amongKills(ctx, s, func(ctx context.Context, st *stage.Stage, r *clusterRow, one *killer) (figures, error) {
		k := &keyed{s: s, kills: keysClusterKills(s), dial: r.Dial, kill: one.kill}
		return k.run(ctx, st, r.Servers()...)
	})
}

// sagaCluster does as saga at a cluster.
func sagaCluster(ctx context.Context, s *site) (figures, error) {
	return amongKills(ctx, s, func(ctx context.Context, st *stage.Stage, r *clusterRow, one *killer) (figures, error) {
		saga := &sagaRow{s: s, killProcesses: &killProcesses{rounds: sagaClusterKills(s), kill: one.kill}}
		var err error
		saga.adapters, saga.logs, err = startSystems(ctx, s, st, pace{"100ms", "300ms"}, sagaSystems, true, r.Servers()...)
		if err != nil {
			return nil, err
		}
		if saga.conn, err = r.Dial(); err != nil {
			return nil, err
		}
		defer saga.conn.Close() //nolint:errcheck // it fails only if it was closed before
		if saga.admin, err = r.DialAdmin(); err != nil {
			return nil, err
		}
		defer saga.admin.Close() //nolint:errcheck // as above
		return saga.run(ctx, r.settled)
	})
}

// amongKills has a row use a cluster, and something that kills its nodes. It waits until all are back. The clocks of the nodes are apart,
// and their journal is in two databases; but at the scale ci, where the cluster is that of other rows, too.
func amongKills(
	ctx context.Context, s *site, use func(context.Context, *stage.Stage, *clusterRow, *killer) (figures, error),
) (figures, error) {
	if noCluster(s) {
		return withoutCluster(), nil
	}
	whole := func(ctx context.Context, st *stage.Stage, r *clusterRow) (figures, error) {
		ctx, stop := context.WithCancel(ctx)
		one := &killer{row: r, chance: s.chance()}
		defer one.away.Wait()
		defer stop()
		f, err := use(ctx, st, r, one)
		if err != nil {
			return f, err
		}
		if err := r.settled(ctx); err != nil {
			return f, err
		}
		f["restarts"] = r.restarts()
		f["fences"], err = r.logged("msg=\"takes over\"")
		return f, err
	}
	if !s.ci() {
		return withOwnCluster(ctx, s, func(c *cluster, spec *stage.ClusterSpec) error {
			if err := execute(ctx, c.database.Server, `CREATE DATABASE `+secondDatabase); err != nil {
				return err
			}
			spec.Settings = append(spec.Settings, "--journal", c.database.Address(postgresDatabase), "--journal", c.database.Address(secondDatabase))
			return s.wrongClock.apart(spec)
		}, whole)
	}
	c, err := s.clusters.take(ctx, s)
	if err != nil {
		return nil, err
	}
	return c.enter(ctx, s, whole)
}

// killer kills nodes.
type killer struct {
	row    *clusterRow
	chance *rand.Rand
	killed int
	away   sync.WaitGroup // counts those that are away until others have taken over
}

// kill kills the node that chance decides for, once all are as they should be. Every other one stays away until others have taken over,
// the first one for a start; the rest come back at once.
func (k *killer) kill(ctx context.Context) error {
	if err := k.row.settled(ctx); err != nil {
		return err
	}
	chosen := k.chance.IntN(len(k.row.Nodes))
	victim, until := k.row.Nodes[chosen], k.killed%2 == 0
	k.killed++
	if until {
		victim.StayAway(untilTold)
	}
	_, err := victim.Kill(ctx)
	if until {
		k.away.Go(func() {
			defer victim.StayAway(nodeBack)
			_ = k.row.taken(ctx, chosen) // it fails only with the row
		})
	}
	return err
}

// amongKills adds to the bars of a row that the kills were felt.
func (b bars) amongKills(kills int) bars {
	b["restarts"], b["fences"] = atLeast(float64(kills)), atLeast(float64((kills+1)/2))
	return b
}

func keysClusterBars(s *site) bars {
	if noCluster(s) {
		return bars{}
	}
	return keyedBars(s, keysClusterKills(s)).amongKills(keysClusterKills(s))
}

func sagaClusterBars(s *site) bars {
	if noCluster(s) {
		return bars{}
	}
	return sagaBarsOf(sagaClusterKills(s)).amongKills(sagaClusterKills(s))
}
