package main

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/holdfast-run/holdfast/client/shown"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/messages/problemv1"
)

const (
	orderID = "0190c2f4-0000-7000-8000-000000000001"
	ref     = "telecom/activate:1.0.0"
)

func failed(code codes.Code, message string, details ...protoadapt.MessageV1) error {
	st, err := status.New(code, message).WithDetails(details...)
	if err != nil {
		panic(err)
	}
	return st.Err()
}

func running() *orderv1.Order {
	return &orderv1.Order{
		Id: orderID, Definition: ref, Status: orderv1.Status_STATUS_RUNNING, OrderKey: "k-1", AcceptedAt: at(0), Version: 1,
	}
}

func ended(s orderv1.Status) *orderv1.Order {
	o := running()
	o.Status, o.EndedAt, o.Version = s, at(2), 6
	switch s {
	case orderv1.Status_STATUS_COMPLETED:
		o.Output = []byte("{ \"msisdn\": \"<49>\",\n  \"n\": 1.0 }")
	case orderv1.Status_STATUS_FAULTED:
		o.Error = &problemv1.Problem{
			Type: "https://example.com/errors/refused", Title: "Refused", Status: 409, Detail: "no such SIM", Instance: "/do/0/activate",
		}
	case orderv1.Status_STATUS_CANCELLED:
		o.Error = &problemv1.Problem{Title: "Cancelled", Detail: "customer left"}
	default:
	}
	return o
}

const (
	runningJSON = `{"id":"` + orderID + `","definition":"telecom/activate:1.0.0","status":"running","order_key":"k-1","priority":0,"labels":{},"deadline":null,` +
		`"accepted_at":"2026-01-02T03:04:05.678Z","ended_at":null,"version":1,"input":null,"output":null,"error":null}` + "\n"
	completedJSON = `{"id":"` + orderID + `","definition":"telecom/activate:1.0.0","status":"completed","order_key":"k-1","priority":0,"labels":{},"deadline":null,` +
		`"accepted_at":"2026-01-02T03:04:05.678Z","ended_at":"2026-01-02T03:04:07.678Z","version":6,"input":null,` +
		`"output":{"msisdn":"<49>","n":1.0},"error":null}` + "\n"
	faultedJSON = `{"id":"` + orderID + `","definition":"telecom/activate:1.0.0","status":"faulted","order_key":"k-1","priority":0,"labels":{},"deadline":null,` +
		`"accepted_at":"2026-01-02T03:04:05.678Z","ended_at":"2026-01-02T03:04:07.678Z","version":6,"input":null,"output":null,` +
		`"error":{"type":"https://example.com/errors/refused","title":"Refused","status":409,"detail":"no such SIM",` +
		`"instance":"/do/0/activate"}}` + "\n"
)

func (f *fake) holds(o *orderv1.Order) {
	f.orders.get = func(r *orderv1.GetRequest) (*orderv1.GetResponse, error) {
		if r.GetId() != o.GetId() {
			return nil, failed(codes.NotFound, "order "+r.GetId()+": not found",
				&errdetails.ErrorInfo{Reason: "NO_SUCH_ORDER", Domain: "holdfast"})
		}
		return &orderv1.GetResponse{Order: o}, nil
	}
}

func TestOrderWaits(t *testing.T) {
	t.Parallel()
	f := setup(t)
	o := running()
	o.Waiting = []*orderv1.Waiting{{Reason: "slowed down", Until: at(1)}, {Task: "/do/0/a", Reason: "retry 3", Until: at(2)}}
	f.holds(o)
	got := f.run("order", "get", orderID)
	for _, line := range []string{
		"\nwaits for    slowed down, until " + shown.TimeText(at(1)) + "\n", "\nwaits for    /do/0/a: retry 3, until " + shown.TimeText(at(2)) + "\n",
	} {
		if !strings.Contains(got.stdout, line) {
			t.Errorf("order get lacks %q:\n%s", line, got.stdout)
		}
	}
	got = f.run("order", "get", orderID, "-o", "json")
	if !strings.Contains(got.stdout, `"waiting":[{"task":"","reason":"slowed down","until":"`) {
		t.Errorf("order get -o json: %s", got.stdout)
	}
}

