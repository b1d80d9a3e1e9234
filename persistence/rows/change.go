package rows

import (
	"errors"
	"fmt"
	"math"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
)

// Change is what a commit changes of one order: its history, and the rows beside it.
type Change struct {
	Partition messages.Partition
	Epoch     messages.Epoch
	Handle    messages.Handle
	// Expected is the version of the last event before it; 0 accepts the order.
	Expected messages.Version
	Events   int
	Bytes    int
	ID       messages.OrderID
	// Row and Open replace the rows of the order; nil leaves them. Close removes the open row.
	Row   *journalv1.OrderRow
	Open  *journalv1.OpenRow
	Close bool
}

// Check says what is wrong with a change in itself; its record may have at most so many bytes. Such a change is a mistake of whoever made
// it.
func (c Change) Check(mostBytes int64) error {
	accept := c.Expected == 0
	switch {
	case c.Partition >= messages.Partitions:
		return fmt.Errorf("commit: Partition is %d: it must be below %d", c.Partition, messages.Partitions)
	case c.Handle.IsZero():
		return errors.New("commit: Handle is zero")
	case c.Events < 1:
		return fmt.Errorf("commit: Events is %d: it must be at least 1", c.Events)
	case int64(c.Bytes) > mostBytes:
		return fmt.Errorf("commit: Record has %d bytes, more than %d: raise CommitBytes, or keep payloads smaller", c.Bytes, mostBytes)
	case accept != (c.ID != ""):
		return errors.New("commit: ID must be given with an acceptance, and only then")
	case accept && c.Row == nil:
		return errors.New("commit: Row must be given with an acceptance")
	case len(c.Open.GetOrderKey()) > MaxText:
		return fmt.Errorf("commit: Open has an order key of more than %d bytes", MaxText)
	case c.Open != nil && c.Close:
		return errors.New("commit: Open and Close exclude each other")
	case accept && c.Open == nil && !c.Close:
		return errors.New("commit: Open or Close must be given with an acceptance")
	}
	if accept && c.Epoch == 0 && (c.Events != 1 || c.Close) {
		return errors.New("commit: an acceptance without Epoch must be of one event, and open: only the owner of the partition decides more")
	}
	if c.Open.GetPosition() != 0 {
		return errors.New("commit: Open has a position in a queue, which only the journal gives")
	}
	for _, o := range c.Open.GetOverflow() {
		if len(o.GetActivity()) > MaxText || o.GetPriority() < 0 || o.GetPriority() > math.MaxUint8 {
			return fmt.Errorf("commit: Open has overflow of an activity of %d bytes at priority %d: at most %d bytes and 0 to %d are expected",
				len(o.GetActivity()), o.GetPriority(), MaxText, math.MaxUint8)
		}
	}
	switch {
	case c.Row == nil:
		return nil
	case c.Row.GetPartition() != uint32(c.Partition):
		return fmt.Errorf("commit: Row has the partition %d, and Partition is %d", c.Row.GetPartition(), c.Partition)
	}
	return Check(c.Row)
}
