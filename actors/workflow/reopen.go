package workflow

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/holdfast-run/holdfast/messages/journalv1"
)

var (
	// ErrNotFaulted: the order has not faulted.
	ErrNotFaulted = errors.New("order has not faulted")
	// ErrDeadline: the order's deadline has passed.
	ErrDeadline = errors.New("the order's deadline has passed: give it a new one")
	// ErrInDoubt: an attempt with the former input may have been executed.
	ErrInDoubt = errors.New("an attempt with the former input is in doubt: find out whether it was executed")
	// ErrPlace: the order can't go on there.
	ErrPlace = errors.New("order can't go on there")
	// ErrUnfit: the output given is none that the task may leave.
	ErrUnfit = errors.New("output does not fit")
)

// reopen has an order that faulted go on. What an activity has done is never done again: a task is entered again only if
// its work did not succeed, and then with the same key, unless its input changes.
func (m *machine) reopen(c Reopen) error {
	s := m.s
	if !s.Faulted() {
		return ErrNotFaulted
	}
	deadline := c.Deadline
	if deadline == 0 {
		deadline = s.deadline
	}
	cancelled := s.cancelledBetween(c)
	if deadline != 0 && deadline <= m.now.UnixNano() && cancelled == nil && (s.root() == nil || s.root().undo == nil) {
		return ErrDeadline
	}
	f, t, err := s.place(c)
	if err != nil {
		return err
	}
	e := &journalv1.OrderReopened{
		By: c.By, Reason: c.Reason, How: c.How, Deadline: c.Deadline, NotDone: c.NotDone,
	}
	if t != nil {
		e.Task = t.Ref
	}
	if s.mustQueue() {
		e.Turn = c.Turn
	}
	if c.How != journalv1.Reopening_REOPENING_RETRY && f != s.reopenedAt(e, t) {
		e.Frame = f.id
	}
	var end *journalv1.TaskCompleted
	if c.How == journalv1.Reopening_REOPENING_SKIP {
		if end, err = m.skipped(f, c.Value); err != nil {
			return err
		}
		e.Output = c.Value
	} else {
		e.Input = c.Value
		if e.Input != nil && !c.NotDone && s.doubtful(t, f.reopenedOn(c.How)) {
			return ErrInDoubt
		}
	}
	m.emit(&journalv1.Event_OrderReopened{OrderReopened: e})
	if cancelled != nil {
		m.stop(s.root(), cancelled)
	}
	if end != nil {
		m.emit(&journalv1.Event_TaskCompleted{TaskCompleted: end})
	}
	if s.queuedSince == 0 {
		m.start()
	}
	return nil
}

// place finds the frame and the task that a command to reopen the order is about: both are nil if no task was entered.
func (s *State) place(c Reopen) (*frame, *Task, error) {
	last := s.stand()
	switch c.How {
	case journalv1.Reopening_REOPENING_RETRY:
		switch {
		case last != nil && last.task != nil && c.Value != nil && last.succeeded():
			return nil, nil, fmt.Errorf("%w: the activity of task %s has succeeded, so that its input can't be changed",
				ErrPlace, last.task.Ref)
		case last != nil && last.task != nil && last.unreported():
			return nil, nil, fmt.Errorf("%w: the activity of task %s has succeeded, but its output could not be reported: skip the "+
				"task with the output, as a result", ErrPlace, last.task.Ref)
		case last != nil && last.task != nil:
			return last, last.task, nil
		case c.Value != nil && !s.untouched():
			return nil, nil, fmt.Errorf("%w: it stands at no task that could get the input", ErrPlace)
		}
		return nil, nil, nil
	case journalv1.Reopening_REOPENING_SKIP:
		if f := s.nearest(last, func(f *frame) bool {
			return f.isTask() && (c.Task == "" || c.Task == f.task.Ref)
		}); f != nil {
			return f, f.task, nil
		}
		if c.Task == "" {
			return nil, nil, fmt.Errorf("%w: it stands at no task; complete it by hand, or retry it", ErrPlace)
		}
		return nil, nil, fmt.Errorf("%w: it does not stand at task %s, nor inside it", ErrPlace, c.Task)
	case journalv1.Reopening_REOPENING_RESTART:
		t := s.def.Tasks[c.Task]
		switch {
		case t == nil:
			return nil, nil, fmt.Errorf("%w: its definition has no task %q", ErrPlace, c.Task)
		case s.untouched():
			return nil, nil, fmt.Errorf("%w: it has not begun; retry it", ErrPlace)
		}
		if f := s.nearest(last, func(f *frame) bool { return f.list == t.In }); f != nil {
			return f, t, nil
		}
		return nil, nil, fmt.Errorf("%w: it is not in the list of task %s; name a task around it", ErrPlace, c.Task)
	case journalv1.Reopening_REOPENING_CANCEL, journalv1.Reopening_REOPENING_UNSPECIFIED:
	}
	panic(fmt.Sprintf("reopening is of unknown kind %v", c.How))
}

