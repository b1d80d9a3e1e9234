package gateway

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/holdfast-run/holdfast/actors/access"
	"github.com/holdfast-run/holdfast/actors/runtime"
	"github.com/holdfast-run/holdfast/actors/view"
	"github.com/holdfast-run/holdfast/messages/orderv1"
)

// listPause is the least time from one message with changes of a list to the next, and so how long changes are gathered.
const listPause = 250 * time.Millisecond

// places bounds how many of something there are.
type places struct {
	most  int64
	taken atomic.Int64
}

func (p *places) take() bool {
	if p.taken.Add(1) > p.most {
		p.give()
		return false
	}
	return true
}

func (p *places) give() { p.taken.Add(-1) }

// WatchList implements orderv1.OrderServiceServer.
func (o orders) WatchList(r *orderv1.WatchListRequest, st grpc.ServerStreamingServer[orderv1.WatchListResponse]) error {
	var m mistakes
	q := query(&m, "list.", r.GetList())
	q.Sees = access.Of(st.Context()).Sees(access.Viewer)
	if !q.After.IsZero() {
		m.add("list.page_token", "must be empty: the list that is watched is the first page")
	}
	if err := m.err(); err != nil {
		return o.fail(err)
	}
	if !o.lists.take() {
		return o.fail(fmt.Errorf("%w: %d lists are watched, the most that may be", runtime.ErrBusy, o.lists.most))
	}
	defer o.lists.give()
	return o.fail(o.followList(st, q))
}

// followList tells what is in a list and what changes, until that fails.
func (o orders) followList(st grpc.ServerStreamingServer[orderv1.WatchListResponse], q view.Query) error {
	l := o.engine.View().WatchList(q)
	defer l.Close()
	w := listWatch{Listing: l, orders: o, stream: st}
	for {
		select {
		case <-l.Changed():
		case <-o.stopping:
			return runtime.ErrStopping
		case <-st.Context().Done():
			return st.Context().Err()
		}
		if err := o.reading(st.Context(), func() error { return l.Look(st.Context()) }); err != nil {
			return err
		}
		if err := w.tell(); err != nil {
			return err
		}
		if !l.Whole() {
			continue
		}
		select {
		case <-time.After(listPause):
		case <-o.stopping:
			return runtime.ErrStopping
		case <-st.Context().Done():
			return st.Context().Err()
		}
	}
}

// listWatch is the watching of a list by a client.
type listWatch struct {
	*view.Listing

	orders orders
	stream grpc.ServerStreamingServer[orderv1.WatchListResponse]
	// listed: the client was told all orders of the list. cut: it was told that older orders match, which are not in the list.
	listed, cut bool
}

// tell tells the client the news.
func (w *listWatch) tell() error {
	ctx := w.stream.Context()
	for more := true; more; {
		c, err := w.orders.unsent.take(ctx)
		if err != nil {
			return err
		}
		out := &orderv1.WatchListResponse{}
		err = w.orders.reading(ctx, func() error {
			out.Changes, more, err = w.page(ctx)
			return err
		})
		if err != nil {
			c.give()
			return err
		}
		out.Listed, out.Cut = !w.listed && !more && w.Whole(), w.cut
		if w.Whole() {
			out.Cut = w.Cut()
		}
		if len(out.GetChanges()) == 0 && !out.GetListed() && out.GetCut() == w.cut {
			c.give()
			return nil
		}
		w.listed, w.cut = w.listed || out.GetListed(), out.GetCut()
		if err := send(w.stream, out, c); err != nil {
			return err
		}
	}
	return nil
}

// page makes a page of the news. more: there are more.
func (w *listWatch) page(ctx context.Context) (changes []*orderv1.ListChange, more bool, err error) {
	room := pageBytes
	more, err = w.Tell(ctx, func(c view.Change) bool {
		one := listChange(c)
		if room -= proto.Size(one) + eventOverhead; room < 0 && len(changes) > 0 {
			return false
		}
		changes = append(changes, one)
		return true
	})
	return changes, more, err
}

func listChange(c view.Change) *orderv1.ListChange {
	if c.Row == nil {
		return &orderv1.ListChange{Change: &orderv1.ListChange_GoneId{GoneId: c.ID}}
	}
	return &orderv1.ListChange{Change: &orderv1.ListChange_Order{Order: view.Listed(c.Row)}}
}
