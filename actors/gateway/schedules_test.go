package gateway_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/holdfast-run/holdfast/messages/adminv1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
)

// Operators see schedules, page by page, pause them and have orders come into being.
func TestSchedules(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n, ctx := start(t), t.Context()
		for _, name := range []string{"c", "a", "b"} {
			n.deploy(name, "1.0.0", "schedule: {every: PT1H}\ninput: {schema: {document: {properties: {x: {type: number}}}}}\n"+nothing)
		}
		n.deploy("unscheduled", "1.0.0", nothing)
		var names []string
		list := func(limit int32) {
			names = nil
			for r := (&adminv1.ListSchedulesRequest{Namespace: "test", Limit: limit}); ; {
				page, err := n.admin.ListSchedules(ctx, r)
				if err != nil {
					t.Fatal(err)
				}
				for _, s := range page.GetSchedules() {
					names = append(names, strings.Join([]string{s.GetName(), s.GetDefinition(), s.GetRule()}, " "))
				}
				if r.PageToken = page.GetNextPageToken(); r.GetPageToken() == "" {
					return
				}
			}
		}
		list(0) // they do not know yet, perhaps
		time.Sleep(2 * time.Second)
		settle()
		list(2)
		if got := strings.Join(names, ", "); got != "test/a test/a:1.0.0 every 1h0m0s, test/b test/b:1.0.0 every 1h0m0s, test/c test/c:1.0.0 every 1h0m0s" {
			t.Errorf("schedules are %s", got)
		}
		if page, err := n.admin.ListSchedules(ctx, &adminv1.ListSchedulesRequest{Namespace: "other"}); err != nil || len(page.GetSchedules()) != 0 {
			t.Errorf("those of another namespace: %v, %v", page, err)
		}
		paused, err := n.admin.PauseSchedule(ctx, &adminv1.PauseScheduleRequest{Definition: "test/a", By: "jane", Reason: "why"})
		if s := paused.GetSchedule(); err != nil || s.GetPausedBy() != "jane" || s.GetPausedReason() != "why" || s.GetNext() != nil {
			t.Errorf("paused: %v, %v", s, err)
		}
		resumed, err := n.admin.ResumeSchedule(ctx, &adminv1.ResumeScheduleRequest{Definition: "test/a", By: "jane"})
		if s := resumed.GetSchedule(); err != nil || s.GetPausedAt() != nil || s.GetNext() == nil {
			t.Errorf("resumed: %v, %v", s, err)
		}
		triggered, err := n.admin.TriggerSchedule(ctx, &adminv1.TriggerScheduleRequest{Definition: "test/a", OrderId: "mine", Input: []byte(`{"x":1}`)})
		if err != nil || triggered.GetOrderId() != "mine" || triggered.GetSchedule().GetLastId() != "mine" {
			t.Errorf("triggered: %v, %v", triggered, err)
		}
		settle()
		if o, err := n.orders.Get(ctx, &orderv1.GetRequest{Id: "mine"}); err != nil || o.GetOrder().GetStatus() != orderv1.Status_STATUS_COMPLETED {
			t.Errorf("the order that was asked for: %v, %v", o, err)
		}
		trigger := func(r *adminv1.TriggerScheduleRequest) error {
			_, err := n.admin.TriggerSchedule(ctx, r)
			return err
		}
		wantRefusal(t, trigger(&adminv1.TriggerScheduleRequest{Definition: "test/a:1.0.0"}), codes.InvalidArgument, "BAD_REQUEST", "definition")
		wantRefusal(t, trigger(&adminv1.TriggerScheduleRequest{Definition: "test/a", Input: []byte("{"), OrderId: "a b"}), codes.InvalidArgument,
			"BAD_REQUEST", "order_id", "input")
		wantRefusal(t, trigger(&adminv1.TriggerScheduleRequest{Definition: "test/a", Input: []byte(`{"x":"1"}`)}), codes.InvalidArgument, "INPUT_UNFIT")
		wantRefusal(t, trigger(&adminv1.TriggerScheduleRequest{Definition: "test/unscheduled"}), codes.NotFound, "NO_SUCH_SCHEDULE")
		time.Sleep(time.Hour)
		settle()
		orders, err := n.orders.List(ctx, &orderv1.ListRequest{Definition: "test/a"})
		if err != nil || len(orders.GetOrders()) != 2 {
			t.Errorf("orders are %v, %v", orders, err)
		}
	})
}
