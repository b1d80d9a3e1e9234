package gateway_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-run/holdfast/messages/adapterv1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
)

// TestLoopsAreSlowedDown: an order that loops without waiting, or whose work is given back, is slowed down, and says so; one that
// only waits says until when.
func TestLoopsAreSlowedDown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t, func(s *settings) { s.engine.Workflow.Loops, s.engine.Workflow.LoopPause = 2, 10*time.Second })
		began := time.Now()
		for id, tasks := range map[string]string{
			"jumps":   "do: [{a: {set: {x: 1}, then: a}}]",
			"retries": "do: [{t: {try: [{r: {raise: {error: {type: 'https://x.y/z', status: 503}}}}], catch: {retry: {}}}}]",
			"waits":   "do: [{a: {wait: PT30S}}]",
			"given":   "do: [{a: {call: x.do}}]",
		} {
			n.submit(&orderv1.WorkOrder{Id: id, Definition: n.deploy(id, "1.0.0", tasks)}, orderv1.Wait_WAIT_ACCEPTED)
		}
		w := &worker{t: t, Stream: n.connect(9)}
		for range 3 {
			w.tell(w.next("/do/0/a"), adapterv1.Outcome_OUTCOME_NOT_DONE, "")
		}
		time.Sleep(time.Second)
		synctest.Wait()
		const slowed = "slowed down: it has gone back so often without waiting; does it loop, or is its work given back?"
		for id, want := range map[string]*orderv1.Waiting{
			"jumps":   {Reason: slowed},
			"retries": {Task: "/do/0/t", Reason: "retry 3, " + slowed},
			"waits":   {Task: "/do/0/a", Reason: "the end of its wait"},
			"given":   {Task: "/do/0/a", Reason: slowed},
		} {
			r, err := n.orders.Get(t.Context(), &orderv1.GetRequest{Id: id})
			if err != nil {
				t.Fatal(err)
			}
			o := r.GetOrder()
			if o.GetStatus() != orderv1.Status_STATUS_WAITING || len(o.GetWaiting()) != 1 {
				t.Fatalf("%s: %v", id, o)
			}
			w, due := o.GetWaiting()[0], 10*time.Second
			if id == "waits" {
				due = 30 * time.Second
			}
			if w.GetTask() != want.GetTask() || w.GetReason() != want.GetReason() {
				t.Errorf("%s waits for %v, want %v", id, w, want)
			}
			if until := w.GetUntil().AsTime().Sub(began).Round(time.Second); until != due {
				t.Errorf("%s waits until %v after it began, want %v", id, until, due)
			}
			h, err := n.orders.History(t.Context(), &orderv1.HistoryRequest{Id: id})
			if err != nil {
				t.Fatal(err)
			}
			last := h.GetEvents()[len(h.GetEvents())-1]
			if told := last.GetReason() == slowed; told != strings.Contains(w.GetReason(), slowed) {
				t.Errorf("the last event of %s: %v", id, last)
			}
		}
	})
}