func TestOrderGet(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.holds(ended(orderv1.Status_STATUS_COMPLETED))
	f.run("order", "get", orderID, "-o", "json").want(t, 0, completedJSON, "")
	f.run("order", "get", orderID).want(t, 0, ""+
		"id           "+orderID+"\n"+
		"definition   telecom/activate:1.0.0\n"+
		"status       completed\n"+
		"order key    k-1\n"+
		"accepted at  2026-01-02T03:04:05.678Z\n"+
		"ended at     2026-01-02T03:04:07.678Z (after 2s)\n"+
		"version      6\n"+
		`output       {"msisdn":"<49>","n":1.0}`+"\n", "")
	f.holds(ended(orderv1.Status_STATUS_FAULTED))
	f.run("order", "get", orderID, "-o", "json").want(t, 0, faultedJSON, "")
	f.run("order", "get", orderID).want(t, 0, ""+
		"id           "+orderID+"\n"+
		"definition   telecom/activate:1.0.0\n"+
		"status       faulted\n"+
		"order key    k-1\n"+
		"accepted at  2026-01-02T03:04:05.678Z\n"+
		"faulted at   2026-01-02T03:04:07.678Z (after 2s)\n"+
		"version      6\n"+
		"error        Refused (409): no such SIM, at /do/0/activate\n"+
		"error type   https://example.com/errors/refused\n", "")
	f.run("order", "get", "other").want(t, 1, "", "holdfast: order other: not found (NOT_FOUND)\n  reason: NO_SUCH_ORDER\n")
}

func TestOutputIsSafeOnTerminals(t *testing.T) {
	t.Parallel()
	f := setup(t)
	o := running()
	o.OrderKey = "a\x1b[31m\u009b\u202eb\n"
	o.Output = []byte("{\"x\":\"\u0085\u202e\U000e0001\x7f\"}")
	f.holds(o)
	got := f.run("order", "get", orderID)
	if !strings.Contains(got.stdout, `order key    a\x1b[31m\u009b\u202eb\n`+"\n") {
		t.Errorf("table:\n%q", got.stdout)
	}
	got = f.run("order", "get", orderID, "-o", "json")
	if !strings.Contains(got.stdout, `"order_key":"a\u001b[31m\u009b\u202eb\n"`) ||
		!strings.Contains(got.stdout, `"output":{"x":"\u0085\u202e\udb40\udc01\u007f"}`) {
		t.Errorf("JSON:\n%q", got.stdout)
	}
}

func TestOrderList(t *testing.T) {
	t.Parallel()
	f := setup(t)
	var asked []*orderv1.ListRequest
	f.orders.list = func(r *orderv1.ListRequest) (*orderv1.ListResponse, error) {
		asked = append(asked, proto.CloneOf(r))
		if r.GetPageToken() == "" {
			return &orderv1.ListResponse{Orders: []*orderv1.Order{running()}, NextPageToken: "more"}, nil
		}
		return &orderv1.ListResponse{Orders: []*orderv1.Order{ended(orderv1.Status_STATUS_CANCELLED)}}, nil
	}
	f.run("order", "list", "--status", "running,cancelled", "--definition", "telecom/activate", "--key", "k-1",
		"--label", "a=b=c", "--since", "2026-01-01T00:00:00Z", "--until", "1m").want(t, 0, ""+
		"ID                                    DEFINITION              STATUS     KEY  ACCEPTED AT               ENDED AT\n"+
		orderID+"  telecom/activate:1.0.0  running    k-1  2026-01-02T03:04:05.678Z\n"+
		orderID+"  telecom/activate:1.0.0  cancelled  k-1  2026-01-02T03:04:05.678Z  2026-01-02T03:04:07.678Z\n", "")
	r := asked[0]
	if r.GetDefinition() != "telecom/activate" || r.GetOrderKey() != "k-1" || r.GetLabels()["a"] != "b=c" ||
		r.GetAcceptedFrom().GetSeconds() != 1767225600 || r.GetAcceptedTo() == nil || r.GetPageSize() != 101 ||
		len(r.GetStatuses()) != 2 || r.GetStatuses()[1] != orderv1.Status_STATUS_CANCELLED {
		t.Errorf("asked for %v", r)
	}
	if asked[1].GetPageToken() != "more" || asked[1].GetPageSize() != 100 {
		t.Errorf("then for %v", asked[1])
	}
	f.run("order", "list", "--limit", "1", "-o", "json").want(t, 0, `{"id":"`+orderID+`","definition":"telecom/activate:1.0.0",`+
		`"status":"running","order_key":"k-1","priority":0,"labels":{},"deadline":null,`+
		`"accepted_at":"2026-01-02T03:04:05.678Z","ended_at":null}`+"\n", "there are more: these are the newest 1; --limit 0 lists all\n")
	if got := f.run("order", "list", "--limit", "2"); got.stderr != "" || strings.Count(got.stdout, orderID) != 2 {
		t.Errorf("as many as there are: %+v", got)
	}
}

