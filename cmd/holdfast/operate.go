package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/holdfast-run/holdfast/client"
	"github.com/holdfast-run/holdfast/client/shown"
	"github.com/holdfast-run/holdfast/messages/adminv1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/messages/problemv1"
)

// selectFlags select orders.
type selectFlags struct {
	definition, key, task string
	errorType, errorTitle string
	errorDetail           string
	since, until          string
	labels                []string
	all                   bool
}

// flags gives a command the flags; those about errors only if faulted orders are meant.
func (s *selectFlags) flags(a *app, cmd *cobra.Command, faulted bool) {
	flags := cmd.Flags()
	flags.StringVar(&s.definition, "definition", "", "only orders of this `definition`, namespace/name or namespace/name:version")
	flags.StringVar(&s.key, "key", "", "only orders with this order `key`")
	flags.StringArrayVar(&s.labels, "label", nil, "only orders with this `label`, name=value; several: with all of them")
	if faulted {
		flags.StringVar(&s.task, "task", "", "only orders that stand at this `task`, such as /do/2/activate")
		flags.StringVar(&s.errorType, "error-type", "", "only orders that faulted with an error of this `type`")
		flags.StringVar(&s.errorTitle, "error", "", "only orders that faulted with an error of this `title`")
		flags.StringVar(&s.errorDetail, "detail", "", "only orders that faulted with an error of this `detail`")
		flags.StringVar(&s.since, "since", "", "only orders that faulted at or after this `time`, RFC 3339, or as long ago as 1h")
		flags.StringVar(&s.until, "until", "", "only orders that faulted before this `time`, in the same forms")
	}
	if err := cmd.RegisterFlagCompletionFunc("definition", a.completeDefinition); err != nil {
		panic(err) // there is such a flag
	}
}

// selection makes the selection that the flags, and the ids given, mean.
func (s *selectFlags) selection(now time.Time, ids []string) (*adminv1.Selection, error) {
	out := &adminv1.Selection{
		Ids: ids, Definition: s.definition, Task: s.task, ErrorType: s.errorType, ErrorTitle: s.errorTitle, ErrorDetail: s.errorDetail,
		OrderKey: s.key,
	}
	var err error
	if out.Labels, err = parseLabels(s.labels); err != nil {
		return nil, err
	}
	if out.EndedFrom, err = parseTime("--since", s.since, now); err != nil {
		return nil, err
	}
	out.EndedTo, err = parseTime("--until", s.until, now)
	return out, err
}

// empty tells whether no condition was given.
func (s *selectFlags) empty() bool {
	return s.definition == "" && s.key == "" && s.task == "" && s.errorType == "" && s.errorTitle == "" && s.errorDetail == "" &&
		s.since == "" && s.until == "" && len(s.labels) == 0
}

// operation is a command that does something to orders.
type operation struct {
	use, short, long string
	// faulted: it is meant for faulted orders; else for open ones.
	faulted bool
	// local: the group of the command has no flag for the administration's address.
	local bool
	// flags adds flags of its own; action makes the action that they mean.
	flags  func(*cobra.Command)
	action func(ctx context.Context) (*adminv1.Action, error)
}

// asked is what a command of an operation was given.
type asked struct {
	selectFlags

	yes, dryRun bool
	by, reason  string
}

