package rehearsal

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-run/holdfast/actors/definition"
	"github.com/holdfast-run/holdfast/actors/slot"
	"github.com/holdfast-run/holdfast/actors/workflow"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
)

// correlationSlot is the shell round the machine of one.
type correlationSlot struct {
	id    string
	state *slot.State
}

// slotOf returns the slot of an id.
func (w *world) slotOf(id string) *correlationSlot {
	s := w.slots[id]
	if s == nil {
		s = &correlationSlot{id, slot.New(w.limits.Slot)}
		w.slots[id] = s
		w.opened = append(w.opened, s)
	}
	return s
}

// tellSlot has a slot decide, and its offers made.
func (w *world) tellSlot(s *correlationSlot, cmd slot.Command) {
	events, err := s.state.Decide(w.now, cmd)
	w.steps += 1 + len(events)
	if err != nil {
		w.fail(Failure{What: fmt.Sprintf("events can't be taken: %v", err)})
		return
	}
	for _, o := range s.state.Offers() {
		w.soon(func() { w.offer(s, o) })
	}
}

// offer asks an order whether it takes an event. One that has too many of them already is asked again later.
func (w *world) offer(s *correlationSlot, o slot.Offer) {
	l, i := o.Listener, w.orders[messages.OrderID(o.Listener.GetInstance())]
	verdict := journalv1.Verdict_VERDICT_OVER
	if i != nil {
		err := w.decide(i, workflow.Offered{Listener: l.GetListener(), Sequence: o.Event.GetSequence(), Event: o.Event.GetEvent()})
		switch {
		case errors.Is(err, workflow.ErrBehind):
			w.behind = append(w.behind, func() { w.offer(s, o) })
			return
		case err != nil:
			w.fail(Failure{What: "an event is refused: " + err.Error()})
			return
		}
		verdict = i.state.Verdict(l.GetListener(), o.Event.GetSequence())
	}
	w.tellSlot(s, slot.Settle{Listener: l.GetNumber(), Sequence: o.Event.GetSequence(), Verdict: verdict})
}

// beginListen has a slot know of a listener, and then the order that it does.
func (w *world) beginListen(i *instance, e workflow.BeginListen) {
	def := i.state.Definition()
	l := &journalv1.ListenerAdded{
		Instance: string(i.id), Listener: e.Listener, Definition: def.Ref.String(), DefinitionHash: def.Hash, Task: e.Task, Filter: e.Filter,
		Many: e.Many,
	}
	k, listens := def.Tasks[e.Task].Kind.(*workflow.Listen)
	if !listens || int(e.Filter) >= len(k.Filters()) {
		w.fail(Failure{What: "task " + e.Task + " listens, and has no such filter"})
		return
	}
	s := w.slotOf(e.Slot.GetId())
	s.state.Give(slot.FilterOf(l), k.Filters()[e.Filter])
	w.tellSlot(s, slot.Listen{Slot: e.Slot, Listener: l})
	w.must(i, workflow.Known{Listener: e.Listener})
	if !i.state.HasListener(e.Listener) { // it listened no more before the slot knew that it did
		w.endListen(i, workflow.EndListen{Slot: e.Slot.GetId(), Listener: e.Listener, Consumed: i.state.Heard(e.Listener)})
	}
}

// endListen has a slot know that a listener listens no more, and then the order that it does.
func (w *world) endListen(i *instance, e workflow.EndListen) {
	w.tellSlot(w.slotOf(e.Slot), slot.Unlisten{Instance: string(i.id), Listener: e.Listener, Consumed: e.Consumed})
	w.must(i, workflow.Forgotten{Listener: e.Listener})
}

// publish publishes an event in the slots of a namespace that it belongs to, as the definitions lay them out.
func (w *world) publish(namespace string, raw []byte, keep time.Duration) {
	if keep == 0 {
		keep = w.limits.Keep
	}
	e := workflow.NewEvent(raw)
	var done []string
	for _, def := range append([]*workflow.Definition{w.main}, w.others.all...) {
		if def.Ref.Namespace != namespace {
			continue
		}
		for _, r := range def.Routes {
			o, err := w.slotFor(namespace, r, e)
			if err != nil {
				w.fail(Failure{What: fmt.Sprintf("a correlation of %s can't be evaluated: %v", def.Ref, err)})
				return
			}
			if o == nil || slices.Contains(done, o.GetId()) {
				continue
			}
			done = append(done, o.GetId())
			w.tellSlot(w.slotOf(o.GetId()), slot.Publish{Slot: o, Event: raw, Keep: keep})
		}
	}
}

// slotFor returns the slot where an event goes by a route; nil if it goes to none.
func (w *world) slotFor(namespace string, r *journalv1.Route, e *workflow.Event) (*journalv1.SlotOpened, error) {
	var from []workflow.Expr
	for _, text := range r.GetCorrelations() {
		x := w.compiled[text]
		if x == nil {
			var err error
			if x, err = definition.EventExpression(text, w.limits.Definition); err != nil {
				return nil, err
			}
			w.compiled[text] = x
		}
		from = append(from, x)
	}
	return workflow.SlotOf(namespace, r, from, e), nil
}

// expire has slots drop what they have kept long enough.
func (w *world) expire() {
	for _, s := range w.opened {
		if due := s.state.NextDue(); !due.IsZero() && !due.After(w.now) {
			w.soon(func() { w.tellSlot(s, slot.TimerFired{}) })
		}
	}
}

// publishAwaited publishes the next event of the case that is to be published when it is listened for, if one is now.
func (w *world) publishAwaited() bool {
	for n, p := range w.c.Events {
		if p.At != nil || w.published[n] {
			continue
		}
		if w.listensFor(workflow.NewEvent(p.Event).Type()) {
			w.publishOf(n)
			return true
		}
	}
	return false
}

// listensFor tells whether an order listens for events of a type.
func (w *world) listensFor(eventType string) bool {
	for _, i := range w.accepted {
		for _, wait := range i.state.Waits() {
			if slices.Contains(wait.Events, eventType) || slices.Contains(wait.Events, "") {
				return true
			}
		}
	}
	return false
}

// publishOf publishes an event of the case.
func (w *world) publishOf(n int) {
	p := w.c.Events[n]
	w.published[n] = true
	namespace := p.Namespace
	if namespace == "" {
		namespace = w.main.Ref.Namespace
	}
	w.publish(namespace, complete(p.Event, n+1, w.now).JSON(), 0)
}

// complete adds to an event of a case what it may lack.
func complete(raw json.RawMessage, number int, at time.Time) *workflow.Event {
	var attributes map[string]json.RawMessage
	if err := json.Unmarshal(raw, &attributes); err != nil {
		return workflow.NewEvent(raw) // it is no object
	}
	for name, v := range map[string]string{
		"id": fmt.Sprintf("event-%d", number), "source": "/test", "specversion": "1.0", "time": at.UTC().Format(time.RFC3339Nano),
	} {
		if _, has := attributes[name]; !has {
			attributes[name] = json.RawMessage(`"` + v + `"`)
		}
	}
	whole, err := json.Marshal(attributes)
	if err != nil {
		return workflow.NewEvent(raw)
	}
	return workflow.NewEvent(whole)
}

// typesOf lists types of events for people.
func typesOf(types []string) string {
	shown := make([]string, 0, len(types))
	for _, t := range types {
		if t == "" {
			t = "any"
		}
		if !slices.Contains(shown, t) {
			shown = append(shown, t)
		}
	}
	return strings.Join(shown, ", ")
}
