package shown

import (
	"time"

	"github.com/holdfast-run/holdfast/messages/adminv1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
)

// Keyed is an order that has a key, holds it, or waits for it.
type Keyed struct {
	Position   int64  `json:"position"`
	ID         string `json:"id"`
	Status     string `json:"status"`
	Definition string `json:"definition"`
	// HoldsKey: it has faulted, and those behind it wait.
	HoldsKey   bool       `json:"holds_key"`
	AcceptedAt *time.Time `json:"accepted_at"`
	EndedAt    *time.Time `json:"ended_at"`
}

// KeyedOf makes the form of an order of a key.
func KeyedOf(o *adminv1.KeyedOrder) Keyed {
	return Keyed{
		Position: o.GetPosition(), ID: o.GetId(), Status: StatusWord(o.GetStatus()), Definition: o.GetDefinition(), HoldsKey: HoldsKey(o),
		AcceptedAt: timeOf(o.GetAcceptedAt()), EndedAt: timeOf(o.GetEndedAt()),
	}
}

// HoldsKey tells whether an order of a key holds it: it has faulted, and those behind it wait.
func HoldsKey(o *adminv1.KeyedOrder) bool {
	return o.GetPosition() == 0 && o.GetStatus() == orderv1.Status_STATUS_FAULTED
}