func (a *app) newOperation(o operation) *cobra.Command {
	var f asked
	cmd := &cobra.Command{
		Use:   o.use + " [ID...]",
		Short: o.short,
		Long: o.long + "\n\nName the orders, or select them with flags: then you are told first how many there are, and asked whether to go\n" +
			"on. The node tells of each order whether it accepts. If it does, that is durable; activities under way may be\n" +
			"awaited before the order ends. It can be repeated: what is done is not done again.",
		ValidArgsFunction: a.completeOrderIDs(),
		RunE: func(cmd *cobra.Command, ids []string) error {
			for _, id := range ids {
				if err := checkOrderID(id); err != nil {
					return err
				}
			}
			if f.empty() && len(ids) == 0 && !f.all {
				return usagef("name orders, or select them with flags, or all with --all")
			}
			if f.all && (len(ids) > 0 || !f.empty()) {
				return usagef("--all and a selection exclude each other")
			}
			action, err := o.action(cmd.Context())
			if err != nil {
				return err
			}
			action.By, action.Reason = f.by, f.reason
			c, err := a.dialAdmin()
			if err != nil {
				return err
			}
			defer c.close()
			if len(ids) == 1 && f.empty() {
				return a.operate(cmd.Context(), c, &adminv1.OperateRequest{Id: ids[0], Action: action, DryRun: f.dryRun})
			}
			selection, err := f.selection(time.Now(), ids)
			if err != nil {
				return err
			}
			all := &adminv1.OperateAllRequest{Selection: selection, Action: action, All: f.all}
			if f.dryRun {
				ctx, cancel := a.boundWait(cmd.Context())
				defer cancel()
				selected, err := a.count(ctx, c, all)
				if err == nil {
					fmt.Fprintf(a.stdout, "nothing was done; %s selected\n", some(selected, "order is", "orders are"))
				}
				return err
			}
			return a.operateAll(cmd.Context(), c, all, f.yes || len(ids) > 0)
		},
	}
	if o.faulted {
		cmd.ValidArgsFunction = a.completeOrderIDs(orderv1.Status_STATUS_FAULTED)
	}
	if o.local {
		a.adminFlag(cmd)
	}
	f.flags(a, cmd, o.faulted)
	flags := cmd.Flags()
	flags.BoolVar(&f.all, "all", false, "all orders that the command is meant for")
	flags.BoolVarP(&f.yes, "yes", "y", false, "don't ask")
	flags.BoolVar(&f.dryRun, "dry-run", false, "do nothing: tell what would happen to an order, or how many are selected")
	flags.StringVar(&f.by, "by", userName(), "who does it; kept in the orders' histories")
	flags.StringVar(&f.reason, "reason", "", "why; kept in the orders' histories")
	if o.flags != nil {
		o.flags(cmd)
	}
	return cmd
}

// operate does something to one order, and prints it; of a dry run, the events that there would be.
func (a *app) operate(ctx context.Context, c *api, r *adminv1.OperateRequest) error {
	ctx, cancel := a.bound(ctx)
	defer cancel()
	answer, err := c.Admin().Operate(ctx, r)
	switch {
	case err != nil:
		return advise(err, client.AdviceOnOperation(r.GetId(), err))
	case r.GetDryRun():
		t := a.newEventTable()
		if err := a.printEvents(t, answer.GetEvents()); err != nil {
			return err
		}
		fmt.Fprintf(a.stderr, "nothing was done; the order would be %s\n", shown.StatusWord(answer.GetOrder().GetStatus()))
		return t.end()
	}
	return a.printOrder(answer.GetOrder())
}

// operateAll does something to a selection, once it is certain.
func (a *app) operateAll(ctx context.Context, c *api, request *adminv1.OperateAllRequest, certain bool) error {
	ctx, cancel := a.boundWait(ctx)
	defer cancel()
	if !certain {
		if ok, err := a.confirm(ctx, c, request); !ok {
			return err
		}
	}
	stream, err := c.Admin().OperateAll(ctx, request)
	if err != nil {
		return err
	}
	var t *table
	if a.output == outputTable {
		t = a.newTable(whole("ID"), wrap("RESULT"))
	}
	told, refused := 0, 0
	for {
		answer, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			advice := fmt.Sprintf("It was told of %d orders until then. Repeat it: what is done is not done again.", told)
			return errors.Join(advise(err, advice), t.end())
		}
		for _, o := range answer.GetOutcomes() {
			told++
			if o.GetCode() != 0 {
				refused++
			}
			if err := a.printOutcome(t, o); err != nil {
				return err
			}
		}
	}
	if err := t.end(); err != nil {
		return err
	}
	fmt.Fprintf(a.stderr, "%d accepted, %d refused\n", told-refused, refused)
	if refused > 0 {
		return fmt.Errorf("%d of %d orders were refused", refused, told)
	}
	return nil
}

// printOutcome prints what came of an order: as a row of t, or as JSON if there is none.
func (a *app) printOutcome(t *table, o *adminv1.Outcome) error {
	if t == nil {
		return a.printJSON(shown.OutcomeOf(o))
	}
	result := "accepted"
	if o.GetCode() != 0 {
		result = o.GetReason() + ": " + o.GetMessage()
	}
	t.row(o.GetId(), result)
	return nil
}

// count returns how many orders are selected.
func (a *app) count(ctx context.Context, c *api, request *adminv1.OperateAllRequest) (int64, error) {
	stream, err := c.Admin().OperateAll(ctx, &adminv1.OperateAllRequest{
		Selection: request.GetSelection(), Action: request.GetAction(), All: request.GetAll(), DryRun: true,
	})
	if err != nil {
		return 0, err
	}
	answer, err := stream.Recv()
	return answer.GetSelected(), err
}

