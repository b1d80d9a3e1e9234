package main

import (
	"context"
	"errors"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"github.com/holdfast-run/holdfast/messages/orderv1"
)

func TestOrderSubmitAndWait(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.orders.submit = func(_ context.Context, r *orderv1.SubmitRequest) (*orderv1.SubmitResponse, error) {
		return &orderv1.SubmitResponse{Order: &orderv1.Order{Id: r.GetOrder().GetId(), Status: orderv1.Status_STATUS_RUNNING}}, nil
	}
	wait := func(more ...string) outcome {
		return f.run(append([]string{"order", "submit", "--definition", ref, "--id", orderID, "--wait", "-o", "json"}, more...)...)
	}
	f.watched(nil)
	f.holds(ended(orderv1.Status_STATUS_COMPLETED))
	const accepted = "order " + orderID + " is accepted\n"
	wait().want(t, 0, completedJSON, accepted+eventsText)
	wait("--quiet").want(t, 0, completedJSON, "")
	f.holds(ended(orderv1.Status_STATUS_FAULTED))
	wait("-q").want(t, 3, faultedJSON, "")
	f.holds(ended(orderv1.Status_STATUS_CANCELLED))
	if got := wait("-q"); got.status != 4 {
		t.Errorf("cancelled: %+v", got)
	}

	// On a terminal there is one line, which is gone in the end.
	f.width = 60
	got := wait()
	lines := strings.Split(got.stderr, "\r\x1b[K")
	if len(lines) < 5 || lines[0] != accepted || lines[len(lines)-1] != "" || !strings.HasSuffix(lines[3], " order.faulted  ") {
		t.Errorf("%q", lines)
	}
	for _, line := range lines {
		if n := len([]rune(line)); n > 59 {
			t.Errorf("%q has %d characters", line, n)
		}
	}

	// The node goes for good.
	f.width = 0
	f.watched(failed(codes.DataLoss, "disk"))
	f.orders.get = func(*orderv1.GetRequest) (*orderv1.GetResponse, error) { return nil, errors.New("not asked") }
	got = wait("-q")
	got.want(t, 1, "", "holdfast: disk (DATA_LOSS)\nThe order was accepted. How it stands now is not known. "+
		"Ask with: holdfast order get "+orderID+"\n")

	// It can't be watched, but what became of it can be told.
	f.holds(running())
	wait("-q").want(t, 1, "", "holdfast: disk (DATA_LOSS)\nThe order was accepted. It is running, after 1 events, and goes on. "+
		"Watch the rest with: holdfast order watch "+orderID+" --from 2\n")
	f.holds(ended(orderv1.Status_STATUS_COMPLETED))
	wait("-q").want(t, 0, completedJSON, "holdfast: the order has ended, but its progress can't be shown: disk (DATA_LOSS)\n")
	f.holds(ended(orderv1.Status_STATUS_FAULTED))
	wait("-q").want(t, 3, faultedJSON, "holdfast: the order has ended, but its progress can't be shown: disk (DATA_LOSS)\n")
	f.run("order", "watch", orderID, "-o", "json", "--from", "2").want(t, 1, strings.SplitAfterN(eventsJSON, "\n", 3)[1],
		"holdfast: disk (DATA_LOSS)\nIt has ended, and is faulted. See what came of it with: holdfast order get "+orderID+"\n")

	// A repeated submission of what has ended needs no watching.
	f.orders.submit = func(context.Context, *orderv1.SubmitRequest) (*orderv1.SubmitResponse, error) {
		return &orderv1.SubmitResponse{Order: ended(orderv1.Status_STATUS_COMPLETED)}, nil
	}
	wait("-q").want(t, 0, completedJSON, "")
}

// A time that is over is told once, with what has not come about in it.
func TestTimeIsOver(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.orders.watch = func(_ *orderv1.WatchRequest, s grpc.ServerStreamingServer[orderv1.WatchResponse]) error {
		<-s.Context().Done()
		return s.Context().Err()
	}
	f.holds(running())
	f.run("order", "watch", orderID, "--timeout", "50ms").want(t, exitTimeout, "",
		"holdfast: order "+orderID+" has not ended within 50ms (--timeout)\n"+
			"It is running, after 1 events, and goes on. Watch the rest with: holdfast order watch "+orderID+" --from 2\n")
	f.orders.list = func(*orderv1.ListRequest) (*orderv1.ListResponse, error) {
		return nil, failed(codes.DeadlineExceeded, "context deadline exceeded") // as gRPC itself says it
	}
	f.run("order", "list", "--timeout", "20ms").want(t, exitTimeout, "",
		"holdfast: no answer within 20ms (--timeout)\nGive it longer with --timeout.\n")
}

// A pipe gets all, a terminal the beginning of what is long.
func TestLongValues(t *testing.T) {
	t.Parallel()
	f := setup(t)
	long := strings.Repeat("x", 4<<20)
	event := &orderv1.HistoryEvent{Version: 1, At: at(0), Type: "order.accepted", Data: []byte(`"` + long + `"`)}
	f.orders.history = func(*orderv1.HistoryRequest) (*orderv1.HistoryResponse, error) {
		return &orderv1.HistoryResponse{Events: []*orderv1.HistoryEvent{event}}, nil
	}
	f.orders.watch = func(_ *orderv1.WatchRequest, s grpc.ServerStreamingServer[orderv1.WatchResponse]) error {
		return s.Send(&orderv1.WatchResponse{Events: []*orderv1.HistoryEvent{event}})
	}
	order := ended(orderv1.Status_STATUS_COMPLETED)
	order.Input = event.GetData()
	f.holds(order)
	for _, command := range []string{"history", "watch", "get"} {
		if got := f.run("order", command, orderID); !strings.Contains(got.stdout, long) {
			t.Errorf("order %s into a pipe cuts what is long: %d bytes", command, len(got.stdout))
		}
	}
	f.width = 80
	for _, command := range []string{"history", "watch", "get"} {
		if got := f.run("order", command, orderID).stdout; strings.Count(got, "\n") > 40 || len(got) > 4000 || !strings.Contains(got, "…") {
			t.Errorf("order %s on a terminal tells %d bytes:\n%s", command, len(got), got[:min(len(got), 4000)])
		}
	}
	got := f.run("order", "get", orderID).stdout
	if want := "… 4194306 bytes in all: -o json tells them\n"; !strings.Contains(got, want) {
		t.Errorf("order get doesn't tell %q:\n%s", want, got)
	}
}

// What an order lives through is told as the specification's events, by what was before the first version wanted, too.
func TestOrderWatchLifecycle(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.holds(ended(orderv1.Status_STATUS_FAULTED))
	asked := f.watched(failed(codes.Unavailable, "node is stopping"))
	got := f.run("order", "watch", orderID, "--lifecycle", "--from", "2")
	got.want(t, 3, `{"data":{"error":{"type":"","title":"Refused","status":409,"detail":"","instance":""},"faultedAt":"2026-01-02T03:04:07.678Z",`+
		`"name":"activate-`+orderID+`.telecom"},"datacontenttype":"application/json","id":"3.1","source":"/orders/`+orderID+`","specversion":"1.0",`+
		`"subject":"`+orderID+`","time":"2026-01-02T03:04:07.678Z","type":"io.serverlessworkflow.workflow.faulted.v1"}`+"\n",
		strings.Repeat("holdfast: node is stopping (UNAVAILABLE): trying again\n", 3))
	if (*asked)[0] != 1 {
		t.Errorf("asked for versions %v", *asked)
	}
}
