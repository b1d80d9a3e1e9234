package main

import (
	"context"
	"errors"
	"io"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/holdfast-run/holdfast/messages/adapterv1"
	"github.com/holdfast-run/holdfast/messages/definitionv1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
)

// badCommands are calls about orders other than their submission.
func badCommands() []badCase {
	call := func(name string, code codes.Code, field string, try func(ctx context.Context, t *target) error) badCase {
		return badCase{name, func(ctx context.Context, t *target) error {
			if field == "" {
				return refused(try(ctx, t), code)
			}
			return refused(try(ctx, t), code, field)
		}}
	}
	get := func(id string) func(context.Context, *target) error {
		return func(ctx context.Context, t *target) error {
			_, err := t.orders.Get(ctx, &orderv1.GetRequest{Id: id})
			return err
		}
	}
	history := func(r *orderv1.HistoryRequest) func(context.Context, *target) error {
		return func(ctx context.Context, t *target) error {
			_, err := t.orders.History(ctx, r)
			return err
		}
	}
	cancel := func(id, reason string) func(context.Context, *target) error {
		return func(ctx context.Context, t *target) error {
			_, err := t.orders.Cancel(ctx, &orderv1.CancelRequest{Id: id, Reason: reason})
			return err
		}
	}
	list := func(r *orderv1.ListRequest) func(context.Context, *target) error {
		return func(ctx context.Context, t *target) error {
			_, err := t.orders.List(ctx, r)
			return err
		}
	}
	watch := func(id string) func(context.Context, *target) error {
		return func(ctx context.Context, t *target) error {
			st, err := t.orders.Watch(ctx, &orderv1.WatchRequest{Id: id})
			if err != nil {
				return err
			}
			_, err = st.Recv()
			return err
		}
	}
	const bad = codes.InvalidArgument
	return []badCase{
		call("get: no id", bad, "id", get("")),
		call("get: odd id", bad, "id", get("a b")),
		call("get: unknown", codes.NotFound, "", get("nobody-knows-it")),
		call("history: odd id", bad, "id", history(&orderv1.HistoryRequest{Id: "?"})),
		call("history: unknown", codes.NotFound, "", history(&orderv1.HistoryRequest{Id: "nobody-knows-it"})),
		call("history: page of a negative size", bad, "page_size", history(&orderv1.HistoryRequest{Id: "x", PageSize: -1})),
		call("history: large page", bad, "page_size", history(&orderv1.HistoryRequest{Id: "x", PageSize: 1 << 30})),
		call("watch: odd id", bad, "id", watch("\n")),
		call("watch: unknown", codes.NotFound, "", watch("nobody-knows-it")),
		call("cancel: odd id", bad, "id", cancel("ä", "")),
		call("cancel: unknown", codes.NotFound, "", cancel("nobody-knows-it", "")),
		call("cancel: has ended", codes.FailedPrecondition, "", func(ctx context.Context, t *target) error {
			o := goodOrder()
			if _, err := t.orders.Submit(ctx, &orderv1.SubmitRequest{Order: o, Wait: orderv1.Wait_WAIT_ENDED}); err != nil {
				return err
			}
			_, err := t.orders.Cancel(ctx, &orderv1.CancelRequest{Id: o.GetId()})
			return err
		}),
		call("list: page of a negative size", bad, "page_size", list(&orderv1.ListRequest{PageSize: -1})),
		call("list: large page", bad, "page_size", list(&orderv1.ListRequest{PageSize: 1001})),
		call("list: odd token", bad, "page_token", list(&orderv1.ListRequest{PageToken: "!"})),
		call("list: short token", bad, "page_token", list(&orderv1.ListRequest{PageToken: "AAAA"})),
		call("list: unknown status", bad, "statuses", list(&orderv1.ListRequest{Statuses: []orderv1.Status{99}})),
		call("list: odd definition", bad, "definition", list(&orderv1.ListRequest{Definition: "no slash"})),
		call("list: odd time", bad, "accepted_from", list(&orderv1.ListRequest{AcceptedFrom: &timestamppb.Timestamp{Nanos: -1}})),
	}
}

