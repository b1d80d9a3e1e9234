package workflow

import (
	"fmt"
	"maps"
	"slices"

	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/messages/problemv1"
)

// tryOut finds out whether the order would come to a place, before it waits for anything, where the output can't be used of a task
// that is to be passed over. The state is as before.
func (m *machine) tryOut(c Reopen) error {
	if c.How != journalv1.Reopening_REOPENING_SKIP || c.Value == nil {
		return nil
	}
	trial := &machine{s: m.s.clone(), clock: m.clock, now: m.now, rand: m.rand}
	if f, _, err := trial.s.place(c); err == nil {
		trial.only = f.home() // what comes of the other branches has nothing to do with the output
	}
	if err := trial.reopen(c); err != nil {
		return err
	}
	trial.advance()
	if p := trial.unusable(); p != nil {
		return fmt.Errorf("%w: it leads to a fault at %s: %s: %s", ErrUnfit, p.GetInstance(), p.GetTitle(), p.GetDetail())
	}
	return nil
}

// unusable returns the error of an expression or a schema that has the order fault, or what it has done undone or tried again; nil
// if none does. One that the definition handles otherwise is as the definition expects it.
func (m *machine) unusable() *problemv1.Problem {
	var p *problemv1.Problem // of the event before, if that is the fault of a task
	for _, ev := range m.out {
		switch e := ev.GetKind().(type) {
		case *journalv1.Event_TaskFaulted:
			p = e.TaskFaulted.GetError()
			continue
		case *journalv1.Event_OrderFaulted:
			p = e.OrderFaulted.GetError()
		case *journalv1.Event_RetryScheduled, *journalv1.Event_CompensationStarted:
		default:
			p = nil
		}
		if t := p.GetType(); t == ErrorTypeExpression || t == ErrorTypeValidation {
			return p
		}
	}
	return nil
}

// clone returns a state that is alike and changes by itself. What never changes is shared: values, events, the definition.
func (s *State) clone() *State {
	out := *s
	deeds := cloner[deed]{}
	out.done = nil
	for _, d := range s.done {
		out.done = append(out.done, deeds.of(d))
	}
	out.deeds = maps.Clone(s.deeds)
	for key, d := range out.deeds {
		out.deeds[key] = deeds.of(d)
	}
	out.visits = maps.Clone(s.visits)
	for ref, v := range out.visits {
		copied := *v
		copied.failed = deeds.of(v.failed)
		out.visits[ref] = &copied
	}
	out.abandoned, out.undoOf = maps.Clone(s.abandoned), maps.Clone(s.undoOf)
	out.heard, out.deaf = maps.Clone(s.heard), maps.Clone(s.deaf)
	frames := cloner[frame]{}
	var copyAll func(list []*frame) []*frame
	copyAll = func(list []*frame) []*frame {
		list = slices.Clone(list)
		for i, f := range list {
			f = frames.of(f)
			f.parent, f.fallen = frames.of(f.parent), copyAll(f.fallen)
			f.branch, f.branches = copied(f.branch), copied(f.branches)
			if b := f.branches; b != nil {
				b.results = slices.Clone(b.results)
			}
			f.call, f.child, f.undo, f.rare = copied(f.call), copied(f.child), copied(f.undo), copied(f.rare)
			if f.rare != nil {
				f.rare.emission, f.rare.listening = copied(f.rare.emission), f.rare.listening.clone()
			}
			f.inquiry = deeds.of(f.inquiry)
			if f.undo != nil {
				f.undo.of = deeds.of(f.undo.of)
			}
			list[i] = f
		}
		return list
	}
	out.frames = copyAll(s.frames)
	return &out
}

// cloner copies things once each.
type cloner[T any] map[*T]*T

func (c cloner[T]) of(p *T) *T {
	if p == nil {
		return nil
	}
	if c[p] == nil {
		c[p] = copied(p)
	}
	return c[p]
}

func copied[T any](p *T) *T {
	if p == nil {
		return nil
	}
	c := *p
	return &c
}
