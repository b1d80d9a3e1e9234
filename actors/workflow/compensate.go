package workflow

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/messages/problemv1"
)

// deed is work that was done, or may have been, and that the definition knows how to undo.
type deed struct {
	task *Task
	// key is that of the attempt, or the id of the child.
	key string
	// in are the frames that contain it, from the inside out.
	in            []uint32
	input, output *Value
	// visit is that of the task, and attempt the last one of it, if an activity did it.
	visit, attempt uint32
	// doubt: nobody knows whether it is done. asks: asking again under its key does no harm, and tells. partly: it is in doubt
	// because its undoing was begun and not ended. void: it is not done, as came out while it was to be undone. gone: it was
	// undone, or done again.
	doubt, asks, partly, void, gone bool
	// within is how long to ask may take each time, in nanoseconds; 0: no bound.
	within int64
}

// undo is the undoing of a deed, for the frame of an order that is being cancelled, or of a try that has caught an error.
type undo struct {
	of *deed
	// What the frame goes on with.
	stop   *journalv1.StopRequested
	raised *problemv1.Problem
	// entered: what undoes it was begun. asked: whether it was done was asked, and nobody knew. retry counts the tries of both.
	entered, asked bool
	retry          retryState
}

// did notes that the work of a frame was done, or may have been.
func (s *State) did(f *frame, key string, input, output *Value, doubt bool) {
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
	d := &deed{task: f.task, key: key, input: input}
	if v := s.visits[f.task.Ref]; v != nil {
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
	for at > 0 && s.done[at-1].in[0] > d.in[0] {
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
	f := s.undoing()
	switch under := f != nil && f.undo.of == d; {
	case done:
		d.doubt, d.output = false, output
		if under {
			f.last = d.value()
		}
	case under:
		d.void = true
	default:
		s.notDone(d)
	}
}

// notDone notes that work was not done. Should it come to light as done all the same, it is to be undone.
func (s *State) notDone(d *deed) {
	s.undid(d.key)
	if v := s.visitOf(d); v != nil {
		v.failed = &deed{task: d.task, key: d.key, in: d.in, input: d.input, visit: d.visit}
	}
}

// lastDone returns what was done last inside a frame, and not undone; nil if nothing was. What is in doubt counts, too, unless
// certain is set.
func (s *State) lastDone(f *frame, certain bool) *deed {
	for _, d := range slices.Backward(s.done) {
		switch {
		case d.in[0] < f.id:
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

// undoing returns the frame that has a deed undone; nil if none has.
func (s *State) undoing() *frame {
	for _, f := range s.frames {
		if f.undo != nil {
			return f
		}
	}
	return nil
}

// outlasts tells whether f has been asked to stop, but first goes on to undo what it, or a frame inside, has begun to undo.
// Only an operator who ends the order interrupts that.
func (s *State) outlasts(f *frame) bool {
	return f.stop != nil && waits(f.stop.GetCause()) &&
		slices.ContainsFunc(s.frames, func(x *frame) bool { return (x.undo != nil || x.unwinding) && x.inside(f) })
}

// leaves tells whether f is being left now.
func (s *State) leaves(f *frame) bool { return f.stop != nil && !s.outlasts(f) }

func waits(c journalv1.StopCause) bool {
	return c == journalv1.StopCause_STOP_CAUSE_CANCEL || c == journalv1.StopCause_STOP_CAUSE_TIMEOUT
}

// mayWait tells whether a frame that has been asked to stop may go on for long before it does: then an operator may end the order
// otherwise.
func (s *State) mayWait(f *frame) bool { return s.outlasts(f) || f.stop.GetCompensate() }

// mustUndo returns what is to be undone before an order ends that is being cancelled; nil if nothing is.
func (s *State) mustUndo(r *frame) *deed {
	if r == nil || !r.stop.GetCompensate() {
		return nil
	}
	return s.lastDone(r, false)
}

// concludes tells whether the attempt of a frame that is being left goes on to its end all the same: what it does will be undone.
func (s *State) concludes(f *frame) bool {
	return f.task.Compensate != nil && s.root().stop.GetCompensate()
}

// tooMuch is the error of a task that can't be begun because too much could be undone already; nil if there is room.
func (s *State) tooMuch(t *Task) *problemv1.Problem {
	if t.Compensate == nil || len(s.deeds) < s.limits.Deeds {
		return nil
	}
	return problem(ErrorTypeRuntime, "Too much to undo", 500, t.Ref,
		fmt.Sprintf("the order has done %d things that it would have to undo; does it loop?", s.limits.Deeds))
}

// undo begins to undo a deed inside of f.
func (m *machine) undo(f *frame, d *deed) {
	m.emit(&journalv1.Event{Kind: &journalv1.Event_CompensationStarted{CompensationStarted: &journalv1.CompensationStarted{
		Frame: f.id, Task: d.task.Ref, Key: d.key,
	}}})
}

// undone ends the undoing of a deed.
func (m *machine) undone(f *frame) {
	d := f.undo.of
	m.emit(&journalv1.Event{Kind: &journalv1.Event_CompensationEnded{CompensationEnded: &journalv1.CompensationEnded{
		Frame: f.id, Task: d.task.Ref, Key: d.key,
	}}})
}

func (s *State) compensationStarted(e *journalv1.CompensationStarted) {
	f := s.mustFrame(e.GetFrame())
	d := s.deeds[e.GetKey()]
	if s.undoOf[e.GetTask()] != d.key {
		if s.undoOf == nil {
			s.undoOf = map[string]string{}
		}
		s.undoOf[e.GetTask()] = d.key
		for ref, v := range s.visits { // those that are not over were to undo something else
			v.over = v.over || strings.HasPrefix(ref, d.task.Compensate.Tasks[0].Ref)
		}
	}
	f.undo = &undo{of: d, stop: f.stop, raised: f.raised}
	f.stop, f.raised, f.retry.timeoutAt, f.slowed = nil, nil, 0, 0
	s.caught(f)
	s.clear(f)
	f.list, f.pos, f.last, f.phase = d.task.Compensate, 0, d.value(), phaseNext
}

func (s *State) compensationEnded(e *journalv1.CompensationEnded) {
	f := s.mustFrame(e.GetFrame())
	d := f.undo.of
	if d.void && !d.partly {
		delete(s.abandoned, d.key)
		s.notDone(d)
	} else {
		s.settle(d.key)
		s.undid(d.key)
		if v := s.visitOf(d); v != nil {
			v.over = true // to do it again is other work
		}
	}
	if f.undo.stop != nil {
		f.stop = f.undo.stop
	}
	f.raised, f.phase, f.undo = f.undo.raised, phaseRaised, nil
	f.list, f.pos, f.last = s.def.Do, 0, f.input
	if f.task != nil {
		f.list, f.unwinding = f.task.Try.List, true
	}
}

// clear drops what is inside of f.
func (s *State) clear(f *frame) { s.drop(func(x *frame) bool { return x != f && x.inside(f) }) }

// drop drops frames. What one had begun to undo may or may not be undone.
func (s *State) drop(which func(*frame) bool) {
	s.frames = slices.DeleteFunc(s.frames, func(f *frame) bool {
		if !which(f) {
			return false
		}
		if f.undo != nil && f.undo.entered {
			f.undo.of.doubt, f.undo.of.partly, f.undo.of.asks = true, true, false
		}
		return true
	})
}

// cancelFaulted ends an order that has faulted, or has it go on to undo what it has done.
func (m *machine) cancelFaulted(c Cancel) error {
	s := m.s
	switch {
	case !c.Compensate || len(s.deeds) == 0:
		m.endCancelled(&journalv1.OrderCancelled{Reason: c.Reason, By: c.By})
		return nil
	case s.undoing() != nil && c.Later:
		return m.cancelOpen(c)
	case s.undoing() != nil:
		return ErrCompensating
	}
	e := &journalv1.OrderReopened{How: journalv1.Reopening_REOPENING_CANCEL, By: c.By, Reason: c.Reason}
	if s.mustQueue() {
		e.Turn = c.Turn
	}
	m.emit(&journalv1.Event{Kind: &journalv1.Event_OrderReopened{OrderReopened: e}})
	return nil
}

// Compensable is work that a cancellation with compensation would undo.
type Compensable struct {
	// Task did it. Key is that of the attempt, or the id of the child.
	Task, Key string
	// InDoubt: nobody knows whether it was done.
	InDoubt bool
}

// Compensable returns what a cancellation with compensation would undo, in this order.
func (s *State) Compensable() []Compensable {
	var out []Compensable
	for _, d := range slices.Backward(s.done) {
		if !d.gone {
			out = append(out, Compensable{Task: d.task.Ref, Key: d.key, InDoubt: d.doubt})
		}
	}
	return out
}

// keyOf is the idempotency key of a visit of a task.
func (s *State) keyOf(ref string, visit uint32) string {
	key := s.accepted.GetOrderId() + ":" + ref
	if visit > 1 {
		key += "#" + strconv.FormatUint(uint64(visit), 10)
	}
	return key
}

// byHand notes that the work of a task that is passed over counts as done.
func (s *State) byHand(f *frame, output *Value) {
	switch {
	case f.call != nil:
		s.did(f, f.call.scheduled.GetKey(), f.call.input, output, false)
	case f.child != nil:
		s.did(f, f.child.scheduled.GetChildId(), f.child.input, output, false)
	default:
		v := s.visit(f.task.Ref)
		v.over = true
		s.did(f, s.keyOf(f.task.Ref, v.count), f.input, output, false)
	}
}

// settleUndo takes up what an operator who retries knows of work in doubt that is to be undone. If nobody was asked yet whether it
// was done, that comes first, unless it is known not to have been done.
func (s *State) settleUndo(e *journalv1.OrderReopened) {
	f := s.undoing()
	if f == nil || !f.undo.of.doubt {
		return
	}
	d := f.undo.of
	if e.GetNotDone() {
		d.void = true
		s.settle(d.key)
		if v := s.visitOf(d); v != nil && !d.partly {
			v.doubt, v.ledger = false, ""
		}
	}
	if f.undo.asked || d.void || !d.asks {
		d.doubt, d.asks = false, false
	}
}

// doubtProblem is the error of a compensation of what may not have been done.
func doubtProblem(d *deed) *problemv1.Problem {
	detail := "nobody knows whether what is to be undone was executed"
	if d.partly {
		detail = "undoing was interrupted, and nobody knows whether it was done"
	}
	return problem(ErrorTypeInDoubt, "Outcome in doubt", 500, d.task.Compensate.Tasks[0].Ref,
		detail+": retry, to undo it now; or say that there is nothing to undo, as not done")
}
