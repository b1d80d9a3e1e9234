package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/eventtype"
	"github.com/holdfast-run/holdfast/messages/orderv1"
)

// sagaStep is an activity of the row's orders.
type sagaStep struct{ does, undoes string }

// sagaSteps are all of an order and its child, as they follow each other. What has no second name stays done.
var sagaSteps = []sagaStep{
	{"hss.createSubscriber", "hss.deleteSubscriber"},
	{"policy.assignProfile", "policy.removeProfile"},
	{"billing.startContract", "billing.endContract"},
	{"sms.send", ""},
}

// telling is what the history of an order tells.
type telling struct {
	// end is how it ended; unspecified: it is open.
	end orderv1.Status
	// began and over are when it was started, and when it ended last.
	began, over time.Time
	children    []messages.OrderID
	// faults is how often it faulted, inDoubt how often of these because something was in doubt.
	faults, inDoubt int
	// doubtful are the activities of which an attempt was in doubt.
	doubtful []string
	// outputs and inputs are those of its activities.
	outputs, inputs map[string]json.RawMessage
}

const inDoubtType = "https://holdfast.run/errors/in-doubt"

// tellingOf reads a history.
func tellingOf(events []*orderv1.HistoryEvent) *telling {
	t := &telling{outputs: map[string]json.RawMessage{}, inputs: map[string]json.RawMessage{}}
	for _, e := range events {
		at := e.GetAt().AsTime()
		switch e.GetEventType() {
		case eventtype.OrderStarted:
			t.began = at
		case eventtype.OrderCompleted:
			t.end, t.over = orderv1.Status_STATUS_COMPLETED, at
		case eventtype.OrderCancelled:
			t.end, t.over = orderv1.Status_STATUS_CANCELLED, at
		case eventtype.OrderFaulted:
			t.end, t.over = orderv1.Status_STATUS_FAULTED, at
			if t.faults++; e.GetError().GetType() == inDoubtType {
				t.inDoubt++
			}
		case eventtype.OrderRetried, eventtype.OrderCancelling:
			t.end = orderv1.Status_STATUS_UNSPECIFIED
		case eventtype.ChildScheduled:
			t.children = append(t.children, messages.OrderID(e.GetChildId()))
		case eventtype.AttemptScheduled:
			t.inputs[e.GetActivity()] = e.GetData()
		case eventtype.AttemptSucceeded:
			t.outputs[e.GetActivity()] = e.GetData()
		case eventtype.AttemptInDoubt:
			t.doubtful = append(t.doubtful, e.GetActivity())
		default:
		}
	}
	return t
}

// request is a request that a downstream system has applied.
type request struct {
	At       time.Time        `json:"at"`
	Order    messages.OrderID `json:"order"`
	Activity string           `json:"activity"`
	Outcome  string           `json:"outcome"`
}

// asking is how far the client came with cancelling an order.
type asking int

const (
	notAsked asking = iota
	asked           // it may have been taken
	granted         // it was acknowledged
)

// sagaSeen is what the row saw.
type sagaSeen struct {
	orders   []*order
	asked    map[messages.OrderID]asking
	told     map[messages.OrderID]*telling // also of children
	requests []request                     // those that were applied
}

// family is an order with the orders that it ran.
type family struct {
	*telling

	id       messages.OrderID
	children []*telling
	// times are when each activity was applied.
	times map[string][]time.Time
}

// sagaVerdict counts what was seen, and what must not be.
type sagaVerdict struct {
	figures

	wrong []string
}

func (v *sagaVerdict) count(name string, n int) {
	before, _ := v.figures[name].(int)
	v.figures[name] = before + n
}

// wrongf counts something that must not be, and says what it is.
func (v *sagaVerdict) wrongf(name string, n int, id messages.OrderID, format string, args ...any) {
	if n == 0 {
		return
	}
	v.count(name, n)
	if len(v.wrong) < maxWrong {
		v.wrong = append(v.wrong, fmt.Sprintf("%s: order %s: ", name, id)+fmt.Sprintf(format, args...))
	}
}

// sagaWrongs are what must not be.
var sagaWrongs = []string{
	"unended", "contradicted", "cancelled_unasked", "cancel_ignored", "not_done", "surplus", "undone_wrongly", "not_undone",
	"undone_twice", "undone_otherwise", "out_of_order", "orphans", "faulted_otherwise", "overlaps", "inversions",
}

