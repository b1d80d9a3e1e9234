package shown

import (
	"encoding/json"
	"time"

	"github.com/holdfast-run/holdfast/messages/orderv1"
)

// Order is an order as it stands.
type Order struct {
	ID         string   `json:"id"`
	Definition string   `json:"definition"`
	Status     string   `json:"status"`
	OrderKey   string   `json:"order_key"`
	ParentID   string   `json:"parent_id,omitempty"`
	AwaitedIDs []string `json:"awaited_ids,omitempty"`
	// PastNoReturn: it can't be cancelled any more.
	PastNoReturn bool              `json:"past_no_return,omitempty"`
	Priority     int32             `json:"priority"`
	Labels       map[string]string `json:"labels"`
	Deadline     *time.Time        `json:"deadline"`
	// Waiting is what the order waits for.
	Waiting    []Waiting  `json:"waiting,omitempty"`
	AcceptedAt *time.Time `json:"accepted_at"`
	EndedAt    *time.Time `json:"ended_at"`
	// EstimatedEnd is told of orders that wait for adapters.
	EstimatedEnd *time.Time      `json:"estimated_end,omitempty"`
	Version      uint64          `json:"version"`
	Input        json.RawMessage `json:"input"`
	Output       json.RawMessage `json:"output"`
	Error        *Problem        `json:"error"`
}

// Listed is an order of a list.
type Listed struct {
	ID         string            `json:"id"`
	Definition string            `json:"definition"`
	Status     string            `json:"status"`
	OrderKey   string            `json:"order_key"`
	ParentID   string            `json:"parent_id,omitempty"`
	Priority   int32             `json:"priority"`
	Labels     map[string]string `json:"labels"`
	Deadline   *time.Time        `json:"deadline"`
	AcceptedAt *time.Time        `json:"accepted_at"`
	EndedAt    *time.Time        `json:"ended_at"`
}

// OrderOf makes the form of an order.
func OrderOf(o *orderv1.Order) Order {
	return Order{
		ID: o.GetId(), Definition: o.GetDefinition(), Status: StatusWord(o.GetStatus()), OrderKey: o.GetOrderKey(),
		ParentID: o.GetParentId(), AwaitedIDs: o.GetAwaitedIds(), PastNoReturn: o.GetPastNoReturn(),
		Priority: o.GetPriority(), Labels: labelsOf(o.GetLabels()),
		Deadline: timeOf(o.GetDeadline()), AcceptedAt: timeOf(o.GetAcceptedAt()), EndedAt: timeOf(o.GetEndedAt()),
		EstimatedEnd: timeOf(o.GetEstimatedEnd()), Waiting: waitingOf(o.GetWaiting()), Version: o.GetVersion(),
		Input: valueOf(o.GetInput()), Output: valueOf(o.GetOutput()), Error: problemOf(o.GetError()),
	}
}

// Waiting is what an order waits for.
type Waiting struct {
	Task     string     `json:"task"`
	Reason   string     `json:"reason"`
	Since    *time.Time `json:"since,omitempty"`
	Until    *time.Time `json:"until"`
	Activity string     `json:"activity,omitempty"`
	Process  string     `json:"process,omitempty"`
}

func waitingOf(list []*orderv1.Waiting) []Waiting {
	var out []Waiting
	for _, w := range list {
		out = append(out, Waiting{
			Task: w.GetTask(), Reason: w.GetReason(), Since: timeOf(w.GetSince()), Until: timeOf(w.GetUntil()),
			Activity: w.GetActivity(), Process: w.GetProcess(),
		})
	}
	return out
}

func labelsOf(labels map[string]string) map[string]string {
	if labels == nil {
		return map[string]string{}
	}
	return labels
}

// WaitingText says what an order waits for, where, since when and until when.
func WaitingText(w *orderv1.Waiting) string {
	text := w.GetReason()
	if w.GetSince() != nil {
		text += ", since " + TimeText(w.GetSince())
	}
	if w.GetUntil() != nil {
		text += ", until " + TimeText(w.GetUntil())
	}
	if w.GetTask() != "" {
		text = w.GetTask() + ": " + text
	}
	return text
}

// ListedOf makes the form of an order of a list.
func ListedOf(o *orderv1.Order) Listed {
	return Listed{
		ID: o.GetId(), Definition: o.GetDefinition(), Status: StatusWord(o.GetStatus()), OrderKey: o.GetOrderKey(),
		ParentID: o.GetParentId(), Priority: o.GetPriority(), Labels: labelsOf(o.GetLabels()), Deadline: timeOf(o.GetDeadline()),
		AcceptedAt: timeOf(o.GetAcceptedAt()), EndedAt: timeOf(o.GetEndedAt()),
	}
}

// HasEnded tells whether an order in this status changes no more by itself.
func HasEnded(s orderv1.Status) bool {
	return s == orderv1.Status_STATUS_COMPLETED || s == orderv1.Status_STATUS_FAULTED || s == orderv1.Status_STATUS_CANCELLED
}
