package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-run/holdfast/client/shown"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/orderv1"
)

func newOrder(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "order", Short: "Submit work orders and see how they fare"}
	asGroup(cmd)
	a.clientFlags(cmd)
	cmd.AddCommand(
		newOrderSubmit(a), newOrderGet(a), newOrderList(a), newOrderWatch(a), newOrderHistory(a), newOrderCancel(a),
		newOrderSuspend(a), newOrderResume(a), newOrderComplete(a), newOrderFault(a), newOrderRestart(a),
	)
	return cmd
}

// printOrder prints one order.
func (a *app) printOrder(o *orderv1.Order) error {
	if a.output == outputJSON {
		return a.printJSON(shown.OrderOf(o))
	}
	t := a.newRecord()
	orderRows(t, o)
	return t.end()
}

// orderRows adds what is known of an order to a table.
func orderRows(t *table, o *orderv1.Order) {
	add := func(name, value string) {
		if value != "" {
			t.row(name, value)
		}
	}
	add("id", o.GetId())
	add("definition", o.GetDefinition())
	add("status", shown.StatusWord(o.GetStatus()))
	add("order key", o.GetOrderKey())
	add("parent", o.GetParentId())
	add("waits for", strings.Join(o.GetAwaitedIds(), ", "))
	for _, w := range o.GetWaiting() {
		add("waits for", shown.WaitingText(w))
	}
	if o.GetPastNoReturn() {
		t.row("point of no return", "passed: it can't be cancelled")
	}
	if o.GetPriority() != 0 {
		add("priority", strconv.Itoa(int(o.GetPriority())))
	}
	add("labels", textLabels(o.GetLabels()))
	add("deadline", shown.TimeText(o.GetDeadline()))
	add("accepted at", shown.TimeText(o.GetAcceptedAt()))
	ended := shown.TimeText(o.GetEndedAt())
	if ended != "" && o.GetAcceptedAt() != nil {
		ended += fmt.Sprintf(" (after %v)", o.GetEndedAt().AsTime().Sub(o.GetAcceptedAt().AsTime()).Round(time.Millisecond))
	}
	if o.GetStatus() == orderv1.Status_STATUS_FAULTED {
		add("faulted at", ended) // it waits for an operator, and may go on
	} else {
		add("ended at", ended)
	}
	if o.GetEstimatedEnd() != nil {
		add("estimated end", shown.TimeText(o.GetEstimatedEnd())+" (waits for adapters)")
	}
	add("version", strconv.FormatUint(o.GetVersion(), 10))
	if p := o.GetError(); p != nil {
		add("error", shown.ProblemText(p))
		add("error type", p.GetType())
	}
	add("input", textValue(o.GetInput()))
	add("output", textValue(o.GetOutput()))
}

func textLabels(labels map[string]string) string {
	texts := make([]string, 0, len(labels))
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		texts = append(texts, name+"="+labels[name])
	}
	return strings.Join(texts, ", ")
}

// checkOrderID refuses an id that no order can have.
func checkOrderID(id string) error {
	if err := messages.OrderID(id).Validate(); err != nil {
		return usagef("order id %q %w", id, err)
	}
	return nil
}

// oneOrderID is the arguments of commands about one order.
func oneOrderID(_ *cobra.Command, args []string) error {
	if len(args) != 1 {
		return usagef("give one order id")
	}
	return checkOrderID(args[0])
}

func newOrderGet(a *app) *cobra.Command {
	return &cobra.Command{
		Use:               "get ID",
		Short:             "Print an order as it stands",
		Args:              oneOrderID,
		ValidArgsFunction: a.completeOrderID,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.call(cmd.Context(), a.dial, func(ctx context.Context, c *api) error {
				answer, err := c.Orders().Get(ctx, &orderv1.GetRequest{Id: args[0]})
				if err != nil {
					return err
				}
				return a.printOrder(answer.GetOrder())
			})
		},
	}
}

func newOrderCancel(a *app) *cobra.Command {
	request := &orderv1.CancelRequest{}
	cmd := &cobra.Command{
		Use:   "cancel ID",
		Short: "Ask an order to stop",
		Long: "Ask an order to stop. It returns once the request is durable; activities under way are asked to stop, and\n" +
			"awaited for 30s (node --stop-grace), before the order is cancelled; one that stops in the middle of its work is in\n" +
			"doubt. With --compensate what it has done is undone, last first: 'holdfast order watch' tells\n" +
			"when it has ended. The orders that it runs are cancelled with it.",
		Args:              oneOrderID,
		ValidArgsFunction: a.completeOrderID,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.call(cmd.Context(), a.dial, func(ctx context.Context, c *api) error {
				request.Id = args[0]
				answer, err := c.Orders().Cancel(ctx, request)
				if err != nil {
					return err
				}
				return a.printOrder(answer.GetOrder())
			})
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&request.By, "by", userName(), "who cancels it; kept in the order's history")
	flags.StringVar(&request.Reason, "reason", "", "why; kept in the order's history")
	flags.BoolVar(&request.Compensate, "compensate", false, "first undo what it has done, as its definition says")
	return cmd
}

