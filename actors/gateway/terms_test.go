package gateway_test

import (
	"fmt"
	"maps"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/holdfast-run/holdfast/actors"
	"github.com/holdfast-run/holdfast/actors/runtime"
	"github.com/holdfast-run/holdfast/actors/workflow"
	"github.com/holdfast-run/holdfast/adapters/adaptertest"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/definitionv1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
)

// deployWith deploys a version of test/one whose metadata says this of its orders, and returns its name.
func (n *node) deployWith(version, said, tasks string) string {
	n.t.Helper()
	doc := fmt.Sprintf("document: {dsl: 1.0.3, namespace: test, name: one, version: %s, metadata: {holdfast: %s}}\n%s", version, said, tasks)
	if _, err := n.definitions.Deploy(n.t.Context(), &definitionv1.DeployRequest{Document: []byte(doc)}); err != nil {
		n.t.Fatal(err)
	}
	return "test/one:" + version
}

const subscriberTerms = `{orderKey: "${ .msisdn }", priority: "${ if .gold then 8 else 3 end }", labels: {customer: "${ .customer }", channel: web}}`

// Orders get their keys, priorities and labels from their inputs: those of a key run one after the other, and they are found by their
// labels. What their clients say goes before that.
func TestTermsOfOrders(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t)
		def := n.deployWith("1.0.0", subscriberTerms, callOne)
		a := n.connect(10)
		order := func(id, input string) *orderv1.WorkOrder {
			return &orderv1.WorkOrder{Id: id, Definition: "test/one", Input: []byte(input)}
		}
		first := n.submit(order("first", `{"msisdn":"49","gold":true,"customer":"c"}`), accepted)
		if first.GetDefinition() != def || first.GetOrderKey() != "49" || first.GetPriority() != 8 ||
			!maps.Equal(first.GetLabels(), map[string]string{"customer": "c", "channel": "web"}) {
			t.Errorf("accepted as %v", first)
		}
		task := a.Tasks(1)[0]
		if second := n.submit(order("second", `{"msisdn":"49","customer":"d"}`), accepted); second.GetPriority() != 3 {
			t.Errorf("accepted as %v", second)
		}
		if free := n.submit(order("free", `{}`), accepted); free.GetOrderKey() != "" ||
			!maps.Equal(free.GetLabels(), map[string]string{"channel": "web"}) {
			t.Errorf("accepted as %v", free)
		}
		own := order("own", `{"msisdn":49,"customer":7}`) // what it says itself is not evaluated
		own.OrderKey, own.Priority, own.Labels = "mine", 1, map[string]string{"customer": "me", "x": "y"}
		if got := n.submit(own, accepted); got.GetOrderKey() != "mine" || got.GetPriority() != 1 ||
			!maps.Equal(got.GetLabels(), map[string]string{"customer": "me", "channel": "web", "x": "y"}) {
			t.Errorf("accepted as %v", got)
		}
		settle()
		n.wantStatus("first", orderv1.Status_STATUS_RUNNING)
		n.wantStatus("second", orderv1.Status_STATUS_PENDING)
		n.wantStatus("free", orderv1.Status_STATUS_RUNNING)
		found, err := n.orders.List(t.Context(), &orderv1.ListRequest{Labels: map[string]string{"customer": "d"}})
		if err != nil || len(found.GetOrders()) != 1 || found.GetOrders()[0].GetId() != "second" {
			t.Errorf("found %v, %v", found, err)
		}
		a.Report(adaptertest.ResultOf(task, 1))
		settle()
		n.wantStatus("second", orderv1.Status_STATUS_RUNNING)
	})
}

