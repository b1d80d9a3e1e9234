package workflow

import (
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
)

// NoDefinition stands for the definition of an order that was refused, as it was named.
func NoDefinition(name string) *Definition {
	ref, _ := messages.ParseDefinitionRef(name) // whatever it is
	return &Definition{Ref: ref, Do: &List{}}
}

// refuse uses up the id of a child that can't be run, unless it is in use.
func (m *machine) refuse(c Refuse) {
	if m.s.version != 0 {
		return
	}
	m.emit(&journalv1.Event_OrderAccepted{OrderAccepted: c.Order})
	m.endCancelled(&journalv1.OrderCancelled{Reason: "it could not be run", Error: c.Error})
}

// Refused tells whether the order never came into being: its id was used up, because it could not be run.
func (s *State) Refused() bool {
	return s.ended == orderv1.Status_STATUS_CANCELLED && s.err != nil
}
