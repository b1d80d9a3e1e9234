package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/holdfast-run/holdfast/client/shown"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/adminv1"
)

func newSchedule(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "schedule",
		Short: "See, pause and trigger what comes into being by itself",
		Long: "A definition with a schedule has its orders come into being by themselves: at times, some time after the one before\n" +
			"has ended, or on events. Of several versions the latest one counts that is not retired.",
	}
	asGroup(cmd)
	a.adminFlags(cmd)
	cmd.AddCommand(newScheduleList(a), newSchedulePause(a), newScheduleResume(a), newScheduleTrigger(a))
	return cmd
}

func newScheduleList(a *app) *cobra.Command {
	var namespace string
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List schedules: what they say, when they are due next, and what came of the last time",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.call(cmd.Context(), a.dialAdmin, func(ctx context.Context, c *api) error {
				var t *table
				if a.output == outputTable {
					t = a.newTable(whole("NAME"), spare("VERSION"), cut("RULE"), whole("NEXT"), cut("LAST ORDER"), wrap("NOTE"))
				}
				for page := (&adminv1.ListSchedulesRequest{Namespace: namespace}); ; {
					answer, err := c.Admin().ListSchedules(ctx, page)
					if err != nil {
						return err
					}
					for _, s := range answer.GetSchedules() {
						if err := a.printSchedule(t, s); err != nil {
							return err
						}
					}
					if page.PageToken = answer.GetNextPageToken(); page.GetPageToken() == "" {
						return t.end()
					}
				}
			})
		},
	}
	cmd.Flags().StringVar(&namespace, "namespace", "", "only of this `namespace`")
	return cmd
}

// printSchedule prints a schedule: as a row of t, or as JSON if there is none.
func (a *app) printSchedule(t *table, s *adminv1.Schedule) error {
	if t == nil {
		return a.printJSON(shown.ScheduleOf(s))
	}
	_, version, _ := strings.Cut(s.GetDefinition(), ":")
	t.row(s.GetName(), version, s.GetRule(), shown.TimeText(s.GetNext()), s.GetLastId(), scheduleNote(s))
	return nil
}

// scheduleNote tells what is out of the ordinary with a schedule; empty if nothing is.
func scheduleNote(s *adminv1.Schedule) string {
	var words []string
	switch {
	case s.GetUnknown() != "":
		words = append(words, "not known now: "+s.GetUnknown())
	case s.GetDefinition() == "":
		words = append(words, "no version is scheduled now")
	}
	if s.GetPausedAt() != nil {
		paused := "paused since " + shown.TimeText(s.GetPausedAt())
		if s.GetPausedBy() != "" {
			paused += ", by " + s.GetPausedBy()
		}
		if s.GetPausedReason() != "" {
			paused += ": " + s.GetPausedReason()
		}
		words = append(words, paused)
	}
	if s.GetLastError() != nil {
		words = append(words, "the last order was refused: "+shown.ProblemText(s.GetLastError()))
	}
	if n := s.GetUnderWay(); n > 0 {
		words = append(words, fmt.Sprintf("%d under way", n))
	}
	if n := s.GetCollected(); n > 0 {
		words = append(words, fmt.Sprintf("%d events collected", n))
	}
	return strings.Join(append(words, skippedNote(s)...), "; ")
}

// skippedNote tells what was passed over last; nothing if nothing was.
func skippedNote(s *adminv1.Schedule) []string {
	switch s.GetSkippedWhy() {
	case "":
		return nil
	case "UNFIT":
		what := "the last events that were passed over"
		if s.GetSkippedFrom() != nil {
			what = shown.TimeText(s.GetSkippedFrom()) + " was passed over"
		}
		return []string{what + ": " + s.GetSkippedDetail()}
	}
	span := shown.TimeText(s.GetSkippedFrom())
	if to := shown.TimeText(s.GetSkippedTo()); to != span {
		span += " to " + to
	}
	why := "was missed"
	if s.GetSkippedWhy() == "OVERLAP" {
		why = "was passed over, as the order before had not ended"
	}
	return []string{span + " " + why}
}

// oneSchedule is the arguments of commands about one schedule.
func oneSchedule(_ *cobra.Command, args []string) error {
	if len(args) != 1 {
		return usagef("name one schedule, by its definition: namespace/name")
	}
	if _, err := messages.ParseDefinitionRef(args[0]); err != nil {
		return usageError{err}
	}
	return nil
}

