package gateway_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/holdfast-run/holdfast/actors/gateway"
	"github.com/holdfast-run/holdfast/adapters/adaptertest"
	"github.com/holdfast-run/holdfast/messages/orderv1"
)

// Refused orders among good ones; all are answered before the stream ends.
func TestSubmitStream(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t)
		set, wait := n.deploy("set", "1.0.0", nothing), n.deploy("wait", "1.0.0", waitLong)
		st, err := n.orders.SubmitStream(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		const orders = 1000
		var batch []*orderv1.SubmitRequest
		for i := range orders {
			r := &orderv1.SubmitRequest{Order: &orderv1.WorkOrder{Id: fmt.Sprint("o", i), Definition: set}}
			switch i % 5 {
			case 1:
				r.Wait = ended
			case 2:
				r.Order.Input = []byte("{")
			case 3:
				r.Order.Definition, r.Wait = "test/none", ended
			case 4:
				r.Order.Definition, r.Wait = wait, ended
			}
			if batch = append(batch, r); len(batch) == 37 || i == orders-1 {
				if err := st.Send(&orderv1.SubmitStreamRequest{Submissions: batch}); err != nil {
					t.Fatal(err)
				}
				batch = nil
			}
		}
		// The same again, one that is taken, and one without an order.
		if err := st.Send(&orderv1.SubmitStreamRequest{Submissions: []*orderv1.SubmitRequest{
			{Order: &orderv1.WorkOrder{Id: "o0", Definition: set}, Wait: ended},
			{Order: &orderv1.WorkOrder{Id: "o4", Definition: set}, Wait: ended},
			{},
		}}); err != nil {
			t.Fatal(err)
		}
		if err := st.CloseSend(); err != nil {
			t.Fatal(err)
		}
		answers, err := collect(st)
		if err != nil {
			t.Fatal(err)
		}
		got := map[string][]string{}
		for _, a := range answers {
			got[a.GetId()] = append(got[a.GetId()], kindOf(a))
		}
		repeated := map[string]int{}
		for _, a := range answers {
			if a.GetAccepted().GetRepeated() {
				repeated[a.GetId()]++
			}
		}
		if len(repeated) != 1 || repeated["o0"] != 1 {
			t.Errorf("said to be accepted before are %v, want o0", repeated)
		}
		yes, done := "accepted "+set, `ended STATUS_COMPLETED {"x":1}`
		want := [...][]string{
			{yes},
			{yes, done},
			{"refused InvalidArgument order.input"},
			{"refused NotFound order.definition"},
			{"accepted " + wait, "ended STATUS_COMPLETED {}"},
		}
		for i := range orders {
			id := fmt.Sprint("o", i)
			w := want[i%5]
			switch i {
			case 0:
				w = []string{yes, yes, done}
			case 4:
				w = []string{w[0], "refused AlreadyExists ", w[1]}
			}
			if !slices.Equal(got[id], w) {
				t.Fatalf("%s was answered %q, want %q", id, got[id], w)
			}
		}
		if !slices.Equal(got[""], []string{"refused InvalidArgument order"}) {
			t.Errorf("no order was answered %q", got[""])
		}
	})
}

// A stream takes no more orders than its window has room for, and goes on when there is room.
func TestStreamWindow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t, func(s *settings) { s.gateway = gateway.Config{StreamWindow: 3} })
		wait := n.deploy("wait", "1.0.0", waitLong)
		st, err := n.orders.SubmitStream(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		const orders = 10
		for i := range orders {
			err := st.Send(&orderv1.SubmitStreamRequest{Submissions: []*orderv1.SubmitRequest{
				{Order: &orderv1.WorkOrder{Id: fmt.Sprint("o", i), Definition: wait}, Wait: ended},
			}})
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := st.CloseSend(); err != nil {
			t.Fatal(err)
		}
		count := func() int {
			settle()
			r, err := n.orders.List(t.Context(), &orderv1.ListRequest{})
			if err != nil {
				t.Fatal(err)
			}
			return len(r.GetOrders())
		}
		if got := count(); got != 3 {
			t.Errorf("%d orders were taken, want 3", got)
		}
		time.Sleep(30 * time.Second)
		if got := count(); got != 6 {
			t.Errorf("%d orders were taken, want 6", got)
		}
		answers, err := collect(st)
		if err != nil || len(answers) != 2*orders {
			t.Errorf("%d answers, %v", len(answers), err)
		}
	})
}