// nearest returns the first frame that fits, from one on outwards, and then of all; nil if none does.
func (s *State) nearest(f *frame, fits func(*frame) bool) *frame {
	for ; f != nil; f = f.parent {
		if fits(f) {
			return f
		}
	}
	if i := slices.IndexFunc(s.frames, fits); i >= 0 {
		return s.frames[i]
	}
	return nil
}

// Place tells where an order stands that has faulted: its innermost task, and what that got; empty and nil if it is in none.
func (s *State) Place() (task string, input *Value) {
	f := s.stand()
	if f == nil || f.task == nil {
		return refOf(nil), nil
	}
	return f.task.Ref, f.raw
}

// Doubt is an attempt that was left without a known outcome.
type Doubt struct {
	Task, Key string
	Attempt   uint32
}

// InDoubt returns the attempts that nobody knows the outcome of, by key.
func (s *State) InDoubt() []Doubt {
	out := make([]Doubt, 0, len(s.abandoned))
	for _, key := range slices.Sorted(maps.Keys(s.abandoned)) {
		if a := s.abandoned[key]; !a.settled {
			out = append(out, Doubt{Task: a.task, Key: key, Attempt: a.attempt})
		}
	}
	return out
}

// stand is where the order stands: in the innermost frame, and of several branches in the one whose error came up first, or that
// was the first to leave to an operator what it undoes, or else the one that was entered last. Nil if there is none.
func (s *State) stand() *frame {
	f := s.firstFailed()
	if f == nil {
		f = s.root()
	}
	for next := f; next != nil; {
		f, next = next, nil
		for _, x := range s.frames {
			first := f.branches != nil && next != nil && next.branch.index+1 == f.branches.failed
			if x.parent == f && !first {
				next = x
			}
		}
	}
	if f != nil && f.parent != nil && f.branch != nil {
		return f.parent // no task of the branch was entered
	}
	return f
}

// untouched tells whether no task was ever looked at: what there is to repeat is the start.
func (s *State) untouched() bool {
	return len(s.frames) == 0 || len(s.frames) == 1 && s.next == 1 && s.frames[0].pos == 0
}

// succeeded tells whether the activity of the frame has been executed.
func (f *frame) succeeded() bool {
	return f.call != nil && f.call.ended.GetOutcome() == journalv1.Outcome_OUTCOME_SUCCEEDED ||
		f.child != nil && f.child.ended.GetOutcome() == journalv1.Outcome_OUTCOME_SUCCEEDED
}

// unreported tells whether the activity of the frame has been executed, and its output could not be reported.
func (f *frame) unreported() bool {
	return f.call != nil && f.succeeded() && f.call.ended.GetError() != nil
}

