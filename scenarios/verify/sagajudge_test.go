package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/eventtype"
	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/messages/problemv1"
)

const (
	sagaCompleted = orderv1.Status_STATUS_COMPLETED
	sagaCancelled = orderv1.Status_STATUS_CANCELLED
)

func sagaAt(ms int) time.Time { return time.Unix(1000, int64(ms)*1e6) }

// sagaCase is an order with its child, and what may be wrong with it.
type sagaCase struct {
	seen          sagaSeen
	order         *order
	parent, child *telling
}

// newSagaCase makes what must be seen of one order: "a" with the child "a~1", from start on. It completed, or was cancelled
// after its child had completed, and all was undone.
func newSagaCase(id messages.OrderID, start int, end orderv1.Status) *sagaCase {
	c := &sagaCase{order: &order{
		id: id, request: &orderv1.WorkOrder{OrderKey: "k"}, submitted: sagaAt(start), accepted: sagaAt(start + 1), end: end,
	}}
	child := id + "~1"
	c.parent = &telling{
		end: end, began: sagaAt(start + 2), over: sagaAt(start + 90), children: []messages.OrderID{child},
		outputs: map[string]json.RawMessage{"hss.createSubscriber": json.RawMessage(`{"subscriberId":"S"}`)},
		inputs:  map[string]json.RawMessage{"hss.deleteSubscriber": json.RawMessage(`{"subscriberId":"S"}`)},
	}
	c.child = &telling{
		end: sagaCompleted, began: sagaAt(start + 20), over: sagaAt(start + 50), inputs: map[string]json.RawMessage{},
		outputs: map[string]json.RawMessage{
			"policy.assignProfile": json.RawMessage(`{"profileId":"P","mbps":1}`), "billing.startContract": json.RawMessage(`{"accountId":"A"}`),
		},
	}
	c.seen = sagaSeen{
		orders: []*order{c.order}, asked: map[messages.OrderID]asking{},
		told: map[messages.OrderID]*telling{id: c.parent, child: c.child},
	}
	c.apply(start+10, id, "hss.createSubscriber")
	c.apply(start+30, child, "policy.assignProfile")
	c.apply(start+40, child, "billing.startContract")
	if end == sagaCompleted {
		c.apply(start+60, id, "sms.send")
		return c
	}
	c.seen.asked[id] = granted
	c.parent.inputs["billing.endContract"] = json.RawMessage(`{"accountId":"A"}`)
	c.parent.inputs["policy.removeProfile"] = json.RawMessage(`{"profileId":"P"}`)
	c.apply(start+65, id, "billing.endContract")
	c.apply(start+70, id, "policy.removeProfile")
	c.apply(start+75, id, "hss.deleteSubscriber")
	return c
}

func (c *sagaCase) apply(ms int, id messages.OrderID, activity string) {
	c.seen.requests = append(c.seen.requests, request{At: sagaAt(ms), Order: id, Activity: activity})
}

// drop has an activity never applied.
func (c *sagaCase) drop(activity string) {
	c.seen.requests = slices.DeleteFunc(c.seen.requests, func(r request) bool { return r.Activity == activity })
}

// move has an activity applied at another time.
func (c *sagaCase) move(activity string, ms int) {
	for i := range c.seen.requests {
		if c.seen.requests[i].Activity == activity {
			c.seen.requests[i].At = sagaAt(ms)
		}
	}
}

// wrongs returns the counts that must be zero, and are not.
func (c *sagaCase) wrongs() map[string]int {
	v := judgeSaga(c.seen)
	found := map[string]int{}
	for _, name := range sagaWrongs {
		n, counted := v.figures[name].(int)
		if !counted {
			found[name+" was not counted"] = 1
		}
		if n != 0 {
			found[name] = n
		}
	}
	return found
}

