package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-run/holdfast/client/shown"
	"github.com/holdfast-run/holdfast/messages/adminv1"
)

func newAdapterList(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List activities: who serves them, what waits, what they have done lately, and their limits",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.call(cmd.Context(), a.dialAdmin, func(ctx context.Context, c *api) error {
				var all []*adminv1.ActivityStatus
				for page := (&adminv1.ListActivitiesRequest{}); ; {
					answer, err := c.Admin().ListActivities(ctx, page)
					if err != nil {
						return err
					}
					all = append(all, answer.GetActivities()...)
					if page.PageToken = answer.GetNextPageToken(); page.GetPageToken() == "" {
						return a.printActivities(all)
					}
				}
			})
		},
	}
	a.adminFlags(cmd)
	return cmd
}

func (a *app) printActivities(activities []*adminv1.ActivityStatus) error {
	var t *table
	if a.output == outputTable {
		t = a.newTable(whole("ACTIVITY"), cut("ADAPTERS"), cut("WAITING"), cut("ON DISK"), cut("IN FLIGHT"), extra("OLDEST"), extra("PER SECOND"),
			wrap("LIMIT"), wrap("TROUBLE"))
	}
	for _, s := range activities {
		if t != nil {
			age := ""
			if s.GetAgeSeconds() > 0 {
				age = (time.Duration(s.GetAgeSeconds()) * time.Second).String()
			}
			t.row(s.GetActivity(), number(s.GetAdapters()), number(s.GetWaiting()), number(s.GetOverflow()), number(s.GetInFlight()), age,
				strconv.FormatFloat(s.GetRatePerSecond(), 'f', 1, 64), textLimit(s.GetLimit()), textTrouble(s))
			continue
		}
		if err := a.printJSON(shown.ActivityOf(s)); err != nil {
			return err
		}
	}
	if t == nil {
		return nil
	}
	return t.end()
}

func number(n int64) string { return strconv.FormatInt(n, 10) }

// textTrouble tells what is wrong with tasks of an activity; empty if nothing is.
func textTrouble(s *adminv1.ActivityStatus) string {
	var words []string
	if s.GetAway() > 0 {
		until := shown.TimeText(s.GetAwayUntil())
		words = append(words, fmt.Sprintf("%d wait for adapters that are away, the first until %s", s.GetAway(), until))
	}
	if s.GetSuspects() > 0 {
		words = append(words, fmt.Sprintf("%d are executed alone, since an adapter died", s.GetSuspects()))
	}
	if s.GetQuarantined() > 0 {
		words = append(words, fmt.Sprintf("%d were set apart", s.GetQuarantined()))
	}
	return strings.Join(words, "; ")
}

// textLimit tells a limit; empty if there is none.
func textLimit(l *adminv1.ActivityLimit) string {
	text := ""
	if l.GetRatePerSecond() > 0 {
		text = strconv.FormatFloat(l.GetRatePerSecond(), 'g', -1, 64) + "/s"
	}
	if n := l.GetConcurrency(); n > 0 {
		if text != "" {
			text += ", "
		}
		text += fmt.Sprintf("%d at a time", n)
	}
	if l.GetBy() != "" {
		text += ", by " + l.GetBy()
	}
	if l.GetReason() != "" {
		text += ": " + l.GetReason()
	}
	return text
}

func newAdapterLimit(a *app) *cobra.Command {
	var request adminv1.LimitActivityRequest
	var none bool
	cmd := &cobra.Command{
		Use:   "limit ACTIVITY {--rate N | --concurrency N | --none}",
		Short: "Bound what adapters get of an activity, at once and until it is lifted",
		Long: "Bounds how many tasks of an activity the node hands to adapters, whatever they could take: to spare a downstream\n" +
			"system, or to stop it altogether but for one task at a time. It holds from now on, also after restarts. What\n" +
			"adapters have they keep.",
		Example: "  holdfast adapter limit billing.charge --rate 50 --reason 'billing is being migrated'\n" +
			"  holdfast adapter limit billing.charge --none",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 || args[0] == "" {
				return usagef("give one activity, adapter.activity")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			limits := request.RatePerSecond != 0 || request.Concurrency != 0
			if limits == none {
				return usagef("give --rate, --concurrency or both, or --none")
			}
			return a.call(cmd.Context(), a.dialAdmin, func(ctx context.Context, c *api) error {
				request.Activity = args[0]
				answer, err := c.Admin().LimitActivity(ctx, &request)
				if err != nil {
					return err
				}
				return a.printLimited(&request, answer)
			})
		},
	}
	a.adminFlags(cmd)
	flags := cmd.Flags()
	flags.Float64Var(&request.RatePerSecond, "rate", 0, "most tasks a `second`, on average")
	flags.Uint32Var(&request.Concurrency, "concurrency", 0, "most tasks that adapters have at a time")
	flags.BoolVar(&none, "none", false, "lift the limit")
	flags.StringVar(&request.By, "by", userName(), "who sets it; told with the limit")
	flags.StringVar(&request.Reason, "reason", "", "why; told with the limit")
	return cmd
}

// printLimited tells what a limit has become, and warns of a name that may be misspelt.
func (a *app) printLimited(r *adminv1.LimitActivityRequest, answer *adminv1.LimitActivityResponse) error {
	if answer.GetUnknown() {
		fmt.Fprintf(a.stderr, "warning: no adapter offers %s now, and no deployed definition calls it: see holdfast adapter list\n",
			clean(r.GetActivity()))
	}
	if a.output == outputJSON {
		return a.printJSON(shown.LimitedOf(r, answer))
	}
	text := "has no limit any more"
	if r.GetRatePerSecond() != 0 || r.GetConcurrency() != 0 {
		text = "is limited to " + textLimit(&adminv1.ActivityLimit{RatePerSecond: r.GetRatePerSecond(), Concurrency: r.GetConcurrency()})
	}
	if _, err := fmt.Fprintf(a.stdout, "%s %s\n", clean(r.GetActivity()), text); err != nil {
		return fmt.Errorf("write answer: %w", err)
	}
	return nil
}
