package actors

import (
	"slices"

	"github.com/holdfast-run/holdfast/actors/workflow"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
)

// rows finds out which rows the commit changes. A short wait is not worth a row.
func (i *instance) rows(p *pending) {
	s := i.state
	status := s.Status()
	if status == orderv1.Status_STATUS_WAITING && s.NextDue().Sub(i.engine.now()) < i.engine.config.LongWait {
		status = orderv1.Status_STATUS_RUNNING
	}
	if i.row == nil || i.row.GetStatus() != int32(status) {
		p.row = orderRow(s, status, i.partition.number)
	}
	if !isOpen(s) {
		p.closes = i.row == nil || i.open != nil
		return
	}
	if o := i.open; o == nil || o.GetDue() != openDue(s, status) ||
		o.GetQueued() != (status == orderv1.Status_STATUS_PENDING) || o.GetHeld() != s.HoldsKey() ||
		o.GetParked() != s.Parked() || !slices.EqualFunc(o.GetOverflow(), s.Overflowed(), isOverflow) {
		p.open = openRow(s, status)
	}
}

// isOpen tells whether an order is to be found by recovery.
func isOpen(s *workflow.State) bool { return !s.Ended() || s.HoldsKey() }

// openDue is the due time of an order that can only go on by itself; else 0.
func openDue(s *workflow.State, status orderv1.Status) int64 {
	if status == orderv1.Status_STATUS_WAITING || status == orderv1.Status_STATUS_PENDING || s.Parked() {
		return nano(s.NextDue())
	}
	return 0
}

// openRow is the row of an open order that has the status.
func openRow(s *workflow.State, status orderv1.Status) *journalv1.OpenRow {
	row := &journalv1.OpenRow{
		Id: string(s.ID()), OrderKey: s.Accepted().GetOrderKey(), Due: openDue(s, status),
		Queued: status == orderv1.Status_STATUS_PENDING, Held: s.HoldsKey(), Parked: s.Parked(),
	}
	for _, d := range s.Overflowed() {
		name, _ := splitActivity(d.Activity)
		row.Overflow = append(row.Overflow, &journalv1.Overflow{
			Activity: name, Priority: s.Accepted().GetPriority(), At: d.Since, Frame: d.Frame,
			Bytes: uint32(len(d.Input)), //nolint:gosec // payloads are bounded
		})
	}
	return row
}

// isOverflow tells whether a row is that of an attempt.
func isOverflow(o *journalv1.Overflow, d workflow.Dispatch) bool {
	return o.GetFrame() == d.Frame && o.GetAt() == d.Since
}

func orderRow(s *workflow.State, status orderv1.Status, p messages.Partition) *journalv1.OrderRow {
	a := s.Accepted()
	return &journalv1.OrderRow{
		Id: a.GetOrderId(), Definition: a.GetDefinition(), Status: int32(status), OrderKey: a.GetOrderKey(),
		Priority: a.GetPriority(), Labels: a.GetLabels(), Deadline: a.GetDeadline(),
		AcceptedAt: nano(s.AcceptedAt()), EndedAt: nano(s.EndedAt()), Partition: uint32(p),
	}
}
