package rows

import (
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
)

// MaxText is the length of the longest order key, label and name of a definition or activity, in bytes.
const MaxText = 1<<16 - 1

// Check says what is wrong with a row in itself.
func Check(row *journalv1.OrderRow) error {
	if row.GetPartition() >= messages.Partitions {
		return fmt.Errorf("row has the partition %d", row.GetPartition())
	}
	for _, l := range row.GetLabels() {
		if len(l.GetName()) > MaxText || len(l.GetValue()) > MaxText {
			return fmt.Errorf("row of order %s has a label of more than %d bytes", row.GetId(), MaxText)
		}
	}
	if len(row.GetOrderKey()) > MaxText || len(row.GetDefinition()) > MaxText {
		return fmt.Errorf("row of order %s has an order key or a definition of more than %d bytes", row.GetId(), MaxText)
	}
	return nil
}

// Agree says in what the rows of one order contradict each other; open is nil if it has none.
func Agree(row *journalv1.OrderRow, open *journalv1.OpenRow) error {
	status := orderv1.Status(row.GetStatus())
	ended := Ended(status)
	if ended != (row.GetEndedAt() != 0) {
		return fmt.Errorf("row has the status %s and ended at %d", status, row.GetEndedAt())
	}
	// What ended is open only as long as it holds its key, or its parent may not know.
	if (!ended || open.GetHeld() || open.GetTelling()) != (open != nil) {
		return fmt.Errorf("row has the status %s, and the open row is %v", status, open)
	}
	if open.GetHeld() && status != orderv1.Status_STATUS_FAULTED || open.GetTelling() && !ended {
		return fmt.Errorf("row has the status %s, and the open row says that it is held or telling: %v", status, open)
	}
	if Queues(open) != (open.GetPosition() != 0) {
		return fmt.Errorf("open row tells of a queue, and of a position there, or not: %v", open)
	}
	if open != nil && open.GetId() != row.GetId() {
		return fmt.Errorf("open row has the id %q, the row %q", open.GetId(), row.GetId())
	}
	return nil
}

// Follow says in what the rows of an order differ from those that follow from its history; open is nil if it has none.
func (f *Facts) Follow(row *journalv1.OrderRow, open *journalv1.OpenRow) error {
	should := *f
	// A short wait is not worth a row: the row may still say that the order runs.
	if f.Status == orderv1.Status_STATUS_WAITING && orderv1.Status(row.GetStatus()) == orderv1.Status_STATUS_RUNNING {
		should.Status = orderv1.Status_STATUS_RUNNING
	}
	wants := should.OrderRow(messages.Partition(row.GetPartition())) //nolint:gosec // whoever reads rows checks it
	if !proto.Equal(row, wants) {
		return fmt.Errorf("the history says %v and the row %v", wants, row)
	}
	wantsOpen := should.OpenRow()
	if Queues(wantsOpen) {
		wantsOpen.Position = open.GetPosition() // No history tells it.
	}
	if !proto.Equal(open, wantsOpen) {
		return fmt.Errorf("the history says %v and the open row %v", wantsOpen, open)
	}
	return nil
}
