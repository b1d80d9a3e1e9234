package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-run/holdfast/client/shown"
	"github.com/holdfast-run/holdfast/messages/adminv1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
)

func newFallout(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "fallout",
		Short: "See which orders have faulted, and have them go on",
		Long: "An order that faults is not lost: it waits, as it was, for an operator, who may try its task again, pass the task\n" +
			"over, or cancel it and undo what it has done. 'holdfast order restart' has it go on elsewhere, 'holdfast order complete' completes it.",
		Example: "  holdfast fallout list\n" +
			"  holdfast fallout retry --definition telecom/activate --task /do/2/hss --by jane --reason 'the HSS is back'",
	}
	asGroup(cmd)
	a.adminFlags(cmd)
	cmd.AddCommand(newFalloutList(a), newFalloutShow(a), newFalloutRetry(a), newFalloutSkip(a), newFalloutCancel(a))
	return cmd
}

func newFalloutList(a *app) *cobra.Command {
	var s selectFlags
	var request adminv1.ListFalloutRequest
	cmd := &cobra.Command{
		Use:   "list",
		Short: "Count the faulted orders by what went wrong",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var err error
			if request.Selection, err = s.selection(time.Now(), nil); err != nil {
				return err
			}
			return a.call(cmd.Context(), a.dialAdmin, func(ctx context.Context, c *api) error {
				answer, err := c.Admin().ListFallout(ctx, &request)
				if err != nil {
					return err
				}
				return a.printFallout(answer)
			})
		},
	}
	s.flags(a, cmd, true)
	cmd.Flags().Int32Var(&request.Limit, "limit", 100, "list at most this many groups")
	cmd.Flags().BoolVar(&request.AnyDetail, "any-detail", false, "count errors that differ in their details alone as one group")
	return cmd
}

func (a *app) printFallout(answer *adminv1.ListFalloutResponse) error {
	var t *table
	if a.output == outputTable {
		t = a.newTable(whole("ORDERS"), cut("DEFINITION"), cut("TASK"), spare("ERROR TYPE"), below("ERROR"), below("DETAIL"),
			spare("OLDEST"), spare("NEWEST"), whole("EXAMPLE"))
	}
	left := answer.GetOrders()
	for _, g := range answer.GetGroups() {
		left -= g.GetCount()
		if t != nil {
			t.row(strconv.FormatInt(g.GetCount(), 10), g.GetDefinition(), g.GetTask(), g.GetErrorType(), g.GetErrorTitle(),
				g.GetErrorDetail(), shown.TimeText(g.GetOldest()), shown.TimeText(g.GetNewest()), g.GetExampleId())
			continue
		}
		if err := a.printJSON(shown.GroupOf(g)); err != nil {
			return err
		}
	}
	if err := t.end(); err != nil {
		return err
	}
	if left > 0 {
		fmt.Fprintf(a.stderr, "%s in groups that are not listed\n", some(left, "more order is", "more orders are"))
	}
	return nil
}

func newFalloutShow(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "show ID",
		Short: "Print where an order stands, what is in doubt, and what can be undone",
		Args:  oneOrderID,
		ValidArgsFunction: func(cmd *cobra.Command, args []string, prefix string) ([]cobra.Completion, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return a.suggestOrders(cmd, []orderv1.Status{orderv1.Status_STATUS_FAULTED}, args, prefix)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.call(cmd.Context(), a.dialAdmin, func(ctx context.Context, c *api) error {
				answer, err := c.Admin().ShowFallout(ctx, &adminv1.ShowFalloutRequest{Id: args[0]})
				if err != nil {
					return err
				}
				return a.printOneFallout(answer)
			})
		},
	}
}

func (a *app) printOneFallout(f *adminv1.ShowFalloutResponse) error {
	if a.output == outputJSON {
		return a.printJSON(shown.FalloutOf(f))
	}
	t := a.newRecord()
	orderRows(t, f.GetOrder())
	if f.GetTask() != "" {
		t.row("stands at", f.GetTask())
	}
	if len(f.GetInput()) > 0 {
		t.row("task input", textValue(f.GetInput()))
	}
	if f.GetHoldsKey() {
		t.row("holds its key", "yes")
	}
	for _, d := range f.GetInDoubt() {
		t.row("in doubt", fmt.Sprintf("%s, attempt %d, key %s", d.GetTask(), d.GetAttempt(), d.GetKey()))
	}
	more := func(name string, n int64) {
		if n > 0 {
			t.row(name, fmt.Sprintf("and %d more: the history has them", n))
		}
	}
	more("in doubt", f.GetMoreInDoubt())
	for _, ev := range f.GetLateResults() {
		t.row("late result", fmt.Sprintf("%s, attempt %d, key %s, at %s: %s",
			ev.GetTask(), ev.GetAttempt(), ev.GetKey(), shown.TimeText(ev.GetAt()), eventDetail(ev, 0)))
	}
	more("late result", f.GetMoreLateResults())
	for _, c := range f.GetCompensable() {
		what := fmt.Sprintf("%s, key %s", c.GetTask(), c.GetKey())
		if c.GetInDoubt() {
			what += ", in doubt"
		}
		t.row("would undo", what)
	}
	more("would undo", f.GetMoreCompensable())
	return t.end()
}
