package client_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"pgregory.net/rapid"

	"github.com/holdfast-run/holdfast/client"
	"github.com/holdfast-run/holdfast/messages/orderv1"
)

// Wherever streams break, each event is told once, in order, from the version wanted on.
func TestWatchModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t, 1)
		defer w.end()
		events := uint64(rapid.IntRange(1, 12).Draw(t, "events"))
		from := uint64(rapid.IntRange(0, int(events)).Draw(t, "from"))
		breaks := rapid.SliceOfN(rapid.SampledFrom([]string{"error", "cut", "early end", "gap", "repeat", ""}), 0, 20).Draw(t, "breaks")
		var mu sync.Mutex
		kind := func() (kind string) { // of what happens before the next event
			mu.Lock()
			defer mu.Unlock()
			if len(breaks) > 0 {
				kind, breaks = breaks[0], breaks[1:]
			}
			return kind
		}
		n := w.nodes[0]
		n.watch = func(r *orderv1.WatchRequest, s grpc.ServerStreamingServer[orderv1.WatchResponse]) error {
			for v := max(r.GetFromVersion(), 1); v <= events; v++ {
				out := &orderv1.WatchResponse{Events: []*orderv1.HistoryEvent{{Version: v}}}
				switch kind() {
				case "error":
					return status.Error(codes.Unavailable, "stopping")
				case "cut":
					n.conns.cut()
					return status.Error(codes.Unavailable, "cut")
				case "early end":
					return nil
				case "gap":
					if v > max(from, 1) && v < events {
						out.Events[0].Version++
					}
				case "repeat":
					out.Events = append([]*orderv1.HistoryEvent{{Version: v - 1}}, append(out.Events, out.Events...)...)
				}
				if err := s.Send(out); err != nil {
					return err
				}
			}
			return nil
		}
		var ended atomic.Bool
		n.get = func(*orderv1.GetRequest) (*orderv1.GetResponse, error) {
			o := &orderv1.Order{Id: "a", Status: orderv1.Status_STATUS_RUNNING}
			if ended.Load() {
				o.Status = orderv1.Status_STATUS_COMPLETED
			}
			return &orderv1.GetResponse{Order: o}, nil
		}
		next := max(from, 1)
		o, err := w.dial(nil).Watch(context.Background(), client.Watching{ID: "a", From: from, Each: func(ev *orderv1.HistoryEvent) error {
			if ev.GetVersion() != next {
				t.Errorf("version %d was told when %d was due", ev.GetVersion(), next)
			}
			next = ev.GetVersion() + 1
			ended.Store(next > events)
			return nil
		}})
		if err != nil || o.GetStatus() != orderv1.Status_STATUS_COMPLETED || next != events+1 {
			t.Errorf("%v, %v, at %d of %d", o, err, next, events)
		}
	})
}

func TestWatchEnds(t *testing.T) {
	t.Parallel()
	w := setup(t, 1)
	n := w.nodes[0]
	n.watch = func(r *orderv1.WatchRequest, s grpc.ServerStreamingServer[orderv1.WatchResponse]) error {
		switch r.GetId() {
		case "unknown":
			return status.Error(codes.NotFound, "unknown")
		case "away":
			return status.Error(codes.Unavailable, "away")
		}
		return s.Send(&orderv1.WatchResponse{Events: []*orderv1.HistoryEvent{{Version: 1}}})
	}
	own := fmt.Errorf("mine: %w", status.Error(codes.Unavailable, "but no node's"))
	c := w.dial(nil)
	for id, want := range map[string]func(error) bool{
		"unknown": func(err error) bool { return status.Code(err) == codes.NotFound },
		"away":    func(err error) bool { _, ok := errors.AsType[*client.GaveUpError](err); return ok },
		"a":       func(err error) bool { return err == own }, //nolint:errorlint // the same
	} {
		o, err := c.Watch(t.Context(), client.Watching{
			ID: id, Patience: client.Patience{Most: 1}, Each: func(*orderv1.HistoryEvent) error { return own },
		})
		if o != nil || !want(err) {
			t.Errorf("%s: %v, %v", id, o, err)
		}
	}
}

// Each interruption is one of its own, though nothing happened to the order since the one before, if a node had taken the watch.
func TestWatchOfAQuietOrder(t *testing.T) {
	t.Parallel()
	w := setup(t, 1)
	n := w.nodes[0]
	streams := []string{"taken", "refused", "refused", "taken", "taken", "end"}
	n.watch = func(_ *orderv1.WatchRequest, s grpc.ServerStreamingServer[orderv1.WatchResponse]) error {
		kind := streams[0]
		streams = streams[1:]
		if kind != "refused" {
			if err := s.SendHeader(nil); err != nil {
				return err
			}
		}
		if kind == "end" {
			return nil
		}
		return status.Error(codes.Unavailable, kind)
	}
	n.get = func(*orderv1.GetRequest) (*orderv1.GetResponse, error) {
		return &orderv1.GetResponse{Order: &orderv1.Order{Id: "a", Status: orderv1.Status_STATUS_COMPLETED}}, nil
	}
	interruptions := 0
	_, err := w.dial(nil).Watch(t.Context(), client.Watching{
		ID: "a", Patience: client.Patience{Tell: func(error) { interruptions++ }}, Each: func(*orderv1.HistoryEvent) error { return nil },
	})
	if err != nil || interruptions != 3 {
		t.Errorf("%v, %d interruptions", err, interruptions)
	}
}
