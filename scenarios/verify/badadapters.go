package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"github.com/holdfast-run/holdfast/messages/adapterv1"
)

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
		hello("an activity twice", "hello.activities[1].name", func(h *adapterv1.Hello) {
			h.Activities = append(h.Activities, h.Activities[0])
		}),
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
		return fmt.Errorf("send: %w", err)
	}
	_, err = st.Recv()
	return err //nolint:wrapcheck // the caller judges it
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
			return fmt.Errorf("send: %w", err)
		}
	}
	if err := st.CloseSend(); err != nil {
		return fmt.Errorf("close the stream: %w", err)
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
