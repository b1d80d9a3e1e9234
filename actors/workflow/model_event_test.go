package workflow_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"pgregory.net/rapid"

	"github.com/holdfast-run/holdfast/actors/workflow"
	"github.com/holdfast-run/holdfast/messages/journalv1"
)

// eventing is what the model knows of the events that an order publishes and gets.
type eventing struct {
	// emits are the frames whose events may not be durable, ids those of all events that were published.
	emits map[uint32]bool
	ids   map[string]bool
	// ears are all that ever listened, by their numbers.
	ears map[uint32]*ear
	// seen is what the frames have consumed.
	seen map[string]bool
}

// ear is a filter that listens, or did.
type ear struct {
	frame            uint32
	many             bool // it goes on when it has consumed an event
	known, forgotten bool // the slot knows that it listens, or that it does so no more
	sequence         uint64
}

func newEventing() eventing {
	return eventing{emits: map[uint32]bool{}, ids: map[string]bool{}, ears: map[uint32]*ear{}, seen: map[string]bool{}}
}

// noteEvent follows what is published and consumed. It comes before the shadow evolves.
func (m *model) noteEvent(ev *journalv1.Event) {
	x := &m.events
	switch e := ev.GetKind().(type) {
	case *journalv1.Event_EmitScheduled:
		var event struct {
			ID string `json:"id"`
		}
		if err := json.Unmarshal(e.EmitScheduled.GetEvent(), &event); err != nil || event.ID == "" || x.ids[event.ID] {
			m.t.Fatalf("%s, but its id is not its own: %v", show(ev), err)
		}
		x.ids[event.ID], x.emits[e.EmitScheduled.GetFrame()] = true, true
	case *journalv1.Event_EmitEnded:
		if !x.emits[e.EmitEnded.GetFrame()] {
			m.t.Fatalf("%s, but nothing was published", show(ev))
		}
		delete(x.emits, e.EmitEnded.GetFrame())
	case *journalv1.Event_ListenStarted:
		k, ok := m.undo.tasks[e.ListenStarted.GetFrame()].task.Kind.(*workflow.Listen)
		if !ok {
			m.t.Fatalf("%s, but its task does not listen", show(ev))
		}
		for _, l := range e.ListenStarted.GetListeners() {
			if x.ears[l.GetNumber()] != nil {
				m.t.Fatalf("%s, but number %d was there before", show(ev), l.GetNumber())
			}
			many := k.Until != nil || k.UntilEvents != nil && int(l.GetFilter()) < len(k.To.Filters)
			x.ears[l.GetNumber()] = &ear{frame: e.ListenStarted.GetFrame(), many: many}
		}
	case *journalv1.Event_ListenerKnown:
		if l := x.ears[e.ListenerKnown.GetListener()]; l == nil || l.known || l.forgotten {
			m.t.Fatalf("%s, after %+v", show(ev), l)
		}
		x.ears[e.ListenerKnown.GetListener()].known = true
	case *journalv1.Event_EventConsumed:
		c := e.EventConsumed
		l := x.ears[c.GetListener()]
		is := fmt.Sprintf("%d %x", c.GetFrame(), workflow.NewEvent(c.GetEvent()).Key())
		if l == nil || l.frame != c.GetFrame() || l.sequence == c.GetSequence() || x.seen[is] || l.satisfied() ||
			!m.shadow.HasListener(c.GetListener()) {
			m.t.Fatalf("%s, after %+v", show(ev), l)
		}
		l.sequence, x.seen[is] = c.GetSequence(), true
	case *journalv1.Event_ListenerForgotten:
		n := e.ListenerForgotten.GetListener()
		if l := x.ears[n]; l == nil || l.forgotten || l.satisfied() || m.shadow.HasListener(n) {
			m.t.Fatalf("%s, after %+v", show(ev), l)
		}
		x.ears[n].forgotten = true
	}
}

// satisfied tells whether the ear has consumed the one event that it listened for, which its slot knows.
func (e *ear) satisfied() bool { return e.sequence != 0 && !e.many }

// ears are the numbers of those that are such.
func (m *model) ears(such func(uint32, *ear) bool) []uint32 {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(m.events.ears)), func(n uint32) bool { return !such(n, m.events.ears[n]) })
}

// listening are the ears that listen.
func (m *model) listening() []uint32 {
	return m.ears(func(n uint32, _ *ear) bool { return m.live.HasListener(n) })
}

// deaf are the ears of which a slot may not know that they listen no more.
func (m *model) deaf() []uint32 {
	return m.ears(func(n uint32, e *ear) bool { return !m.live.HasListener(n) && !e.satisfied() && !e.forgotten })
}

