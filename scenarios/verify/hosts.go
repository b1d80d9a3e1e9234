package main

import (
	"context"
	"errors"

	"github.com/holdfast-run/holdfast/scenarios/stage"
)

// withHosts has a row use a cluster of its own, in which each node, and Consul, is on a host of its own, perhaps with an agent of Consul
// beside each node.
func withHosts(
	ctx context.Context, s *site, agents bool, use func(context.Context, *clusterRow) (figures, error),
) (f figures, err error) {
	if noHosts(s) {
		return figures{"cluster": "skipped: it needs PostgreSQL, Consul, which make tools builds, and root's network namespaces"}, nil
	}
	network, err := stage.NewNetwork(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, network.Close()) }() //nolint:contextcheck // it is removed in any case
	return withOwnCluster(ctx, s, func(c *cluster, spec *stage.ClusterSpec) error {
		c.database.Stop() // so that it listens at one more address when it starts
		if err := c.database.Open(network.Here()); err != nil {
			return err
		}
		spec.Network, spec.Agents, spec.Journal = network, agents, c.database.AlsoAddress(postgresDatabase)
		return c.database.start()
	}, withSystems(use))
}

// skippedAtCI is what is told of a row that takes too long for the scale ci.
func skippedAtCI() figures { return figures{"why": "skipped: scale ci", "skipped": 1} }

func noHosts(s *site) bool { return noCluster(s) || s.noNetwork != "" }

// way is one way between two hosts.
type way struct{ from, to *stage.Host }

// bothWays are those between two hosts.
func bothWays(a, b *stage.Host) []way { return []way{{a, b}, {b, a}} }

// cut has nothing arrive any more that goes these ways, until heal is called.
func cut(ctx context.Context, ways []way) (heal func() error, err error) {
	for _, w := range ways {
		if err := w.to.Deafen(ctx, w.from); err != nil {
			return nil, err
		}
	}
	return func() error {
		for _, w := range ways {
			if err := w.to.Hear(ctx, w.from); err != nil {
				return err
			}
		}
		return nil
	}, nil
}
