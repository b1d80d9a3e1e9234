package client

import (
	"context"
	"errors"
	"fmt"
	"io"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/holdfast-run/holdfast/client/shown"
	"github.com/holdfast-run/holdfast/messages/orderv1"
)

// Watching is how to watch an order.
type Watching struct {
	ID string
	// From is the first version wanted; 0 and 1 both mean the beginning.
	From uint64
	// Patience is how long to go on while no node answers.
	Patience Patience
	// Each is called for each event, once, in the order of their versions, without a gap. Its error ends the watching. Nil: only the end
	// is waited for.
	Each func(*orderv1.HistoryEvent) error
}

// Watch watches an order until it has ended, and returns it as it ended. When a stream breaks, it goes on with another one, at
// another node if there is one, with the version that comes next. It fails with the error of Each; with that of a node, if it does
// not go away by itself; with a GaveUpError; or, if ctx has ended, with the last failure.
func (c *Client) Watch(ctx context.Context, w Watching) (*orderv1.Order, error) {
	wait := c.interruption(w.Patience)
	at := &position{Watching: w, owner: c.owners.at(w.ID, "")}
	at.From = max(at.From, 1)
	if at.Each == nil {
		at.Each = func(*orderv1.HistoryEvent) error { return nil }
	}
	for {
		order, told, err := c.watchOnce(ctx, at)
		if err == nil || told != nil {
			return order, told
		}
		if at.heard {
			wait.over()
		}
		if err = wait.wait(ctx, err); err != nil {
			return nil, err
		}
	}
}

// position is how far a watching has come.
type position struct {
	Watching // from the version that comes next

	began bool   // an event has come
	heard bool   // the node has taken the last stream: nothing may happen to the order for long
	owner string // the node to be asked first
}

// watchOnce watches until the stream ends. It returns the order if that has ended, else what Each said, or why the stream ended.
func (c *Client) watchOnce(ctx context.Context, w *position) (order *orderv1.Order, told, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends the stream
	owner := w.owner
	w.owner = "" // if the stream breaks, any other node will do
	stream, err := c.Orders().Watch(toward(ctx, target{address: owner}), &orderv1.WatchRequest{Id: w.ID, FromVersion: w.From})
	if err != nil {
		w.heard = false
		return nil, nil, err
	}
	w.heard = hears(stream)
	for {
		answer, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, nil, err //nolint:wrapcheck // it is the node's answer
		}
		for _, ev := range answer.GetEvents() {
			switch v := ev.GetVersion(); {
			case v < w.From:
				continue // told before
			case v > w.From && w.began:
				return nil, nil, status.Error(codes.Unavailable, fmt.Sprintf("the node left out version %d of the order", w.From))
			}
			if told = w.Each(ev); told != nil {
				return nil, told, nil
			}
			w.From, w.began = ev.GetVersion()+1, true
		}
	}
	answer, err := c.Orders().Get(ctx, &orderv1.GetRequest{Id: w.ID}, Patiently(Patience{Most: -1}))
	if err != nil {
		return nil, nil, err
	}
	if !shown.HasEnded(answer.GetOrder().GetStatus()) {
		return nil, nil, status.Error(codes.Unavailable, "the node ended the stream before the order's end")
	}
	return answer.GetOrder(), nil, nil
}