// skipped finds out how a task ends that is passed over.
func (m *machine) skipped(f *frame, out []byte) (*journalv1.TaskCompleted, error) {
	if out == nil {
		return &journalv1.TaskCompleted{Frame: f.id, Output: f.raw.JSON(), Then: thenContinue}, nil
	}
	e, p := m.completion(f, NewValue(out), "")
	if p != nil {
		return nil, fmt.Errorf("%w task %s: %s: %s", ErrUnfit, f.task.Ref, p.GetTitle(), p.GetDetail())
	}
	return e, nil
}

// doubtful tells whether nobody knows if a task, or one inside it, was executed.
func (s *State) doubtful(t *Task, path string) (doubt bool) {
	s.visitsOf(t, path, func(v *visit) { doubt = doubt || v.doubt })
	return doubt
}

// mustQueue tells whether an order that has faulted lost the turn of its key, or never had it.
func (s *State) mustQueue() bool { return s.Key() != "" && !s.HoldsKey() }

func (s *State) reopened(at int64, e *journalv1.OrderReopened) {
	if s.mustQueue() {
		s.queuedSince, s.turn = at, e.GetTurn()
	}
	s.ended, s.endedAt, s.endVersion, s.err, s.released = 0, 0, 0, nil, false
	if e.GetDeadline() != 0 {
		s.deadline = e.GetDeadline()
	}
	t := s.def.Tasks[e.GetTask()]
	f := s.reopenedAt(e, t)
	s.settleVisits(f, t, e)
	cancelled := s.cancelledAfterUndo(e)
	switch e.GetHow() {
	case journalv1.Reopening_REOPENING_RETRY:
		s.settleUndo(e)
		s.retry(f, e)
	case journalv1.Reopening_REOPENING_RESTART:
		s.goOnWith(f, t, e.Input)
		s.goOnBeside(f)
	case journalv1.Reopening_REOPENING_SKIP: // the end of the task follows
		s.goOnBeside(f)
	case journalv1.Reopening_REOPENING_CANCEL, journalv1.Reopening_REOPENING_UNSPECIFIED:
	}
	for _, f := range s.frames {
		f.stop, f.failed = nil, false
		if f.undo != nil {
			f.undo.failed = 0
		}
		if f.unwinding && f.undo == nil {
			continue // it goes on to undo
		}
		f.raised = nil
		if f.phase == phaseRaised {
			f.phase = phaseBlocked
		}
	}
	s.branchesReopened()
	for _, f := range s.frames {
		if f.listening() != nil {
			s.afterEvent(f) // it listens anew, or has heard enough
		}
	}
	s.later = nil
	switch {
	case cancelled != nil:
		s.root().stop = cancelled
	case e.GetHow() == journalv1.Reopening_REOPENING_CANCEL:
		s.root().stop = &journalv1.StopRequested{
			Cause: journalv1.StopCause_STOP_CAUSE_CANCEL, Compensate: true, By: e.GetBy(), Reason: e.GetReason(),
		}
	}
	if s.queuedSince == 0 {
		s.renewTimeouts(at)
	}
}

// cancelledAfterUndo returns the request to cancel an order that was to take effect once something was undone, if that goes on.
func (s *State) cancelledAfterUndo(e *journalv1.OrderReopened) *journalv1.StopRequested {
	undoes := slices.ContainsFunc(s.frames, func(f *frame) bool { return f.undo != nil || f.unwinding })
	if !undoes || e.GetHow() == journalv1.Reopening_REOPENING_RESTART {
		return nil
	}
	if r := s.root(); r.stop.GetCause() == journalv1.StopCause_STOP_CAUSE_CANCEL {
		return r.stop
	}
	return s.later
}

