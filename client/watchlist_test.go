package client_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/holdfast-run/holdfast/client"
	"github.com/holdfast-run/holdfast/messages/orderv1"
)

// listStreams is a node that tells of a list which changes, over streams that break.
type listStreams struct {
	mu      sync.Mutex
	orders  map[string]*orderv1.Order
	changes []func(map[string]*orderv1.Order) // that are still to come
	breaks  []string                          // of what happens to the streams
	cut     func()
}

// step takes the next of what is to come: a change, if there is one and the stream has told what was, and how the stream goes on.
func (l *listStreams) step(change bool) (kind string, over bool) {
	if change && len(l.changes) > 0 {
		l.changes[0](l.orders)
		l.changes = l.changes[1:]
	}
	if len(l.breaks) > 0 {
		kind, l.breaks = l.breaks[0], l.breaks[1:]
	}
	return kind, len(l.changes) == 0 && len(l.breaks) == 0
}

// serve tells the list, and what changes, until a stream breaks; at the end it says so with an id.
func (l *listStreams) serve(_ *orderv1.WatchListRequest, s grpc.ServerStreamingServer[orderv1.WatchListResponse]) error {
	told := map[string]*orderv1.Order{}
	for first := true; ; first = false {
		l.mu.Lock()
		kind, over := l.step(!first)
		out := &orderv1.WatchListResponse{Listed: first, Cut: len(l.orders) > 2}
		for _, id := range slices.Sorted(maps.Keys(told)) {
			if l.orders[id] == nil {
				out.Changes = append(out.Changes, &orderv1.ListChange{Change: &orderv1.ListChange_GoneId{GoneId: id}})
				delete(told, id)
			}
		}
		for _, id := range slices.Sorted(maps.Keys(l.orders)) {
			if o := l.orders[id]; !proto.Equal(told[id], o) {
				out.Changes = append(out.Changes, &orderv1.ListChange{Change: &orderv1.ListChange_Order{Order: proto.CloneOf(o)}})
				told[id] = o
			}
		}
		l.mu.Unlock()
		if kind == "early" && len(out.GetChanges()) > 0 { // in the middle of a list
			out.Changes, out.Listed = out.GetChanges()[:1], false
		}
		if err := s.Send(out); err != nil {
			return err
		}
		switch {
		case kind == "error", kind == "early":
			return status.Error(codes.Unavailable, "stopping")
		case kind == "cut":
			l.cut()
			return status.Error(codes.Unavailable, "cut")
		case kind == "end":
			return nil
		case over:
			return status.Error(codes.Aborted, "over")
		}
	}
}

// Wherever streams break, whoever watches is told what has changed since, each change once; the list is whole once; and in the end
// they know what is there.
func TestWatchListModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t, 1)
		defer w.end()
		l := &listStreams{orders: map[string]*orderv1.Order{}, cut: w.nodes[0].conns.cut}
		w.nodes[0].list = l.serve
		ids := []string{"a", "b", "c", "d"}
		for range rapid.IntRange(0, 12).Draw(t, "changes") {
			id, version := rapid.SampledFrom(ids).Draw(t, "id"), rapid.Int32Range(0, 2).Draw(t, "status")
			l.changes = append(l.changes, func(orders map[string]*orderv1.Order) {
				if delete(orders, id); version > 0 {
					orders[id] = &orderv1.Order{Id: id, Status: orderv1.Status(version)}
				}
			})
		}
		l.breaks = rapid.SliceOfN(rapid.SampledFrom([]string{"error", "early", "cut", "end", ""}), 0, 12).Draw(t, "breaks")
		known, listed, cut := map[string]*orderv1.Order{}, false, false
		err := w.dial(nil).WatchList(context.Background(), client.ListWatching{Each: func(news *orderv1.WatchListResponse) error {
			if len(news.GetChanges()) == 0 && !news.GetListed() && news.GetCut() == cut {
				t.Error("told nothing")
			}
			for _, c := range news.GetChanges() {
				switch o := c.GetOrder(); {
				case o == nil && known[c.GetGoneId()] == nil:
					t.Errorf("%s is gone, and was not there", c.GetGoneId())
				case o == nil:
					delete(known, c.GetGoneId())
				case proto.Equal(o, known[o.GetId()]):
					t.Errorf("%v was told before", o)
				default:
					known[o.GetId()] = o
				}
			}
			if news.GetListed() && listed {
				t.Error("the list was whole before")
			}
			listed, cut = listed || news.GetListed(), news.GetCut()
			return nil
		}})
		if status.Code(err) != codes.Aborted || !listed || cut != (len(l.orders) > 2) {
			t.Errorf("%v; listed: %v, cut: %v of %d", err, listed, cut, len(l.orders))
		}
		if got, want := fmt.Sprint(known), fmt.Sprint(l.orders); len(known) != len(l.orders) || !maps.EqualFunc(known, l.orders, func(a, b *orderv1.Order) bool { return proto.Equal(a, b) }) {
			t.Errorf("known are %s, there are %s", got, want)
		}
	})
}

func TestWatchListEnds(t *testing.T) {
	t.Parallel()
	w := setup(t, 1)
	w.nodes[0].list = func(r *orderv1.WatchListRequest, s grpc.ServerStreamingServer[orderv1.WatchListResponse]) error {
		switch r.GetList().GetOrderKey() {
		case "wrong":
			return status.Error(codes.InvalidArgument, "wrong")
		case "away":
			return status.Error(codes.Unavailable, "away")
		}
		return s.Send(&orderv1.WatchListResponse{Listed: true})
	}
	own := fmt.Errorf("mine: %w", status.Error(codes.Unavailable, "but no node's"))
	c := w.dial(nil)
	for key, want := range map[string]func(error) bool{
		"wrong": func(err error) bool { return status.Code(err) == codes.InvalidArgument },
		"away":  func(err error) bool { _, ok := errors.AsType[*client.GaveUpError](err); return ok },
		"":      func(err error) bool { return err == own }, //nolint:errorlint // the same
	} {
		err := c.WatchList(t.Context(), client.ListWatching{
			List: &orderv1.ListRequest{OrderKey: key}, Patience: client.Patience{Most: 1},
			Each: func(*orderv1.WatchListResponse) error { return own },
		})
		if !want(err) {
			t.Errorf("%s: %v", key, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	err := c.WatchList(ctx, client.ListWatching{Each: func(*orderv1.WatchListResponse) error {
		cancel()
		return nil
	}})
	if err == nil || ctx.Err() == nil {
		t.Errorf("it ends with %v", err)
	}
}

func TestWatchListTellsNobody(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	defer w.end()
	if err := w.dial(nil).WatchList(t.Context(), client.ListWatching{}); err == nil {
		t.Error("a list is watched for nobody")
	}
}
