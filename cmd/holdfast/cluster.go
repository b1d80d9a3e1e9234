package main

import (
	"context"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/holdfast-run/holdfast/client/shown"
	"github.com/holdfast-run/holdfast/messages/adminv1"
)

func newCluster(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "cluster",
		Short: "See the nodes of a cluster, and who has which share of the work",
		Long:  "A cluster is nodes that share Consul and a journal in PostgreSQL. What is told is what one of them knows.",
	}
	asGroup(cmd)
	a.adminFlags(cmd)
	cmd.AddCommand(
		a.clusterCommand("status", "Tell which nodes there are, and how they are", a.printCluster),
		a.clusterCommand("partitions", "Tell which node has which partition", a.printPartitions),
		a.clusterCommand("shards", "Tell which databases of the journal answer, and why others don't", a.printShards),
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
	t := a.newTable(whole("NODE"), wrap("STATE"), whole("HAS"), whole("WANTED"), extra("WEIGHT"), whole("API"), cut("VERSION"),
		extra("INCARNATION"))
	for _, n := range s.GetNodes() {
		t.row(n.GetNode(), nodeState(s, n), strconv.Itoa(int(n.GetHas())), strconv.Itoa(int(n.GetWanted())),
			strconv.Itoa(int(n.GetWeight())), n.GetPublicAddress(), n.GetVersion(), n.GetIncarnation())
	}
	return t.end()
}

// nodeState says how a node is, in a word or a few.
func nodeState(s *adminv1.ShowClusterResponse, n *adminv1.ClusterNode) string {
	switch {
	case n.GetSelf() && s.GetFrozen():
		return "this one; Consul is lost for all nodes"
	case n.GetSelf() && s.GetLease() != "held":
		return "this one; its lease is " + s.GetLease()
	case n.GetSelf():
		return "this one"
	case n.GetWeight() == 0:
		return "leaves"
	case n.GetLink() != "up":
		return fmt.Sprintf("can't be reached: %s", n.GetWhy())
	}
	return "member"
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

func (a *app) printShards(s *adminv1.ShowClusterResponse) error {
	if a.output == outputJSON {
		return a.printJSON(shown.ShardsOf(s))
	}
	t := a.newTable(whole("SHARD"), whole("STATE"), wrap("WHY"))
	for _, x := range s.GetShards() {
		state := "answers"
		if !x.GetAnswers() {
			state = "away"
		}
		t.row(strconv.Itoa(int(x.GetShard())), state, x.GetWhy())
	}
	return t.end()
}