// A stream that breaks leaves nothing behind: neither waiters nor places, and its orders go on.
func TestBrokenStream(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		n := start(t, func(s *settings) { s.gateway.Accepting, s.log = 6, &log })
		wait := n.deploy("wait", "1.0.0", waitLong)
		for round := range 3 {
			ctx, cancel := context.WithCancel(t.Context())
			st, err := n.orders.SubmitStream(ctx)
			if err != nil {
				t.Fatal(err)
			}
			for i := range 5 {
				if err := st.Send(&orderv1.SubmitStreamRequest{Submissions: []*orderv1.SubmitRequest{
					{Order: &orderv1.WorkOrder{Id: fmt.Sprintf("o%d-%d", round, i), Definition: wait}, Wait: ended},
				}}); err != nil {
					t.Fatal(err)
				}
				if _, err := st.Recv(); err != nil {
					t.Fatal(err)
				}
			}
			cancel()
			_, err = collect(st)
			if status.Code(err) != codes.Canceled {
				t.Errorf("the stream ended with %v", err)
			}
			settle()
		}
		if got := n.engine.View().Len(); got != 0 {
			t.Errorf("%d waiters are left", got)
		}
		time.Sleep(30 * time.Second)
		settle()
		r, err := n.orders.List(t.Context(), &orderv1.ListRequest{Statuses: []orderv1.Status{orderv1.Status_STATUS_COMPLETED}})
		if err != nil || len(r.GetOrders()) != 15 {
			t.Errorf("%d orders completed, %v", len(r.GetOrders()), err)
		}
		if strings.Contains(log.String(), "unexpected error") {
			t.Errorf("a client that leaves is no error of the node:\n%s", log.String())
		}
	})
}

// The end of an order whose stream broke, or whose unary caller left, is still told to others.
func TestWaitersOfOneOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t)
		def := n.deploy("one", "1.0.0", callOne)
		a := n.connect(5)
		o := &orderv1.WorkOrder{Id: "a", Definition: def}
		ends := make(chan string, 20)
		for range 5 {
			go func() {
				r, err := n.orders.Submit(t.Context(), &orderv1.SubmitRequest{Order: o, Wait: ended})
				ends <- fmt.Sprint(r.GetOrder().GetStatus(), err)
			}()
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			go func() { _, _ = n.orders.Submit(ctx, &orderv1.SubmitRequest{Order: o, Wait: ended}) }()
		}
		task := a.Tasks(1)[0]
		time.Sleep(2 * time.Second)
		settle()
		if got := n.engine.View().Len(); got != 5 {
			t.Errorf("%d wait, want 5", got)
		}
		a.Report(adaptertest.ResultOf(task, 1))
		for range 5 {
			if got := <-ends; got != "STATUS_COMPLETED <nil>" {
				t.Errorf("told %s", got)
			}
		}
	})
}

// What can't be decoded, or is too large, ends the call alone.
func TestMalformedMessages(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t, func(s *settings) { s.gateway = gateway.Config{MaxInput: 1 << 10, MaxOutput: 1 << 10} })
		for name, tt := range map[string]struct {
			data []byte
			code codes.Code
		}{
			"cut off":   {[]byte{0x0a, 0x7f, 0x01}, codes.Internal}, // as gRPC has it
			"too large": {make([]byte, 2<<20), codes.ResourceExhausted},
		} {
			for _, method := range []string{
				"order.v1.OrderService/Submit", "order.v1.OrderService/Get", "definition.v1.DefinitionService/Deploy",
			} {
				err := n.conn.Invoke(t.Context(), "/holdfast."+method, raw(tt.data), new(raw), asRaw)
				if status.Code(err) != tt.code {
					t.Errorf("%s to %s: %v", name, method, err)
				}
			}
			for _, method := range []string{
				"order.v1.OrderService/SubmitStream", "order.v1.OrderService/Watch", "adapter.v1.AdapterService/Connect",
			} {
				st, err := n.conn.NewStream(t.Context(), &bidi, "/holdfast."+method, asRaw)
				if err != nil {
					t.Fatal(err)
				}
				_ = st.SendMsg(raw(tt.data))
				_ = st.CloseSend()
				if err := st.RecvMsg(new(raw)); status.Code(err) != tt.code {
					t.Errorf("%s to %s: %v", name, method, err)
				}
			}
		}
		n.submit(&orderv1.WorkOrder{Id: "a", Definition: n.deploy("set", "1.0.0", nothing)}, ended)
	})
}