func events() []*orderv1.HistoryEvent {
	return []*orderv1.HistoryEvent{
		{Version: 1, At: at(0), Type: "order.accepted", Data: []byte(`{"sim":1}`)},
		{Version: 2, At: at(1), Type: "attempt.scheduled", Task: "/do/0/activate", Attempt: 2, Key: "key-1", Activity: "hss.create", Due: at(9)},
		{Version: 3, At: at(2), Type: "order.faulted", Error: &problemv1.Problem{Title: "Refused", Status: 409}, Reason: "why"},
	}
}

const (
	eventsJSON = `{"version":1,"at":"2026-01-02T03:04:05.678Z","type":"order.accepted","task":"","attempt":0,"data":{"sim":1}}` + "\n" +
		`{"version":2,"at":"2026-01-02T03:04:06.678Z","type":"attempt.scheduled","task":"/do/0/activate","attempt":2,` +
		`"key":"key-1","activity":"hss.create","due":"2026-01-02T03:04:14.678Z"}` + "\n" +
		`{"version":3,"at":"2026-01-02T03:04:07.678Z","type":"order.faulted","task":"","attempt":0,` +
		`"error":{"type":"","title":"Refused","status":409,"detail":"","instance":""},"reason":"why"}` + "\n"
	eventsText = "" +
		"     1  2026-01-02T03:04:05.678Z  order.accepted                                      {\"sim\":1}\n" +
		"     2  2026-01-02T03:04:06.678Z  attempt.scheduled     /do/0/activate             2  hss.create  due 2026-01-02T03:04:14.678Z\n" +
		"     3  2026-01-02T03:04:07.678Z  order.faulted                                       Refused (409)  why\n"
)

func TestOrderHistory(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.orders.history = func(r *orderv1.HistoryRequest) (*orderv1.HistoryResponse, error) {
		if r.GetFromVersion() == 1 {
			return &orderv1.HistoryResponse{Events: events()[:2], NextVersion: 3}, nil
		}
		return &orderv1.HistoryResponse{Events: events()[r.GetFromVersion()-1:]}, nil
	}
	f.run("order", "history", orderID, "-o", "json").want(t, 0, eventsJSON, "")
	f.run("order", "history", orderID, "--from", "3").want(t, 0, ""+
		"VERSION  AT                        TYPE           TASK  ATTEMPT  DETAIL\n"+
		"3        2026-01-02T03:04:07.678Z  order.faulted                 Refused (409)  why\n", "")
}

// watched makes the node tell the events of an order, from the version asked for, in streams that break after one event.
func (f *fake) watched(broken error) (asked *[]uint64) {
	asked = new([]uint64)
	f.orders.watch = func(r *orderv1.WatchRequest, s grpc.ServerStreamingServer[orderv1.WatchResponse]) error {
		*asked = append(*asked, r.GetFromVersion())
		for _, ev := range events() {
			if ev.GetVersion() < max(r.GetFromVersion(), 2)-1 { // tells the one before again
				continue
			}
			if err := s.Send(&orderv1.WatchResponse{Events: []*orderv1.HistoryEvent{ev}}); err != nil {
				return err
			}
			if broken != nil && ev.GetVersion() == r.GetFromVersion() {
				return broken
			}
		}
		return nil
	}
	return asked
}

