package gateway_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/holdfast-run/holdfast/actors/gateway"
	"github.com/holdfast-run/holdfast/adapters/adaptertest"
	"github.com/holdfast-run/holdfast/messages/orderv1"
)

const (
	accepted = orderv1.Wait_WAIT_ACCEPTED
	ended    = orderv1.Wait_WAIT_ENDED
)

func TestSubmit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t)
		def := n.deploy("one", "1.0.0", callOne)
		a := n.connect(10)
		deadline := timestamppb.New(time.Now().Add(time.Hour))
		o := &orderv1.WorkOrder{
			Id: "a", Definition: "test/one", Input: []byte(` {"n": 1} `), OrderKey: "k\x00ü", Priority: 3,
			Labels: map[string]string{"city": "Köln", "x": ""}, Deadline: deadline,
		}
		got := n.submit(o, accepted)
		if got.GetDefinition() != def || string(got.GetInput()) != `{"n": 1}` || got.GetOrderKey() != o.GetOrderKey() ||
			got.GetPriority() != 3 || !maps.Equal(got.GetLabels(), o.GetLabels()) || !got.GetDeadline().AsTime().Equal(deadline.AsTime()) ||
			got.GetStatus() != orderv1.Status_STATUS_PENDING || got.GetVersion() != 1 || got.GetEndedAt() != nil {
			t.Errorf("accepted as %v", got)
		}
		task := a.Tasks(1)[0]
		n.deploy("one", "2.0.0", nothing) // the order stays with the version that it was accepted with
		if again := n.submit(o, accepted); again.GetDefinition() != def || again.GetStatus() != orderv1.Status_STATUS_RUNNING {
			t.Errorf("accepted again as %v", again)
		}
		answer := make(chan *orderv1.Order, 1)
		go func() { answer <- n.submit(o, ended) }()
		settle()
		a.Report(adaptertest.ResultOf(task, 1))
		if got := <-answer; got.GetStatus() != orderv1.Status_STATUS_COMPLETED || string(got.GetOutput()) != `"done"` || got.GetEndedAt() == nil {
			t.Errorf("ended as %v", got)
		}
		if m := a.Hear(); len(m.GetAcks()) != 1 || m.GetAcks()[0] != 1 {
			t.Errorf("acknowledged %v", m)
		}
		if got := n.submit(o, ended); got.GetStatus() != orderv1.Status_STATUS_COMPLETED {
			t.Errorf("submitted after its end: %v", got)
		}
		_, err := n.orders.Submit(t.Context(), &orderv1.SubmitRequest{Order: &orderv1.WorkOrder{Id: "a", Definition: "test/one"}})
		wantRefusal(t, err, codes.AlreadyExists, "ORDER_ID_TAKEN")
	})
}

func year(n int) *timestamppb.Timestamp {
	return timestamppb.New(time.Date(n, 1, 1, 0, 0, 0, 0, time.UTC))
}

// An order is the same, whenever it is submitted again: how long after its acceptance its deadline is counts, not when that is.
func TestRelativeDeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t)
		def := n.deploy("wait", "1.0.0", waitLong)
		in := func(d time.Duration) *orderv1.WorkOrder {
			return &orderv1.WorkOrder{Id: "a", Definition: def, Labels: map[string]string{"a": "b"}, DeadlineAfter: durationpb.New(d)}
		}
		first := n.submit(in(10*time.Minute), accepted)
		if got := first.GetDeadline().AsTime().Sub(first.GetAcceptedAt().AsTime()); got != 10*time.Minute {
			t.Errorf("the deadline is %v after the acceptance", got)
		}
		time.Sleep(time.Second)
		if again := n.submit(in(600*time.Second), accepted); !again.GetDeadline().AsTime().Equal(first.GetDeadline().AsTime()) {
			t.Errorf("submitted again, the deadline is %v, and was %v", again.GetDeadline().AsTime(), first.GetDeadline().AsTime())
		}
		other := in(time.Minute)
		absolute := in(0)
		absolute.Deadline, absolute.DeadlineAfter = first.GetDeadline(), nil
		for _, o := range []*orderv1.WorkOrder{other, absolute} {
			_, err := n.orders.Submit(t.Context(), &orderv1.SubmitRequest{Order: o})
			wantRefusal(t, err, codes.AlreadyExists, "ORDER_ID_TAKEN")
		}
	})
}

