package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/orderv1"
)

// badOrder is an order that must be refused.
type badOrder struct {
	name   string
	spoil  func(o *orderv1.WorkOrder)
	code   codes.Code
	fields []string
}

func labelled(n int, name, value string) map[string]string {
	m := map[string]string{name: value}
	for i := len(m); i < n; i++ {
		m[fmt.Sprintf("l%d", i)] = "x"
	}
	return m
}

// spoiled are the orders that must be refused, by single call and on a stream alike.
var spoiled = slices.Concat(
	spoil("order.id", map[string]func(o *orderv1.WorkOrder){
		"no id":               func(o *orderv1.WorkOrder) { o.Id = "" },
		"long id":             func(o *orderv1.WorkOrder) { o.Id = strings.Repeat("a", messages.MaxOrderID+1) },
		"id with a slash":     func(o *orderv1.WorkOrder) { o.Id = "a/b" },
		"id with a zero byte": func(o *orderv1.WorkOrder) { o.Id = "a\x00b" },
		"id beyond ASCII":     func(o *orderv1.WorkOrder) { o.Id = "bestellung-ä" },
	}),
	spoil("order.definition", map[string]func(o *orderv1.WorkOrder){
		"no definition":   func(o *orderv1.WorkOrder) { o.Definition = "" },
		"no namespace":    func(o *orderv1.WorkOrder) { o.Definition = "good:1.0.0" },
		"odd definition":  func(o *orderv1.WorkOrder) { o.Definition = "a/b/c:1" },
		"long definition": func(o *orderv1.WorkOrder) { o.Definition = strings.Repeat("a/", 1<<19) },
	}),
	spoil("order.input", inputs(map[string]string{
		"cut short":                `{"count":`,
		"two values":               `{"count":1} {}`,
		"no JSON":                  "count: 1",
		"NaN":                      `{"count":NaN}`,
		"binary":                   "\x00\x01\x02\xff",
		"bad UTF-8":                "{\"count\":1,\"a\":\"\xc3\x28\"}",
		"a byte order mark":        "\xef\xbb\xbf{\"count\":1}",
		"the wrong type":           `{"count":"one"}`,
		"without what is required": "",
		"a list":                   `[1]`,
		"long":                     `{"count":1,"a":"` + strings.Repeat("x", 1<<20) + `"}`,
		"deep":                     `{"count":1,"a":` + strings.Repeat("[", 65) + strings.Repeat("]", 65) + `}`,
		"very deep":                strings.Repeat("[", 500_000) + strings.Repeat("]", 500_000),
		"very deep, cut short":     strings.Repeat(`{"a":`, 200_000),
	})),
	spoil("order.order_key", map[string]func(o *orderv1.WorkOrder){
		"long order key": func(o *orderv1.WorkOrder) { o.OrderKey = strings.Repeat("k", 257) },
	}),
	spoil("order.priority", map[string]func(o *orderv1.WorkOrder){
		"priority below": func(o *orderv1.WorkOrder) { o.Priority = -1 },
		"priority above": func(o *orderv1.WorkOrder) { o.Priority = 10 },
	}),
	spoil("order.labels", map[string]func(o *orderv1.WorkOrder){
		"many labels":          func(o *orderv1.WorkOrder) { o.Labels = labelled(17, "a", "b") },
		"label without a name": func(o *orderv1.WorkOrder) { o.Labels = labelled(1, "", "b") },
		"long name of a label": func(o *orderv1.WorkOrder) { o.Labels = labelled(1, strings.Repeat("n", 64), "b") },
		"long label":           func(o *orderv1.WorkOrder) { o.Labels = labelled(1, "a", strings.Repeat("v", 257)) },
	}),
	spoil("order.deadline", map[string]func(o *orderv1.WorkOrder){
		"deadline that is no time": func(o *orderv1.WorkOrder) { o.Deadline = &timestamppb.Timestamp{Seconds: 1, Nanos: -5} },
		"deadline beyond time":     func(o *orderv1.WorkOrder) { o.Deadline = &timestamppb.Timestamp{Seconds: 1 << 60} },
		"deadline before 1970":     func(o *orderv1.WorkOrder) { o.Deadline = timestamppb.New(time.Unix(-5, 0)) },
	}),
	[]badOrder{
		unknownDefinition("verify/none:1.0.0"), unknownDefinition("verify/good:9.9.9"), unknownDefinition("verify/none"),
		{"all at once", func(o *orderv1.WorkOrder) {
			o.Id, o.Definition, o.Input, o.Priority, o.OrderKey = "/", "?", []byte("{"), 99, strings.Repeat("k", 1000)
		}, codes.InvalidArgument, []string{"order.id", "order.definition", "order.input", "order.priority", "order.order_key"}},
	},
)

// spoil makes bad orders of one field.
func spoil(field string, how map[string]func(o *orderv1.WorkOrder)) []badOrder {
	var all []badOrder
	for _, name := range slices.Sorted(maps.Keys(how)) {
		all = append(all, badOrder{name, how[name], codes.InvalidArgument, []string{field}})
	}
	return all
}

func inputs(how map[string]string) map[string]func(o *orderv1.WorkOrder) {
	all := map[string]func(o *orderv1.WorkOrder){}
	for name, input := range how {
		all["input: "+name] = func(o *orderv1.WorkOrder) { o.Input = []byte(input) }
	}
	return all
}