func TestOrderWatchGoesOnWhereItWas(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.holds(ended(orderv1.Status_STATUS_FAULTED))
	asked := f.watched(failed(codes.Unavailable, "node is stopping"))
	got := f.run("order", "watch", orderID, "-o", "json")
	got.want(t, 3, eventsJSON, strings.Repeat("holdfast: node is stopping (UNAVAILABLE): trying again\n", 3))
	if len(*asked) != 4 || (*asked)[0] != 1 || (*asked)[1] != 2 || (*asked)[2] != 3 || (*asked)[3] != 4 {
		t.Errorf("asked for versions %v", *asked)
	}
	f.watched(nil)
	f.run("order", "watch", orderID).want(t, 3, eventsText, "")
	f.width = 80 // of a terminal
	f.environ = append(f.environ, "NO_COLOR=1")
	f.run("order", "watch", orderID).want(t, 3, ""+
		"VERSION  AT                   TYPE                  TASK                 ATTEMPT\n"+
		"  DETAIL\n"+
		"1        2026-01-02 03:04:05  order.accepted\n"+
		"  {\"sim\":1}\n"+
		"2        2026-01-02 03:04:06  attempt.scheduled     /do/0/activate       2\n"+
		"  hss.create  due 2026-01-02T03:04:14.678Z\n"+
		"3        2026-01-02 03:04:07  order.faulted\n"+
		"  Refused (409)  why\n", "")
}

func TestOrderWatchTellsTheEndByItsStatus(t *testing.T) {
	t.Parallel()
	for s, want := range map[orderv1.Status]int{
		orderv1.Status_STATUS_COMPLETED: 0, orderv1.Status_STATUS_FAULTED: 3, orderv1.Status_STATUS_CANCELLED: 4,
	} {
		f := setup(t)
		f.holds(ended(s))
		f.watched(nil)
		if got := f.run("order", "watch", orderID); got.status != want {
			t.Errorf("%v: exit status %d, want %d", s, got.status, want)
		}
	}
}

func TestOrderWatchEndsForGood(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.watched(failed(codes.NotFound, "no such order"))
	if got := f.run("order", "watch", orderID); got.status != 1 || got.stderr != "holdfast: no such order (NOT_FOUND)\n" {
		t.Errorf("%+v", got)
	}
	f = setup(t)
	f.holds(running())
	f.orders.watch = func(_ *orderv1.WatchRequest, s grpc.ServerStreamingServer[orderv1.WatchResponse]) error {
		<-s.Context().Done()
		return s.Context().Err()
	}
	if got := f.run("order", "watch", orderID, "--timeout", "30ms"); got.status != 5 {
		t.Errorf("%+v", got)
	}
	f = setup(t)
	f.orders.watch = func(*orderv1.WatchRequest, grpc.ServerStreamingServer[orderv1.WatchResponse]) error {
		return failed(codes.Unavailable, "starting")
	}
	f.orders.get = func(*orderv1.GetRequest) (*orderv1.GetResponse, error) {
		return nil, failed(codes.Unavailable, "starting")
	}
	got := f.run("order", "watch", orderID, "--reconnect", "1ns")
	if got.status != 1 || !strings.Contains(got.stderr, "holdfast: gave up after 1ns (--reconnect): starting (UNAVAILABLE)\n") {
		t.Errorf("%+v", got)
	}
	f = setup(t)
	interrupted, cancel := context.WithCancel(t.Context())
	f.orders.watch = func(_ *orderv1.WatchRequest, s grpc.ServerStreamingServer[orderv1.WatchResponse]) error {
		cancel()
		<-s.Context().Done()
		return s.Context().Err()
	}
	f.runUntil(interrupted, "order", "watch", orderID).want(t, 1, "", "holdfast: interrupted\n")
}

func TestOrderCancel(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.orders.cancel = func(r *orderv1.CancelRequest) (*orderv1.CancelResponse, error) {
		if r.GetReason() != "customer left" {
			return nil, failed(codes.FailedPrecondition, "order has ended")
		}
		return &orderv1.CancelResponse{Order: running()}, nil
	}
	f.run("order", "cancel", orderID, "--reason", "customer left", "-o", "json").want(t, 0, runningJSON, "")
	f.run("order", "cancel", orderID).want(t, 1, "", "holdfast: order has ended (FAILED_PRECONDITION)\n")
}

