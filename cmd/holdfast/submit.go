package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/grpc/metadata"

	"github.com/holdfast-run/holdfast/client"
	"github.com/holdfast-run/holdfast/client/shown"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/orderv1"
)

// maxInput is the most that is read of a file, in bytes. Nodes may take less.
const maxInput = 16 << 20

// submitFlags say what to submit.
type submitFlags struct {
	definition, id, key string
	client              string
	priority            int32
	labels              []string
	deadline, input     string
	from                string
	wait, quiet         bool
}

func newOrderSubmit(a *app) *cobra.Command {
	var f submitFlags
	cmd := &cobra.Command{
		Use:   "submit {--definition NAMESPACE/NAME[:VERSION] [--input FILE] | --from FILE}",
		Short: "Hand in an order, or many from a file",
		Long: "Hand in an order, and print it once it is durable, or once it has ended with --wait. While no node can take it, it\n" +
			"is tried again: that does no harm, because all tries bear the same id. So does submitting it again with --id.\n\n" +
			"With --wait the exit status is 0 if the order completed, 3 if it faulted, 4 if it was cancelled, and 5 if --timeout\n" +
			"was over first; the order goes on then.\n\n" +
			"With --from it hands in many orders, a JSON object in each line of a file, such as\n\n" +
			"  {\"id\":\"A-1\",\"definition\":\"telecom/activate:1.0.0\",\"input\":{\"msisdn\":\"491701234567\"}}\n\n" +
			"and, if wanted, with order_key, priority, labels (an object) and deadline. What a line does not say is as the flags say.\n" +
			"Lines that are wrong or refused are told with their numbers, and the others go on. Submit the file again after an\n" +
			"interruption, or with what was wrong put right: what was accepted is not done again.",
		Example: "  holdfast order submit --definition telecom/activate:1.0.0 --input order.json --wait\n" +
			"  echo '{\"msisdn\":\"491701234567\"}' | holdfast order submit --definition telecom/activate --key 491701234567 --input -",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx := cmd.Context()
			if f.client != "" {
				ctx = metadata.AppendToOutgoingContext(ctx, messages.ClientMetadata, f.client)
			}
			if f.from != "" {
				if f.id != "" || f.input != "" || f.wait {
					return usagef("--from excludes --id, --input and --wait: the lines of the file tell ids and inputs")
				}
				base, err := f.common()
				if err != nil {
					return err
				}
				return a.submitFrom(ctx, f.from, base, f.quiet)
			}
			order, err := f.order(ctx, a)
			if err != nil {
				return err
			}
			return a.submit(ctx, order, f.wait, f.quiet)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.definition, "definition", "", "the `definition` to run, namespace/name:version; without a version: the latest")
	flags.StringVar(&f.id, "id", "", "the order's `id` (made if not given)")
	flags.StringVar(&f.client, "client", "", "`name` under which nodes count how many orders the client submits (none: by its address)")
	flags.StringVar(&f.key, "key", "", "order `key`: orders with the same one run one after another")
	flags.Int32Var(&f.priority, "priority", 0, "from 0, the lowest, to 9: higher is dispatched first")
	flags.StringArrayVar(&f.labels, "label", nil, "a `label` to find the order by, name=value; may be repeated")
	flags.StringVar(&f.deadline, "deadline", "",
		"`when` the order faults if it has not ended: RFC 3339, or a duration such as 1h from its acceptance on")
	flags.StringVar(&f.input, "input", "", "`file` with the input, one JSON value; - for the standard input (none: an empty object)")
	flags.StringVar(&f.from, "from", "", "`file` with many orders, one JSON object a line; - for the standard input")
	flags.BoolVar(&f.wait, "wait", false, "wait until the order has ended, and show its progress")
	flags.BoolVarP(&f.quiet, "quiet", "q", false, "show no progress")
	a.reconnectFlag(cmd)
	if err := cmd.RegisterFlagCompletionFunc("definition", a.completeDefinition); err != nil {
		panic(err) // there is such a flag
	}
	return cmd
}

