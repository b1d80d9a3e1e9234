package main

import (
	"context"
	"errors"
	"fmt"
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
var spoiled = []badOrder{
	{"no id", func(o *orderv1.WorkOrder) { o.Id = "" }, codes.InvalidArgument, []string{"order.id"}},
	{"long id", func(o *orderv1.WorkOrder) { o.Id = strings.Repeat("a", messages.MaxOrderID+1) }, codes.InvalidArgument, []string{"order.id"}},
	{"id with a slash", func(o *orderv1.WorkOrder) { o.Id = "a/b" }, codes.InvalidArgument, []string{"order.id"}},
	{"id with a zero byte", func(o *orderv1.WorkOrder) { o.Id = "a\x00b" }, codes.InvalidArgument, []string{"order.id"}},
	{"id beyond ASCII", func(o *orderv1.WorkOrder) { o.Id = "bestellung-ä" }, codes.InvalidArgument, []string{"order.id"}},
	{"no definition", func(o *orderv1.WorkOrder) { o.Definition = "" }, codes.InvalidArgument, []string{"order.definition"}},
	{"no namespace", func(o *orderv1.WorkOrder) { o.Definition = "good:1.0.0" }, codes.InvalidArgument, []string{"order.definition"}},
	{"odd definition", func(o *orderv1.WorkOrder) { o.Definition = "a/b/c:1" }, codes.InvalidArgument, []string{"order.definition"}},
	{"long definition", func(o *orderv1.WorkOrder) { o.Definition = strings.Repeat("a/", 1<<19) }, codes.InvalidArgument, []string{"order.definition"}},
	{"unknown definition", func(o *orderv1.WorkOrder) { o.Definition = "verify/none:1.0.0" }, codes.NotFound, []string{"order.definition"}},
	{"unknown version", func(o *orderv1.WorkOrder) { o.Definition = "verify/good:9.9.9" }, codes.NotFound, []string{"order.definition"}},
	{"unknown, the latest", func(o *orderv1.WorkOrder) { o.Definition = "verify/none" }, codes.NotFound, []string{"order.definition"}},
	{"input cut short", func(o *orderv1.WorkOrder) { o.Input = []byte(`{"count":`) }, codes.InvalidArgument, []string{"order.input"}},
	{"input of two values", func(o *orderv1.WorkOrder) { o.Input = []byte(`{"count":1} {}`) }, codes.InvalidArgument, []string{"order.input"}},
	{"input is no JSON", func(o *orderv1.WorkOrder) { o.Input = []byte("count: 1") }, codes.InvalidArgument, []string{"order.input"}},
	{"input is NaN", func(o *orderv1.WorkOrder) { o.Input = []byte(`{"count":NaN}`) }, codes.InvalidArgument, []string{"order.input"}},
	{"input is binary", func(o *orderv1.WorkOrder) { o.Input = []byte{0, 1, 2, 0xff} }, codes.InvalidArgument, []string{"order.input"}},
	{"input in bad UTF-8", func(o *orderv1.WorkOrder) { o.Input = []byte("{\"count\":1,\"a\":\"\xc3\x28\"}") }, codes.InvalidArgument, []string{"order.input"}},
	{"input with a byte order mark", func(o *orderv1.WorkOrder) { o.Input = []byte("\xef\xbb\xbf{\"count\":1}") }, codes.InvalidArgument, []string{"order.input"}},
	{"input of the wrong type", func(o *orderv1.WorkOrder) { o.Input = []byte(`{"count":"one"}`) }, codes.InvalidArgument, []string{"order.input"}},
	{"input without what is required", func(o *orderv1.WorkOrder) { o.Input = nil }, codes.InvalidArgument, []string{"order.input"}},
	{"input is a list", func(o *orderv1.WorkOrder) { o.Input = []byte(`[1]`) }, codes.InvalidArgument, []string{"order.input"}},
	{"long input", func(o *orderv1.WorkOrder) { o.Input = []byte(`{"count":1,"a":"` + strings.Repeat("x", 1<<20) + `"}`) }, codes.InvalidArgument, []string{"order.input"}},
	{"deep input", func(o *orderv1.WorkOrder) {
		o.Input = []byte(`{"count":1,"a":` + strings.Repeat("[", 65) + strings.Repeat("]", 65) + `}`)
	}, codes.InvalidArgument, []string{"order.input"}},
	{"very deep input", func(o *orderv1.WorkOrder) {
		o.Input = []byte(strings.Repeat("[", 500_000) + strings.Repeat("]", 500_000))
	}, codes.InvalidArgument, []string{"order.input"}},
	{"very deep input, cut short", func(o *orderv1.WorkOrder) { o.Input = []byte(strings.Repeat(`{"a":`, 200_000)) }, codes.InvalidArgument, []string{"order.input"}},
	{"long order key", func(o *orderv1.WorkOrder) { o.OrderKey = strings.Repeat("k", 257) }, codes.InvalidArgument, []string{"order.order_key"}},
	{"priority below", func(o *orderv1.WorkOrder) { o.Priority = -1 }, codes.InvalidArgument, []string{"order.priority"}},
	{"priority above", func(o *orderv1.WorkOrder) { o.Priority = 10 }, codes.InvalidArgument, []string{"order.priority"}},
	{"many labels", func(o *orderv1.WorkOrder) { o.Labels = labelled(17, "a", "b") }, codes.InvalidArgument, []string{"order.labels"}},
	{"label without a name", func(o *orderv1.WorkOrder) { o.Labels = labelled(1, "", "b") }, codes.InvalidArgument, []string{"order.labels"}},
	{"long name of a label", func(o *orderv1.WorkOrder) { o.Labels = labelled(1, strings.Repeat("n", 64), "b") }, codes.InvalidArgument, []string{"order.labels"}},
	{"long label", func(o *orderv1.WorkOrder) { o.Labels = labelled(1, "a", strings.Repeat("v", 257)) }, codes.InvalidArgument, []string{"order.labels"}},
	{"deadline that is no time", func(o *orderv1.WorkOrder) { o.Deadline = &timestamppb.Timestamp{Seconds: 1, Nanos: -5} }, codes.InvalidArgument, []string{"order.deadline"}},
	{"deadline beyond time", func(o *orderv1.WorkOrder) { o.Deadline = &timestamppb.Timestamp{Seconds: 1 << 60} }, codes.InvalidArgument, []string{"order.deadline"}},
	{"deadline before 1970", func(o *orderv1.WorkOrder) { o.Deadline = timestamppb.New(time.Unix(-5, 0)) }, codes.InvalidArgument, []string{"order.deadline"}},
	{"all at once", func(o *orderv1.WorkOrder) {
		o.Id, o.Definition, o.Input, o.Priority, o.OrderKey = "/", "?", []byte("{"), 99, strings.Repeat("k", 1000)
	}, codes.InvalidArgument, []string{"order.id", "order.definition", "order.input", "order.priority", "order.order_key"}},
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
		if _, twice := want[bad.GetId()]; !twice {
			want[bad.GetId()] = b
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
		return err
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
				if codes.Code(r.GetCode()) != b.code || !strings.HasPrefix(r.GetField(), b.fields[0]) || len(r.GetMessage()) < 10 { //nolint:gosec // a code
					return fmt.Errorf("%s: refused with %v for %q: %.200s; %v for %q is expected",
						b.name, codes.Code(r.GetCode()), r.GetField(), r.GetMessage(), b.code, b.fields[0]) //nolint:gosec // a code
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