// confirm counts the orders that are selected, and asks whether to go on.
func (a *app) confirm(ctx context.Context, c *api, request *adminv1.OperateAllRequest) (bool, error) {
	selected, err := a.count(ctx, c, request)
	switch {
	case err != nil:
		return false, err
	case selected == 0:
		fmt.Fprintln(a.stderr, "no order is selected")
		return false, nil
	}
	fmt.Fprintf(a.stderr, "%s selected. Go on? [y/N] ", some(selected, "order is", "orders are"))
	line, err := interruptible(ctx, func() (string, error) { return bufio.NewReader(a.stdin).ReadString('\n') })
	if err != nil && !errors.Is(err, io.EOF) {
		return false, fmt.Errorf("read the answer: %w", err)
	}
	switch strings.ToLower(strings.TrimSpace(line)) {
	case "y", "yes":
		return true, nil
	case "":
		fmt.Fprintln(a.stderr)
	}
	return false, errors.New("nothing was done: answer y, or give --yes")
}

// jsonFile reads a JSON value from a file, or from the standard input for -; nil if no file is named.
func (a *app) jsonFile(ctx context.Context, name string) ([]byte, error) {
	if name == "" {
		return nil, nil
	}
	content, err := a.readFile(ctx, name)
	if err != nil {
		return nil, err
	}
	return content, checkJSON(name, content)
}

// reopening is the flags of the commands that have a faulted order go on.
type reopening struct {
	value, deadline string
	notDone         bool
}

// inputFlags are about what a task gets.
func (r *reopening) inputFlags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&r.value, "input", "", "`file` with what the task gets in place of its input, one JSON value; - for the standard input")
	flags.BoolVar(&r.notDone, "not-done", false, "it is known that the attempts in doubt were not executed")
	r.deadlineFlag(cmd)
}

// resultFlags are about what a task leaves.
func (r *reopening) resultFlags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&r.value, "result", "", "`file` with what the task's work would have left, one JSON value; - for the standard "+
		"input (none: its input goes on)")
	r.deadlineFlag(cmd)
}

func (r *reopening) deadlineFlag(cmd *cobra.Command) {
	cmd.Flags().StringVar(&r.deadline, "deadline", "", "a new deadline of the orders, `when`: RFC 3339, or a duration such as 1h from now on")
}

// opened makes the action that the flags mean.
type opened struct {
	value    []byte
	deadline *timestamppb.Timestamp
	after    *durationpb.Duration
}

func (r *reopening) read(ctx context.Context, a *app) (o opened, err error) {
	if o.value, err = a.jsonFile(ctx, r.value); err != nil {
		return o, err
	}
	o.deadline, o.after, err = parseWhen("--deadline", r.deadline)
	return o, err
}

func newFalloutRetry(a *app) *cobra.Command {
	var r reopening
	return a.newOperation(operation{
		use: "retry", short: "Try the task again where an order faulted", faulted: true,
		long: "Have faulted orders go on where they stand: the task is tried again, under the same idempotency key. What is in\n" +
			"doubt goes back to the adapter, marked as maybe started. With another input it is other work, with a key of its own:\n" +
			"find out first whether what is in doubt was executed, and say so with --not-done if it was not.",
		flags: r.inputFlags,
		action: func(ctx context.Context) (*adminv1.Action, error) {
			o, err := r.read(ctx, a)
			return &adminv1.Action{Kind: &adminv1.Action_Retry{
				Retry: &adminv1.Retry{Input: o.value, NotDone: r.notDone, Deadline: o.deadline, DeadlineAfter: o.after},
			}}, err
		},
	})
}

func newFalloutSkip(a *app) *cobra.Command {
	var r reopening
	var task string
	return a.newOperation(operation{
		use: "skip", short: "Pass over the task where an order faulted", faulted: true,
		long: "Have faulted orders go on behind the task where they stand, as though it had left a result; or as though its if did\n" +
			"not hold.",
		flags: func(cmd *cobra.Command) {
			r.resultFlags(cmd)
			cmd.Flags().StringVar(&task, "around", "", "pass over this `task`, one around the one where they stand")
		},
		action: func(ctx context.Context) (*adminv1.Action, error) {
			o, err := r.read(ctx, a)
			return &adminv1.Action{Kind: &adminv1.Action_Skip{
				Skip: &adminv1.Skip{Task: task, Output: o.value, Deadline: o.deadline, DeadlineAfter: o.after},
			}}, err
		},
	})
}