// broken are documents that can't be deployed.
var broken = map[string]string{
	"empty":              "",
	"only a comment":     "# nothing",
	"no YAML":            "document: {dsl: 1.0.3\ndo: [",
	"tabs":               "document:\n\tdsl: 1.0.3\n",
	"binary":             "\x00\x01\x02\xff",
	"bad UTF-8":          "document: { dsl: 1.0.3, namespace: a, name: b, version: 1.0.0, title: \"\xc3\x28\" }\ndo: [ { a: { set: { b: 1 } } } ]",
	"a list":             "- a\n- b\n",
	"a number":           "42",
	"no tasks":           "document: { dsl: 1.0.3, namespace: a, name: b, version: 1.0.0 }\n",
	"other dsl":          "document: { dsl: 9.0.0, namespace: a, name: b, version: 1.0.0 }\ndo: [ { a: { set: { b: 1 } } } ]",
	"wrong types":        "document: { dsl: 1.0.3, namespace: [a], name: { b: c }, version: 1.0.0 }\ndo: maybe",
	"bad version":        "document: { dsl: 1.0.3, namespace: a, name: b, version: one }\ndo: [ { a: { set: { b: 1 } } } ]",
	"bad name":           "document: { dsl: 1.0.3, namespace: a/b, name: 'c d', version: 1.0.0 }\ndo: [ { a: { set: { b: 1 } } } ]",
	"unknown construct":  "document: { dsl: 1.0.3, namespace: a, name: b, version: 1.0.0 }\ndo: [ { a: { dance: {} } } ]",
	"not yet supported":  "document: { dsl: 1.0.3, namespace: a, name: b, version: 1.0.0 }\ndo: [ { a: { call: http, with: { method: get, endpoint: 'http://localhost' } } } ]",
	"bad expression":     "document: { dsl: 1.0.3, namespace: a, name: b, version: 1.0.0 }\ndo: [ { a: { set: { b: '${ .[ }' } } } ]",
	"unknown function":   "document: { dsl: 1.0.3, namespace: a, name: b, version: 1.0.0 }\ndo: [ { a: { set: { b: '${ input_line_number | nothing }' } } } ]",
	"bad duration":       "document: { dsl: 1.0.3, namespace: a, name: b, version: 1.0.0 }\ndo: [ { a: { wait: soon } } ]",
	"then into nothing":  "document: { dsl: 1.0.3, namespace: a, name: b, version: 1.0.0 }\ndo: [ { a: { set: { b: 1 }, then: nowhere } } ]",
	"recursive function": "document: { dsl: 1.0.3, namespace: a, name: b, version: 1.0.0 }\nuse: { functions: { f: { do: [ { a: { call: f } } ] } } }\ndo: [ { a: { call: f } } ]",
	"endless aliases":    "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e]\ng: [*f,*f,*f,*f,*f,*f,*f,*f,*f]\n",
	"alias to itself":    "document: &a { dsl: 1.0.3, namespace: *a }\n",
	"deep lists":         strings.Repeat("[", 100_000),
	"deep objects":       strings.Repeat(`{"a":`, 100_000) + "1" + strings.Repeat("}", 100_000),
	"too long":           "# " + strings.Repeat("x", 1<<20) + "\ndocument: { dsl: 1.0.3, namespace: a, name: b, version: 1.0.0 }\ndo: [ { a: { set: { b: 1 } } } ]",
	"many tasks":         "document: { dsl: 1.0.3, namespace: a, name: b, version: 1.0.0 }\ndo:\n" + strings.Repeat("  - a: { set: { b: 1 } }\n", 20_000),
	"duplicate keys":     "document: { dsl: 1.0.3, dsl: 1.0.3, namespace: a, name: b, version: 1.0.0 }\ndo: [ { a: { set: { b: 1 } } } ]",
}

// badDefinitions are documents that can't be deployed, and calls about definitions that there are not.
func badDefinitions() []badCase {
	var all []badCase
	for name, document := range broken {
		all = append(all, badCase{"definition: " + name, func(ctx context.Context, t *target) error {
			_, err := t.definitions.Deploy(ctx, &definitionv1.DeployRequest{Document: []byte(document)})
			if err := refused(err, codes.InvalidArgument, "document"); err != nil {
				return err
			}
			r, err := t.definitions.Validate(ctx, &definitionv1.ValidateRequest{Document: []byte(document)})
			if err == nil && len(r.GetMistakes()) == 0 {
				err = errors.New("it is found valid, and yet can't be deployed")
			}
			return err
		}})
	}
	return append(all,
		badCase{"definition: another one under its version", func(ctx context.Context, t *target) error {
			document, err := definitions.ReadFile("definitions/good.yaml")
			if err != nil {
				return err
			}
			_, err = t.definitions.Deploy(ctx, &definitionv1.DeployRequest{Document: append(document, "# changed\n"...)})
			return refused(err, codes.AlreadyExists)
		}},
		badCase{"definition: get an odd one", func(ctx context.Context, t *target) error {
			_, err := t.definitions.Get(ctx, &definitionv1.GetRequest{Definition: "odd"})
			return refused(err, codes.InvalidArgument, "definition")
		}},
		badCase{"definition: get an unknown one", func(ctx context.Context, t *target) error {
			_, err := t.definitions.Get(ctx, &definitionv1.GetRequest{Definition: "verify/none:1.0.0"})
			return refused(err, codes.NotFound)
		}},
		badCase{"definition: list with an odd token", func(ctx context.Context, t *target) error {
			_, err := t.definitions.List(ctx, &definitionv1.ListRequest{PageToken: "minus one"})
			return refused(err, codes.InvalidArgument, "page_token")
		}},
	)
}

