package order

import (
	"slices"
	"strings"
	"time"

	"github.com/holdfast-run/holdfast/actors/workflow"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
)

// changed finds out which rows the commit changes. A short wait is not worth a row.
func (i *instance) changed(p *pending) {
	s := i.state
	status := s.Status()
	if status == orderv1.Status_STATUS_WAITING && s.NextDue().Sub(i.Now()) < i.Config.LongWait {
		status = orderv1.Status_STATUS_RUNNING
	}
	if r := i.rows.Row; r == nil || r.GetStatus() != int32(status) || r.GetEndedAt() != nano(s.EndedAt()) ||
		r.GetDeadline() != nano(s.Deadline()) || r.GetInDoubt() != (s.Faulted() && len(s.InDoubt()) > 0) {
		p.rows.Row = orderRow(s, status, i.home.Owner().Partition)
	}
	if !isOpen(s) {
		p.closes = i.rows.Row == nil || i.rows.Open != nil
		return
	}
	if o := i.rows.Open; o == nil || o.GetDue() != openDue(s, status) ||
		o.GetQueued() == s.QueuedSince().IsZero() || o.GetHeld() != s.HoldsKey() || o.GetSuspended() != isHalted(s) ||
		o.GetTelling() != s.Untold() || o.GetSuspending() != isHalting(s) ||
		o.GetParked() != s.Parked() || !slices.EqualFunc(o.GetOverflow(), s.Overflowed(), isOverflow) {
		p.rows.Open = openRow(s, status)
	}
}

// rowsOf are the rows of an order that has the status.
func rowsOf(s *workflow.State, status orderv1.Status, p messages.Partition) Rows {
	r := Rows{Row: orderRow(s, status, p)}
	if isOpen(s) {
		r.Open = openRow(s, status)
	}
	return r
}

// isOpen tells whether an order is to be found by recovery.
func isOpen(s *workflow.State) bool { return !s.Ended() || s.HoldsKey() || s.Untold() }

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
		Id: string(s.ID()), Due: openDue(s, status), Queued: !s.QueuedSince().IsZero(), Turn: s.Turn(), Held: s.HoldsKey(),
		Suspended: isHalted(s), Suspending: isHalting(s), Parked: s.Parked(), Telling: s.Untold(),
	}
	if !s.Ended() || s.HoldsKey() {
		row.OrderKey = s.Key()
	}
	for _, d := range s.Overflowed() {
		row.Overflow = append(row.Overflow, &journalv1.Overflow{
			Activity: d.Activity, Priority: s.Accepted().GetPriority(), At: d.Since, Frame: d.Frame,
			Bytes: uint32(len(d.Input)), //nolint:gosec // payloads are bounded
		})
	}
	return row
}

// isOverflow tells whether a row is that of an attempt.
func isOverflow(o *journalv1.Overflow, d workflow.Dispatch) bool {
	return o.GetFrame() == d.Frame && o.GetAt() == d.Since
}

// isHalted tells whether an open order has nothing to do until an operator resumes it.
func isHalted(s *workflow.State) bool { return s.Suspended() && !s.InFlight() }

// isHalting tells whether an order is suspended, while something of it is still under way.
func isHalting(s *workflow.State) bool { return s.Suspended() && s.InFlight() }

// orderRow is the row of an order that has the status.
func orderRow(s *workflow.State, status orderv1.Status, p messages.Partition) *journalv1.OrderRow {
	a := s.Accepted()
	r := &journalv1.OrderRow{
		Id: a.GetOrderId(), Definition: a.GetDefinition(), Status: int32(status), OrderKey: a.GetOrderKey(),
		Priority: a.GetPriority(), Labels: a.GetLabels(), Deadline: nano(s.Deadline()),
		AcceptedAt: nano(s.AcceptedAt()), EndedAt: nano(s.EndedAt()), Partition: uint32(p), Parent: a.GetParent().GetOrderId(),
	}
	if s.Faulted() {
		r.FaultTask, _ = s.Place()
		r.FaultType, r.FaultTitle = shorten(s.Error().GetType()), shorten(s.Error().GetTitle())
		r.FaultDetail, r.InDoubt = shorten(s.Error().GetDetail()), len(s.InDoubt()) > 0
	}
	return r
}

// shorten cuts a text to what a row keeps of it.
func shorten(s string) string {
	const most = 256
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "")
}

func nano(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}
