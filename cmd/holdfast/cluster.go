package main

import (
	"context"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/holdfast-run/holdfast/client/shown"
	"github.com/holdfast-run/holdfast/messages/adminv1"
)

func newCluster(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "cluster",
		Short: "See the nodes of a cluster and who has which share of the work, and move it",
		Long:  "A cluster is nodes that share Consul and a journal in PostgreSQL. What is told is what one of them knows.",
	}
	asGroup(cmd)
	a.adminFlags(cmd)
	cmd.AddCommand(
		a.clusterCommand("status", "Tell which nodes there are, and how they are", a.printCluster),
		a.clusterCommand("partitions", "Tell which node has which partition", a.printPartitions),
		newClusterDrain(a), newClusterRebalance(a), newClusterShards(a), newClusterLevel(a), newClusterAcceptLoss(a),
	)
	return cmd
}

// clusterCommand makes a command that shows something of a cluster.
func (a *app) clusterCommand(use, short string, show func(*adminv1.ShowClusterResponse) error) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.call(cmd.Context(), a.dialAdmin, func(ctx context.Context, c *api) error {
				s, err := c.Admin().ShowCluster(ctx, &adminv1.ShowClusterRequest{})
				if err != nil {
					return err
				}
				return show(s)
			})
		},
	}
}

func (a *app) printCluster(s *adminv1.ShowClusterResponse) error {
	if a.output == outputJSON {
		return a.printJSON(shown.ClusterOf(s))
	}
	t := a.newTable(whole("NODE"), whole("STATE"), whole("HAS"), whole("WANTED"), extra("WEIGHT"), whole("API"), cut("VERSION"),
		extra("INCARNATION"), below("NOTE"))
	for _, n := range s.GetNodes() {
		state, note := nodeState(s, n)
		t.row(n.GetNode(), state, strconv.Itoa(int(n.GetHas())), strconv.Itoa(int(n.GetWanted())),
			strconv.Itoa(int(n.GetWeight())), n.GetPublicAddress(), n.GetVersion(), n.GetIncarnation(), note)
	}
	return t.end()
}

// noteWidth is how much of what another program says is told in a table; JSON tells all.
const noteWidth = 80

// nodeState says how a node is, in a word, and what there is to note about it.
func nodeState(s *adminv1.ShowClusterResponse, n *adminv1.ClusterNode) (state, note string) {
	switch {
	case n.GetDrained() && n.GetHas() > 0:
		state = "drains"
	case n.GetDrained():
		state = "drained"
	case n.GetWeight() == 0:
		state = "leaves"
	default:
		state = "member"
	}
	switch {
	case n.GetSelf() && s.GetFrozen():
		return state, "this one; Consul is lost for all nodes"
	case n.GetSelf() && s.GetLease() != "held":
		return state, "this one; its lease is " + s.GetLease()
	case n.GetSelf():
		return state, "this one"
	case n.GetLink() != "up" && state != "leaves":
		return "unreachable", shortenTo(clean(n.GetWhy()), noteWidth)
	}
	return state, ""
}

func (a *app) printPartitions(s *adminv1.ShowClusterResponse) error {
	if a.output == outputJSON {
		return a.printJSON(shown.PartitionsOf(s))
	}
	t := a.newTable(whole("PARTITION"), whole("SHARD"), whole("HAS"), whole("WANTED"))
	for _, p := range s.GetPartitions() {
		t.row(strconv.Itoa(int(p.GetPartition())), strconv.Itoa(int(p.GetShard())), p.GetHas(), p.GetWanted())
	}
	return t.end()
}