// Each submission that is wrong is told what is wrong with it, all at once.
func TestBadSubmissions(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t, func(s *settings) { s.gateway = gateway.Config{MaxInput: 1000, MaxDepth: 5, MaxLabels: 2} })
		n.deploy("one", "1.0.0", callOne)
		n.deploy("strict", "1.0.0", "input: {schema: {format: json, document: {type: object, required: [n]}}}\n"+nothing)
		good := func(change func(*orderv1.WorkOrder)) *orderv1.WorkOrder {
			o := &orderv1.WorkOrder{Id: "a", Definition: "test/one:1.0.0"}
			change(o)
			return o
		}
		input := func(data string) *orderv1.WorkOrder {
			return good(func(o *orderv1.WorkOrder) { o.Input = []byte(data) })
		}
		bad := codes.InvalidArgument
		for name, tt := range map[string]struct {
			order  *orderv1.WorkOrder
			code   codes.Code
			reason string
			fields []string
		}{
			"no order":      {nil, bad, "BAD_REQUEST", []string{"order"}},
			"empty":         {&orderv1.WorkOrder{}, bad, "BAD_REQUEST", []string{"order.id", "order.definition"}},
			"id":            {good(func(o *orderv1.WorkOrder) { o.Id = "a/b" }), bad, "BAD_REQUEST", []string{"order.id"}},
			"long id":       {good(func(o *orderv1.WorkOrder) { o.Id = strings.Repeat("a", 129) }), bad, "BAD_REQUEST", []string{"order.id"}},
			"definition":    {good(func(o *orderv1.WorkOrder) { o.Definition = "one" }), bad, "BAD_REQUEST", []string{"order.definition"}},
			"unknown":       {good(func(o *orderv1.WorkOrder) { o.Definition = "test/two" }), codes.NotFound, "NO_SUCH_DEFINITION", []string{"order.definition"}},
			"version":       {good(func(o *orderv1.WorkOrder) { o.Definition = "test/one:9.9.9" }), codes.NotFound, "NO_SUCH_DEFINITION", []string{"order.definition"}},
			"not JSON":      {input(`{"a": }`), bad, "BAD_REQUEST", []string{"order.input"}},
			"two values":    {input(`1 2`), bad, "BAD_REQUEST", []string{"order.input"}},
			"not UTF-8":     {input("\"\xff\""), bad, "BAD_REQUEST", []string{"order.input"}},
			"long":          {input(`"` + strings.Repeat("x", 1000) + `"`), bad, "BAD_REQUEST", []string{"order.input"}},
			"deep":          {input(strings.Repeat("[", 6) + strings.Repeat("]", 6)), bad, "BAD_REQUEST", []string{"order.input"}},
			"name twice":    {input(`{"b":[{"a":1,"a":2}]}`), bad, "BAD_REQUEST", []string{"order.input"}},
			"very deep":     {input(strings.Repeat("[", 500) + strings.Repeat("]", 500)), bad, "BAD_REQUEST", []string{"order.input"}},
			"schema":        {&orderv1.WorkOrder{Id: "a", Definition: "test/strict", Input: []byte(`{}`)}, bad, "BAD_REQUEST", []string{"order.input"}},
			"key":           {good(func(o *orderv1.WorkOrder) { o.OrderKey = strings.Repeat("k", 257) }), bad, "BAD_REQUEST", []string{"order.order_key"}},
			"low priority":  {good(func(o *orderv1.WorkOrder) { o.Priority = -1 }), bad, "BAD_REQUEST", []string{"order.priority"}},
			"priority":      {good(func(o *orderv1.WorkOrder) { o.Priority = 10 }), bad, "BAD_REQUEST", []string{"order.priority"}},
			"many labels":   {good(func(o *orderv1.WorkOrder) { o.Labels = map[string]string{"a": "", "b": "", "c": ""} }), bad, "BAD_REQUEST", []string{"order.labels"}},
			"label":         {good(func(o *orderv1.WorkOrder) { o.Labels = map[string]string{"a=b": ""} }), bad, "BAD_REQUEST", []string{"order.labels"}},
			"empty label":   {good(func(o *orderv1.WorkOrder) { o.Labels = map[string]string{"": "x"} }), bad, "BAD_REQUEST", []string{"order.labels"}},
			"long label":    {good(func(o *orderv1.WorkOrder) { o.Labels = map[string]string{"a": strings.Repeat("x", 257)} }), bad, "BAD_REQUEST", []string{"order.labels"}},
			"deadline":      {good(func(o *orderv1.WorkOrder) { o.Deadline = &timestamppb.Timestamp{Nanos: -1} }), bad, "BAD_REQUEST", []string{"order.deadline"}},
			"old deadline":  {good(func(o *orderv1.WorkOrder) { o.Deadline = &timestamppb.Timestamp{Seconds: -5} }), bad, "BAD_REQUEST", []string{"order.deadline"}},
			"past deadline": {good(func(o *orderv1.WorkOrder) { o.Deadline = year(1600) }), bad, "BAD_REQUEST", []string{"order.deadline"}},
			"year 1":        {good(func(o *orderv1.WorkOrder) { o.Deadline = year(1) }), bad, "BAD_REQUEST", []string{"order.deadline"}},
			"year 2201":     {good(func(o *orderv1.WorkOrder) { o.Deadline = year(2201) }), bad, "BAD_REQUEST", []string{"order.deadline"}},
			"no time":       {good(func(o *orderv1.WorkOrder) { o.DeadlineAfter = durationpb.New(0) }), bad, "BAD_REQUEST", []string{"order.deadline_after"}},
			"negative time": {good(func(o *orderv1.WorkOrder) { o.DeadlineAfter = durationpb.New(-1) }), bad, "BAD_REQUEST", []string{"order.deadline_after"}},
			"no duration":   {good(func(o *orderv1.WorkOrder) { o.DeadlineAfter = &durationpb.Duration{Seconds: 1, Nanos: -1} }), bad, "BAD_REQUEST", []string{"order.deadline_after"}},
			"long time":     {good(func(o *orderv1.WorkOrder) { o.DeadlineAfter = &durationpb.Duration{Seconds: 3e11} }), bad, "BAD_REQUEST", []string{"order.deadline_after"}},
			"two deadlines": {good(func(o *orderv1.WorkOrder) { o.Deadline, o.DeadlineAfter = year(2030), durationpb.New(1) }), bad, "BAD_REQUEST", []string{"order.deadline_after"}},
			"far deadline":  {good(func(o *orderv1.WorkOrder) { o.Deadline = &timestamppb.Timestamp{Seconds: 9e9} }), bad, "BAD_REQUEST", []string{"order.deadline"}},
			"everything": {
				&orderv1.WorkOrder{Id: "!", Definition: "!", Input: []byte("!"), Priority: 99, OrderKey: strings.Repeat("k", 257)},
				bad, "BAD_REQUEST",
				[]string{"order.id", "order.definition", "order.input", "order.priority", "order.order_key"},
			},
		} {
			_, err := n.orders.Submit(t.Context(), &orderv1.SubmitRequest{Order: tt.order})
			if err == nil {
				t.Errorf("%s was accepted", name)
				continue
			}
			t.Log(name, err)
			wantRefusal(t, err, tt.code, tt.reason, tt.fields...)
		}
		for name, o := range map[string]*orderv1.WorkOrder{
			"deep enough": {Id: "b", Definition: "test/one", Input: []byte(`[[[["[[["]]]]`)},
			"long enough": {Id: "c", Definition: "test/one", Input: []byte(`"` + strings.Repeat("x", 998) + `"`)},
		} {
			if _, err := n.orders.Submit(t.Context(), &orderv1.SubmitRequest{Order: o}); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

func TestGetAndCancel(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t)
		ctx := t.Context()
		for id, reason := range map[string]string{"": "BAD_REQUEST", "a/b": "BAD_REQUEST", "nobody": "NO_SUCH_ORDER"} {
			code, fields := codes.NotFound, []string(nil)
			if reason == "BAD_REQUEST" {
				code, fields = codes.InvalidArgument, []string{"id"}
			}
			_, err := n.orders.Get(ctx, &orderv1.GetRequest{Id: id})
			wantRefusal(t, err, code, reason, fields...)
			_, err = n.orders.Cancel(ctx, &orderv1.CancelRequest{Id: id})
			wantRefusal(t, err, code, reason, fields...)
			_, err = n.orders.History(ctx, &orderv1.HistoryRequest{Id: id})
			wantRefusal(t, err, code, reason, fields...)
			w, err := n.orders.Watch(ctx, &orderv1.WatchRequest{Id: id})
			if err == nil {
				_, err = w.Recv()
			}
			wantRefusal(t, err, code, reason, fields...)
		}
		_, err := n.orders.Cancel(ctx, &orderv1.CancelRequest{Id: "a", Reason: strings.Repeat("x", 1025), By: strings.Repeat("x", 1025)})
		wantRefusal(t, err, codes.InvalidArgument, "BAD_REQUEST", "reason", "by")

		n.submit(&orderv1.WorkOrder{Id: "a", Definition: n.deploy("wait", "1.0.0", waitLong)}, accepted)
		got, err := n.orders.Get(ctx, &orderv1.GetRequest{Id: "a"})
		if err != nil || got.GetOrder().GetStatus() != orderv1.Status_STATUS_WAITING {
			t.Errorf("got %v, %v", got, err)
		}
		for range 2 {
			c, err := n.orders.Cancel(ctx, &orderv1.CancelRequest{Id: "a", Reason: "no more"})
			if err != nil || c.GetOrder().GetStatus() != orderv1.Status_STATUS_CANCELLED || c.GetOrder().GetError().GetDetail() != "no more" {
				t.Errorf("cancelled: %v, %v", c, err)
			}
		}
		n.submit(&orderv1.WorkOrder{Id: "b", Definition: n.deploy("set", "1.0.0", nothing)}, ended)
		_, err = n.orders.Cancel(ctx, &orderv1.CancelRequest{Id: "b"})
		wantRefusal(t, err, codes.FailedPrecondition, "ORDER_ENDED")
	})
}