func TestOrderSubmitRepeatsUntilItIsAccepted(t *testing.T) {
	t.Parallel()
	f := setup(t)
	answers := []error{
		failed(codes.Unavailable, "stopping"),
		failed(codes.ResourceExhausted, "busy", &errdetails.RetryInfo{RetryDelay: durationpb.New(1)}),
		nil,
	}
	var got []*orderv1.SubmitRequest
	f.orders.submit = func(_ context.Context, r *orderv1.SubmitRequest) (*orderv1.SubmitResponse, error) {
		got = append(got, r)
		if err := answers[len(got)-1]; err != nil {
			return nil, err
		}
		return &orderv1.SubmitResponse{Order: running()}, nil
	}
	f.stdin = `{"sim": 1}`
	f.run("order", "submit", "--definition", ref, "--key", "k-1", "--priority", "7", "--label", "a=b", "--deadline", "1h",
		"--input", "-", "-o", "json").want(t, 0, runningJSON, "holdfast: stopping (UNAVAILABLE): trying again\n")
	for i, r := range got {
		if !proto.Equal(r, got[0]) {
			t.Errorf("try %d differs: %v and %v", i+1, got[0], r)
		}
	}
	o := got[0].GetOrder()
	if messages.OrderID(o.GetId()).Validate() != nil || o.GetDefinition() != ref || o.GetOrderKey() != "k-1" ||
		o.GetPriority() != 7 || o.GetLabels()["a"] != "b" || o.GetDeadline() != nil || o.GetDeadlineAfter().AsDuration() != time.Hour || string(o.GetInput()) != f.stdin ||
		got[0].GetWait() != orderv1.Wait_WAIT_ACCEPTED {
		t.Errorf("submitted %v", got[0])
	}
}

func TestOrderSubmitPassesOverNodesThatAreGone(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.orders.submit = func(context.Context, *orderv1.SubmitRequest) (*orderv1.SubmitResponse, error) {
		return &orderv1.SubmitResponse{Order: running()}, nil
	}
	f.environ = []string{"HOLDFAST_SERVER=127.0.0.1:1," + f.server}
	f.run("order", "submit", "--definition", ref, "-o", "json").want(t, 0, runningJSON, "")
}

func TestOrderSubmitErrors(t *testing.T) {
	t.Parallel()
	f := setup(t)
	var answer atomic.Pointer[error]
	says := func(err error) { answer.Store(&err) } // a call that was given up may still be answered
	f.orders.submit = func(ctx context.Context, _ *orderv1.SubmitRequest) (*orderv1.SubmitResponse, error) {
		if err := *answer.Load(); err != nil {
			return nil, err
		}
		<-ctx.Done()
		return nil, ctx.Err()
	}
	submit := func(more ...string) outcome {
		return f.run(append([]string{"order", "submit", "--definition", ref, "--id", "x"}, more...)...)
	}
	says(failed(codes.InvalidArgument, "bad request", &errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{
		{Field: "order.input", Description: "is no JSON\x1b"}, {Field: "order.labels", Description: "are too many"},
	}}, &errdetails.ErrorInfo{Reason: "BAD_REQUEST", Metadata: map[string]string{"max": "16"}}))
	submit().want(t, 1, "", "holdfast: bad request (INVALID_ARGUMENT)\n"+
		"  order.input: is no JSON\\x1b\n  order.labels: are too many\n  reason: BAD_REQUEST\n  max: 16\n")
	says(failed(codes.FailedPrecondition, "definition is retired", &errdetails.BadRequest{
		FieldViolations: []*errdetails.BadRequest_FieldViolation{{Field: "order.definition", Description: "is retired"}},
	}))
	submit().want(t, 1, "", "holdfast: definition is retired (FAILED_PRECONDITION)\n  order.definition: is retired\n")
	says(failed(codes.AlreadyExists, "order id is taken"))
	submit().want(t, 1, "", "holdfast: order id is taken (ALREADY_EXISTS)\n"+
		"Something else was accepted as x before. See what, before you submit anything: holdfast order get x. "+
		"The same work under another id would be done a second time.\n")
	const advice = "The order may have been accepted. Submit it again with --id x, which does no harm, or look with: " +
		"holdfast order get x\n"
	says(failed(codes.ResourceExhausted, "message is too large"))
	submit().want(t, 1, "", "holdfast: message is too large (RESOURCE_EXHAUSTED)\n"+advice)
	says(failed(codes.Unavailable, "stopping", &errdetails.RetryInfo{RetryDelay: durationpb.New(time.Minute)}))
	const again = "holdfast: stopping (UNAVAILABLE): trying again\n"
	submit("--timeout", "500ms").want(t, 5, "", again+
		"holdfast: order x was not acknowledged within 500ms (--timeout): stopping (UNAVAILABLE)\n"+advice)
	submit("--reconnect", "50ms").want(t, 1, "", again+
		"holdfast: gave up after 50ms (--reconnect): stopping (UNAVAILABLE)\n  try again in 1m0s\n"+advice)
	says(nil)
	submit("--timeout", "20ms").want(t, 5, "", "holdfast: order x was not acknowledged within 20ms (--timeout)\n"+advice)
	says(failed(codes.FailedPrecondition, "orders are submitted at the public address", &errdetails.ErrorInfo{Reason: "PUBLIC_ONLY"}))
	submit().want(t, 1, "", "holdfast: orders are submitted at the public address (FAILED_PRECONDITION)\n  reason: PUBLIC_ONLY\n")
	says(failed(codes.ResourceExhausted, "the store is full", &errdetails.ErrorInfo{Reason: "STORE_FULL"}))
	submit().want(t, 1, "", "holdfast: the store is full (RESOURCE_EXHAUSTED)\n  reason: STORE_FULL\n"+
		"Submit it again later, with --id x, which does no harm if it was accepted.\n")
}