// badAdapters are adapters that break the protocol.
func badAdapters() []badCase {
	fine := func() *adapterv1.Hello {
		return &adapterv1.Hello{
			Adapter: "odd", Process: "p", Ledger: "l", Protocol: 1,
			Activities: []*adapterv1.Activity{{Name: "do", Version: "1.0.0", Concurrency: 1}},
		}
	}
	hello := func(name, field string, spoil func(*adapterv1.Hello)) badCase {
		return badCase{"adapter: " + name, func(ctx context.Context, t *target) error {
			h := fine()
			spoil(h)
			return refused(t.connect(ctx, &adapterv1.ConnectRequest{Hello: h}), codes.InvalidArgument, field)
		}}
	}
	return []badCase{
		{"adapter: no hello", func(ctx context.Context, t *target) error {
			err := t.connect(ctx, &adapterv1.ConnectRequest{Heartbeat: &adapterv1.Heartbeat{}})
			return refused(err, codes.InvalidArgument, "hello")
		}},
		hello("another protocol", "hello.protocol", func(h *adapterv1.Hello) { h.Protocol = 99 }),
		hello("no name", "hello.adapter", func(h *adapterv1.Hello) { h.Adapter = "" }),
		hello("odd name", "hello.adapter", func(h *adapterv1.Hello) { h.Adapter = "a.b" }),
		hello("no process", "hello.process", func(h *adapterv1.Hello) { h.Process = "" }),
		hello("no activities", "hello.activities", func(h *adapterv1.Hello) { h.Activities = nil }),
		hello("odd activity", "hello.activities[0].name", func(h *adapterv1.Hello) { h.Activities[0].Name = "é" }),
		hello("an activity twice", "hello.activities[1].name", func(h *adapterv1.Hello) { h.Activities = append(h.Activities, h.Activities[0]) }),
		{"adapter: a result for an order that is not", func(ctx context.Context, t *target) error {
			return t.oddMessages(ctx, fine(), &adapterv1.ConnectRequest{Results: []*adapterv1.Result{{
				Seq: 1, OrderId: "nobody-knows-it", Partition: 9999, Key: "k", Attempt: 1, Activity: "odd.do",
				Outcome: adapterv1.Outcome_OUTCOME_SUCCEEDED, Output: []byte(`{"a":`),
			}}})
		}},
		{"adapter: credit for an activity that it doesn't offer", func(ctx context.Context, t *target) error {
			return t.oddMessages(ctx, fine(), &adapterv1.ConnectRequest{
				Credits:     []*adapterv1.Credit{{Activity: "other", Total: 1 << 63}},
				Revocations: []*adapterv1.Revocation{{Activity: "do", Count: 1 << 63}},
			})
		}},
	}
}

// connect sends a first message as an adapter, and returns how the stream ends.
func (t *target) connect(ctx context.Context, first *adapterv1.ConnectRequest) error {
	st, err := t.adapters.Connect(ctx)
	if err != nil {
		return err
	}
	if err := st.Send(first); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	_, err = st.Recv()
	return err
}

// oddMessages sends a message that makes no sense after a good hello. The node may end the stream, with a status, or pass
// over it; what counts is that it goes on.
func (t *target) oddMessages(ctx context.Context, h *adapterv1.Hello, odd *adapterv1.ConnectRequest) error {
	st, err := t.adapters.Connect(ctx, grpc.WaitForReady(true))
	if err != nil {
		return err
	}
	for _, m := range []*adapterv1.ConnectRequest{{Hello: h}, odd, {Drain: true}} {
		if err := st.Send(m); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
	}
	if err := st.CloseSend(); err != nil {
		return err
	}
	for {
		_, err := st.Recv()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return refused(err, codes.InvalidArgument)
		}
	}
}
