package workflow

import (
	"errors"
	"fmt"
)

// ErrNoReturn: the order is at a point of no return, or past it.
var ErrNoReturn = errors.New("order can't be cancelled")

// passed notes that the work of a task was done. Behind a point of no return the order only goes forward.
func (s *State) passed(t *Task) {
	if t.NoReturn {
		s.returnable = s.next
	}
}

// PastReturn tells whether the order is past a point of no return.
func (s *State) PastReturn() bool { return s.returnable != 0 }

// mayCancel tells why the order can't be cancelled; nil if it can.
func (s *State) mayCancel() error {
	if s.PastReturn() {
		return fmt.Errorf("%w: it is past its point of no return; have it go on, or complete it by hand", ErrNoReturn)
	}
	if ref := s.doubtfulReturn(); ref != "" {
		return fmt.Errorf("%w: nobody knows whether task %s was executed, its point of no return; find that out first", ErrNoReturn, ref)
	}
	for _, f := range s.frames {
		if f.task != nil && f.task.NoReturn && f.underWay() {
			return fmt.Errorf("%w: task %s is under way, its point of no return; wait until that has ended, or have the order fault first",
				ErrNoReturn, f.task.Ref)
		}
	}
	return nil
}

// doubtfulReturn returns the task that is a point of no return and nobody knows to be done, or not done; empty if there is none.
func (s *State) doubtfulReturn() string {
	for _, d := range s.InDoubt() {
		if s.def.Tasks[d.Task].NoReturn {
			return d.Task
		}
	}
	return ""
}

// goesForward tells whether a try must not undo what was done inside any more: it was entered before the order passed a point of no
// return, or nobody knows whether that was passed. What has begun to be undone goes on to be.
func (s *State) goesForward(f *frame) bool {
	return !f.unwinding && (f.id < s.returnable || s.doubtfulReturn() != "")
}
