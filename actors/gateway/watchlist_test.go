package gateway_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"github.com/holdfast-run/holdfast/adapters/adaptertest"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/adapterv1"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/persistence"
)

// watched is what a client knows of a list that it watches.
type watched struct {
	orderv1.OrderService_WatchListClient

	t           *testing.T
	orders      map[string]*orderv1.Order
	listed, cut bool
}

func watchList(ctx context.Context, t *testing.T, of orderv1.OrderServiceClient, list *orderv1.ListRequest) *watched {
	t.Helper()
	st, err := of.WatchList(ctx, &orderv1.WatchListRequest{List: list})
	if err != nil {
		t.Fatal(err)
	}
	return &watched{OrderService_WatchListClient: st, t: t, orders: map[string]*orderv1.Order{}}
}

// next takes the next message.
func (w *watched) next() *orderv1.WatchListResponse {
	w.t.Helper()
	m, err := w.Recv()
	if err != nil {
		w.t.Fatal(err)
	}
	for _, c := range m.GetChanges() {
		if o := c.GetOrder(); o != nil {
			w.orders[o.GetId()] = o
			continue
		}
		if w.orders[c.GetGoneId()] == nil {
			w.t.Errorf("%s is gone, and was never there", c.GetGoneId())
		}
		delete(w.orders, c.GetGoneId())
	}
	if m.GetListed() && w.listed {
		w.t.Error("the list is whole for the second time")
	}
	w.listed, w.cut = w.listed || m.GetListed(), m.GetCut()
	return m
}

// want takes messages until the list is whole and these orders are in it.
func (w *watched) want(ids ...string) {
	w.t.Helper()
	for !w.listed || !w.has(ids) {
		w.next()
	}
}

func (w *watched) has(ids []string) bool {
	for _, id := range ids {
		if w.orders[id] == nil {
			return false
		}
	}
	return len(ids) == len(w.orders)
}

// equals compares with what List answers.
func (w *watched) equals(n *node, list *orderv1.ListRequest) {
	w.t.Helper()
	r, err := n.orders.List(w.t.Context(), list)
	if err != nil {
		w.t.Fatal(err)
	}
	if len(r.GetOrders()) != len(w.orders) || w.cut != (r.GetNextPageToken() != "") {
		w.t.Errorf("%d orders were told, cut: %v; listed are %d, and then %q", len(w.orders), w.cut, len(r.GetOrders()), r.GetNextPageToken())
	}
	for _, o := range r.GetOrders() {
		if told := w.orders[o.GetId()]; !proto.Equal(told, o) {
			w.t.Errorf("told was %v, listed is %v", told, o)
		}
	}
}

// A list is told as it is, and then what becomes of it, whichever listener it is watched over.
func TestWatchList(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t)
		ref := n.deploy("call", "1.0.0", callOne)
		submit := func(ids ...string) {
			for _, id := range ids {
				n.submit(&orderv1.WorkOrder{Id: id, Definition: ref}, orderv1.Wait_WAIT_ACCEPTED)
				time.Sleep(10 * time.Millisecond)
			}
		}
		submit("a", "b")
		list := &orderv1.ListRequest{Statuses: []orderv1.Status{orderv1.Status_STATUS_RUNNING}, PageSize: 3}
		ended := &orderv1.ListRequest{Statuses: []orderv1.Status{orderv1.Status_STATUS_COMPLETED}}
		public, admin := watchList(t.Context(), t, n.orders, list), watchList(t.Context(), t, n.adminOrders, list)
		done := watchList(t.Context(), t, n.orders, ended)
		done.want()
		all := []*watched{public, admin}
		want := func(cut bool, ids ...string) {
			t.Helper()
			for _, w := range all {
				w.want(ids...)
				w.equals(n, list)
				if w.cut != cut {
					t.Errorf("cut is %v", w.cut)
				}
			}
		}
		want(false, "a", "b")
		submit("c")
		want(false, "a", "b", "c")
		submit("d", "e")
		want(true, "c", "d", "e")
		x := n.connect(10)
		seq := uint64(0)
		tasks := map[string]*adapterv1.Task{}
		for _, task := range x.Tasks(5) {
			tasks[task.GetOrderId()] = task
		}
		complete := func(id string) {
			seq++
			x.Report(adaptertest.ResultOf(tasks[id], seq))
		}
		complete("d")
		want(true, "b", "c", "e")
		complete("a") // which is not in the list
		complete("b")
		want(false, "c", "e")
		done.want("a", "b", "d")
		done.equals(n, ended)
		complete("c")
		complete("e")
		want(false)
		done.want("a", "b", "c", "d", "e")
		n.server.Drain()
		for _, w := range append(all, done) {
			_, err := w.Recv()
			wantRefusal(t, err, codes.Unavailable, "STOPPING")
		}
	})
}

