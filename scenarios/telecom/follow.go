package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/orderv1"
)

// following is an order of the demo under way.
type following struct {
	sample

	id     messages.OrderID
	events []*orderv1.HistoryEvent
	last   *orderv1.Order // once it has ended
	wrong  []string

	activity    string // the one scheduled last
	cancelled   bool
	interrupted bool // the node was gone for a while
}

// reconnectAfter is how long to wait before asking a node again that did not answer.
const reconnectAfter = 200 * time.Millisecond

// follow watches an order until it has ended, over restarts of the node too, and cancels it at its time.
func (o *following) follow(ctx context.Context, client orderv1.OrderServiceClient, show *screen) error {
	for !o.ended() {
		err := o.watch(ctx, client, show)
		if err != nil && status.Code(err) != codes.Unavailable {
			return fmt.Errorf("%s: follow: %w", o.name, err)
		}
		o.interrupted = o.interrupted || err != nil
		if err := pause(ctx, reconnectAfter, err != nil); err != nil {
			return err
		}
	}
	answer, err := retried(ctx, func() (*orderv1.GetResponse, error) {
		return client.Get(ctx, &orderv1.GetRequest{Id: string(o.id)})
	})
	if err != nil {
		return fmt.Errorf("%s: get: %w", o.name, err)
	}
	if o.last = answer.GetOrder(); o.interrupted {
		o.sample.events = nil // things may have come in another order
	}
	o.wrong = o.check(o.last, o.events)
	return nil
}

func (o *following) watch(ctx context.Context, client orderv1.OrderServiceClient, show *screen) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := client.Watch(ctx, &orderv1.WatchRequest{Id: string(o.id), FromVersion: uint64(len(o.events)) + 1})
	if err != nil {
		return err
	}
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err //nolint:wrapcheck // follow does
		}
		for _, e := range m.GetEvents() {
			o.events = append(o.events, e)
			if colour, text := o.tell(e); text != "" {
				show.line(o.name, colour, text)
			}
			if err := o.maybeCancel(ctx, client, e, show); err != nil {
				return err
			}
		}
	}
}

// maybeCancel cancels the order if this is the event to cancel it after.
func (o *following) maybeCancel(
	ctx context.Context, client orderv1.OrderServiceClient, e *orderv1.HistoryEvent, show *screen,
) error {
	c := o.cancel
	if c == nil || o.cancelled || c.event != e.GetType() || c.activity != "" && c.activity != e.GetActivity() {
		return nil
	}
	if err := pause(ctx, c.after, true); err != nil {
		return err
	}
	_, err := retried(ctx, func() (*orderv1.CancelResponse, error) {
		answer, err := client.Cancel(ctx, &orderv1.CancelRequest{
			Id: string(o.id), Reason: "the customer changed their mind", Compensate: c.compensate,
		})
		o.interrupted = o.interrupted || status.Code(err) == codes.Unavailable
		return answer, err
	})
	if status.Code(err) == codes.FailedPrecondition && o.interrupted {
		// Somebody killed the node, and the order was done before it could be told: no mistake of anybody.
		o.status, err = orderv1.Status_STATUS_COMPLETED, nil
		show.line(o.name, yellow, "is too late to cancel")
	}
	o.cancelled = err == nil
	return err
}

// ended tells whether the last event ended the order.
func (o *following) ended() bool {
	if len(o.events) == 0 {
		return false
	}
	switch o.events[len(o.events)-1].GetType() {
	case "order.completed", "order.faulted", "order.cancelled":
		return true
	}
	return false
}

// retried repeats a call, which must be harmless to repeat, for as long as no node is there to answer it.
func retried[T any](ctx context.Context, call func() (T, error)) (T, error) {
	for {
		answer, err := call()
		if status.Code(err) != codes.Unavailable {
			return answer, err
		}
		if ended := pause(ctx, reconnectAfter, true); ended != nil {
			return answer, ended
		}
	}
}

// pause waits, if it should; it fails if ctx ends first.
func pause(ctx context.Context, d time.Duration, should bool) error {
	if !should {
		return nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// line is an event as the checker reads it.
type line struct {
	Order    messages.OrderID `json:"order"`
	Version  uint64           `json:"version"`
	At       time.Time        `json:"at"`
	Type     string           `json:"type"`
	Task     string           `json:"task,omitempty"`
	Attempt  uint32           `json:"attempt,omitempty"`
	Key      string           `json:"key,omitempty"`
	Activity string           `json:"activity,omitempty"`
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
		for _, e := range o.events {
			err = errors.Join(err, lines.Encode(line{
				Order: o.id, Version: e.GetVersion(), At: e.GetAt().AsTime(), Type: e.GetType(), Task: e.GetTask(),
				Attempt: e.GetAttempt(), Key: e.GetKey(), Activity: e.GetActivity(),
			}))
		}
	}
	if err = errors.Join(err, w.Flush(), f.Close()); err != nil {
		return fmt.Errorf("write histories: %w", err)
	}
	return nil
}
