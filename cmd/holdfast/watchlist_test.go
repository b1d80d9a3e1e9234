package main

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"github.com/holdfast-run/holdfast/messages/orderv1"
)

// tellsList has the node tell of a list over two streams, the first of which breaks; then done is called.
func (f *fake) tellsList(done func()) (asked *[]*orderv1.ListRequest) {
	asked = new([]*orderv1.ListRequest)
	f.orders.follow = func(r *orderv1.WatchListRequest, s grpc.ServerStreamingServer[orderv1.WatchListResponse]) error {
		*asked = append(*asked, r.GetList())
		f.orders.turn() // whoever reads it does so after this
		in := func(o *orderv1.Order) *orderv1.ListChange {
			return &orderv1.ListChange{Change: &orderv1.ListChange_Order{Order: o}}
		}
		other := running()
		other.Id = "other"
		answers := []*orderv1.WatchListResponse{{Changes: []*orderv1.ListChange{in(running()), in(other)}, Listed: true, Cut: true}}
		if len(*asked) > 1 {
			answers[0].Changes[0] = in(ended(orderv1.Status_STATUS_COMPLETED))
			answers = append(answers, &orderv1.WatchListResponse{Changes: []*orderv1.ListChange{
				{Change: &orderv1.ListChange_GoneId{GoneId: "other"}},
			}})
		}
		for _, a := range answers {
			if err := s.Send(a); err != nil {
				return err
			}
		}
		if len(*asked) > 1 {
			done()
			<-s.Context().Done()
			return s.Context().Err()
		}
		return failed(codes.Unavailable, "node is stopping")
	}
	return asked
}

func TestOrderListWatch(t *testing.T) {
	t.Parallel()
	f := setup(t)
	const (
		again = "holdfast: node is stopping (UNAVAILABLE): trying again\n"
		more  = "there are more: these are the newest 2\n"
	)
	asked := f.tellsList(func() {})
	f.run("order", "list", "--watch", "--status", "running", "--limit", "2", "--timeout", "1s").want(t, 0, ""+
		orderID+"  running    telecom/activate:1.0.0    k-1           2026-01-02T03:04:05.678Z\n"+
		"other                                 running    telecom/activate:1.0.0    k-1           2026-01-02T03:04:05.678Z\n"+
		orderID+"  completed  telecom/activate:1.0.0    k-1           2026-01-02T03:04:05.678Z  2026-01-02T03:04:07.678Z\n"+
		"other                                 gone\n", more+again)
	for _, r := range *asked {
		if r.GetPageSize() != 2 || !slices.Equal(r.GetStatuses(), []orderv1.Status{orderv1.Status_STATUS_RUNNING}) {
			t.Errorf("asked for %v", r)
		}
	}
	f.tellsList(func() {})
	order := func(id, status, ended string) string {
		return `{"order":{"id":"` + id + `","definition":"telecom/activate:1.0.0","status":"` + status + `","order_key":"k-1","priority":0,` +
			`"labels":{},"deadline":null,"accepted_at":"2026-01-02T03:04:05.678Z","ended_at":` + ended + "}}\n"
	}
	f.run("order", "list", "--watch", "-o", "json", "--timeout", "1s").want(t, 0, order(orderID, "running", "null")+
		order("other", "running", "null")+`{"listed":true,"cut":true}`+"\n"+
		order(orderID, "completed", `"2026-01-02T03:04:07.678Z"`)+`{"gone_id":"other"}`+"\n", again)
}

// It goes on until it is interrupted.
func TestOrderListWatchInterrupted(t *testing.T) {
	t.Parallel()
	f := setup(t)
	ctx, cancel := context.WithCancel(t.Context())
	f.tellsList(cancel)
	if got := f.runUntil(ctx, "order", "list", "--watch"); got.status == 0 || !strings.Contains(got.stdout, orderID) {
		t.Errorf("%+v", got)
	}
	f.orders.follow = func(*orderv1.WatchListRequest, grpc.ServerStreamingServer[orderv1.WatchListResponse]) error {
		return failed(codes.InvalidArgument, "wrong")
	}
	f.run("order", "list", "--watch").want(t, 1, "", "holdfast: wrong (INVALID_ARGUMENT)\n")
}

// A list that no node has told by the time that it was to be watched for is no empty one.
func TestOrderListWatchInVain(t *testing.T) {
	t.Parallel()
	const hangs, early = 1, 2 // the second try: it has failed, it has not by then, or the node's clock is ahead
	for second := range early + 1 {
		f := setup(t)
		tries := 0
		f.orders.follow = func(_ *orderv1.WatchListRequest, st grpc.ServerStreamingServer[orderv1.WatchListResponse]) error {
			if tries++; tries > 1 && second == hangs {
				<-st.Context().Done()
			}
			if tries > 1 && second == early {
				deadline, _ := st.Context().Deadline()
				time.Sleep(time.Until(deadline) - 100*time.Millisecond)
				return failed(codes.DeadlineExceeded, "context deadline exceeded")
			}
			return failed(codes.Unavailable, "away")
		}
		f.run("order", "list", "--watch", "--timeout", "500ms").want(t, exitTimeout, "", "holdfast: away (UNAVAILABLE): trying again\n"+
			"holdfast: the list was not told within 500ms (--timeout): away (UNAVAILABLE)\n")
	}
}
