package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/holdfast-run/holdfast/client/shown"
	"github.com/holdfast-run/holdfast/messages/adminv1"
)

func newClusterShards(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "shards",
		Short: "Tell how the databases are that have the journal",
		Long: "Tells of each database what the node that is asked sees of it: the server that it uses, which is the primary, and its\n" +
			"standbys; what was confirmed to the node, lane by lane; and how much there is.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.call(cmd.Context(), a.dialAdmin, func(ctx context.Context, c *api) error {
				s, err := c.Admin().ListShards(ctx, &adminv1.ListShardsRequest{})
				if err != nil {
					return err
				}
				return a.printShards(s.GetShards())
			})
		},
	}
}

func (a *app) printShards(shards []*adminv1.JournalShard) error {
	if a.output == outputJSON {
		all := []shown.Shard{}
		for _, s := range shards {
			all = append(all, shown.ShardOf(s))
		}
		return a.printJSON(all)
	}
	t := a.newTable(whole("SHARD"), whole("STATE"), cut("ADDRESS"), extra("SERVER"), cut("VERSION"), whole("PARTITIONS"), extra("GENERATION"),
		cut("BATCHES"), extra("SIZE"), wrap("STANDBYS"), below("NOTE"))
	for _, s := range shards {
		state, note := "used", ""
		if s.GetUnreachable() != "" {
			state, note = "away", shortenTo(clean(s.GetUnreachable()), noteWidth)
		}
		version, size := s.GetServerVersion(), ""
		if state == "used" {
			size = textSize(s.GetJournalBytes())
		}
		t.row(strconv.Itoa(int(s.GetShard())), state, s.GetAddress(), s.GetServer(), version, strconv.Itoa(int(s.GetPartitions())),
			strconv.FormatUint(s.GetGeneration(), 10), textLanes(s.GetLanes()), size, textStandbys(s, state == "used"), note)
	}
	return t.end()
}

// textLanes tells the last batch that was confirmed on each lane.
func textLanes(lanes []*adminv1.JournalLane) string {
	words := make([]string, 0, len(lanes))
	for _, l := range lanes {
		words = append(words, number(l.GetConfirmed()))
	}
	return strings.Join(words, " ")
}

// textStandbys tells which standbys there are, and which of them have a commit before it is confirmed.
func textStandbys(s *adminv1.JournalShard, used bool) string {
	var words []string
	for _, b := range s.GetStandbys() {
		words = append(words, strings.TrimSpace(b.GetName()+" "+b.GetSyncState()))
	}
	switch {
	case !used:
		return ""
	case len(words) == 0 && s.GetSynchronousStandbyNames() != "":
		return "none, and the primary waits for " + s.GetSynchronousStandbyNames()
	case len(words) == 0:
		return "none"
	case s.GetSynchronousStandbyNames() == "":
		return strings.Join(words, ", ") + "; none is waited for"
	}
	return strings.Join(words, ", ")
}

func newClusterLevel(a *app) *cobra.Command {
	var request adminv1.RaiseLevelRequest
	cmd := &cobra.Command{
		Use:   "level [--raise N]",
		Short: "Tell the feature level of the journal and of each node, or raise that of the journal",
		Long: "The feature level of a journal is the highest that its nodes write. After an upgrade of all nodes, --raise has them write\n" +
			"what the new version can: for good, so that no older version can open the journal any more. It is refused while a node\n" +
			"can't read the level.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.call(cmd.Context(), a.dialAdmin, func(ctx context.Context, c *api) error {
				if cmd.Flags().Changed("raise") {
					return a.raiseLevel(ctx, c, &request)
				}
				s, err := c.Admin().ShowLevel(ctx, &adminv1.ShowLevelRequest{})
				if err != nil {
					return err
				}
				return a.printLevel(s)
			})
		},
	}
	cmd.Flags().Uint32Var(&request.Level, "raise", 0, "raise the journal's to this `level`")
	return cmd
}

func (a *app) raiseLevel(ctx context.Context, c *api, r *adminv1.RaiseLevelRequest) error {
	answer, err := c.Admin().RaiseLevel(ctx, r)
	switch {
	case err != nil:
		return err
	case a.output == outputJSON:
		return a.printJSON(shown.Raised{Level: r.GetLevel(), Before: answer.GetBefore()})
	case answer.GetBefore() == r.GetLevel():
		return a.say("the journal has level %d already", r.GetLevel())
	}
	return a.say("the journal has level %d now; it had %d", r.GetLevel(), answer.GetBefore())
}

func (a *app) printLevel(s *adminv1.ShowLevelResponse) error {
	if a.output == outputJSON {
		return a.printJSON(shown.LevelOf(s))
	}
	t := a.newTable(whole("WHO"), whole("LEVEL"), cut("VERSION"))
	t.row("journal", fmt.Sprint(s.GetLevel()), "")
	for _, n := range s.GetNodes() {
		t.row("node "+n.GetNode(), fmt.Sprint(n.GetLevel()), n.GetVersion())
	}
	return t.end()
}