// An input that does not fit is refused, and the refusal tells the property and what that must yield.
func TestUnfitInputs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t, func(s *settings) { s.engine = actors.Config{Workflow: workflow.Limits{Key: 5, Labels: 2}} })
		n.deployWith("1.0.0", subscriberTerms, callOne)
		st, err := n.orders.SubmitStream(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for name, c := range map[string]struct {
			order *orderv1.WorkOrder
			want  string
		}{
			"key":      {&orderv1.WorkOrder{Input: []byte(`{"msisdn":49}`)}, `"metadata.holdfast.orderKey" must yield a string of at most 5 bytes, or null for none: it yields 49`},
			"long key": {&orderv1.WorkOrder{Input: []byte(`{"msisdn":"491701"}`)}, "it yields one of 6 bytes"},
			"priority": {&orderv1.WorkOrder{Input: []byte(`[]`), OrderKey: "k"}, `"metadata.holdfast.priority" must yield a whole number from 0 to 9`},
			"label":    {&orderv1.WorkOrder{Input: []byte(`{"customer":{"a":1}}`)}, `"metadata.holdfast.labels.customer" must yield a string`},
			"labels": {
				&orderv1.WorkOrder{Input: []byte(`{"customer":"c"}`), Labels: map[string]string{"x": "y"}},
				`"metadata.holdfast.labels" gives it 3 labels, with its own ones, more than the limit of 2`,
			},
		} {
			c.order.Id, c.order.Definition = "a", "test/one"
			_, err := n.orders.Submit(t.Context(), &orderv1.SubmitRequest{Order: c.order})
			wantRefusal(t, err, codes.InvalidArgument, "BAD_REQUEST", "order.input")
			if text := status.Convert(err).Message(); !strings.Contains(text, "order.input does not fit test/one:1.0.0: ") || !strings.Contains(text, c.want) {
				t.Errorf("%s: %s, want %s", name, text, c.want)
			}
			if err := st.Send(&orderv1.SubmitStreamRequest{Submissions: []*orderv1.SubmitRequest{{Order: c.order}}}); err != nil {
				t.Fatal(err)
			}
			answer, err := st.Recv()
			if err != nil {
				t.Fatal(err)
			}
			if r := answer.GetSubmissions()[0].GetRefused(); r.GetField() != "order.input" || !strings.Contains(r.GetMessage(), c.want) {
				t.Errorf("%s: refused on a stream with %v", name, r)
			}
		}
	})
}

// An order is the same when it is submitted again for the latest version, whatever that says of its key by then.
func TestRepeatedWithAnotherKey(t *testing.T) {
	t.Parallel()
	const key, other, none = `{orderKey: "${ .a }"}`, `{orderKey: "${ .b }"}`, `{}`
	if messages.PartitionOf("o", "one") == messages.PartitionOf("o", "two") || messages.PartitionOf("o", "one") == messages.PartitionOf("o", "") ||
		messages.PartitionOf("o", "two") == messages.PartitionOf("o", "") {
		t.Fatal("the keys are in one partition")
	}
	for name, c := range map[string]struct{ before, after, want string }{
		"another": {key, other, "one"}, "one more": {none, other, ""}, "none": {key, none, "one"}, "the same": {key, key, "one"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var log strings.Builder
				n := start(t, func(s *settings) { s.log = &log })
				def := n.deployWith("1.0.0", c.before, waitLong)
				o := &orderv1.WorkOrder{Id: "o", Definition: "test/one", Input: []byte(`{"a":"one","b":"two"}`)}
				if got := n.submit(o, accepted); got.GetOrderKey() != c.want {
					t.Errorf("accepted as %v", got)
				}
				n.deployWith("2.0.0", c.after, nothing)
				if got := n.submit(o, accepted); got.GetDefinition() != def || got.GetOrderKey() != c.want {
					t.Errorf("accepted again as %v", got)
				}
				st, err := n.orders.SubmitStream(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				others := &orderv1.WorkOrder{Id: "o", Definition: "test/one", Input: []byte(`{"a":"one","b":"three"}`)}
				if err := st.Send(&orderv1.SubmitStreamRequest{Submissions: []*orderv1.SubmitRequest{
					{Order: o}, {Order: others}, {Order: o, Wait: ended}, {Order: others, Wait: ended},
				}}); err != nil {
					t.Fatal(err)
				}
				end := make(chan *orderv1.Order, 1)
				go func() { end <- n.submit(o, ended) }()
				settle()
				_, err = n.orders.Submit(t.Context(), &orderv1.SubmitRequest{Order: others})
				wantRefusal(t, err, codes.AlreadyExists, "ORDER_ID_TAKEN")
				time.Sleep(30 * time.Second)
				if got := <-end; got.GetStatus() != orderv1.Status_STATUS_COMPLETED || got.GetDefinition() != def {
					t.Errorf("ended as %v", got)
				}
				if err := st.CloseSend(); err != nil {
					t.Fatal(err)
				}
				answers, err := collect(st)
				if err != nil {
					t.Fatal(err)
				}
				got := map[string]int{}
				for _, a := range answers {
					if a.GetAccepted() != nil && !a.GetAccepted().GetRepeated() {
						t.Errorf("accepted anew: %v", a)
					}
					got[kindOf(a)]++
				}
				const taken = "refused AlreadyExists "
				want := map[string]int{"accepted " + def: 2, taken: 2, "ended STATUS_COMPLETED " + string(o.GetInput()): 1}
				if !maps.Equal(got, want) {
					t.Errorf("answered with %v, want %v", got, want)
				}
				if text := log.String(); strings.Contains(text, "can't be loaded") {
					t.Errorf("it is looked for where it is not:\n%s", text)
				}
				list, err := n.orders.List(t.Context(), &orderv1.ListRequest{})
				if err != nil || len(list.GetOrders()) != 1 || n.engine.View().Len() != 0 {
					t.Errorf("there are %v, %v, and %d waiters", list.GetOrders(), err, n.engine.View().Len())
				}
			})
		})
	}
}