// listFlags select orders.
type listFlags struct {
	statuses     []string
	definition   string
	key          string
	labels       []string
	since, until string
	limit        int
	watch        bool
}

func newOrderList(a *app) *cobra.Command {
	var f listFlags
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List orders, newest first",
		Long: "List orders, newest first. With --watch it goes on: it prints a line for each order that comes into the list,\n" +
			"changes, or is gone from it, because it does not match any more or is too old for --limit. Of an order\n" +
			"that changes fast only the latest state is told. It ends when it is interrupted, or --timeout is over.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			request, err := f.request(time.Now())
			if err != nil {
				return err
			}
			if f.watch {
				return a.watchList(cmd, request, f.limit)
			}
			return a.listOrders(cmd, request, f.limit)
		},
	}
	flags := cmd.Flags()
	flags.StringSliceVar(&f.statuses, "status", nil, "only orders of this `status`; several: of any of them")
	flags.StringVar(&f.definition, "definition", "", "only orders of this `definition`, namespace/name or namespace/name:version")
	flags.StringVar(&f.key, "key", "", "only orders with this order `key`")
	flags.StringArrayVar(&f.labels, "label", nil, "only orders with this `label`, name=value; several: with all of them")
	flags.StringVar(&f.since, "since", "", "only orders accepted at or after this `time`, RFC 3339, or as long ago as 1h")
	flags.StringVar(&f.until, "until", "", "only orders accepted before this `time`, in the same forms")
	flags.IntVar(&f.limit, "limit", 100, "list at most this many; 0: all")
	flags.BoolVar(&f.watch, "watch", false, "go on, and print what changes")
	a.reconnectFlag(cmd)
	complete(cmd, "status", statusWords()...)
	if err := cmd.RegisterFlagCompletionFunc("definition", a.completeDefinition); err != nil {
		panic(err) // there is such a flag
	}
	return cmd
}

// request makes the request that the flags mean.
func (f *listFlags) request(now time.Time) (*orderv1.ListRequest, error) {
	r := &orderv1.ListRequest{Definition: f.definition, OrderKey: f.key}
	if f.limit < 0 {
		return nil, usagef("--limit %d is negative", f.limit)
	}
	for _, word := range f.statuses {
		s, err := parseStatus(word)
		if err != nil {
			return nil, err
		}
		r.Statuses = append(r.Statuses, s)
	}
	var err error
	if r.Labels, err = parseLabels(f.labels); err != nil {
		return nil, err
	}
	if r.AcceptedFrom, err = parseTime("--since", f.since, now); err != nil {
		return nil, err
	}
	r.AcceptedTo, err = parseTime("--until", f.until, now)
	return r, err
}

// parseLabels reads labels of the form name=value.
func parseLabels(texts []string) (map[string]string, error) { return parsePairs("--label", texts) }

// parsePairs reads what a flag gives, name=value each time.
func parsePairs(flag string, texts []string) (map[string]string, error) {
	labels := map[string]string{}
	for _, text := range texts {
		name, value, found := strings.Cut(text, "=")
		if !found || name == "" {
			return nil, usagef("%s %q is not of the form name=value", flag, text)
		}
		if _, again := labels[name]; again {
			return nil, usagef("%s %s is given twice", flag, name)
		}
		labels[name] = value
	}
	return labels, nil
}

// maxListPage is the most that is asked for at once.
const maxListPage = 1000

func (a *app) listOrders(cmd *cobra.Command, request *orderv1.ListRequest, limit int) error {
	return a.call(cmd.Context(), a.dial, func(ctx context.Context, c *api) error {
		var t *table
		if a.output == outputTable {
			t = a.newTable(whole("ID"), cut("DEFINITION"), whole("STATUS"), extra("KEY"), cut("ACCEPTED AT"), spare("ENDED AT"))
		}
		for listed := 0; ; {
			request.PageSize = maxListPage
			if limit > 0 {
				request.PageSize = int32(min(limit-listed+1, maxListPage)) // one more, to see whether there is any
			}
			answer, err := c.Orders().List(ctx, request)
			if err != nil {
				return err
			}
			for _, o := range answer.GetOrders() {
				if limit > 0 && listed == limit {
					err := t.end()
					fmt.Fprintf(a.stderr, "there are more: these are the newest %d; --limit 0 lists all\n", limit)
					return err
				}
				if err := a.printListed(t, o); err != nil {
					return err
				}
				listed++
			}
			if request.PageToken = answer.GetNextPageToken(); request.GetPageToken() == "" {
				return t.end()
			}
		}
	})
}

// printListed prints an order of a list: as a row of t, or as JSON if there is none.
func (a *app) printListed(t *table, o *orderv1.Order) error {
	if t != nil {
		t.row(o.GetId(), o.GetDefinition(), shown.StatusWord(o.GetStatus()), o.GetOrderKey(),
			shown.TimeText(o.GetAcceptedAt()), shown.TimeText(o.GetEndedAt()))
		return nil
	}
	return a.printJSON(shown.ListedOf(o))
}
