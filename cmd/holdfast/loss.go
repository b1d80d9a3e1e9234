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

func newClusterAcceptLoss(a *app) *cobra.Command {
	var request adminv1.AcceptLossRequest
	cmd := &cobra.Command{
		Use:   "accept-loss [--confirm WORD]",
		Short: "Show what the database lacks of what was confirmed, and go on without it",
		Long: "A database that lacks something which was confirmed to a node is used by none: a standby that had not everything was made\n" +
			"the primary, or a backup was restored. This shows of each server of the journal which batches of which lanes it lacks, and\n" +
			"changes nothing. If the right server can't be brought back, --confirm with the word that is shown beside another one has all\n" +
			"nodes go on with that, for good: what the batches did is lost. Nodes answer this also while they can't start.",
		Example: "  holdfast cluster accept-loss\n" +
			"  holdfast cluster accept-loss --confirm 3f9a0c11d2e4",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.call(cmd.Context(), a.dialAdmin, func(ctx context.Context, c *api) error {
				if cmd.Flags().Changed("confirm") {
					return a.acceptLoss(ctx, c, &request)
				}
				s, err := c.Admin().ShowLoss(ctx, &adminv1.ShowLossRequest{})
				if err != nil {
					return err
				}
				return a.printLoss(s.GetServers())
			})
		},
	}
	cmd.Flags().StringVar(&request.Confirm, "confirm", "", "accept the loss that is shown with this `word`")
	return cmd
}

func (a *app) acceptLoss(ctx context.Context, c *api, r *adminv1.AcceptLossRequest) error {
	answer, err := c.Admin().AcceptLoss(ctx, r)
	switch {
	case err != nil:
		return err
	case a.output == outputJSON:
		return a.printJSON(shown.AcceptedLoss{Generation: answer.GetGeneration()})
	}
	return a.say("the loss is accepted, and generation %d has begun: nodes end, are started again, and go on", answer.GetGeneration())
}

func (a *app) printLoss(servers []*adminv1.JournalServer) error {
	if a.output == outputJSON {
		all := []shown.JournalServer{}
		for _, s := range servers {
			all = append(all, shown.JournalServerOf(s))
		}
		return a.printJSON(all)
	}
	t := a.newTable(whole("SHARD"), whole("SERVER"), whole("STATE"), extra("TIMELINE"), extra("GENERATION"), whole("WORD"), below("NOTE"))
	for _, s := range servers {
		timeline, generation := strconv.FormatInt(s.GetTimeline(), 10), strconv.FormatUint(s.GetGeneration(), 10)
		if s.GetUnreachable() != "" {
			timeline, generation = "", ""
		}
		t.row(strconv.Itoa(int(s.GetShard())), s.GetAddress(), serverState(s), timeline, generation, s.GetConfirm(), serverNote(s))
	}
	if err := t.end(); err != nil {
		return err
	}
	return a.tellLoss(servers)
}

// serverState says in a word how a server is.
func serverState(s *adminv1.JournalServer) string {
	switch {
	case s.GetUnreachable() != "":
		return "away"
	case s.GetStandby():
		return "standby"
	case s.GetJournal() == "":
		return "empty"
	case len(s.GetLost()) > 0:
		return "lacks"
	}
	return "whole"
}

// serverNote says what there is to note about a server: what it lacks, and why the loss of that can't be accepted.
func serverNote(s *adminv1.JournalServer) string {
	if s.GetUnreachable() != "" {
		return shortenTo(clean(s.GetUnreachable()), noteWidth)
	}
	var words []string
	for _, b := range s.GetLost() {
		words = append(words, textLost(s, b))
	}
	if s.GetUnacceptable() != "" {
		words = append(words, s.GetUnacceptable())
	}
	return strings.Join(words, "; ")
}

// textLost says what a server lacks of a lane.
func textLost(s *adminv1.JournalServer, b *adminv1.LostBatches) string {
	whose := fmt.Sprintf("lane %d of %s", b.GetLane(), b.GetIncarnation())
	if b.GetLane() < 0 {
		whose = b.GetIncarnation() + " beside its lanes"
	}
	switch {
	case b.GetGeneration() > s.GetGeneration():
		return fmt.Sprintf("all of generation %d, as is known of %s", b.GetGeneration(), b.GetIncarnation())
	case b.GetHas()+1 == b.GetConfirmed():
		return fmt.Sprintf("batch %d of %s", b.GetConfirmed(), whose)
	}
	return fmt.Sprintf("batches %d to %d of %s", b.GetHas()+1, b.GetConfirmed(), whose)
}

// tellUnreadable says what is not known.
func (a *app) tellUnreadable(servers []*adminv1.JournalServer) error {
	for _, s := range servers {
		if keys := s.GetUnreadable(); len(keys) > 0 { // they are the same for all
			return a.say("what was confirmed is not known of these nodes, as what Consul has is damaged; any server may lack it, too, and who "+
				"accepts a loss accepts that. Delete these keys in Consul then: %s", strings.Join(keys, ", "))
		}
	}
	return nil
}

// tellLoss says what can be done.
func (a *app) tellLoss(servers []*adminv1.JournalServer) error {
	var words, spared []string
	lacking := false
	for _, s := range servers {
		lacking = lacking || serverState(s) == "lacks"
		if s.GetConfirm() != "" {
			words = append(words, fmt.Sprintf("%s:\n  holdfast cluster accept-loss --confirm %s", clean(s.GetAddress()), clean(s.GetConfirm())))
		}
		if s.GetStandby() && len(s.GetLost()) == 0 {
			spared = append(spared, s.GetAddress())
		}
	}
	if err := a.tellUnreadable(servers); err != nil {
		return err
	}
	switch {
	case !lacking:
		return a.say("no server that takes writes lacks anything that is known to have been confirmed")
	case len(spared) > 0:
		if err := a.say("nothing is lost if this server is made the primary, which lacks nothing: %s", strings.Join(spared, ", ")); err != nil {
			return err
		}
	}
	if len(words) == 0 {
		return nil
	}
	_, err := fmt.Fprintf(a.stdout, "A batch has what some orders did at the same moment: orders that were accepted, and what became of "+
		"others.\nIf no server can be brought back that has it all, make sure that those which are away stay so, and go on with what is "+
		"there, for good, at\n%s\n", strings.Join(words, "\n"))
	if err != nil {
		return fmt.Errorf("write answer: %w", err)
	}
	return nil
}