func TestWrongUsage(t *testing.T) {
	t.Parallel()
	f := setup(t)
	bad := f.file("bad.json", "{\n  \"a\": ,\n}")
	for args, want := range map[string]string{
		"order submit":                                                  "--definition is missing",
		"order submit --definition x":                                   "is not of the form namespace/name:version",
		"order submit --definition a/b --id a/b":                        `order id "a/b" has the byte '/'`,
		"order submit --definition a/b --priority 10":                   "--priority 10 is not from 0 to 9",
		"order submit --definition a/b --label x":                       `--label "x" is not of the form name=value`,
		"order submit --definition a/b --label x=1 --label x=":          "--label x is given twice",
		"order submit --definition a/b --deadline soon":                 `--deadline "soon" is neither`,
		"order submit --definition a/b --deadline -1s":                  "--deadline -1s is negative",
		"order submit --definition a/b --deadline 1600-01-01T00:00:00Z": "--deadline 1600-01-01T00:00:00Z is not between 1970 and 2200",
		"order list --since 2500000h":                                   "--since 2500000h is not between 1970 and 2200",
		"order list --until 2201-01-01T00:00:00Z":                       "--until 2201-01-01T00:00:00Z is not between 1970 and 2200",
		"order submit --definition a/b extra":                           `unknown command "extra"`,
		"order submit --nonsense":                                       "unknown flag: --nonsense",
		"order submit --priority high":                                  `--priority "high" is no whole number`,
		"order get":                                                     "give one order id",
		"order get a b":                                                 "give one order id",
		"order list --status done":                                      `--status is "done", and must be one of pending, running`,
		"order list --watch --limit 0":                                  "--limit 0: with --watch it must be from 1 to 1000",
		"order list --limit -1":                                         "--limit -1 is negative",
		"order lst":                                                     `there is no command "lst" in "holdfast order": do you mean get or list?`,
		"order":                                                         "a command is missing",
		"nonsense":                                                      `there is no command "nonsense" in "holdfast"`,
		"order get x -o yaml":                                           `--output is "yaml", and must be table or json`,
		"order get x --log-level loud":                                  `--log-level is "loud"`,
		"order get x --server :":                                        `--server ":" is not of the form host:port`,
		"order get x --timeout -1s":                                     "--timeout -1s is negative",
		"definition deploy":                                             "name the files",
		"definition get x":                                              "is not of the form namespace/name:version",
	} {
		got := f.run(strings.Fields(args)...)
		if got.status != 2 || !strings.Contains(got.stderr, want) || got.stdout != "" {
			t.Errorf("%s: %+v\nwant %q", args, got, want)
		}
	}
	got := f.run("order", "submit", "--definition", "a/b", "--input", bad)
	if got.status != 1 || !strings.Contains(got.stderr, "bad.json:2:8: not one JSON value") {
		t.Errorf("%+v", got)
	}
	got = f.run("order", "submit", "--definition", "a/b", "--input", bad+".absent")
	if got.status != 1 || !strings.Contains(got.stderr, "no such file") {
		t.Errorf("%+v", got)
	}
}

func TestNoNodeAnswers(t *testing.T) {
	t.Parallel()
	f := setup(t)
	got := f.run("order", "get", "x", "--server", "127.0.0.1:1")
	if got.status != 1 || !strings.Contains(got.stderr,
		"holdfast: no connection: Error while dialing: dial tcp 127.0.0.1:1: connect: connection refused (UNAVAILABLE)\n") ||
		!strings.Contains(got.stderr, "No node answers at 127.0.0.1:1. Start one with 'holdfast dev'") {
		t.Errorf("%+v", got)
	}
}