// publishing are the frames that wait until their events are durable; none of an order that has faulted, until it goes on.
func (m *model) publishing() []uint32 {
	if m.ended() {
		return nil
	}
	alive := m.live.Frames(show)
	return slices.DeleteFunc(slices.Sorted(maps.Keys(m.events.emits)), func(f uint32) bool { return alive[f] == "" })
}

// unheard are the ears that listen and that a slot may not know.
func (m *model) unheard() []uint32 {
	return m.ears(func(n uint32, e *ear) bool { return m.live.HasListener(n) && !e.known })
}

// checkEvents compares what is outstanding of events with the model.
func (m *model) checkEvents() {
	var want, is []string
	for _, f := range m.publishing() {
		want = append(want, fmt.Sprint("publish ", f))
	}
	for _, n := range m.unheard() {
		want = append(want, fmt.Sprint("begin ", n))
	}
	for _, n := range m.deaf() {
		want = append(want, fmt.Sprint("end ", n, " after ", m.events.ears[n].sequence))
	}
	for _, e := range m.live.Outstanding() {
		switch e := e.(type) {
		case workflow.PublishEvent:
			is = append(is, fmt.Sprint("publish ", e.Frame))
		case workflow.BeginListen:
			is = append(is, fmt.Sprint("begin ", e.Listener))
			if e.Many != m.events.ears[e.Listener].many {
				m.t.Fatalf("%+v, but the model has %+v", e, m.events.ears[e.Listener])
			}
		case workflow.EndListen:
			is = append(is, fmt.Sprint("end ", e.Listener, " after ", e.Consumed))
		}
	}
	slices.Sort(want)
	slices.Sort(is)
	if !slices.Equal(want, is) {
		m.t.Fatalf("of events is outstanding %q, but should be %q", is, want)
	}
	if m.ended() && len(m.listening()) > 0 {
		m.t.Fatalf("ended, but listening are %v", m.listening())
	}
	for n, e := range m.events.ears {
		if e.sequence != 0 && m.live.Verdict(n, e.sequence) != journalv1.Verdict_VERDICT_TAKEN {
			m.t.Fatalf("listener %d says of an event that it has taken: %s", n, m.live.Verdict(n, e.sequence))
		}
	}
}

// slotSays makes what correlation slots may say, at the right time or not.
func (m *model) slotSays() workflow.Command {
	one := func(of []uint32) uint32 { return rapid.SampledFrom(append(of, 99)).Draw(m.t, "which") }
	all := slices.Sorted(maps.Keys(m.events.ears))
	switch rapid.SampledFrom([]string{"offer", "offer", "offer", "known", "emitted", "forgotten"}).Draw(m.t, "says") {
	case "known":
		return workflow.Known{Listener: one(all)}
	case "emitted":
		return workflow.Emitted{Frame: one(slices.Sorted(maps.Keys(m.events.emits)))}
	case "forgotten":
		return workflow.Forgotten{Listener: one(all)}
	}
	if rapid.IntRange(0, 3).Draw(m.t, "old") == 3 {
		return m.offer(one(all))
	}
	return m.offer(one(m.listening()))
}

// offer makes an offer to a listener: of an event that it has not seen, or that came by another way, or of the last one again.
func (m *model) offer(n uint32) workflow.Offered {
	o := workflow.Offered{Listener: n, Sequence: 1}
	if e := m.events.ears[n]; e != nil {
		o.Sequence = e.sequence + uint64(rapid.IntRange(0, 4).Draw(m.t, "later"))
	}
	o.Event = fmt.Appendf(nil, `{"specversion":"1.0","id":"%d","source":"/s","type":"a","data":{"n":%d,"c":%d}}`,
		rapid.IntRange(1, 50).Draw(m.t, "id"), rapid.IntRange(0, 3).Draw(m.t, "n"), rapid.IntRange(0, 1).Draw(m.t, "c"))
	return o
}

// slotsAnswer answers something of events that is outstanding, or has something come that is listened for; nil if there is nothing.
func (m *model) slotsAnswer() workflow.Command {
	var may []workflow.Command
	for _, f := range m.publishing() {
		may = append(may, workflow.Emitted{Frame: f})
	}
	for _, n := range m.unheard() {
		may = append(may, workflow.Known{Listener: n})
	}
	for _, n := range m.deaf() {
		may = append(may, workflow.Forgotten{Listener: n})
	}
	for _, n := range m.listening() {
		o := m.offer(n)
		o.Sequence = m.events.ears[n].sequence + 1
		may = append(may, o)
	}
	if len(may) == 0 {
		return nil
	}
	return rapid.SampledFrom(may).Draw(m.t, "slot")
}
