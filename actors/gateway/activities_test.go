package gateway_test

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/holdfast-run/holdfast/messages/adapterv1"
	"github.com/holdfast-run/holdfast/messages/adminv1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
)

func TestActivities(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t)
		one := n.deploy("one", "1.0.0", callOne)
		limit := func(r *adminv1.LimitActivityRequest) error {
			_, err := n.admin.LimitActivity(t.Context(), r)
			settle()
			return err
		}
		for activity, fields := range map[string][]string{
			"x": {"activity"}, ".do": {"activity"}, "x.": {"activity"}, "x.do:1.0.0": {"activity"}, "x." + strings.Repeat("y", 255): {"activity"},
		} {
			wantRefusal(t, limit(&adminv1.LimitActivityRequest{Activity: activity, Concurrency: 1}), codes.InvalidArgument, "BAD_REQUEST", fields...)
		}
		for _, rate := range []float64{-1, math.NaN(), math.Inf(1)} {
			wantRefusal(t, limit(&adminv1.LimitActivityRequest{Activity: "x.do", RatePerSecond: rate}),
				codes.InvalidArgument, "BAD_REQUEST", "rate_per_second")
		}
		wantRefusal(t, limit(&adminv1.LimitActivityRequest{Activity: "x.do", By: strings.Repeat("x", 1025), Reason: strings.Repeat("x", 1025)}),
			codes.InvalidArgument, "BAD_REQUEST", "by", "reason")
		if err := limit(&adminv1.LimitActivityRequest{Activity: "x.do", RatePerSecond: 10, Concurrency: 4, By: "jane", Reason: "why"}); err != nil {
			t.Fatal(err)
		}
		known := func(activity string) bool {
			r, err := n.admin.LimitActivity(t.Context(), &adminv1.LimitActivityRequest{Activity: activity, Concurrency: 4})
			if err != nil {
				t.Error(err)
			}
			return !r.GetUnknown()
		}
		n.deploy("other", "1.0.0", "do: [{a: {call: 'y.do:2.0.0'}}]")
		if !known("y.do") || known("x.nosuch") {
			t.Error("what is called is known, and nothing else")
		}
		a := n.connect(1000, func(h *adapterv1.Hello) { h.Activities[0].Name = "offered" })
		if !known("x.offered") || known("y.offered") {
			t.Error("what is offered is known, and nothing else")
		}
		if err := a.CloseSend(); err != nil {
			t.Error(err)
		}
		n.connect(1000)
		const orders = 300
		for i := range orders {
			n.submit(&orderv1.WorkOrder{Id: fmt.Sprint("o", i), Definition: one}, accepted)
		}
		answer, err := n.admin.ListActivities(t.Context(), &adminv1.ListActivitiesRequest{})
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range answer.GetActivities() {
			if l := a.GetLimit(); a.GetActivity() == "x.do" && (a.GetAdapters() != 1 || a.GetWaiting() < orders-10 ||
				l.GetRatePerSecond() != 10 || l.GetConcurrency() != 4 || l.GetBy() != "jane" || l.GetReason() != "why" || l.GetSetAt() == nil) {
				t.Errorf("activity is %v", a)
			}
		}
		status, err := n.admin.Status(t.Context(), &adminv1.StatusRequest{})
		if err != nil || status.GetOpen() != orders || status.GetUnready() != "" || status.GetNode() == "" || status.GetWaiting() < orders-10 ||
			status.GetResidentBytes() < orders<<10 || time.Since(status.GetStartedAt().AsTime()) > time.Minute {
			t.Errorf("status is %v, %v", status, err)
		}
	})
}

// The status tells what waits for people.
func TestStatusTellsWhatWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t)
		bad, wait := n.deploy("bad", "1.0.0", raise), n.deploy("wait", "1.0.0", waitLong)
		n.submit(&orderv1.WorkOrder{Id: "held", Definition: bad, OrderKey: "k"}, ended)
		n.submit(&orderv1.WorkOrder{Id: "bad", Definition: bad}, ended)
		n.submit(&orderv1.WorkOrder{Id: "wait", Definition: wait}, accepted)
		if _, err := n.operate("wait", &adminv1.Action{Kind: &adminv1.Action_Suspend{}}); err != nil {
			t.Fatal(err)
		}
		for i := range mostUnserved + 2 {
			def := n.deploy(fmt.Sprint("call", i), "1.0.0", fmt.Sprintf("do: [{a: {call: x.a%02d}}]", i))
			n.submit(&orderv1.WorkOrder{Id: fmt.Sprint("a", i), Definition: def}, accepted)
		}
		time.Sleep(2 * time.Second) // the count of keys is of the last second
		s, err := n.admin.Status(t.Context(), &adminv1.StatusRequest{})
		if err != nil || s.GetFaulted() != 2 || s.GetInDoubt() != 0 || s.GetSuspended() != 1 || s.GetKeysHeld() != 1 ||
			s.GetUnservedCount() != mostUnserved+2 || len(s.GetUnserved()) != mostUnserved || s.GetUnserved()[0] != "x.a00" {
			t.Errorf("status is %v, %v", s, err)
		}
	})
}

const mostUnserved = 10
