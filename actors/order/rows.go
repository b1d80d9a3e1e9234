package order

import (
	"time"

	"github.com/holdfast-run/holdfast/actors/workflow"
	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/persistence/rows"
)

// changed finds out which rows the commit changes. A short wait is not worth a row.
func (i *instance) changed(p *pending) {
	f := factsOf(i.state)
	if f.Status == orderv1.Status_STATUS_WAITING && !f.Parked && i.state.NextDue().Sub(i.Now()) < i.Config.LongWait {
		f.Status = orderv1.Status_STATUS_RUNNING
	}
	if f.ChangesOrder(i.rows.Row) {
		p.rows.Row = f.OrderRow(i.home.Owner().Partition)
	}
	switch {
	case !f.Open():
		p.closes = i.rows.Row == nil || i.rows.Open != nil
	case f.ChangesOpen(i.rows.Open):
		p.rows.Open = f.OpenRow()
	}
}

// factsOf are what the rows of an order follow from.
func factsOf(s *workflow.State) rows.Facts {
	f := rows.Facts{
		Accepted: s.Accepted(), At: nano(s.AcceptedAt()), Deadline: nano(s.Deadline()), Status: s.Status(), EndedAt: nano(s.EndedAt()),
		Queued: !s.QueuedSince().IsZero(), Turn: s.Turn(), Key: s.Key(), HoldsKey: s.HoldsKey(), Untold: s.Untold(),
		Parked: s.Parked(), Suspended: s.Suspended(), Intake: s.InIntake(),
	}
	if f.Suspended {
		f.InFlight = s.InFlight()
	}
	if f.Parked || f.Status == orderv1.Status_STATUS_WAITING || f.Status == orderv1.Status_STATUS_PENDING {
		f.NextDue = nano(s.NextDue())
	}
	for _, d := range s.Overflowed() {
		f.Overflow = append(f.Overflow, rows.Overflowed{Activity: d.Activity, Since: d.Since, Frame: d.Frame, Bytes: len(d.Input)})
	}
	f.Parked = f.Parked || f.Status == orderv1.Status_STATUS_WAITING && s.Listens()
	if s.Faulted() {
		task, _ := s.Place()
		err := s.Error()
		f.Fault = &rows.Fault{
			Task: task, Type: err.GetType(), Title: err.GetTitle(), Detail: err.GetDetail(), InDoubt: len(s.InDoubt()) > 0,
		}
	}
	return f
}

// isHalted tells whether an open order has nothing to do until an operator resumes it.
func isHalted(s *workflow.State) bool { return s.Suspended() && !s.InFlight() }

func nano(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}