// A caller who gives up waiting does not take the order with him.
func TestDeadlineOfACall(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		o := &orderv1.WorkOrder{Id: "a", Definition: n.deploy("wait", "1.0.0", waitLong)}
		_, err := n.orders.Submit(ctx, &orderv1.SubmitRequest{Order: o, Wait: ended})
		if got := refusalOf(t, err).code; got != codes.DeadlineExceeded {
			t.Errorf("code is %v", got)
		}
		if got := n.submit(o, ended); got.GetStatus() != orderv1.Status_STATUS_COMPLETED {
			t.Errorf("ended as %v", got)
		}
	})
}

// A node that is about to stop tells whoever waits, and health checks.
func TestDrain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t)
		h := grpc_health_v1.NewHealthClient(n.conn)
		if r, err := h.Check(t.Context(), &grpc_health_v1.HealthCheckRequest{}); err != nil || r.GetStatus() != grpc_health_v1.HealthCheckResponse_SERVING {
			t.Errorf("health is %v, %v", r, err)
		}
		def := n.deploy("one", "1.0.0", callOne)
		a := n.connect(1)
		o := &orderv1.WorkOrder{Id: "a", Definition: def}
		n.submit(o, accepted)
		a.Tasks(1)
		w, err := n.orders.Watch(t.Context(), &orderv1.WatchRequest{Id: "a"})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Recv(); err != nil {
			t.Fatal(err)
		}
		errs := make(chan error, 2)
		go func() {
			_, err := n.orders.Submit(t.Context(), &orderv1.SubmitRequest{Order: o, Wait: ended})
			errs <- err
		}()
		go func() {
			_, err := w.Recv()
			errs <- err
		}()
		settle()
		n.server.Drain()
		for range 2 {
			wantRefusal(t, <-errs, codes.Unavailable, "STOPPING")
		}
		if m := a.Hear(); !m.GetDrain() {
			t.Errorf("the adapter was told %v", m)
		}
		wantRefusal(t, a.End(), codes.Unavailable, "STOPPING")
		stopped := make(chan struct{})
		go func() { n.grpc.GracefulStop(); close(stopped) }()
		<-stopped
		n.engine.Stop()
		if err := n.engine.Ready(); err == nil {
			t.Error("ready after its end")
		}
	})
}

// collect reads a stream of submissions until it ends.
func collect(st orderv1.OrderService_SubmitStreamClient) (answers []*orderv1.Submission, err error) {
	for {
		m, err := st.Recv()
		if errors.Is(err, io.EOF) {
			return answers, nil
		}
		if err != nil {
			return answers, err
		}
		answers = append(answers, m.GetSubmissions()...)
	}
}

func kindOf(s *orderv1.Submission) string {
	switch a := s.GetAnswer().(type) {
	case *orderv1.Submission_Accepted:
		return "accepted " + a.Accepted.GetDefinition()
	case *orderv1.Submission_Ended:
		return fmt.Sprint("ended ", a.Ended.GetStatus(), " ", string(a.Ended.GetOutput()))
	case *orderv1.Submission_Refused:
		return fmt.Sprint("refused ", codes.Code(a.Refused.GetCode()), " ", a.Refused.GetField())
	}
	return "nothing"
}