// However many changes there are, few messages tell of them, and what nobody saw is not told.
func TestWatchListGathers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t)
		ref := n.deploy("nothing", "1.0.0", nothing)
		list := &orderv1.ListRequest{PageSize: 1000}
		w := watchList(t.Context(), t, n.orders, list)
		w.want()
		time.Sleep(time.Second)
		n.submit(&orderv1.WorkOrder{Id: "first", Definition: ref}, orderv1.Wait_WAIT_ENDED)
		synctest.Wait()
		w.want("first") // at once
		ids := []string{"first"}
		for i := range 300 {
			ids = append(ids, fmt.Sprint("o", i))
			n.submit(&orderv1.WorkOrder{Id: ids[i+1], Definition: ref}, orderv1.Wait_WAIT_ENDED)
		}
		began, messages := time.Now(), 0
		for !w.has(ids) {
			w.next()
			messages++
		}
		if took := time.Since(began); took > time.Second || messages > 4 {
			t.Errorf("%d messages came in %v", messages, took)
		}
		w.equals(n, list)
	})
}

// A list that is long comes in more than one message.
func TestWatchLongList(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t)
		ref := n.deploy("nothing", "1.0.0", nothing)
		labels := map[string]string{}
		for i := range 16 {
			labels[fmt.Sprint("label", i)] = strings.Repeat("x", 256)
		}
		var ids []string
		for i := range 400 {
			ids = append(ids, fmt.Sprint("o", i))
			n.submit(&orderv1.WorkOrder{Id: ids[i], Definition: ref, Labels: labels}, orderv1.Wait_WAIT_ENDED)
		}
		w := watchList(t.Context(), t, n.orders, &orderv1.ListRequest{PageSize: 1000})
		first := w.next()
		if size := proto.Size(first); size > 1<<20 || first.GetListed() {
			t.Errorf("the first message has %d bytes, and the list is whole: %v", size, first.GetListed())
		}
		w.want(ids...)
	})
}

func TestWatchListRefused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t, func(s *settings) { s.gateway.Lists = 1 })
		n.submit(&orderv1.WorkOrder{Id: "a", Definition: n.deploy("nothing", "1.0.0", nothing)}, orderv1.Wait_WAIT_ENDED)
		n.submit(&orderv1.WorkOrder{Id: "b", Definition: "test/nothing"}, orderv1.Wait_WAIT_ENDED)
		page, err := n.orders.List(t.Context(), &orderv1.ListRequest{PageSize: 1})
		if err != nil {
			t.Fatal(err)
		}
		_, err = watchList(t.Context(), t, n.orders, &orderv1.ListRequest{
			Statuses: []orderv1.Status{99}, Definition: "?", PageSize: 1001, PageToken: page.GetNextPageToken(),
		}).Recv()
		wantRefusal(t, err, codes.InvalidArgument, "BAD_REQUEST", "list.statuses", "list.definition", "list.page_size", "list.page_token")
		ctx, cancel := context.WithCancel(t.Context())
		watchList(ctx, t, n.orders, nil).want("a", "b")
		_, err = watchList(t.Context(), t, n.orders, nil).Recv()
		wantRefusal(t, err, codes.ResourceExhausted, "BUSY")
		watchList(t.Context(), t, n.adminOrders, nil).want("a", "b") // it has places of its own
		cancel()
		synctest.Wait()
		watchList(t.Context(), t, n.orders, nil).want("a", "b")
	})
}

// away is a journal of which rows can't be read for a while.
type away struct {
	persistence.Journal

	now atomic.Bool
}

func (a *away) Row(ctx context.Context, h messages.Handle) (*journalv1.OrderRow, error) {
	if a.now.Load() {
		return nil, persistence.ErrUnavailable
	}
	return a.Journal.Row(ctx, h)
}

// A journal that does not answer ends the stream, in a way that says that it may be watched again.
func TestWatchListUnavailable(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		j := &away{}
		n := start(t, func(s *settings) {
			s.wrap = func(under persistence.Journal) persistence.Journal {
				j.Journal = under
				return j
			}
		})
		w := watchList(t.Context(), t, n.orders, nil)
		w.want()
		j.now.Store(true)
		n.submit(&orderv1.WorkOrder{Id: "a", Definition: n.deploy("nothing", "1.0.0", nothing)}, orderv1.Wait_WAIT_ENDED)
		_, err := w.Recv()
		wantRefusal(t, err, codes.Unavailable, "JOURNAL_UNAVAILABLE")
		j.now.Store(false)
		watchList(t.Context(), t, n.orders, nil).want("a")
	})
}
