package workflow

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/holdfast-run/holdfast/messages/journalv1"
)

// Emit publishes an event. The task completes when the event is durable wherever somebody may listen for it, and leaves the event.
type Emit struct {
	plain

	// Event makes the event: an object of its attributes and data.
	Event Expr
	// Keep is how long the event is kept for listeners that come later; 0: as long as events are kept.
	Keep time.Duration
}

// emission is an event that a task publishes.
type emission struct {
	*journalv1.EmitScheduled

	event *Value
	ended bool
}

func (k *Emit) step(m *machine, f *frame) {
	if f.emission() != nil {
		m.complete(f, f.emission().event, "")
		return
	}
	args := m.argsOf(f)
	event, err := k.Event.Eval(f.input, args)
	if err == nil {
		event, err = completed(event, args)
	}
	if err != nil {
		m.fault(f, expressionProblem(f.task, err))
		return
	}
	m.emit(&journalv1.Event_EmitScheduled{EmitScheduled: &journalv1.EmitScheduled{
		Frame: f.id, Event: event.JSON(), Keep: int64(k.Keep),
	}})
}

func (*Emit) leaves(f *frame) *Value {
	if f.emission() == nil {
		return f.input
	}
	return f.emission().event
}

// again: an event that was made is published, and no other one in its place.
func (*Emit) again(f *frame) bool { return f.failed && f.emission() == nil }

// stopped: what was published is done.
func (k *Emit) stopped(m *machine, f *frame) {
	if f.emission() != nil && f.emission().ended {
		m.complete(f, f.emission().event, "")
		return
	}
	k.plain.stopped(m, f)
}

var errNoEvent = errors.New("the event must be an object of its attributes")

// completed adds to an event what it lacks, and checks it.
func completed(event *Value, args *Args) (*Value, error) {
	x, err := event.Any()
	if err != nil {
		return nil, err
	}
	attributes, is := x.(map[string]any)
	if !is {
		return nil, errNoEvent
	}
	all := map[string]any{"specversion": "1.0", "id": args.Unique.UUID(), "time": time.Unix(0, args.Now).UTC().Format(time.RFC3339Nano)}
	for name, v := range attributes {
		if v != nil || name == "data" {
			all[name] = v
		}
	}
	raw, err := json.Marshal(all)
	if err != nil {
		return nil, fmt.Errorf("encode the event: %w", err)
	}
	if err := NewEvent(raw).Check(); err != nil {
		return nil, err
	}
	return NewValue(raw), nil
}

// emitted notes that an event of the order is durable. One that has faulted meanwhile has it published again if it goes on.
func (m *machine) emitted(c Emitted) {
	if f := m.s.frame(c.Frame); f != nil && f.emits() && !m.s.Ended() {
		m.emit(&journalv1.Event_EmitEnded{EmitEnded: &journalv1.EmitEnded{Frame: f.id}})
	}
}

func (s *State) emitScheduled(e *journalv1.EmitScheduled) {
	f := s.mustFrame(e.GetFrame())
	f.own().emission, f.phase = &emission{EmitScheduled: e, event: NewValue(e.GetEvent())}, phaseBlocked
}

func (s *State) emitEnded(e *journalv1.EmitEnded) {
	f := s.mustFrame(e.GetFrame())
	f.emission().ended, f.phase = true, phaseResult
}

// emits tells whether an event of the frame may not be durable.
func (f *frame) emits() bool { return f.emission() != nil && !f.emission().ended }

func (f *frame) publishEvent() PublishEvent {
	return PublishEvent{Frame: f.id, Event: f.emission().GetEvent(), Keep: time.Duration(f.emission().GetKeep())}
}