// A stream that breaks while an order is looked up leaves nothing behind.
func TestBrokenStreamOfRepetitions(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t)
		n.deployWith("1.0.0", `{}`, waitLong)
		o := &orderv1.WorkOrder{Id: "o", Definition: "test/one", Input: []byte(`{"b":"two"}`)}
		n.submit(o, accepted)
		n.deployWith("2.0.0", `{orderKey: "${ .b }"}`, nothing)
		over := n.hold(runtime.HeavyRead, 64)
		st, err := n.orders.SubmitStream(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := st.Send(&orderv1.SubmitStreamRequest{Submissions: []*orderv1.SubmitRequest{{Order: o, Wait: ended}}}); err != nil {
			t.Fatal(err)
		}
		settle()
		if w := n.waiting(runtime.HeavyRead); w != 1 {
			t.Errorf("%d wait to read, want 1", w)
		}
		n.grpc.Stop()
		if _, err := collect(st); err == nil {
			t.Error("the stream has ended well")
		}
		settle()
		if w, waiters := n.waiting(runtime.HeavyRead), n.engine.View().Len(); w != 0 || waiters != 0 {
			t.Errorf("%d wait to read, and %d for the order", w, waiters)
		}
		over()
	})
}

// What takes long to evaluate is heavy work, and waits for its turn from then on.
func TestHeavyTermsWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t, func(s *settings) { s.engine = actors.Config{Evaluations: 1} })
		def := n.deployWith("1.0.0", `{orderKey: "${ [range(300000)] | length | tostring }"}`, nothing)
		if n.engine.Heavy(def) {
			t.Error("the definition counts as heavy before it was used")
		}
		if o := n.submit(&orderv1.WorkOrder{Id: "a", Definition: def}, ended); o.GetOrderKey() != "300000" {
			t.Errorf("accepted as %v", o)
		}
		done, _ := n.engine.Pace().Done()
		if !n.engine.Heavy(def) || done[runtime.HeavyRequest].Used == 0 {
			t.Errorf("heavy: %v; charged was %v", n.engine.Heavy(def), done[runtime.HeavyRequest])
		}
		over := n.hold(runtime.HeavyRequest, 1)
		end := make(chan *orderv1.Order, 1)
		go func() { end <- n.submit(&orderv1.WorkOrder{Id: "b", Definition: def}, ended) }()
		settle()
		if w := n.waiting(runtime.HeavyRequest); w != 1 {
			t.Errorf("%d wait, want 1", w)
		}
		over()
		if o := <-end; o.GetStatus() != orderv1.Status_STATUS_COMPLETED {
			t.Errorf("ended as %v", o)
		}
	})
}
