package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/holdfast-run/holdfast/messages/orderv1"
)

func newOrderWatch(a *app) *cobra.Command {
	var from uint64
	cmd := &cobra.Command{
		Use:   "watch ID",
		Short: "Print what happens to an order, until it has ended",
		Long: "Print what happens to an order, until it has ended. The exit status is 0 if it completed, 3 if it faulted and 4\n" +
			"if it was cancelled.",
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
			order, err := c.follow(ctx, following{
				id: args[0], from: from, each: a.eventPrinter(), patience: a.patienceToEnd(args[0], a.tellRetry),
			})
			if err != nil {
				return a.adviseOnWatch(ctx, c, args[0], err)
			}
			return endOf(order)
		},
	}
	cmd.Flags().Uint64Var(&from, "from", 1, "the first `version` to print")
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
	t.follow(7, len(timeLayout), 20, 25, 7, a.terminal(a.stdout))
	return func(ev *orderv1.HistoryEvent) error {
		if err := a.printEvents(t, []*orderv1.HistoryEvent{ev}); err != nil {
			return err
		}
		return t.err
	}
}

// reconnectFlag is for commands that wait for the end of an order.
func (a *app) reconnectFlag(cmd *cobra.Command) {
	cmd.Flags().DurationVar(&a.client.reconnect, "reconnect", time.Minute, "how long to go on while no node answers")
	setting(cmd.Flags(), "reconnect")
}

// tellRetry says that a call failed and is made again.
func (a *app) tellRetry(err error) {
	st, _ := rpcStatus(err)
	fmt.Fprintln(a.stderr, "holdfast: "+textStatus(st)+": trying again")
}

// hasEnded tells whether an order in this status changes no more.
func hasEnded(s orderv1.Status) bool {
	return s == orderv1.Status_STATUS_COMPLETED || s == orderv1.Status_STATUS_FAULTED || s == orderv1.Status_STATUS_CANCELLED
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
	st, isRPC := rpcStatus(err)
	if errors.Is(err, errPrint) || errors.Is(ctx.Err(), context.Canceled) || isRPC && st.Code() == codes.NotFound {
		return err
	}
	_, known := c.known(ctx, id)
	return advise(err, "%s", known)
}

// knownTimeout bounds the asking for what is known of an order once the time for its watching is over.
const knownTimeout = 3 * time.Second

// known asks how an order stands that could not be watched to its end, and says what is known of it; the order is nil if that is
// nothing.
func (c *api) known(ctx context.Context, id string) (*orderv1.Order, string) {
	if errors.Is(ctx.Err(), context.Canceled) { // nobody waits any more
		return nil, "See how it fares with: holdfast order watch " + id
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), knownTimeout)
	defer cancel()
	answer, err := c.orders.Get(ctx, &orderv1.GetRequest{Id: id})
	if err != nil {
		return nil, "How it stands now is not known. Ask with: holdfast order get " + id
	}
	o := answer.GetOrder()
	if hasEnded(o.GetStatus()) {
		return o, fmt.Sprintf("It has ended, and is %s. See what came of it with: holdfast order get %s", statusWord(o.GetStatus()), id)
	}
	var waits strings.Builder
	for _, w := range o.GetWaiting() {
		waits.WriteString(" It waits for " + textWaiting(w) + ".")
	}
	return o, fmt.Sprintf("It is %s, after %d events, and goes on.%s Watch the rest with: holdfast order watch %s --from %d",
		statusWord(o.GetStatus()), o.GetVersion(), waits.String(), id, o.GetVersion()+1)
}

// following is how to follow an order to its end.
type following struct {
	id string
	// from is the first version wanted.
	from     uint64
	patience patience
	// each is called for each event, once, in order. Its error ends the following.
	each func(*orderv1.HistoryEvent) error
}

// patienceToEnd is the patience of who awaits the end of an order.
func (a *app) patienceToEnd(id string, tell func(error)) patience {
	return patience{most: a.client.reconnect, tell: tell, what: fmt.Sprintf("order %s has not ended", id), timeout: a.client.timeout}
}

// follow follows an order until it has ended, and returns it as it ended. When its node is gone it goes on with another
// one, where it left off.
func (c *api) follow(ctx context.Context, f following) (*orderv1.Order, error) {
	for {
		before := f.from
		order, err := c.watchOnce(ctx, &f)
		if order != nil || errors.Is(err, errPrint) {
			return order, err
		}
		if f.from > before {
			f.patience.failures = 0
		}
		if err = f.patience.after(ctx, err); err != nil {
			return nil, err
		}
	}
}

// errPrint says that an event could not be printed.
var errPrint = errors.New("print event")

// watchOnce watches until the stream ends. It returns the order if that has ended, else an error.
func (c *api) watchOnce(ctx context.Context, f *following) (*orderv1.Order, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends the stream
	stream, err := c.orders.Watch(ctx, &orderv1.WatchRequest{Id: f.id, FromVersion: f.from})
	if err != nil {
		return nil, err
	}
	for {
		answer, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err //nolint:wrapcheck // it is the node's answer
		}
		for _, ev := range answer.GetEvents() {
			if ev.GetVersion() < f.from {
				continue // told before
			}
			if err := f.each(ev); err != nil {
				return nil, fmt.Errorf("%w: %w", errPrint, err)
			}
			f.from = ev.GetVersion() + 1
		}
	}
	answer, err := c.orders.Get(ctx, &orderv1.GetRequest{Id: f.id})
	if err != nil {
		return nil, err
	}
	if !hasEnded(answer.GetOrder().GetStatus()) {
		return nil, status.Error(codes.Unavailable, "the node ended the stream before the order's end")
	}
	return answer.GetOrder(), nil
}