func unknownDefinition(ref string) badOrder {
	return badOrder{
		"unknown definition " + ref, func(o *orderv1.WorkOrder) { o.Definition = ref }, codes.NotFound, []string{"order.definition"},
	}
}

func badOrders() []badCase {
	var all []badCase
	for _, b := range spoiled {
		all = append(all, badCase{"order: " + b.name, func(ctx context.Context, t *target) error {
			o := goodOrder()
			b.spoil(o)
			_, err := t.orders.Submit(ctx, &orderv1.SubmitRequest{Order: o, Wait: orderv1.Wait_WAIT_ENDED})
			return refused(err, b.code, b.fields...)
		}})
	}
	return append(all,
		badCase{"order: none", func(ctx context.Context, t *target) error {
			_, err := t.orders.Submit(ctx, &orderv1.SubmitRequest{})
			return refused(err, codes.InvalidArgument, "order")
		}},
		badCase{"order: larger than a message may be", func(ctx context.Context, t *target) error {
			o := goodOrder()
			o.Input = []byte(`"` + strings.Repeat("x", 64<<20) + `"`)
			_, err := t.orders.Submit(ctx, &orderv1.SubmitRequest{Order: o})
			return refused(err, codes.ResourceExhausted)
		}},
		badCase{"order: an id that is taken", func(ctx context.Context, t *target) error {
			o := goodOrder()
			if _, err := t.orders.Submit(ctx, &orderv1.SubmitRequest{Order: o}); err != nil {
				return err
			}
			o.Input = []byte(`{"count":2}`)
			_, err := t.orders.Submit(ctx, &orderv1.SubmitRequest{Order: o})
			return refused(err, codes.AlreadyExists)
		}},
		badCase{"order: an unknown activity", unknownActivity},
		badCase{"stream: all bad orders, and good ones between them", badStream},
	)
}

// unknownActivity: an order that calls an activity that nobody offers is accepted, waits, and can be cancelled.
func unknownActivity(ctx context.Context, t *target) error {
	o := goodOrder()
	o.Definition = "verify/unoffered:1.0.0"
	if _, err := t.orders.Submit(ctx, &orderv1.SubmitRequest{Order: o}); err != nil {
		return err
	}
	if _, err := t.orders.Cancel(ctx, &orderv1.CancelRequest{Id: o.GetId(), Reason: "nobody offers it"}); err != nil {
		return fmt.Errorf("cancel: %w", err)
	}
	r, err := t.orders.Submit(ctx, &orderv1.SubmitRequest{Order: o, Wait: orderv1.Wait_WAIT_ENDED})
	if err != nil {
		return fmt.Errorf("wait for its end: %w", err)
	}
	if got := r.GetOrder().GetStatus(); got != orderv1.Status_STATUS_CANCELLED {
		return fmt.Errorf("it ended as %v, not cancelled", got)
	}
	_, err = t.orders.Cancel(ctx, &orderv1.CancelRequest{Id: o.GetId(), Reason: strings.Repeat("r", 2000)})
	return refused(err, codes.InvalidArgument, "reason")
}

// badStream: refusals on a stream are answers, and don't end it.
func badStream(ctx context.Context, t *target) error {
	st, err := t.orders.SubmitStream(ctx)
	if err != nil {
		return err
	}
	want := map[string]badOrder{}
	good := map[string]bool{}
	for i, b := range spoiled {
		bad, fine := goodOrder(), goodOrder()
		b.spoil(bad)
		told := messages.Clip(bad.GetId(), messages.MaxOrderID) // what the answer says
		if _, twice := want[told]; !twice {
			want[told] = b
		}
		good[fine.GetId()] = false
		err := st.Send(&orderv1.SubmitStreamRequest{Submissions: []*orderv1.SubmitRequest{
			{Order: bad}, {Order: fine, Wait: orderv1.Wait_WAIT_ENDED},
		}})
		if err != nil {
			return fmt.Errorf("the stream ended after %d bad orders: %w", i, err)
		}
	}
	if err := st.CloseSend(); err != nil {
		return fmt.Errorf("close the stream: %w", err)
	}
	answered := 0
	for answered < 2*len(spoiled) {
		m, err := st.Recv()
		if err != nil {
			return fmt.Errorf("the stream ended after %d answers: %w", answered, err)
		}
		for _, a := range m.GetSubmissions() {
			b, isBad := want[a.GetId()]
			switch {
			case a.GetAccepted() != nil && !isBad:
				continue
			case a.GetEnded() != nil && !isBad:
				if got := a.GetEnded().GetStatus(); got != orderv1.Status_STATUS_COMPLETED {
					return fmt.Errorf("a good order ended as %v", got)
				}
				good[a.GetId()] = true
			case a.GetRefused() != nil && isBad:
				r := a.GetRefused()
				code := codes.Code(r.GetCode()) //nolint:gosec // a code
				if code != b.code || !strings.HasPrefix(r.GetField(), b.fields[0]) || len(r.GetMessage()) < 10 {
					return fmt.Errorf("%s: refused with %v for %q: %.200s; %v for %q is expected",
						b.name, code, r.GetField(), r.GetMessage(), b.code, b.fields[0])
				}
			default:
				return fmt.Errorf("the order %q, good: %v, got the answer %v", a.GetId(), !isBad, a)
			}
			answered++
		}
	}
	for _, ended := range good {
		if !ended {
			return errors.New("a good order did not end")
		}
	}
	return nil
}