func newFalloutCancel(a *app) *cobra.Command {
	var c adminv1.Cancel
	return a.newOperation(operation{
		use: "cancel", short: "Cancel faulted orders", faulted: true,
		long: "Cancel faulted orders for good: the next ones of their keys run. With --compensate they first go on, in their\n" +
			"turn, and undo what they have done, last first: 'holdfast fallout show' tells what that is. One that faults while it\n" +
			"does so is in the fallout again: try its task again, pass it over, or cancel the order without --compensate.",
		flags: func(cmd *cobra.Command) {
			cmd.Flags().BoolVar(&c.Compensate, "compensate", false, "first undo what they have done, as their definitions say")
		},
		action: func(context.Context) (*adminv1.Action, error) {
			return &adminv1.Action{Kind: &adminv1.Action_Cancel{Cancel: &c}}, nil
		},
	})
}

func newOrderRestart(a *app) *cobra.Command {
	var r reopening
	var from string
	return a.newOperation(operation{
		use: "restart", short: "Have a faulted order go on with another task", faulted: true, local: true,
		long: "Have faulted orders go on with another task of the list that they are in, or of a list around it, as though the last\n" +
			"task had said so with then. What is done again has idempotency keys of its own.",
		flags: func(cmd *cobra.Command) {
			r.inputFlags(cmd)
			cmd.Flags().StringVar(&from, "from", "", "the `task` to go on with, such as /do/2/activate")
		},
		action: func(ctx context.Context) (*adminv1.Action, error) {
			if from == "" {
				return nil, usagef("--from is missing: name the task to go on with")
			}
			o, err := r.read(ctx, a)
			return &adminv1.Action{Kind: &adminv1.Action_Restart{
				Restart: &adminv1.Restart{Task: from, Input: o.value, NotDone: r.notDone, Deadline: o.deadline, DeadlineAfter: o.after},
			}}, err
		},
	})
}

func newOrderComplete(a *app) *cobra.Command {
	var result string
	return a.newOperation(operation{
		use: "complete", short: "Complete an order by hand", faulted: true, local: true,
		long: "Complete orders by hand, with a result. Flags select faulted orders; one that is named may be open, too: activities\n" +
			"under way are asked to stop then, and awaited for 30s (node --stop-grace).",
		flags: func(cmd *cobra.Command) {
			cmd.Flags().StringVar(&result, "result", "", "`file` with the output, one JSON value; - for the standard input (none: null)")
		},
		action: func(ctx context.Context) (*adminv1.Action, error) {
			output, err := a.jsonFile(ctx, result)
			return &adminv1.Action{Kind: &adminv1.Action_Complete{Complete: &adminv1.Complete{Output: output}}}, err
		},
	})
}

func newOrderFault(a *app) *cobra.Command {
	var p problemv1.Problem
	return a.newOperation(operation{
		use: "fault", short: "Fault an order by hand", local: true,
		long: "Fault open orders, so that they wait for an operator and can go on elsewhere. Activities under way are asked to\n" +
			"stop, and awaited for 30s (node --stop-grace). It also halts an order that undoes what it has done.",
		flags: func(cmd *cobra.Command) {
			cmd.Flags().StringVar(&p.Type, "type", "", "the error's `type`, a URI")
			cmd.Flags().StringVar(&p.Title, "title", "", "the error's `title`")
			cmd.Flags().StringVar(&p.Detail, "detail", "", "the error's `detail` (none: the reason)")
		},
		action: func(context.Context) (*adminv1.Action, error) {
			return &adminv1.Action{Kind: &adminv1.Action_Fault{Fault: &adminv1.Fault{Error: &p}}}, nil
		},
	})
}

func newOrderSuspend(a *app) *cobra.Command {
	return a.newOperation(operation{
		use: "suspend", short: "Have nothing new begin in an order", local: true,
		long: "Suspend open orders: activities under way end, but nothing else happens until they are resumed, and waits,\n" +
			"timeouts and deadlines that come due take effect only then.",
		action: func(context.Context) (*adminv1.Action, error) {
			return &adminv1.Action{Kind: &adminv1.Action_Suspend{}}, nil
		},
	})
}

func newOrderResume(a *app) *cobra.Command {
	return a.newOperation(operation{
		use: "resume", short: "Have a suspended order go on", local: true,
		long: "Have suspended orders go on. Waits, timeouts and deadlines that came due meanwhile take effect now.",
		action: func(context.Context) (*adminv1.Action, error) {
			return &adminv1.Action{Kind: &adminv1.Action_Resume{}}, nil
		},
	})
}
