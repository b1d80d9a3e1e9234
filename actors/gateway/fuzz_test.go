package gateway_test

import (
	"encoding/json"
	"io"
	"testing"
	"unicode/utf8"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/holdfast-run/holdfast/actors/gateway"
	"github.com/holdfast-run/holdfast/adapters/adaptertest"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/adapterv1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
)

// fuzzNode starts a node for a fuzz test: outside of a bubble, which can't last as long.
func fuzzNode(f *testing.F) *node {
	f.Helper()
	return start(f, func(s *settings) {
		s.gateway, s.log = gateway.Config{MaxInput: 1 << 12, MaxOutput: 1 << 12, MaxDepth: 8, MaxLabels: 2}, io.Discard
	})
}

func addMessages(f *testing.F, messages ...proto.Message) {
	f.Helper()
	for _, m := range messages {
		data, err := proto.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
}

// Whatever an order looks like: it is refused as bad input, or what is accepted keeps all bounds.
func FuzzOrder(f *testing.F) {
	n := fuzzNode(f)
	def := n.deploy("one", "1.0.0", callOne)
	addMessages(f,
		&orderv1.WorkOrder{Id: "a", Definition: def, Input: []byte(`{"a": [1, "\u00e9"]}`)},
		&orderv1.WorkOrder{Id: "a", Definition: "test/one", Input: []byte(`[[[[[[[[[1]]]]]]]]]`), OrderKey: "k", Priority: 9},
		&orderv1.WorkOrder{Id: "a", Definition: "test/one", Labels: map[string]string{"a": "b"}, Deadline: timestamppb.Now()},
		&orderv1.WorkOrder{Id: "a", Definition: "test/one", Input: []byte("\"\xff\"")},
		&orderv1.WorkOrder{Id: "ä", Definition: "x", Priority: -1, Deadline: &timestamppb.Timestamp{Seconds: -1 << 60}},
	)
	f.Fuzz(func(t *testing.T, data []byte) {
		var o orderv1.WorkOrder
		if proto.Unmarshal(data, &o) != nil {
			return
		}
		a, err := n.server.Check(&o)
		if err != nil {
			if code := status.Code(gateway.Explain(err)); code != codes.InvalidArgument && code != codes.NotFound {
				t.Errorf("refused with %v: %v", code, err)
			}
			return
		}
		if messages.OrderID(a.GetOrderId()).Validate() != nil || a.GetDefinition() != def || !json.Valid(a.GetInput()) ||
			!utf8.Valid(a.GetInput()) || len(a.GetInput()) > 1<<12 || len(a.GetOrderKey()) > 256 || a.GetPriority() < 0 ||
			a.GetPriority() > 9 || len(a.GetLabels()) > 2 || a.GetDeadline() < 0 || len(a.GetContentHash()) != 16 {
			t.Errorf("accepted %v", a)
		}
		again, err := n.server.Check(&o)
		if err != nil || string(again.GetContentHash()) != string(a.GetContentHash()) {
			t.Errorf("checked again: %v, %v", again, err)
		}
	})
}

// Whatever an adapter sends: it is refused as bad input, or the node goes on.
func FuzzAdapter(f *testing.F) {
	n := fuzzNode(f)
	addMessages(f,
		&adapterv1.ConnectRequest{Hello: adaptertest.Hello(), Credits: []*adapterv1.Credit{{Activity: "do", Total: 1 << 63}}},
		&adapterv1.ConnectRequest{Hello: adaptertest.Hello(), Results: []*adapterv1.Result{
			{Seq: 1, OrderId: "a", Partition: 5, Key: "a:/do/0/a", Attempt: 1, Activity: "do", Outcome: 1, Output: []byte(`{"a": 1}`)},
			{Seq: 2, OrderId: "a", Activity: "do", Outcome: 2},
			{Seq: 3, OrderId: "b", Activity: "do", Outcome: 77},
		}},
		&adapterv1.ConnectRequest{
			Hello: adaptertest.Hello(func(h *adapterv1.Hello) { h.Keys = []string{"a:/do/0/a", ""} }), Drain: true,
			Revocations: []*adapterv1.Revocation{{Activity: "do", Count: 1 << 63}, {Activity: "none"}},
		},
		&adapterv1.ConnectRequest{},
	)
	f.Fuzz(func(t *testing.T, data []byte) {
		var m adapterv1.ConnectRequest
		if proto.Unmarshal(data, &m) != nil {
			return
		}
		err := gateway.CheckHello(m.GetHello())
		if err == nil {
			// Names that the fuzzer makes up would each leave a dispatcher behind.
			m.Hello.Adapter = "x"
			for _, a := range m.GetHello().GetActivities() {
				a.Name = "do"
			}
			err = n.server.Receive(m.GetHello(), &m)
		}
		if err != nil && status.Code(gateway.Explain(err)) != codes.InvalidArgument {
			t.Errorf("refused with %v", err)
		}
	})
}
