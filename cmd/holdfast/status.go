package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-run/holdfast/client/shown"
	"github.com/holdfast-run/holdfast/messages/adminv1"
)

func newStatus(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Tell how a node is",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.call(cmd.Context(), a.dialAdmin, func(ctx context.Context, c *api) error {
				s, err := c.Admin().Status(ctx, &adminv1.StatusRequest{})
				if err != nil {
					return err
				}
				return a.printStatus(s, time.Now())
			})
		},
	}
	a.adminFlags(cmd)
	return cmd
}

func (a *app) printStatus(s *adminv1.StatusResponse, now time.Time) error {
	if a.output == outputJSON {
		return a.printJSON(shown.NodeOf(s))
	}
	t := a.newRecord()
	for _, text := range attention(s) {
		t.row("attention", text)
	}
	t.row("node", s.GetNode())
	t.row("version", s.GetVersion())
	t.row("up for", now.Sub(s.GetStartedAt().AsTime()).Round(time.Second).String())
	t.row("open orders", fmt.Sprintf("%d, %d of them in memory (about %d MiB), %d timers set",
		s.GetOpen(), s.GetResident(), s.GetResidentBytes()>>20, s.GetTimers()))
	t.row("tasks", fmt.Sprintf("%d wait for adapters, %d were put on disk, adapters have %d",
		s.GetWaiting(), s.GetOverflow(), s.GetInFlight()))
	return t.end()
}

// calm is told if nothing needs a person.
const calm = "none is needed"

// attention tells what needs a person, and by which command to see it.
func attention(s *adminv1.StatusResponse) []string {
	var out []string
	add := func(n int64, format string, args ...any) {
		if n > 0 {
			out = append(out, fmt.Sprintf(format, args...))
		}
	}
	if s.GetUnready() != "" {
		out = append(out, "the node is not ready: "+s.GetUnready())
	}
	doubt := ""
	if n := s.GetInDoubt(); n > 0 {
		doubt = fmt.Sprintf(", %d of them with attempts in doubt", n)
	}
	add(s.GetFaulted(), "%s faulted%s: holdfast fallout list", some(s.GetFaulted(), "order has", "orders have"), doubt)
	add(s.GetKeysHeld(), "%s held by faulted orders: holdfast order list --status faulted",
		some(s.GetKeysHeld(), "order key is", "order keys are"))
	add(s.GetSuspended(), "%s suspended: holdfast order list --status suspended", some(s.GetSuspended(), "order is", "orders are"))
	add(s.GetUnservedCount(), "tasks wait for adapters that are not there: %s", named(s.GetUnserved(), s.GetUnservedCount()))
	add(s.GetUnloadableCount(), "%s be loaded: %s; holdfast order get tells why",
		some(s.GetUnloadableCount(), "order can't", "orders can't"), named(s.GetUnloadable(), s.GetUnloadableCount()))
	if len(out) == 0 {
		out = append(out, calm)
	}
	return out
}

// named names the first of so many.
func named(first []string, count int64) string {
	names := strings.Join(first, ", ")
	if more := count - int64(len(first)); more > 0 {
		names += fmt.Sprintf(" and %d more", more)
	}
	return names
}

// some counts something in words.
func some(n int64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