// judgeSaga says what became of the orders, by their histories and by what the downstream systems applied.
func judgeSaga(seen sagaSeen) *sagaVerdict {
	v := &sagaVerdict{figures: figures{}}
	for _, name := range append([]string{
		"orders", "completed", "cancelled", "cancelled_unstarted", "children", "children_cancelled", "children_undone", "compensations",
		"faulted",
	}, sagaWrongs...) {
		v.count(name, 0)
	}
	spans := map[messages.OrderID]*ran{}
	for id, f := range families(seen) {
		v.children(f)
		v.faults(f)
		if span := f.span(); span != nil {
			spans[id] = span
		}
		switch f.end { //nolint:exhaustive // the others are no ends
		case orderv1.Status_STATUS_COMPLETED:
			v.completed(f)
		case orderv1.Status_STATUS_CANCELLED:
			v.cancelled(f)
		}
	}
	for _, o := range seen.orders {
		v.answers(o, seen.told[o.id], seen.asked[o.id])
	}
	overlaps, inversions, pairs := disorder(seen.orders, spans)
	v.count("overlaps", overlaps)
	v.count("inversions", inversions)
	v.count("pairs", pairs)
	return v
}

// families puts together what belongs to each order of the client.
func families(seen sagaSeen) map[messages.OrderID]*family {
	all := map[messages.OrderID]*family{}
	of := map[messages.OrderID]*family{}
	var adopt func(f *family, t *telling)
	adopt = func(f *family, t *telling) {
		for _, id := range t.children {
			child := seen.told[id]
			f.children = append(f.children, child)
			if of[id] = f; child != nil {
				adopt(f, child)
			}
		}
	}
	for _, o := range seen.orders {
		if t := seen.told[o.id]; t != nil {
			f := &family{telling: t, id: o.id, times: map[string][]time.Time{}}
			all[o.id], of[o.id] = f, f
			adopt(f, t)
		}
	}
	for _, r := range seen.requests {
		if f := of[r.Order]; f != nil { // what nobody knows the checker finds
			f.times[r.Activity] = append(f.times[r.Activity], r.At)
		}
	}
	for _, f := range all {
		for _, times := range f.times {
			slices.SortFunc(times, time.Time.Compare)
		}
	}
	return all
}

// answers compares what the client was told of an order with its history.
func (v *sagaVerdict) answers(o *order, t *telling, asked asking) {
	v.count("orders", 1)
	end := orderv1.Status_STATUS_UNSPECIFIED
	if t != nil {
		end = t.end
	}
	switch end {
	case orderv1.Status_STATUS_COMPLETED:
		v.count("completed", 1)
		if asked == granted {
			v.wrongf("cancel_ignored", 1, o.id, "its cancellation was acknowledged, and it completed")
		}
	case orderv1.Status_STATUS_CANCELLED:
		v.count("cancelled", 1)
		if asked == notAsked {
			v.wrongf("cancelled_unasked", 1, o.id, "nobody asked for it")
		}
	default:
		v.wrongf("unended", 1, o.id, "is %v", end)
	}
	if o.end != end && o.end != orderv1.Status_STATUS_FAULTED {
		v.wrongf("contradicted", 1, o.id, "ended as %v for the client, and as %v by its history", o.end, end)
	}
}

// children counts the orders that an order ran.
func (v *sagaVerdict) children(f *family) {
	for _, c := range f.children {
		v.count("children", 1)
		switch {
		case c == nil:
			v.wrongf("orphans", 1, f.id, "a child has no history")
		case c.end == orderv1.Status_STATUS_CANCELLED:
			v.count("children_cancelled", 1)
		case c.end != orderv1.Status_STATUS_COMPLETED:
			v.wrongf("orphans", 1, f.id, "a child is %v", c.end)
		}
		if c != nil && c.over.After(f.over) {
			v.wrongf("orphans", 1, f.id, "a child ended at %v, after it", c.over)
		}
	}
}

// faults counts how often orders faulted. They may do so where something is in doubt.
func (v *sagaVerdict) faults(f *family) {
	for _, t := range append([]*telling{f.telling}, f.children...) {
		if t != nil {
			v.count("faulted", t.faults)
			v.wrongf("faulted_otherwise", t.faults-t.inDoubt, f.id, "it, or a child, faulted though nothing was in doubt")
		}
	}
}