// reopenedAt returns the frame that an operator has told something about: the innermost where the order stands, that of the task which
// is passed over, or that of the list which has the task to go on with. Nil if it is in none.
func (s *State) reopenedAt(e *journalv1.OrderReopened, t *Task) *frame {
	f := s.stand()
	switch {
	case e.GetFrame() != 0:
		return s.mustFrame(e.GetFrame())
	case e.GetHow() == journalv1.Reopening_REOPENING_SKIP:
		for f != nil && (f.task != t || !f.isTask()) {
			f = f.parent
		}
	case e.GetHow() == journalv1.Reopening_REOPENING_RESTART:
		for f != nil && f.list != t.In {
			f = f.parent
		}
	}
	return f
}

// reopenedOn is the path of what an operator has told something about: a task, or one that is entered in the frame next.
func (f *frame) reopenedOn(how journalv1.Reopening) string {
	switch {
	case f == nil:
		return ""
	case how == journalv1.Reopening_REOPENING_RESTART:
		return f.within()
	}
	return f.path()
}

// settleVisits takes up what an operator knows of the attempts at a task.
func (s *State) settleVisits(f *frame, t *Task, e *journalv1.OrderReopened) {
	if f == nil || t == nil {
		return
	}
	skip := e.GetHow() == journalv1.Reopening_REOPENING_SKIP
	s.visitsOf(t, f.reopenedOn(e.GetHow()), func(v *visit) {
		switch {
		case skip || e.Input != nil:
			v.over = true // it was other work
			if e.Input != nil || e.Output != nil {
				s.settle(v.key)
			}
		case e.GetNotDone():
			v.doubt, v.ledger = false, ""
			delete(s.abandoned, v.key)
		default:
			return
		}
		if !skip {
			s.settleDeed(v.key, false, nil)
		}
	})
	if skip && e.Output != nil && works(t) && (!f.succeeded() || f.unreported()) {
		s.byHand(f, NewValue(e.Output))
	}
}

// retry has the order go on where it stands, in all branches. The task where it stopped gets another input, if there is one.
func (s *State) retry(f *frame, e *journalv1.OrderReopened) {
	switch {
	case s.untouched():
		s.frames, s.startedAt = nil, 0
		if e.Input != nil {
			s.input = NewValue(e.Input)
		}
	case e.Input != nil && f.task != nil && !f.succeeded():
		s.goOnWith(f.parent, f.task, e.Input)
		s.goOnBeside(f.parent)
	default:
		s.goOnBeside(nil)
	}
}

// goOnBeside has all branches go on that are not inside of a frame. The innermost task of each is entered again, unless its work is
// done, or was interrupted where it can go on.
func (s *State) goOnBeside(f *frame) {
	for _, x := range append([]*frame(nil), s.frames...) {
		within := slices.ContainsFunc(s.frames, func(y *frame) bool { return y.parent == x })
		switch {
		case within, f != nil && x.inside(f):
		case x.undo != nil: // it was interrupted before or between tries
			x.phase, x.due, x.pos = phaseNext, 0, 0
		case x.parent == nil, x.succeeded(), x.unwinding:
		case x.kind().again(x):
			s.goOnWith(x.parent, x.task, nil)
		case x.phase == phaseRaised: // its time was over while it undid what was done inside: it runs its list anew
			x.phase = phaseNext
		}
	}
}

// goOnWith makes a task the next one to be entered in a frame that has its list.
func (s *State) goOnWith(f *frame, t *Task, input []byte) {
	f.pos, f.phase, f.due, f.slowed = t.Index, phaseNext, 0, 0
	if input != nil {
		f.last = NewValue(input)
	}
	s.clear(f)
}

// renewTimeouts has the timeouts around the task where the order stands begin anew, and the retries be counted anew.
func (s *State) renewTimeouts(at int64) {
	if s.timeout != 0 {
		s.timeoutAt = at + s.timeout
	}
	for _, f := range s.frames {
		if f.timeout != 0 {
			f.timeoutAt = at + f.timeout
		}
		f.retry = retryState{}
		if f.undo != nil {
			f.undo.retry = retryState{}
		}
	}
}
