package main

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/orderv1"
)

// moody answers cancellations, each time with the next of the codes for an order.
type moody struct {
	orderv1.OrderServiceClient

	answers map[string][]codes.Code
	plain   int // cancellations without compensation
}

func (m *moody) Cancel(_ context.Context, r *orderv1.CancelRequest, _ ...grpc.CallOption) (*orderv1.CancelResponse, error) {
	if !r.GetCompensate() {
		m.plain++
	}
	next := m.answers[r.GetId()][0]
	m.answers[r.GetId()] = m.answers[r.GetId()][1:]
	if next != codes.OK {
		return nil, status.Error(next, "moody")
	}
	return &orderv1.CancelResponse{}, nil
}

// TestFickle: a cancellation is repeated until it is answered, and what was answered is known.
func TestFickle(t *testing.T) {
	t.Parallel()
	for id, tt := range map[messages.OrderID]struct {
		answers []codes.Code
		want    asking
		wrong   int
	}{
		"granted":   {[]codes.Code{codes.OK}, granted, 0},
		"late":      {[]codes.Code{codes.FailedPrecondition}, asked, 0},
		"repeated":  {[]codes.Code{codes.Unavailable, codes.ResourceExhausted, codes.OK}, granted, 0},
		"forgotten": {[]codes.Code{codes.Unavailable, codes.NotFound}, asked, 1},
	} {
		synctest.Test(t, func(t *testing.T) {
			server := &moody{answers: map[string][]codes.Code{string(id): tt.answers}}
			c := newFickle(nil, 1)
			c.client = server
			c.due = []doomed{{id, time.Now().Add(time.Second)}}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			c.run(ctx)
			if c.asked[id] != tt.want || len(c.wrong) != tt.wrong || len(server.answers[string(id)]) > 0 || server.plain > 0 {
				t.Errorf("%s: %v, wrong %v, not asked %v, %d without compensation", id, c.asked[id], c.wrong, server.answers, server.plain)
			}
		})
	}
}

// TestFickleConsiders: about a third of the orders are cancelled, the same ones for the same seed, at different times.
func TestFickleConsiders(t *testing.T) {
	t.Parallel()
	chosen := func(seed uint64) (ids []messages.OrderID, delays map[time.Duration]bool) {
		delays = map[time.Duration]bool{}
		synctest.Test(t, func(*testing.T) {
			c := newFickle(nil, seed)
			for n := range 3000 {
				c.consider(&order{n: n, id: messages.OrderID(rune('a' + n))})
			}
			if early := c.take(time.Now().Add(-1)); len(early) > 0 {
				t.Errorf("%d are due before they were considered", len(early))
			}
			for _, d := range c.due {
				delays[time.Until(d.at)] = true
			}
			ids = c.take(time.Now().Add(fickleWithin))
			if len(c.due) > 0 || len(c.asked) != len(ids) {
				t.Errorf("%d are left, %d asked for of %d", len(c.due), len(c.asked), len(ids))
			}
		})
		return ids, delays
	}
	first, delays := chosen(7)
	again, _ := chosen(7)
	other, _ := chosen(8)
	if len(first) < 900 || len(first) > 1100 || len(delays) < len(first)/2 {
		t.Errorf("%d of 3000 are cancelled, at %d times", len(first), len(delays))
	}
	same := slices.Equal[[]messages.OrderID]
	if !same(first, again) || same(first, other) {
		t.Error("the choice does not follow from the seed")
	}
}
