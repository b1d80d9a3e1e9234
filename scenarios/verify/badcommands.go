package main

import (
	"context"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/timestamppb"

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
			return err //nolint:wrapcheck // call judges it
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
		call("cancel: has ended", codes.FailedPrecondition, "", cancelEnded),
		call("list: page of a negative size", bad, "page_size", list(&orderv1.ListRequest{PageSize: -1})),
		call("list: large page", bad, "page_size", list(&orderv1.ListRequest{PageSize: 1001})),
		call("list: odd token", bad, "page_token", list(&orderv1.ListRequest{PageToken: "!"})),
		call("list: short token", bad, "page_token", list(&orderv1.ListRequest{PageToken: "AAAA"})),
		call("list: unknown status", bad, "statuses", list(&orderv1.ListRequest{Statuses: []orderv1.Status{99}})),
		call("list: odd definition", bad, "definition", list(&orderv1.ListRequest{Definition: "no slash"})),
		call("list: odd time", bad, "accepted_from", list(&orderv1.ListRequest{AcceptedFrom: &timestamppb.Timestamp{Nanos: -1}})),
	}
}

func cancelEnded(ctx context.Context, t *target) error {
	o := goodOrder()
	if _, err := t.orders.Submit(ctx, &orderv1.SubmitRequest{Order: o, Wait: orderv1.Wait_WAIT_ENDED}); err != nil {
		return err
	}
	_, err := t.orders.Cancel(ctx, &orderv1.CancelRequest{Id: o.GetId()})
	return err
}
