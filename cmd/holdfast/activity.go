package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-run/holdfast/messages/adminv1"
)

// activityJSON is an activity as adapter list prints it.
type activityJSON struct {
	Activity string  `json:"activity"`
	Adapters int64   `json:"adapters"`
	Waiting  int64   `json:"waiting"`
	Overflow int64   `json:"overflow"`
	InFlight int64   `json:"in_flight"`
	AgeS     float64 `json:"age_s"`
	RatePerS float64 `json:"rate_per_s"`
	// Limit is null if there is none.
	Limit *limitJSON `json:"limit"`
}

type limitJSON struct {
	RatePerS    float64    `json:"rate_per_s"`
	Concurrency uint32     `json:"concurrency"`
	SetAt       *time.Time `json:"set_at"`
	By          string     `json:"by"`
	Reason      string     `json:"reason"`
}

func newAdapterList(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List activities: who serves them, what waits, what they have done lately, and their limits",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.call(cmd.Context(), a.dialAdmin, func(ctx context.Context, c *api) error {
				answer, err := c.admin.ListActivities(ctx, &adminv1.ListActivitiesRequest{})
				if err != nil {
					return err
				}
				return a.printActivities(answer.GetActivities())
			})
		},
	}
	a.adminFlags(cmd)
	return cmd
}

func (a *app) printActivities(activities []*adminv1.ActivityStatus) error {
	var t *table
	if a.output == outputTable {
		t = newTable(a.stdout, "ACTIVITY", "ADAPTERS", "WAITING", "ON DISK", "IN FLIGHT", "OLDEST", "PER SECOND", "LIMIT")
	}
	for _, s := range activities {
		if t != nil {
			age := ""
			if s.GetAgeSeconds() > 0 {
				age = (time.Duration(s.GetAgeSeconds()) * time.Second).String()
			}
			t.row(s.GetActivity(), number(s.GetAdapters()), number(s.GetWaiting()), number(s.GetOverflow()), number(s.GetInFlight()), age,
				strconv.FormatFloat(s.GetRatePerSecond(), 'f', 1, 64), textLimit(s.GetLimit()))
			continue
		}
		j := activityJSON{
			Activity: s.GetActivity(), Adapters: s.GetAdapters(), Waiting: s.GetWaiting(), Overflow: s.GetOverflow(), InFlight: s.GetInFlight(),
			AgeS: s.GetAgeSeconds(), RatePerS: s.GetRatePerSecond(),
		}
		if l := s.GetLimit(); l != nil {
			j.Limit = &limitJSON{l.GetRatePerSecond(), l.GetConcurrency(), jsonTime(l.GetSetAt()), l.GetBy(), l.GetReason()}
		}
		if err := a.printJSON(j); err != nil {
			return err
		}
	}
	if t == nil {
		return nil
	}
	return t.end()
}

func number(n int64) string { return strconv.FormatInt(n, 10) }

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
				if _, err := c.admin.LimitActivity(ctx, &request); err != nil {
					return err
				}
				if a.output == outputJSON {
					return a.printJSON(map[string]string{"limited": args[0]})
				}
				text := "has no limit any more"
				if limits {
					text = "is limited to " + textLimit(&adminv1.ActivityLimit{RatePerSecond: request.RatePerSecond, Concurrency: request.Concurrency})
				}
				if _, err := fmt.Fprintf(a.stdout, "%s %s\n", clean(args[0]), text); err != nil {
					return fmt.Errorf("write answer: %w", err)
				}
				return nil
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

// statusJSON is a node as status prints it.
type statusJSON struct {
	Node          string     `json:"node"`
	Version       string     `json:"version"`
	StartedAt     *time.Time `json:"started_at"`
	Ready         bool       `json:"ready"`
	Unready       string     `json:"unready"`
	Open          int64      `json:"open"`
	Resident      int64      `json:"resident"`
	ResidentBytes int64      `json:"resident_bytes"`
	Timers        int64      `json:"timers"`
	Waiting       int64      `json:"waiting"`
	Overflow      int64      `json:"overflow"`
	InFlight      int64      `json:"in_flight"`
}

func newStatus(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Tell how a node is",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.call(cmd.Context(), a.dialAdmin, func(ctx context.Context, c *api) error {
				s, err := c.admin.Status(ctx, &adminv1.StatusRequest{})
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
		return a.printJSON(statusJSON{
			Node: s.GetNode(), Version: s.GetVersion(), StartedAt: jsonTime(s.GetStartedAt()), Ready: s.GetUnready() == "", Unready: s.GetUnready(),
			Open: s.GetOpen(), Resident: s.GetResident(), ResidentBytes: s.GetResidentBytes(), Timers: s.GetTimers(),
			Waiting: s.GetWaiting(), Overflow: s.GetOverflow(), InFlight: s.GetInFlight(),
		})
	}
	ready := "yes"
	if s.GetUnready() != "" {
		ready = "no: " + s.GetUnready()
	}
	t := newTable(a.stdout)
	t.row("node", s.GetNode())
	t.row("version", s.GetVersion())
	t.row("up for", now.Sub(s.GetStartedAt().AsTime()).Round(time.Second).String())
	t.row("ready", ready)
	t.row("open orders", fmt.Sprintf("%d, %d of them in memory (about %d MiB), %d timers set",
		s.GetOpen(), s.GetResident(), s.GetResidentBytes()>>20, s.GetTimers()))
	t.row("tasks", fmt.Sprintf("%d wait for adapters, %d were put on disk, adapters have %d",
		s.GetWaiting(), s.GetOverflow(), s.GetInFlight()))
	return t.end()
}
