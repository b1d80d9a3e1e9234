package checker

import (
	"encoding/json"
	"errors"
	"time"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/orderv1"
)

// line is an event as it stands in a file of histories. The check itself reads less: see event.
type line struct {
	Order    messages.OrderID `json:"order"`
	Version  uint64           `json:"version"`
	At       time.Time        `json:"at"`
	Type     string           `json:"type"`
	Task     string           `json:"task,omitempty"`
	Attempt  uint32           `json:"attempt,omitempty"`
	Key      string           `json:"key,omitempty"`
	Activity string           `json:"activity,omitempty"`
}

// WriteHistory writes the events of an order to a file of histories, a line each.
func WriteHistory(to *json.Encoder, order messages.OrderID, events []*orderv1.HistoryEvent) error {
	var err error
	for _, e := range events {
		err = errors.Join(err, to.Encode(line{
			Order: order, Version: e.GetVersion(), At: e.GetAt().AsTime(), Type: e.GetType(), Task: e.GetTask(),
			Attempt: e.GetAttempt(), Key: e.GetKey(), Activity: e.GetActivity(),
		}))
	}
	return err
}
