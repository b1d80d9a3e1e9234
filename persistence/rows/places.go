package rows

import (
	"strings"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
)

// Index is an index by which orders are found.
type Index int

// The indexes.
const (
	// ByID leads from an order's id to it: the directory.
	ByID Index = iota
	// ByName has orders by namespace/name of their definitions, in Place.Text.
	ByName
	// ByKey has orders by their order keys, in Place.Text.
	ByKey
	// ByLabel has orders by each of their labels: its name in Place.Text, its value in Place.Value.
	ByLabel
	// ByStatus has the orders that ended badly, by Place.Number. Place.Doubt tells of those that have an attempt in doubt.
	ByStatus
	// ByPartition has the open orders of a partition.
	ByPartition
	// ByQueue has the orders of a partition that wait for an order key, in Place.Text, by their positions, in Place.Number.
	ByQueue
	// ByDue has open orders of a partition by their due times, in Place.Number.
	ByDue
	// ByOverflow has the tasks in overflow of an activity, in Place.Text, by Place.Priority, partition, Place.Number, which is
	// their time, and Place.Frame.
	ByOverflow
)

// Place is that of an order in an index: with the order's partition and handle, it says where in the index the order is, and
// what is kept there. Places can be compared.
type Place struct {
	Index    Index
	Text     string
	Value    string
	Number   int64
	Priority int32
	Frame    uint32
	// Bytes is the size of the task's input, in ByOverflow.
	Bytes uint32
	Doubt bool
}

// OfOrder appends the places that an order has from its acceptance on for good. An instance of another kind is found by its id alone.
func OfOrder(places []Place, row *journalv1.OrderRow) []Place {
	places = append(places, Place{Index: ByID, Text: row.GetId()})
	if !IsOrder(row.GetId()) {
		return places
	}
	places = append(places, Place{Index: ByName, Text: DefinitionName(row.GetDefinition())})
	if key := row.GetOrderKey(); key != "" {
		places = append(places, Place{Index: ByKey, Text: key})
	}
	for _, l := range row.GetLabels() {
		places = append(places, Place{Index: ByLabel, Text: l.GetName(), Value: l.GetValue()})
	}
	return places
}

// OfStatus appends the places that an order has by the status in its row.
func OfStatus(places []Place, row *journalv1.OrderRow) []Place {
	if EndedBadly(orderv1.Status(row.GetStatus())) && IsOrder(row.GetId()) {
		places = append(places, Place{Index: ByStatus, Number: int64(row.GetStatus()), Doubt: row.GetInDoubt()})
	}
	return places
}

// OfOpen appends the places that an order has by its open row; none if it is nil. Position is the one that the journal has given
// to an order that queues.
func OfOpen(places []Place, open *journalv1.OpenRow, position uint64) []Place {
	if open == nil {
		return places
	}
	places = append(places, Place{Index: ByPartition})
	if Queues(open) {
		places = append(places, Place{Index: ByQueue, Text: open.GetOrderKey(), Number: int64(position)}) //nolint:gosec // it is counted up
	}
	if due := open.GetDue(); due != 0 {
		places = append(places, Place{Index: ByDue, Number: max(due, 0)})
	}
	for _, o := range open.GetOverflow() {
		places = append(places, Place{
			Index: ByOverflow, Text: o.GetActivity(), Priority: o.GetPriority(), Number: max(o.GetAt(), 0), Frame: o.GetFrame(),
			Bytes: o.GetBytes(),
		})
	}
	return places
}

// IsOrder tells whether an id is that of an order, and not of an instance of another kind.
func IsOrder(id string) bool { return messages.OrderID(id).Kind() == messages.KindOrder }

// Queues tells whether an open order waits in the queue of an order key. Only there it has a position.
func Queues(open *journalv1.OpenRow) bool { return open.GetQueued() && open.GetOrderKey() != "" }

// DefinitionName returns namespace/name of a reference namespace/name:version.
func DefinitionName(ref string) string {
	name, _, _ := strings.Cut(ref, ":")
	return name
}
