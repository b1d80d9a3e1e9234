package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/holdfast-run/holdfast/messages/adminv1"
	"github.com/holdfast-run/holdfast/scenarios/stage"
)

const (
	// withoutFor is how long databases are silent for one node alone: it ends after the default of --hand-over, others take over, and it
	// starts again. withoutRounds is how often.
	withoutFor    = 40 * time.Second
	withoutRounds = 4
	// secondDatabase is a database of the server beside the one that it always has.
	secondDatabase = "second"
)

// databaseAlone takes the databases of the journal away from one node alone, all of them and then one, under load. The others must take
// over what it can't do any more.
func databaseAlone(ctx context.Context, s *site) (figures, error) {
	switch {
	case s.ci():
		return skippedAtCI(), nil
	case noCluster(s):
		return withoutCluster(), nil
	}
	x := &withoutRow{}
	return withOwnCluster(ctx, s, func(c *cluster, spec *stage.ClusterSpec) error {
		spec.SettingsOf = func(node int) []string {
			to := x.ways[node]
			return []string{"--journal", to[0].address(postgresDatabase), "--journal", to[1].address(secondDatabase)}
		}
		return x.standBefore(ctx, c)
	}, withSystems(func(ctx context.Context, r *clusterRow) (figures, error) {
		f := figures{}
		x.clusterRow = r
		if err := r.during(ctx, killNodeRate(s), f, x.run); err != nil {
			return f, err
		}
		f["taken_over_within_s"], f["back_within_s"], f["node_starts"] = round(x.taken.Seconds(), 2), afterwards(x.back), r.restarts()
		var err error
		if f["told_why"], err = r.logged("has answered other nodes and not this one"); err != nil {
			return f, err
		}
		f["fences"], err = r.logged("msg=\"takes over\"")
		return f, err
	}))
}

// withoutRow is the row under way.
type withoutRow struct {
	*clusterRow

	ways [clusterNodes][2]*lossy // of each node to each database
	// taken is how long it took until others had what a node could not do any more, and back until all was well once it could reach all
	// again; at most.
	taken, back time.Duration
}

// standBefore makes the ways to the databases.
func (x *withoutRow) standBefore(ctx context.Context, c *cluster) error {
	for i := range x.ways {
		for shard := range x.ways[i] {
			way, err := newLossy(ctx, c.database.Port)
			if err != nil {
				return err
			}
			x.ways[i][shard] = way
			c.atEnd = append(c.atEnd, way.stop)
		}
	}
	return execute(ctx, c.database.Server, `CREATE DATABASE `+secondDatabase)
}

func (x *withoutRow) run(ctx context.Context, _ *pulse) error {
	chance := x.s.chance()
	for n := range withoutRounds {
		if err := x.settled(ctx); err != nil {
			return err
		}
		if err := x.without(ctx, chance.IntN(len(x.Nodes)), n%2); err != nil {
			return err
		}
		healed := time.Now()
		if err := x.settled(ctx); err != nil {
			return err
		}
		x.back = max(x.back, time.Since(healed))
	}
	return nil
}

// without has the ways of a node to the databases from one on be silent for a while.
func (x *withoutRow) without(ctx context.Context, victim, first int) error {
	n, starts, began := x.Nodes[victim], x.Nodes[victim].Starts(), time.Now()
	for _, way := range x.ways[victim][first:] {
		defer way.hush()()
	}
	bounded, cancel := context.WithTimeoutCause(ctx, withoutFor, errors.New("all databases answer it again"))
	defer cancel()
	if _, err := n.AwaitEnd(bounded, starts); err != nil {
		return err
	}
	gone := func(c *adminv1.ShowClusterResponse) bool {
		return arePlaced(c, func(p *adminv1.ClusterPartition) bool { return int(p.GetShard()) >= first && isAt(p, nodeName(victim)) })
	}
	for j, other := range x.Nodes {
		if j != victim {
			if err := shows(bounded, other, gone); err != nil {
				return err
			}
		}
	}
	x.taken = max(x.taken, time.Since(began))
	if first > 0 { // it takes part again, as far as it can
		if err := shows(bounded, n, func(c *adminv1.ShowClusterResponse) bool {
			return gone(c) && slices.ContainsFunc(c.GetNodes(), func(m *adminv1.ClusterNode) bool { return m.GetSelf() && m.GetHas() > 0 })
		}); err != nil {
			return fmt.Errorf("with one database: %w", err)
		}
	}
	return stage.Pause(ctx, time.Until(began.Add(withoutFor)))
}

func databaseAloneBars(s *site) bars {
	switch {
	case s.ci():
		return bars{"skipped": atLeast(1)}
	case noCluster(s):
		return bars{}
	}
	return bars{
		"taken_over_within_s": atMost(25), "back_within_s": atMost(10), "node_starts": exactly(withoutRounds),
		"told_why": exactly(withoutRounds), "fences": atLeast(withoutRounds),
	}.none(clusterNone...)
}