// TestJudgeSagaFinds: what is as it must be is found to be, and each violation is found, and no other for it.
func TestJudgeSagaFinds(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		end   orderv1.Status
		spoil func(c *sagaCase)
		want  string // the counts that are not zero
	}{
		"completed":                  {sagaCompleted, func(*sagaCase) {}, "map[]"},
		"cancelled":                  {sagaCancelled, func(*sagaCase) {}, "map[]"},
		"told that it faulted":       {sagaCancelled, func(c *sagaCase) { c.order.end = orderv1.Status_STATUS_FAULTED }, "map[]"},
		"cancelled before its start": {sagaCancelled, unstarted, "map[]"},
		"doubtful, not done, undone": {sagaCancelled, func(c *sagaCase) { doubtful(c); c.parent.doubtful = []string{"hss.createSubscriber"} }, "map[]"},
		"faulted in doubt":           {sagaCancelled, func(c *sagaCase) { c.child.faults, c.child.inDoubt = 1, 1 }, "map[]"},

		"no history": {sagaCompleted, func(c *sagaCase) { delete(c.seen.told, "a") }, "map[contradicted:1 unended:1]"},
		"open":       {sagaCompleted, func(c *sagaCase) { c.parent.end = 0; c.order.end = 0 }, "map[unended:1]"},
		"faulted": {sagaCancelled, func(c *sagaCase) {
			c.parent.end, c.order.end = orderv1.Status_STATUS_FAULTED, orderv1.Status_STATUS_FAULTED
		}, "map[unended:1]"},
		"told otherwise":      {sagaCancelled, func(c *sagaCase) { c.order.end = sagaCompleted }, "map[contradicted:1]"},
		"nobody cancelled it": {sagaCancelled, func(c *sagaCase) { c.seen.asked = nil }, "map[cancelled_unasked:1]"},
		"cancelled, completed": {sagaCompleted, func(c *sagaCase) {
			c.seen.asked["a"] = granted
		}, "map[cancel_ignored:1]"},
		"asked too late": {sagaCompleted, func(c *sagaCase) { c.seen.asked["a"] = asked }, "map[]"},

		"completed, not done":          {sagaCompleted, func(c *sagaCase) { c.drop("sms.send") }, "map[not_done:1]"},
		"child's work not done":        {sagaCompleted, func(c *sagaCase) { c.drop("policy.assignProfile") }, "map[not_done:1]"},
		"done twice":                   {sagaCompleted, func(c *sagaCase) { c.apply(61, "a", "sms.send") }, "map[surplus:1]"},
		"child's work done twice":      {sagaCancelled, func(c *sagaCase) { c.apply(41, "a~1", "billing.startContract") }, "map[surplus:1]"},
		"completed, undone":            {sagaCompleted, func(c *sagaCase) { c.apply(80, "a", "hss.deleteSubscriber") }, "map[undone_wrongly:1]"},
		"completed, child undone":      {sagaCompleted, func(c *sagaCase) { c.apply(80, "a~1", "billing.endContract") }, "map[undone_wrongly:1]"},
		"undone, never done":           {sagaCancelled, doubtful, "map[undone_wrongly:1]"},
		"not undone":                   {sagaCancelled, func(c *sagaCase) { c.drop("hss.deleteSubscriber") }, "map[not_undone:1]"},
		"child not undone":             {sagaCancelled, func(c *sagaCase) { c.drop("policy.removeProfile") }, "map[not_undone:1]"},
		"undone twice":                 {sagaCancelled, func(c *sagaCase) { c.apply(76, "a", "hss.deleteSubscriber") }, "map[undone_twice:1]"},
		"undone by child and parent":   {sagaCancelled, func(c *sagaCase) { c.apply(66, "a~1", "billing.endContract") }, "map[undone_twice:1]"},
		"undone in the order of doing": {sagaCancelled, func(c *sagaCase) { c.move("billing.endContract", 72) }, "map[out_of_order:1]"},
		"first one undone first":       {sagaCancelled, func(c *sagaCase) { c.move("hss.deleteSubscriber", 64) }, "map[out_of_order:1]"},
		"undone before it was done":    {sagaCancelled, func(c *sagaCase) { c.move("billing.startContract", 66) }, "map[out_of_order:1]"},
		"something else undone": {sagaCancelled, func(c *sagaCase) {
			c.parent.inputs["billing.endContract"] = json.RawMessage(`{"accountId":"B"}`)
		}, "map[undone_otherwise:1]"},
		"nothing named to undo": {sagaCancelled, func(c *sagaCase) {
			c.parent.inputs["hss.deleteSubscriber"] = json.RawMessage(`{}`)
		}, "map[undone_otherwise:1]"},

		"child unknown":         {sagaCancelled, func(c *sagaCase) { delete(c.seen.told, "a~1"); c.dropChild() }, "map[orphans:1]"},
		"child open":            {sagaCompleted, func(c *sagaCase) { c.child.end = 0 }, "map[orphans:1]"},
		"child faulted":         {sagaCompleted, func(c *sagaCase) { c.child.end = orderv1.Status_STATUS_FAULTED }, "map[orphans:1]"},
		"child outlives parent": {sagaCancelled, func(c *sagaCase) { c.child.over = sagaAt(95) }, "map[orphans:1]"},
		"faulted otherwise":     {sagaCompleted, func(c *sagaCase) { c.parent.faults = 1 }, "map[faulted_otherwise:1]"},
		"child faulted so":      {sagaCompleted, func(c *sagaCase) { c.child.faults, c.child.inDoubt = 2, 1 }, "map[faulted_otherwise:1]"},

		"next one after it":  {sagaCancelled, func(c *sagaCase) { c.with(newSagaCase("b", 100, sagaCompleted)) }, "map[]"},
		"next one too early": {sagaCancelled, func(c *sagaCase) { c.with(newSagaCase("b", 50, sagaCompleted)) }, "map[overlaps:1]"},
		"next one beside the child": {sagaCancelled, func(c *sagaCase) {
			c.parent.over, c.child.over = sagaAt(90), sagaAt(120)
			c.with(newSagaCase("b", 100, sagaCompleted))
		}, "map[orphans:1 overlaps:1]"},
		"next one first": {sagaCancelled, func(c *sagaCase) {
			c.order.submitted, c.order.accepted = sagaAt(-20), sagaAt(-10)
			next := newSagaCase("b", -150, sagaCompleted)
			next.order.submitted, next.order.accepted = sagaAt(-5), sagaAt(-4)
			c.with(next)
		}, "map[inversions:1]"},
	} {
		c := newSagaCase("a", 0, tt.end)
		tt.spoil(c)
		if got := fmt.Sprint(c.wrongs()); got != tt.want {
			t.Errorf("%s: got %s, want %s", name, got, tt.want)
		}
	}
}

