package rows

import (
	"slices"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
)

// Facts is what is known of an order once some of its events have happened. Its rows follow from it. Times are nanoseconds
// since 1970; 0 stands for none.
type Facts struct {
	// Accepted is the event that began the history, At when that was.
	Accepted *journalv1.OrderAccepted
	At       int64
	// Deadline is when the order faults if it has not ended.
	Deadline int64
	Status   orderv1.Status
	EndedAt  int64
	// NextDue is when an order goes on by itself at the latest.
	NextDue int64
	// Queued: it has not begun, or not begun again. Turn is its place in the queue if that is not by its acceptance.
	Queued bool
	Turn   []byte
	// Key is the order key that it waits for or takes up; empty if it has none, or runs in the turn of its parent.
	Key string
	// HoldsKey: it has faulted, and nobody else of its key may run.
	HoldsKey bool
	// Untold: it has ended, and its parent may not know.
	Untold bool
	// Parked: it waits for nothing but its tasks in overflow to be refilled, or for its due time.
	Parked bool
	// Intake: it was accepted by who did not own its partition, and nothing has happened to it since.
	Intake bool
	// Suspended: an operator suspended it. InFlight: something of it is under way.
	Suspended, InFlight bool
	// ReadsFrom is the version of the event from which on its history can be read; 0: from the first.
	ReadsFrom uint64
	Overflow  []Overflowed
	// Fault tells of an order that has faulted; else it is nil.
	Fault *Fault
}

// Overflowed is an attempt in overflow.
type Overflowed struct {
	Activity string
	Since    int64
	Frame    uint32
	Bytes    int
}

// Fault is why an order has faulted, and where.
type Fault struct {
	Task, Type, Title, Detail string
	// InDoubt: nobody knows of an attempt whether it was executed.
	InDoubt bool
}

// Open tells whether the order has an open row.
func (f *Facts) Open() bool { return !Ended(f.Status) || f.HoldsKey || f.Untold }

// Ended tells whether an order that has this status has ended. For rows, one that has faulted has; but it may be reopened.
func Ended(s orderv1.Status) bool {
	return EndedBadly(s) || s == orderv1.Status_STATUS_COMPLETED
}

// EndedBadly tells whether an order that has this status has ended otherwise than it should. Such orders have an index.
func EndedBadly(s orderv1.Status) bool {
	return s == orderv1.Status_STATUS_FAULTED || s == orderv1.Status_STATUS_CANCELLED
}

// Due is the due time in the open row: that of an order which can only go on by itself.
func (f *Facts) due() int64 {
	if f.Status == orderv1.Status_STATUS_WAITING || f.Status == orderv1.Status_STATUS_PENDING || f.Parked {
		return f.NextDue
	}
	return 0
}

// halted tells whether an open order has nothing to do until an operator resumes it.
func (f *Facts) halted() bool { return f.Suspended && !f.InFlight }

// halting tells whether an order is suspended, while something of it is still under way.
func (f *Facts) halting() bool { return f.Suspended && f.InFlight }

func (f *Facts) inDoubt() bool { return f.Fault != nil && f.Fault.InDoubt }

// OrderRow is the row of the order, which belongs to partition p.
func (f *Facts) OrderRow(p messages.Partition) *journalv1.OrderRow {
	a := f.Accepted
	r := &journalv1.OrderRow{
		Id: a.GetOrderId(), Definition: a.GetDefinition(), Status: int32(f.Status), OrderKey: a.GetOrderKey(),
		Priority: a.GetPriority(), Labels: a.GetLabels(), Deadline: f.Deadline, AcceptedAt: f.At, EndedAt: f.EndedAt,
		Partition: uint32(p), Parent: a.GetParent().GetOrderId(), InDoubt: f.inDoubt(), ReadsFrom: f.ReadsFrom,
	}
	if f.Fault != nil {
		r.FaultTask, r.FaultType, r.FaultTitle = f.Fault.Task, messages.Cut(f.Fault.Type, mostKept), messages.Cut(f.Fault.Title, mostKept)
		r.FaultDetail = messages.Cut(f.Fault.Detail, mostKept)
	}
	return r
}

// OpenRow is the open row of the order; nil if it has none.
func (f *Facts) OpenRow() *journalv1.OpenRow {
	if !f.Open() {
		return nil
	}
	row := &journalv1.OpenRow{
		Id: f.Accepted.GetOrderId(), Due: f.due(), Queued: f.Queued, Turn: f.Turn, Held: f.HoldsKey,
		Suspended: f.halted(), Suspending: f.halting(), Parked: f.Parked, Telling: f.Untold,
		Intake: f.Intake,
	}
	if !Ended(f.Status) || f.HoldsKey {
		row.OrderKey = f.Key
	}
	for _, o := range f.Overflow {
		row.Overflow = append(row.Overflow, &journalv1.Overflow{
			Activity: o.Activity, Priority: f.Accepted.GetPriority(), At: o.Since, Frame: o.Frame,
			Bytes: uint32(o.Bytes), //nolint:gosec // payloads are bounded
		})
	}
	return row
}

// ChangesOrder tells whether the order's row must be written, in place of the one given; nil: there is none.
func (f *Facts) ChangesOrder(r *journalv1.OrderRow) bool {
	return r == nil || r.GetStatus() != int32(f.Status) || r.GetEndedAt() != f.EndedAt || r.GetDeadline() != f.Deadline ||
		r.GetInDoubt() != f.inDoubt() || r.GetReadsFrom() != f.ReadsFrom
}

// ChangesOpen tells whether the open row of an open order must be written, in place of the one given; nil: there is none.
func (f *Facts) ChangesOpen(o *journalv1.OpenRow) bool {
	return o == nil || o.GetDue() != f.due() || o.GetQueued() != f.Queued || o.GetHeld() != f.HoldsKey ||
		o.GetSuspended() != f.halted() || o.GetSuspending() != f.halting() || o.GetTelling() != f.Untold ||
		o.GetParked() != f.Parked || o.GetIntake() != f.Intake ||
		!slices.EqualFunc(o.GetOverflow(), f.Overflow, func(o *journalv1.Overflow, x Overflowed) bool {
			return o.GetFrame() == x.Frame && o.GetAt() == x.Since
		})
}

// mostKept is how many bytes of a text a row keeps.
const mostKept = 256
