package workflow

import (
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
)

func (m *machine) cancel(c Cancel) error {
	s := m.s
	err := s.mayCancel()
	switch {
	case s.ended == orderv1.Status_STATUS_CANCELLED:
		return nil
	case s.ended == orderv1.Status_STATUS_COMPLETED:
		return s.over()
	case err != nil:
		return err
	case s.Faulted():
		return m.cancelFaulted(c)
	case s.startedAt == 0:
		m.endCancelled(&journalv1.OrderCancelled{Reason: c.Reason, By: c.By})
	default:
		return m.cancelOpen(c)
	}
	return nil
}

// cancelOpen has an order cancelled that has not ended, unless it is being cancelled already. To undo what it has done may be
// asked for later, and it goes before a fault that is to come.
func (m *machine) cancelOpen(c Cancel) error {
	r := m.s.root()
	switch cause := r.stop.GetCause(); {
	case cause == journalv1.StopCause_STOP_CAUSE_COMPENSATION && !m.s.Faulted(),
		cause == journalv1.StopCause_STOP_CAUSE_COMPLETE, cause == journalv1.StopCause_STOP_CAUSE_FAULT && r.undo != nil:
		return ErrStopping
	case r.undo != nil, cause == journalv1.StopCause_STOP_CAUSE_CANCEL && (r.stop.GetCompensate() || !c.Compensate):
		return nil
	}
	m.stop(r, &journalv1.StopRequested{
		Cause: journalv1.StopCause_STOP_CAUSE_CANCEL, Reason: c.Reason, By: c.By, Compensate: c.Compensate,
	})
	return nil
}

// cancelFaulted ends an order that has faulted, or has it go on to undo what it has done.
func (m *machine) cancelFaulted(c Cancel) error {
	s := m.s
	switch {
	case !c.Compensate || len(s.deeds) == 0:
		m.endCancelled(&journalv1.OrderCancelled{Reason: c.Reason, By: c.By})
		return nil
	case s.undoes() && c.Later:
		return m.cancelOpen(c)
	case s.undoes():
		return ErrCompensating
	}
	e := &journalv1.OrderReopened{How: journalv1.Reopening_REOPENING_CANCEL, By: c.By, Reason: c.Reason}
	if s.mustQueue() {
		e.Turn = c.Turn
	}
	m.emit(&journalv1.Event_OrderReopened{OrderReopened: e})
	return nil
}