// unstarted has the order cancelled while it waited.
func unstarted(c *sagaCase) {
	*c.parent = telling{end: sagaCancelled, over: sagaAt(10)}
	c.seen.told, c.seen.requests = map[messages.OrderID]*telling{"a": c.parent}, nil
}

// doubtful has something undone that was never done.
func doubtful(c *sagaCase) {
	unstarted(c)
	c.parent.began = sagaAt(2)
	c.apply(5, "a", "hss.deleteSubscriber")
}

// dropChild has the child have done nothing.
func (c *sagaCase) dropChild() {
	c.seen.requests = slices.DeleteFunc(c.seen.requests, func(r request) bool {
		return r.Activity != "hss.createSubscriber" && r.Activity != "hss.deleteSubscriber"
	})
}

// with adds another order.
func (c *sagaCase) with(other *sagaCase) {
	c.seen.orders = append(c.seen.orders, other.order)
	maps.Copy(c.seen.told, other.seen.told)
	c.seen.requests = append(c.seen.requests, other.seen.requests...)
}

// TestJudgeSagaCounts: what is told of the orders is right.
func TestJudgeSagaCounts(t *testing.T) {
	t.Parallel()
	c := newSagaCase("a", 0, sagaCancelled)
	c.with(newSagaCase("b", 100, sagaCompleted))
	early := newSagaCase("c", 200, sagaCancelled) // while its child was under way, which undid what it had done
	early.child.end = sagaCancelled
	for i, r := range early.seen.requests {
		if r.Activity == "billing.endContract" || r.Activity == "policy.removeProfile" {
			early.seen.requests[i].Order = "c~1"
		}
	}
	c.with(early)
	c.seen.asked["c"] = asked
	waiting := newSagaCase("d", 300, sagaCancelled)
	*waiting.parent, waiting.seen.requests = telling{end: sagaCancelled, over: sagaAt(310)}, nil
	c.with(waiting)
	c.seen.asked["d"] = granted
	if wrong := c.wrongs(); len(wrong) > 0 {
		t.Errorf("found %v: %v", wrong, judgeSaga(c.seen).wrong)
	}
	v := judgeSaga(c.seen)
	for name, want := range map[string]int{
		"orders": 4, "completed": 1, "cancelled": 3, "cancelled_unstarted": 1, "children": 3, "children_cancelled": 1, "children_undone": 1,
		"compensations": 6, "faulted": 0, "pairs": 3,
	} {
		if got := v.figures[name]; got != want {
			t.Errorf("%s: got %v, want %d", name, got, want)
		}
	}
}