// completed judges an order that completed: all was done once, and nothing was undone.
func (v *sagaVerdict) completed(f *family) {
	for _, step := range sagaSteps {
		done, undone := len(f.times[step.does]), len(f.times[step.undoes])
		if done == 0 {
			v.wrongf("not_done", 1, f.id, "completed without %s", step.does)
		}
		v.wrongf("surplus", max(done-1, 0), f.id, "%s was applied %d times", step.does, done)
		v.wrongf("undone_wrongly", undone, f.id, "completed, and %s was applied", step.undoes)
	}
}

// cancelled judges an order that was cancelled: what was done was undone once, after it, and the last first.
func (v *sagaVerdict) cancelled(f *family) {
	if f.began.IsZero() {
		v.count("cancelled_unstarted", 1)
	}
	var last time.Time // when the step before was undone
	for _, step := range slices.Backward(sagaSteps) {
		done, undone := f.times[step.does], f.times[step.undoes]
		v.wrongf("surplus", max(len(done)-1, 0), f.id, "%s was applied %d times", step.does, len(done))
		if step.undoes == "" {
			continue
		}
		v.count("compensations", len(undone))
		v.wrongf("undone_twice", max(len(undone)-1, 0), f.id, "%s was applied %d times", step.undoes, len(undone))
		switch {
		case len(done) > 0 && len(undone) == 0:
			v.wrongf("not_undone", 1, f.id, "%s was applied, and %s was not", step.does, step.undoes)
			continue
		case len(undone) == 0:
			continue
		case len(done) == 0 && !f.doubted(step.does):
			v.wrongf("undone_wrongly", 1, f.id, "%s was applied, and %s was not", step.undoes, step.does)
		case len(done) > 0 && undone[0].Before(done[0]):
			v.wrongf("out_of_order", 1, f.id, "%s was applied before %s", step.undoes, step.does)
		}
		if undone[0].Before(last) {
			v.wrongf("out_of_order", 1, f.id, "%s was applied before what came after it was undone", step.undoes)
		}
		last = undone[0]
		if detail := f.otherwise(step); detail != "" {
			v.wrongf("undone_otherwise", 1, f.id, "%s", detail)
		}
	}
	if undoes := f.times["billing.endContract"]; len(undoes) > 0 && f.ran(orderv1.Status_STATUS_COMPLETED) {
		v.count("children_undone", 1)
	}
}

// ran tells whether a child ended so.
func (f *family) ran(end orderv1.Status) bool {
	return slices.ContainsFunc(f.children, func(c *telling) bool { return c != nil && c.end == end })
}

func (f *family) members() []*telling {
	return slices.DeleteFunc(append([]*telling{f.telling}, f.children...), func(t *telling) bool { return t == nil })
}

// doubted tells whether an attempt at an activity was in doubt.
func (f *family) doubted(activity string) bool {
	return slices.ContainsFunc(f.members(), func(t *telling) bool { return slices.Contains(t.doubtful, activity) })
}

// otherwise says how that which undoes a step got something else than the step has left; empty if it got that.
func (f *family) otherwise(step sagaStep) string {
	var left, got json.RawMessage
	for _, t := range f.members() {
		if out := t.outputs[step.does]; out != nil {
			left = out
		}
		if in := t.inputs[step.undoes]; in != nil {
			got = in
		}
	}
	var output, input map[string]json.RawMessage
	if left == nil || json.Unmarshal(left, &output) != nil {
		return "" // it was in doubt
	}
	if err := json.Unmarshal(got, &input); err != nil || len(input) == 0 {
		return fmt.Sprintf("%s got %s", step.undoes, got)
	}
	for name, value := range input {
		if !bytes.Equal(output[name], value) {
			return fmt.Sprintf("%s got %s, %s has left %s", step.undoes, got, step.does, left)
		}
	}
	return ""
}

// span is from when the first of the family was started until the last of it had ended; nil if none was, or one has not.
func (f *family) span() *ran {
	r := &ran{}
	for _, t := range f.members() {
		if t.end == orderv1.Status_STATUS_UNSPECIFIED {
			return nil
		}
		if !t.began.IsZero() && (r.began.IsZero() || t.began.Before(r.began)) {
			r.began = t.began
		}
		if t.over.After(r.over) {
			r.over = t.over
		}
	}
	if r.began.IsZero() {
		return nil
	}
	return r
}
