package gateway

import (
	"context"
	"fmt"

	"google.golang.org/grpc"

	"github.com/holdfast-run/holdfast/actors/runtime"
	"github.com/holdfast-run/holdfast/actors/view"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/orderv1"
)

const (
	defaultHistoryPage = 1000
	maxPage            = 1000
	// pageBytes is about the most bytes of a page, but for one that has a single larger thing: clients take 4 MiB if they
	// don't say otherwise.
	pageBytes = 1 << 20
	// eventOverhead is how many bytes a message takes for an event, or something like it, beside the event itself.
	eventOverhead = 5
)

// History implements orderv1.OrderServiceServer.
func (o orders) History(ctx context.Context, r *orderv1.HistoryRequest) (*orderv1.HistoryResponse, error) {
	var m mistakes
	limit := checkLimit(&m, "page_size", r.GetPageSize(), defaultHistoryPage)
	if err := m.err(); err != nil {
		return nil, o.fail(err)
	}
	h, err := o.history(ctx, r.GetId(), r.GetFromVersion())
	if err != nil {
		return nil, o.fail(err)
	}
	p := newPage(limit)
	if err := h.Read(ctx, p.room, p.add); err != nil {
		putBuffer(p.buffer)
		return nil, o.fail(err)
	}
	out := &orderv1.HistoryResponse{}
	if p.more {
		out.NextVersion = uint64(h.Next())
	}
	claimOf(ctx).encoded = p.buffer
	return out, nil
}

// checkLimit checks how many of something are asked for, and returns that; otherwise if it is 0.
func checkLimit(m *mistakes, field string, asked int32, otherwise int) int {
	if asked < 0 || asked > maxPage {
		m.add(field, fmt.Sprintf("is %d, and must be from 0 to %d", asked, maxPage))
	}
	if asked == 0 {
		return otherwise
	}
	return int(asked)
}

// history finds the history of an order.
func (o orders) history(ctx context.Context, id string, from uint64) (*view.History, error) {
	if err := checkID(id); err != nil {
		return nil, err
	}
	return o.engine.View().History(ctx, messages.OrderID(id), messages.Version(from))
}

// Watch implements orderv1.OrderServiceServer.
func (o orders) Watch(r *orderv1.WatchRequest, st grpc.ServerStreamingServer[orderv1.WatchResponse]) error {
	ctx := st.Context()
	h, err := o.history(ctx, r.GetId(), r.GetFromVersion())
	if err != nil {
		return o.fail(err)
	}
	grown := make(chan struct{}, 1)
	forget := o.engine.View().Add(h.Partition(), messages.OrderID(r.GetId()), &view.Waiter{Grown: func(messages.Version) {
		select {
		case grown <- struct{}{}:
		default:
		}
	}})
	defer forget()
	if err := st.SendHeader(nil); err != nil { // so that the client knows that a node is there, though nothing may happen for long
		return o.fail(err)
	}
	for {
		if err := o.tellNew(st, h); err != nil {
			return o.fail(err)
		}
		if h.Ended() {
			return nil
		}
		select {
		case <-grown:
		case <-o.stopping:
			return o.fail(runtime.ErrStopping)
		case <-ctx.Done():
			return o.fail(ctx.Err())
		}
	}
}

// tellNew sends the events that come from now on. Those before are not read, so whether the order has ended already is asked first.
func (o orders) tellNew(st grpc.ServerStreamingServer[orderv1.WatchResponse], h *view.History) error {
	ctx := st.Context()
	if err := o.reading(ctx, func() error { return h.Behind(ctx) }); err != nil {
		return err
	}
	for more := true; more; {
		c, err := o.unsent.take(ctx)
		if err != nil {
			return err
		}
		p := newPage(maxFrame)
		err = o.reading(ctx, func() error { return h.Read(ctx, p.room, p.add) })
		if err != nil || p.events == 0 {
			putBuffer(p.buffer)
			c.give()
			return err
		}
		more, c.encoded = p.more, p.buffer
		if err := send(st, &orderv1.WatchResponse{}, c); err != nil {
			return err
		}
	}
	return nil
}