// TestTellingOf: a history is read as it is meant.
func TestTellingOf(t *testing.T) {
	t.Parallel()
	at := 0
	event := func(typ orderv1.EventType, more func(e *orderv1.HistoryEvent)) *orderv1.HistoryEvent {
		at++
		e := &orderv1.HistoryEvent{EventType: typ, At: timestamppb.New(sagaAt(at))}
		more(e)
		return e
	}
	none := func(*orderv1.HistoryEvent) {}
	of := func(activity, data string) func(*orderv1.HistoryEvent) {
		return func(e *orderv1.HistoryEvent) { e.Activity, e.Data = activity, []byte(data) }
	}
	fault := func(typ string) func(*orderv1.HistoryEvent) {
		return func(e *orderv1.HistoryEvent) { e.Error = &problemv1.Problem{Type: typ} }
	}
	events := []*orderv1.HistoryEvent{
		event(eventtype.OrderAccepted, none), event(eventtype.OrderStarted, none),
		event(eventtype.AttemptScheduled, of("hss.createSubscriber", `{"imsi":"1"}`)),
		event(eventtype.AttemptSucceeded, of("hss.createSubscriber", `{"subscriberId":"S"}`)),
		event(eventtype.ChildScheduled, func(e *orderv1.HistoryEvent) { e.ChildId = "a~1" }),
		event(eventtype.AttemptInDoubt, of("sms.send", "")),
		event(eventtype.OrderFaulted, fault(inDoubtType)), event(eventtype.OrderRetried, none),
		event(eventtype.OrderFaulted, fault("https://example.com/other")), event(eventtype.OrderCancelling, none),
		event(eventtype.OrderCancelled, none),
	}
	got := tellingOf(events)
	if got.end != sagaCancelled || !got.began.Equal(sagaAt(2)) || !got.over.Equal(sagaAt(11)) || got.faults != 2 || got.inDoubt != 1 ||
		!slices.Equal(got.children, []messages.OrderID{"a~1"}) || !slices.Equal(got.doubtful, []string{"sms.send"}) ||
		string(got.inputs["hss.createSubscriber"]) != `{"imsi":"1"}` ||
		string(got.outputs["hss.createSubscriber"]) != `{"subscriberId":"S"}` {
		t.Errorf("got %+v", got)
	}
	for n, want := range map[int]orderv1.Status{2: 0, 7: orderv1.Status_STATUS_FAULTED, 8: 0, 10: 0} {
		if got := tellingOf(events[:n]).end; got != want {
			t.Errorf("after %d events it is %v, not %v", n, got, want)
		}
	}
}
