package gateway_test

import (
	"strings"
	"testing"
	"testing/synctest"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/eventv1"
)

// published are events of a type, each about the order that its letter names.
func published(letters string) *eventv1.PublishRequest {
	r := &eventv1.PublishRequest{Namespace: "test"}
	for i, letter := range letters {
		r.Events = append(r.Events, &eventv1.Event{
			Id: letters + string(rune('0'+i)), Source: "/s", Type: "paid", Data: []byte(`{"order":"` + string(letter) + `"}`),
		})
	}
	return r
}

const listensForPaid = `do: [{a: {listen: {to: {one: {with: {type: paid}, correlate: {order: {from: .data.order, expect: '${ .order }'}}}}}}}]`

// Who publishes many events is told which of them may not be durable, and that the others are: they are known when they come again.
func TestPublicationInPart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t, func(s *settings) { s.engine.Slots.Events = 1 })
		n.deploy("one", "1.0.0", listensForPaid)
		events := eventv1.NewEventServiceClient(n.conn)
		for range 2 {
			_, err := events.Publish(t.Context(), published("abaaca"))
			wantRefusal(t, err, codes.ResourceExhausted, "SLOT_FULL")
			if want := "3 of 6 events may not be durable, the first of them is event 2: "; !strings.Contains(err.Error(), want) {
				t.Errorf("%v, want %q", err, want)
			}
			if got := numbersIn(err); got != "2-3,5" {
				t.Errorf("those that may not be durable are %q", got)
			}
		}
		if _, err := events.Publish(t.Context(), published("a")); numbersIn(err) != "" {
			t.Errorf("one event is told by its number: %v", err)
		}
		places, err := events.Publish(t.Context(), published("d"))
		if err != nil || len(places.GetPlaces()) != 1 || places.GetPlaces()[0] != 1 {
			t.Errorf("%v %v", places, err)
		}
	})
}

// numbersIn are the events that an error tells by their numbers.
func numbersIn(err error) string {
	for _, detail := range status.Convert(err).Details() {
		if info, is := detail.(*errdetails.ErrorInfo); is {
			return info.GetMetadata()["events"]
		}
	}
	return ""
}

// Who publishes for others, over one connection, has each of them counted by who he is.
func TestPublishersAreCountedApart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		file := newAccessFile(t)
		one, two := file.caller("one", "{role: submitter, namespaces: [test]}"), file.caller("two", "{role: submitter, namespaces: [test]}")
		keeper := file.open()
		n := start(t, func(s *settings) {
			s.callers, s.gateway.ClientRate, s.gateway.ClientBurst = keeper, 1, 1
		})
		events := eventv1.NewEventServiceClient(n.conn)
		publish := func(token, letter string) error {
			ctx := metadata.AppendToOutgoingContext(t.Context(), messages.ClientMetadata, "the same")
			_, err := events.Publish(bearing(ctx, token), published(letter))
			return err
		}
		if err := publish(one, "a"); err != nil {
			t.Error(err)
		}
		wantRefusal(t, publish(one, "b"), codes.ResourceExhausted, "CLIENT_RATE")
		if err := publish(two, "c"); err != nil {
			t.Error(err)
		}
		if err := publish("", "d"); status.Code(err) != codes.Unauthenticated {
			t.Error(err)
		}
	})
}

// Data of every media type that says so is JSON, and stays it.
func TestMediaTypesOfEvents(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t)
		events := eventv1.NewEventServiceClient(n.conn)
		for media, want := range map[string]codes.Code{
			"": codes.InvalidArgument, "text/json": codes.InvalidArgument, "application/problem+json; charset=utf-8": codes.InvalidArgument,
			"text/plain": codes.OK, "application/notjson": codes.OK,
		} {
			r := published("a")
			r.Events[0].ContentType, r.Events[0].Data = media, []byte("no JSON")
			if _, err := events.Publish(t.Context(), r); status.Code(err) != want {
				t.Errorf("%q: %v, want %v", media, err, want)
			}
		}
	})
}
