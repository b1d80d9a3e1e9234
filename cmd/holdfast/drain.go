package main

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-run/holdfast/client/shown"
	"github.com/holdfast-run/holdfast/messages/adminv1"
)

const (
	// moveWithin is how long a command waits for partitions to move if --timeout doesn't say.
	moveWithin = time.Minute
	// lookEvery is how often it looks how many are to move still.
	lookEvery = 100 * time.Millisecond
)

func newClusterDrain(a *app) *cobra.Command {
	var self bool
	var request adminv1.DrainNodeRequest
	cmd := &cobra.Command{
		Use:   "drain {NODE | --self} [--undo]",
		Short: "Have a node give up all its partitions, and get none",
		Long: "Has a node give up all its partitions, which the others take, and get none: so it can be stopped, or looked at, without\n" +
			"any order waiting for it. It stays a member, and serves clients and adapters. That ends with --undo, when the node starts\n" +
			"again, and by itself when nobody else could have some partition any more. The command waits until all have moved, for a\n" +
			"minute or --timeout; what is left then goes on moving.",
		Example: "  holdfast cluster drain node-2\n" +
			"  holdfast cluster drain node-2 --undo",
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if (len(args) == 1) == self || len(args) == 1 && args[0] == "" {
				return usagef("give the name of one node, as holdfast cluster status tells it, or --self for the one that is asked")
			}
			if len(args) == 1 {
				request.Node = args[0]
			}
			return a.move(cmd.Context(), func(ctx context.Context, c *api) error { return a.drain(ctx, c, &request) })
		},
	}
	cmd.Flags().BoolVar(&self, "self", false, "the node that is asked")
	cmd.Flags().BoolVar(&request.Undo, "undo", false, "the node gets its share again")
	return cmd
}

func newClusterRebalance(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "rebalance",
		Short: "Have each partition go to the node that is to have it, now",
		Long: "After a fault a node may have partitions in place of another one, until its --stand is over. This has each partition that\n" +
			"is elsewhere go now to the node that is to have it, and waits for that, for a minute or --timeout.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.move(cmd.Context(), a.rebalance) },
	}
}

// move connects to a node, and gives do the time in which partitions are to move.
func (a *app) move(ctx context.Context, do func(context.Context, *api) error) error {
	c, err := a.dialAdmin()
	if err != nil {
		return err
	}
	defer c.close()
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(a.client.timeout, moveWithin))
	defer cancel()
	return do(ctx, c)
}

// drain has a node drained, or not any more, and waits until all has moved.
func (a *app) drain(ctx context.Context, c *api, r *adminv1.DrainNodeRequest) error {
	before, err := c.Admin().ShowCluster(ctx, &adminv1.ShowClusterRequest{})
	if err != nil {
		return err
	}
	answer, err := c.Admin().DrainNode(ctx, r)
	if err != nil {
		return err
	}
	node := answer.GetNode()
	after, err := a.moved(ctx, c, func(s *adminv1.ShowClusterResponse) (int, error) {
		n := nodeOf(s, node)
		switch {
		case n == nil:
			return 0, fmt.Errorf("node %s is no member of the cluster any more", node) //nolint:err113 // for people
		case n.GetDrained() == r.GetUndo():
			return 0, fmt.Errorf("node %s: the drain was ended, or undone, meanwhile: its log says why", node) //nolint:err113 // for people
		case r.GetUndo():
			return misplaced(s, n.GetIncarnation()), nil
		}
		return int(n.GetHas()) + unowned(s), nil
	})
	if err != nil {
		return err
	}
	count := moves(before, after)
	if a.output == outputJSON {
		return a.printJSON(shown.Drained{Node: node, Drained: !r.GetUndo(), Moved: count})
	}
	text := "is drained"
	if r.GetUndo() {
		text = "has its share again"
	}
	return a.say("node %s %s: %d partitions moved", node, text, count)
}

// rebalance has all partitions go where they are to be, and waits until they are.
func (a *app) rebalance(ctx context.Context, c *api) error {
	before, err := c.Admin().ShowCluster(ctx, &adminv1.ShowClusterRequest{})
	if err != nil {
		return err
	}
	if _, err := c.Admin().Rebalance(ctx, &adminv1.RebalanceRequest{}); err != nil {
		return err
	}
	after, err := a.moved(ctx, c, func(s *adminv1.ShowClusterResponse) (int, error) { return misplaced(s, ""), nil })
	if err != nil {
		return err
	}
	count := moves(before, after)
	if a.output == outputJSON {
		return a.printJSON(shown.Rebalanced{Moved: count})
	}
	return a.say("%d partitions moved: each is where it is to be", count)
}

// say prints a line.
func (a *app) say(format string, args ...any) error {
	if _, err := fmt.Fprintln(a.stdout, clean(fmt.Sprintf(format, args...))); err != nil {
		return fmt.Errorf("write answer: %w", err)
	}
	return nil
}

// moved waits until no partition is left that is to move, and shows on the standard error how many are.
func (a *app) moved(
	ctx context.Context, c *api, left func(*adminv1.ShowClusterResponse) (int, error),
) (*adminv1.ShowClusterResponse, error) {
	again := time.NewTicker(lookEvery)
	defer again.Stop()
	for told := -1; ; {
		s, err := c.Admin().ShowCluster(ctx, &adminv1.ShowClusterRequest{})
		if err != nil {
			return nil, err
		}
		n, err := left(s)
		switch {
		case err != nil:
			return nil, err
		case n == 0:
			return s, nil
		case n != told:
			told = n
			fmt.Fprintf(a.stderr, "%d partitions are to move\n", n)
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return nil, lateError{fmt.Sprintf("%d partitions have not moved within %v (--timeout); they go on: see holdfast cluster partitions",
				n, cmp.Or(a.client.timeout, moveWithin))}
		}
	}
}

func nodeOf(s *adminv1.ShowClusterResponse, name string) *adminv1.ClusterNode {
	for _, n := range s.GetNodes() {
		if n.GetNode() == name {
			return n
		}
	}
	return nil
}

// misplaced counts the partitions that an incarnation, or whichever, is to have, and that are elsewhere or nowhere.
func misplaced(s *adminv1.ShowClusterResponse, wanted string) (count int) {
	for _, p := range s.GetPartitions() {
		if p.GetHas() != p.GetWanted() && (wanted == "" || p.GetWanted() == wanted) {
			count++
		}
	}
	return count
}

// unowned counts the partitions that nobody has.
func unowned(s *adminv1.ShowClusterResponse) (count int) {
	for _, p := range s.GetPartitions() {
		if p.GetHas() == "" {
			count++
		}
	}
	return count
}

// moves counts the partitions that have another owner than before.
func moves(before, after *adminv1.ShowClusterResponse) (count int) {
	for i, p := range after.GetPartitions() {
		if i < len(before.GetPartitions()) && before.GetPartitions()[i].GetHas() != p.GetHas() {
			count++
		}
	}
	return count
}
