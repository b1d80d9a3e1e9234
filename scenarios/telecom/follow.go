package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/holdfast-run/holdfast/client"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/scenarios/checker"
)

// following is an order of the demo under way.
type following struct {
	sample

	id      messages.OrderID
	request *orderv1.WorkOrder
	events  []*orderv1.HistoryEvent
	last    *orderv1.Order // once it has ended
	wrong   []string

	activity    string // the one scheduled last
	cancelled   bool
	interrupted bool // the node was gone for a while
}

// reconnectAfter is how long to wait before asking a node again that did not answer.
const reconnectAfter = 200 * time.Millisecond

// newFollowing makes an order that is like a sample.
func newFollowing(s sample) (*following, error) {
	body, msisdn, err := s.body(time.Now())
	if err != nil {
		return nil, err
	}
	id := messages.NewOrderID()
	return &following{sample: s, id: id, request: &orderv1.WorkOrder{
		Id: string(id), Definition: definitionRef, Input: body, OrderKey: msisdn,
		Labels: map[string]string{"scenario": "telecom", "sample": s.name},
	}}, nil
}

// submit has the order accepted.
func (o *following) submit(ctx context.Context, c *client.Client) error {
	if _, err := c.Orders().Submit(ctx, &orderv1.SubmitRequest{Wait: orderv1.Wait_WAIT_ACCEPTED, Order: o.request}); err != nil {
		return fmt.Errorf("submit %s: %w", o.name, err)
	}
	return nil
}

// follow watches an order until it has ended, over restarts of the node too, and cancels it at its time.
func (o *following) follow(ctx context.Context, c *client.Client, show *screen) error {
	patience := client.Patience{Most: client.Forever, Tell: func(error) { o.interrupted = true }}
	order, err := c.Watch(ctx, client.Watching{ID: string(o.id), Patience: patience, Each: func(e *orderv1.HistoryEvent) error {
		o.events = append(o.events, e)
		if colour, text := o.tell(e); text != "" {
			show.line(o.name, colour, text)
		}
		return o.maybeCancel(ctx, c, e, show, patience)
	}})
	if err != nil {
		return fmt.Errorf("%s: follow: %w", o.name, err)
	}
	if o.last = order; o.interrupted {
		o.sample.events = nil // things may have come in another order
	}
	o.wrong = o.check(o.last, o.events)
	return nil
}

// maybeCancel cancels the order if this is the event to cancel it after.
func (o *following) maybeCancel(
	ctx context.Context, c *client.Client, e *orderv1.HistoryEvent, show *screen, patience client.Patience,
) error {
	x := o.cancel
	if x == nil || o.cancelled || x.event != e.GetEventType() || x.activity != "" && x.activity != e.GetActivity() {
		return nil
	}
	if err := pause(ctx, x.after); err != nil {
		return err
	}
	_, err := c.Orders().Cancel(ctx, &orderv1.CancelRequest{
		Id: string(o.id), Reason: "the customer changed their mind", Compensate: x.compensate,
	}, client.Patiently(patience))
	if status.Code(err) == codes.FailedPrecondition && o.interrupted {
		// Somebody killed the node, and the order was done before it could be told: no mistake of anybody.
		o.status, err = orderv1.Status_STATUS_COMPLETED, nil
		show.line(o.name, yellow, "is too late to cancel")
	}
	o.cancelled = err == nil
	return err
}

// pause waits; it fails if ctx ends first.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// writeHistories writes the histories of all orders for the checker.
func writeHistories(name string, all []*following) error {
	f, err := os.Create(name)
	if err != nil {
		return fmt.Errorf("write histories: %w", err)
	}
	w := bufio.NewWriter(f)
	lines := json.NewEncoder(w)
	for _, o := range all {
		err = errors.Join(err, checker.WriteHistory(lines, o.id, o.events))
	}
	if err = errors.Join(err, w.Flush(), f.Close()); err != nil {
		return fmt.Errorf("write histories: %w", err)
	}
	return nil
}