func newSchedulePause(a *app) *cobra.Command {
	var request adminv1.PauseScheduleRequest
	cmd := &cobra.Command{
		Use:   "pause NAMESPACE/NAME",
		Short: "Have nothing come into being by itself until the schedule is resumed",
		Long: "Pauses a schedule. What becomes due meanwhile is passed over, and is not made up for. Events are kept as those that\n" +
			"nobody waits for. Orders that have come into being go on.",
		Example: "  holdfast schedule pause billing/nightly --reason 'billing is being migrated'",
		Args:    oneSchedule,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.call(cmd.Context(), a.dialAdmin, func(ctx context.Context, c *api) error {
				request.Definition = args[0]
				answer, err := c.Admin().PauseSchedule(ctx, &request)
				if err != nil {
					return err
				}
				return a.printScheduleIs(answer.GetSchedule(), "is paused")
			})
		},
	}
	cmd.Flags().StringVar(&request.By, "by", userName(), "who pauses it; told with the schedule")
	cmd.Flags().StringVar(&request.Reason, "reason", "", "why; told with the schedule")
	return cmd
}

func newScheduleResume(a *app) *cobra.Command {
	var request adminv1.ResumeScheduleRequest
	cmd := &cobra.Command{
		Use:   "resume NAMESPACE/NAME",
		Short: "Have orders come into being by themselves again",
		Args:  oneSchedule,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.call(cmd.Context(), a.dialAdmin, func(ctx context.Context, c *api) error {
				request.Definition = args[0]
				answer, err := c.Admin().ResumeSchedule(ctx, &request)
				if err != nil {
					return err
				}
				text := "goes on"
				if next := answer.GetSchedule().GetNext(); next != nil {
					text += ", and is due next at " + shown.TimeText(next)
				}
				return a.printScheduleIs(answer.GetSchedule(), text)
			})
		},
	}
	cmd.Flags().StringVar(&request.By, "by", userName(), "who resumes it; kept in the schedule's history")
	cmd.Flags().StringVar(&request.Reason, "reason", "", "why; kept in the schedule's history")
	return cmd
}

func newScheduleTrigger(a *app) *cobra.Command {
	var request adminv1.TriggerScheduleRequest
	var input string
	cmd := &cobra.Command{
		Use:   "trigger NAMESPACE/NAME",
		Short: "Have an order come into being now",
		Long: "Has an order of the scheduled definition come into being now, beside those that do so by themselves, also if the\n" +
			"schedule is paused. When the next one is due stays as it is, unless that depends on the end of the one before.",
		Example: "  holdfast schedule trigger billing/nightly --reason 'the run of last night was cancelled'",
		Args:    oneSchedule,
		RunE: func(cmd *cobra.Command, args []string) error {
			request.Definition = args[0]
			if request.GetOrderId() == "" {
				request.OrderId = string(messages.NewOrderID())
			}
			if input != "" {
				content, err := a.readFile(cmd.Context(), input)
				if err != nil {
					return err
				}
				request.Input = content
			}
			return a.call(cmd.Context(), a.dialAdmin, func(ctx context.Context, c *api) error {
				answer, err := c.Admin().TriggerSchedule(ctx, &request)
				if err != nil {
					return err
				}
				if a.output == outputJSON {
					return a.printJSON(map[string]string{"triggered": answer.GetOrderId()})
				}
				return a.printScheduleIs(answer.GetSchedule(), "has order "+answer.GetOrderId()+" come into being")
			})
		},
	}
	cmd.Flags().StringVar(&request.OrderId, "id", "", "the order's `id`, so that it can be triggered again after an error; default: a new one")
	cmd.Flags().StringVar(&input, "input", "", "`file` with the input, JSON; -: the standard input; default: that of other scheduled orders")
	cmd.Flags().StringVar(&request.By, "by", userName(), "who triggers it; kept in the schedule's history")
	cmd.Flags().StringVar(&request.Reason, "reason", "", "why; kept in the schedule's history")
	return cmd
}

// printScheduleIs prints what has become of a schedule.
func (a *app) printScheduleIs(s *adminv1.Schedule, text string) error {
	if a.output == outputJSON {
		return a.printJSON(shown.ScheduleOf(s))
	}
	if _, err := fmt.Fprintf(a.stdout, "%s %s\n", clean(s.GetName()), clean(text)); err != nil {
		return fmt.Errorf("write answer: %w", err)
	}
	return nil
}