// order makes the order that the flags mean. What is left to the node to check depends on its configuration.
func (f *submitFlags) order(ctx context.Context, a *app) (*orderv1.WorkOrder, error) {
	if f.definition == "" {
		return nil, usagef("--definition is missing: name what to run, as namespace/name:version")
	}
	o, err := f.common()
	if err != nil {
		return nil, err
	}
	if o.Id = f.id; f.id == "" {
		o.Id = string(messages.NewOrderID())
	} else if err := checkOrderID(f.id); err != nil {
		return nil, err
	}
	if f.input == "" {
		return o, nil
	}
	if o.Input, err = a.readFile(ctx, f.input); err != nil {
		return nil, err
	}
	return o, checkJSON(f.input, o.GetInput())
}

// common makes the part of an order that many orders may have in common.
func (f *submitFlags) common() (*orderv1.WorkOrder, error) {
	o := &orderv1.WorkOrder{Definition: f.definition, OrderKey: f.key, Priority: f.priority}
	if _, err := messages.ParseDefinitionRef(f.definition); f.definition != "" && err != nil {
		return nil, usagef("--definition %w", err)
	}
	if f.priority < 0 || f.priority > 9 {
		return nil, usagef("--priority %d is not from 0 to 9", f.priority)
	}
	var err error
	if o.Labels, err = parseLabels(f.labels); err != nil {
		return nil, err
	}
	o.Deadline, o.DeadlineAfter, err = parseWhen("--deadline", f.deadline)
	return o, err
}

// checkJSON says where a text ceases to be JSON.
func checkJSON(name string, text []byte) error {
	if json.Valid(text) {
		return nil
	}
	var v json.RawMessage
	err := json.Unmarshal(text, &v)
	var syntax *json.SyntaxError
	if !errors.As(err, &syntax) {
		return fmt.Errorf("%s is no JSON value: %w", name, err)
	}
	before := string(text[:min(int(syntax.Offset), len(text))])
	line := strings.Count(before, "\n") + 1
	column := len(before) - strings.LastIndex(before, "\n") - 1
	return fmt.Errorf("%s:%d:%d: not one JSON value: %w", name, line, column, err)
}

// submit submits an order, waits for its end if asked to, and prints it.
func (a *app) submit(ctx context.Context, work *orderv1.WorkOrder, wait, quiet bool) error {
	c, err := a.dial()
	if err != nil {
		return err
	}
	defer c.close()
	ctx, cancel := a.boundWait(ctx)
	defer cancel()
	order, err := a.accept(ctx, c, work)
	if err != nil {
		return advise(err, client.AdviceOnSubmit(work.GetId(), err))
	}
	if !wait {
		return a.printOrder(order)
	}
	if quiet && shown.HasEnded(order.GetStatus()) { // it was submitted before
		return a.printEnd(order)
	}
	show := a.newProgress(order.GetId(), quiet)
	order, err = a.follow(ctx, c, order.GetId(), 1, func(err error) { show.pause(); a.tellRetry(err) },
		func(ev *orderv1.HistoryEvent) error { show.event(ev); return nil })
	show.end()
	if err == nil {
		return a.printEnd(order)
	}
	order, known := c.Standing(ctx, work.GetId())
	if !shown.HasEnded(order.GetStatus()) {
		return advise(err, "The order was accepted. "+known)
	}
	if st, isRPC := client.StatusOf(err); isRPC {
		fmt.Fprintln(a.stderr, "holdfast: the order has ended, but its progress can't be shown: "+textStatus(st))
	}
	return a.printEnd(order)
}

// accept submits an order until a node has accepted it, or going on is of no use.
func (a *app) accept(ctx context.Context, c *api, work *orderv1.WorkOrder) (*orderv1.Order, error) {
	answer, err := c.Orders().Submit(ctx, &orderv1.SubmitRequest{Order: work, Wait: orderv1.Wait_WAIT_ACCEPTED},
		client.Patiently(a.patience(a.tellRetry)))
	if err != nil {
		return nil, a.outcome(ctx, err, fmt.Sprintf("order %s was not acknowledged", work.GetId()), a.callBound())
	}
	return answer.GetOrder(), nil
}

// printEnd prints an order that has ended, and makes the exit status of that.
func (a *app) printEnd(order *orderv1.Order) error {
	if err := a.printOrder(order); err != nil {
		return err
	}
	return endOf(order)
}
