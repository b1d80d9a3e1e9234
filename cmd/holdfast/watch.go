package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc/codes"

	"github.com/holdfast-run/holdfast/client"
	"github.com/holdfast-run/holdfast/client/lifecycle"
	"github.com/holdfast-run/holdfast/client/shown"
	"github.com/holdfast-run/holdfast/messages/orderv1"
)

func newOrderWatch(a *app) *cobra.Command {
	var from uint64
	var inLifecycle bool
	cmd := &cobra.Command{
		Use:   "watch ID",
		Short: "Print what happens to an order, until it has ended",
		Long: "Print what happens to an order, until it has ended. The exit status is 0 if it completed, 3 if it faulted and 4\n" +
			"if it was cancelled.\n\n" +
			"With --lifecycle it prints the lifecycle events of the Open Workflow Specification, a CloudEvent in JSON in each line.",
		Args:              oneOrderID,
		ValidArgsFunction: a.completeOrderID,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.dial()
			if err != nil {
				return err
			}
			defer c.close()
			ctx, cancel := a.boundWait(cmd.Context())
			defer cancel()
			show, begin := a.eventPrinter(), from
			if inLifecycle {
				begin = 1 // what is told depends on what was before
				if show, err = a.lifecyclePrinter(ctx, c, args[0], from); err != nil {
					return err
				}
			}
			order, err := a.follow(ctx, c, args[0], begin, a.tellRetry, func(ev *orderv1.HistoryEvent) error {
				if err := show(ev); err != nil {
					return fmt.Errorf("%w: %w", errPrint, err)
				}
				return nil
			})
			if err != nil {
				return a.adviseOnWatch(ctx, c, args[0], err)
			}
			return endOf(order)
		},
	}
	cmd.Flags().Uint64Var(&from, "from", 1, "the first `version` to print")
	cmd.Flags().BoolVar(&inLifecycle, "lifecycle", false, "print lifecycle events of the specification, as CloudEvents")
	a.reconnectFlag(cmd)
	return cmd
}

// eventPrinter prints events as they come: on a terminal in columns that fit it, else a line for each.
func (a *app) eventPrinter() func(*orderv1.HistoryEvent) error {
	if a.output == outputJSON {
		return a.printEvent
	}
	if a.terminal(a.stdout) == 0 {
		return func(ev *orderv1.HistoryEvent) error {
			_, err := fmt.Fprintln(a.stdout, eventLine(ev, 0))
			return err //nolint:wrapcheck // it names the output
		}
	}
	t := a.newEventTable()
	t.follow(7, len(shown.TimeLayout), 20, 25, 7, a.terminal(a.stdout))
	return func(ev *orderv1.HistoryEvent) error {
		if err := a.printEvents(t, []*orderv1.HistoryEvent{ev}); err != nil {
			return err
		}
		return t.err
	}
}

// lifecyclePrinter prints what the events of an order are in the words of the specification, from a version on, a line for each.
func (a *app) lifecyclePrinter(ctx context.Context, c *api, id string, from uint64) (func(*orderv1.HistoryEvent) error, error) {
	answer, err := c.Orders().Get(ctx, &orderv1.GetRequest{Id: id}, client.Patiently(a.patience(a.tellRetry)))
	if err != nil {
		return nil, a.outcome(ctx, err, "the order was not told", a.client.timeout)
	}
	teller, err := lifecycle.New(answer.GetOrder())
	if err != nil {
		return nil, fmt.Errorf("the node's answer: %w", err)
	}
	return func(ev *orderv1.HistoryEvent) error {
		events, err := teller.Events(ev)
		if err != nil || ev.GetVersion() < from {
			return err
		}
		for _, e := range events {
			if err := a.printJSON(shown.CloudEventOf(e)); err != nil {
				return err
			}
		}
		return nil
	}, nil
}

// reconnectFlag is for commands that go on while nodes come and go.
func (a *app) reconnectFlag(cmd *cobra.Command) {
	cmd.Flags().DurationVar(&a.client.reconnect, "reconnect", time.Minute, "how long to go on while no node answers")
	setting(cmd.Flags(), "reconnect")
}

// tellRetry says that a call failed and is made again.
func (a *app) tellRetry(err error) {
	st, _ := client.StatusOf(err)
	fmt.Fprintln(a.stderr, "holdfast: "+textStatus(st)+": trying again")
}

// endOf is the error that makes the exit status of an order that has ended.
func endOf(order *orderv1.Order) error {
	if order.GetStatus() == orderv1.Status_STATUS_COMPLETED {
		return nil
	}
	return endedError(order.GetStatus())
}

// adviseOnWatch says what is known of an order that can't be watched any more.
func (a *app) adviseOnWatch(ctx context.Context, c *api, id string, err error) error {
	st, isRPC := client.StatusOf(err)
	if errors.Is(err, errPrint) || errors.Is(ctx.Err(), context.Canceled) || isRPC && st.Code() == codes.NotFound {
		return err
	}
	_, known := c.Standing(ctx, id)
	return advise(err, known)
}

// follow follows an order to its end, and returns it as it ended. tell is told when it is tried again.
func (a *app) follow(
	ctx context.Context, c *api, id string, from uint64, tell func(error), each func(*orderv1.HistoryEvent) error,
) (*orderv1.Order, error) {
	order, err := c.Watch(ctx, client.Watching{ID: id, From: from, Patience: a.patience(tell), Each: each})
	if errors.Is(err, errPrint) {
		return nil, err
	}
	return order, a.outcome(ctx, err, fmt.Sprintf("order %s has not ended", id), a.client.timeout)
}

// errPrint says that an event could not be printed.
var errPrint = errors.New("print event")
