package persistence

import (
	"bytes"
	"cmp"
	"time"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
)

// Summary tells of a whole journal that nobody has open, and that is to be moved into another one.
type Summary struct {
	// Journal is its identity, a UUID; Digest a checksum of all that it holds.
	Journal, Digest string
	// MovedTo is the journal into which it was moved before; empty: it was not.
	MovedTo string
	// FeatureLevel is the highest that its records may have, Generation that of its epochs, and Epochs are those of the partitions.
	FeatureLevel uint32
	Generation   messages.Generation
	Epochs       [messages.Partitions]messages.Epoch
	// Position: no order has a higher one in the queue of its key.
	Position Position
	// Months are those in which its orders were accepted, by their first moments.
	Months []time.Time
	// Orders, Records and Definitions count what it has.
	Orders, Records, Definitions int64
}

// WholeOrder is all that a journal has of an order beside its history.
type WholeOrder struct {
	Entry

	Row *journalv1.OrderRow
	// Open has the order's position, if it queues; nil: the order has no open row.
	Open *journalv1.OpenRow
	// Intake: it was accepted without an epoch, and the owner of the partition has not committed anything of it.
	Intake bool
}

// PlacedRecord is a record and where it is in the journal: by its order, and then by the version of its first event.
type PlacedRecord struct {
	RecordPlace

	Events int
	// Data is valid until the next step of an iteration.
	Data []byte
}

// RecordPlace is the place of a record among all. The zero value is before all others.
type RecordPlace struct {
	Handle messages.Handle
	First  messages.Version
}

// Compare tells whether a place is before another one (negative), behind it (positive), or the same (0).
func (p RecordPlace) Compare(other RecordPlace) int {
	return cmp.Or(bytes.Compare(p.Handle[:], other.Handle[:]), cmp.Compare(p.First, other.First))
}
