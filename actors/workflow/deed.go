package workflow

import (
	"fmt"
	"slices"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/problemv1"
)

// deed is work that was done, or may have been, and that the definition knows how to undo.
type deed struct {
	task *Task
	path string // of the branches around it
	// key is that of the attempt, or the id of the child.
	key string
	// in are the frames that contain it, from the inside out.
	in []uint32
	// at is the version at which it was done. Frames that were entered since have a number from before on.
	at            messages.Version
	before        uint32
	input, output *Value
	// visit is that of the task, and attempt the last one of it, if an activity did it.
	visit, attempt uint32
	// doubt: nobody knows whether it is done. asks: asking again under its key does no harm, and tells. begun: its undoing was begun.
	// dropped: it is in doubt because what undoes it was entered and then dropped, though perhaps only to fail because of the doubt.
	// void: it is not done, as came out while it was to be undone. gone: it was undone, or done again.
	doubt, asks, begun, dropped, void, gone bool
	// within is how long to ask may take each time, in nanoseconds; 0: no bound.
	within int64
}

// works tells whether a task has work done outside, by an activity or a child.
func works(t *Task) bool {
	switch t.Kind.(type) {
	case *Call, *Run:
		return true
	}
	return false
}

// did notes that the work of a frame was done, or may have been.
func (s *State) did(f *frame, key string, input, output *Value, doubt bool) {
	if !doubt {
		s.passed(f.task)
	}
	if f.task.Compensate == nil {
		return
	}
	s.undid(key)
	d := s.newDeed(f, key, input)
	d.output, d.doubt = output, doubt
	s.note(d, len(s.done))
}

// newDeed returns what the work of a frame would be, were it done; nil if nothing undoes it.
func (s *State) newDeed(f *frame, key string, input *Value) *deed {
	if f.task.Compensate == nil {
		return nil
	}
	d := &deed{task: f.task, path: f.path(), key: key, at: s.version, before: s.next, input: input}
	if v := s.visits[f.place()]; v != nil {
		d.visit = v.count
	}
	for x := f; x != nil; x = x.parent {
		d.in = append(d.in, x.id)
	}
	return d
}

func (s *State) note(d *deed, at int) {
	if s.deeds == nil {
		s.deeds = map[string]*deed{}
	}
	s.deeds[d.key] = d
	s.done = slices.Insert(s.done, at, d)
}

// cameToLight notes that work was done that was said to have failed. It takes the place that it would have had.
func (s *State) cameToLight(d *deed) {
	at := len(s.done)
	for at > 0 && s.done[at-1].at > d.at {
		at--
	}
	s.note(d, at)
}

// undid notes that some work was undone, or not done. Those that are gone are taken out a few at a time, together.
func (s *State) undid(key string) {
	d := s.deeds[key]
	if d == nil {
		return
	}
	d.gone = true
	delete(s.deeds, key)
	if len(s.done) > 2*len(s.deeds) {
		s.done = slices.DeleteFunc(s.done, func(d *deed) bool { return d.gone })
	}
}

// settleDeed notes what came of work that was in doubt.
func (s *State) settleDeed(key string, done bool, output *Value) {
	d := s.deeds[key]
	if d == nil || !d.doubt {
		return
	}
	i := slices.IndexFunc(s.frames, func(f *frame) bool { return f.undo != nil && f.undo.of == d })
	switch {
	case done:
		d.doubt, d.output = false, output
		if i >= 0 {
			s.frames[i].last = d.value()
		}
	case i >= 0:
		d.void = true
	default:
		s.notDone(d)
	}
}

// notDone notes that work was not done. Should it come to light as done all the same, it is to be undone.
func (s *State) notDone(d *deed) {
	s.undid(d.key)
	if v := s.visitOf(d); v != nil {
		v.failed = &deed{task: d.task, path: d.path, key: d.key, in: d.in, at: d.at, before: d.before, input: d.input, visit: d.visit}
	}
}

// lastDone returns what was done last inside a frame, and not undone; nil if nothing was. What is in doubt counts, too, unless
// certain is set.
func (s *State) lastDone(f *frame, certain bool) *deed {
	for _, d := range slices.Backward(s.done) {
		switch {
		case d.before <= f.id:
			return nil // it was done before f was entered, and so were those before it
		case !d.gone && slices.Contains(d.in, f.id) && (!certain || !d.doubt):
			return d
		}
	}
	return nil
}

// value is what a compensation gets.
func (d *deed) value() *Value {
	raw := append([]byte(`{"input":`), d.input.JSON()...)
	raw = append(append(raw, `,"output":`...), d.output.JSON()...)
	return NewValue(append(raw, '}'))
}

// tooMuch is the error of a task that can't be begun because too much could be undone already; nil if there is room.
func (s *State) tooMuch(t *Task) *problemv1.Problem {
	if t.Compensate == nil || len(s.deeds) < s.limits.Deeds {
		return nil
	}
	return problem(ErrorTypeRuntime, "Too much to undo", 500, t.Ref,
		fmt.Sprintf("the order has done %d things that it would have to undo; does it loop?", s.limits.Deeds))
}

// Compensable is work that a cancellation with compensation would undo.
type Compensable struct {
	// Task did it. Key is that of the attempt, or the id of the child.
	Task, Key string
	// InDoubt: nobody knows whether it was done.
	InDoubt bool
}

// Compensable returns what a cancellation with compensation would undo, in this order. Past a point of no return there is nothing.
func (s *State) Compensable() []Compensable {
	var out []Compensable
	if s.PastReturn() {
		return out
	}
	for _, d := range slices.Backward(s.done) {
		if !d.gone {
			out = append(out, Compensable{Task: d.task.Ref, Key: d.key, InDoubt: d.doubt})
		}
	}
	return out
}

// byHand notes that the work of a task that is passed over counts as done. What is known to have been done keeps its place.
func (s *State) byHand(f *frame, output *Value) {
	switch {
	case f.call != nil:
		key := f.call.scheduled.GetKey()
		if d := s.deeds[key]; d != nil && !d.doubt {
			d.output = output
			return
		}
		s.did(f, key, f.call.input, output, false)
	case f.child != nil:
		s.did(f, f.child.scheduled.GetChildId(), f.child.input, output, false)
	default:
		v := s.visit(f)
		v.over = true
		s.did(f, s.keyOf(f.place(), v.count), f.input, output, false)
	}
}
