package workflow

import (
	"errors"
	"fmt"
	"strings"

	"github.com/holdfast-run/holdfast/messages/journalv1"
)

// ErrStopping: the order is about to end in another way.
var ErrStopping = errors.New("order is about to end")

// over says that an order can't be told anything any more, and why: it has ended for good, or must go on first.
func (s *State) over() error {
	if s.Faulted() {
		return ErrFaulted
	}
	return fmt.Errorf("%w: it is %s", ErrEnded, strings.ToLower(strings.TrimPrefix(s.ended.String(), "STATUS_")))
}

// giveUpOrder faults an order that has not ended, nor is about to. Repeating it is no error.
func (m *machine) giveUpOrder(c Fault) error {
	s := m.s
	r := s.root()
	switch {
	case s.Faulted():
	case s.Ended():
		return s.over()
	case r == nil, s.queuedSince != 0:
		m.endFaulted(&journalv1.OrderFaulted{Error: c.Error, By: c.By, Reason: c.Reason})
	case r.stop == nil, s.mayWait(r):
		m.requestStop(r, &journalv1.StopRequested{
			Cause: journalv1.StopCause_STOP_CAUSE_FAULT, Error: c.Error, By: c.By, Reason: c.Reason,
		})
	case r.stop.GetCause() == journalv1.StopCause_STOP_CAUSE_CANCEL, r.stop.GetCause() == journalv1.StopCause_STOP_CAUSE_COMPLETE:
		return ErrStopping
	}
	return nil
}

func (m *machine) completeByHand(c Complete) error {
	s := m.s
	r := s.root()
	switch {
	case s.Ended() && !s.Faulted():
		return s.over()
	case s.Faulted(), r == nil, s.queuedSince != 0:
		m.endCompleted(&journalv1.OrderCompleted{Output: c.Output, By: c.By, Reason: c.Reason})
	case r.stop == nil, s.mayWait(r):
		m.requestStop(r, &journalv1.StopRequested{
			Cause: journalv1.StopCause_STOP_CAUSE_COMPLETE, Output: c.Output, By: c.By, Reason: c.Reason,
		})
	case r.stop.GetCause() != journalv1.StopCause_STOP_CAUSE_COMPLETE:
		return ErrStopping
	}
	return nil
}

func (m *machine) suspend(c Suspend) error {
	switch s := m.s; {
	case s.Ended():
		return s.over()
	case s.leaving():
		return ErrStopping
	case !s.suspended:
		m.emit(&journalv1.Event_OrderSuspended{OrderSuspended: &journalv1.OrderSuspended{By: c.By, Reason: c.Reason}})
	}
	return nil
}

func (m *machine) resume(c Resume) error {
	switch s := m.s; {
	case s.Ended():
		return s.over()
	case s.Suspended():
		m.emit(&journalv1.Event_OrderResumed{OrderResumed: &journalv1.OrderResumed{By: c.By, Reason: c.Reason}})
		m.timers()
	}
	return nil
}

func (m *machine) releaseKey(c ReleaseKey) error {
	switch {
	case m.s.released:
		return nil
	case !m.s.HoldsKey():
		return ErrNotHeld
	}
	m.emit(&journalv1.Event_KeyReleased{KeyReleased: &journalv1.KeyReleased{By: c.By, Reason: c.Reason}})
	return nil
}
