package shown

import (
	"encoding/json"
	"time"

	"github.com/holdfast-run/holdfast/messages/adminv1"
)

// Group is a group of faulted orders.
type Group struct {
	Count      int64  `json:"count"`
	Definition string `json:"definition"`
	Task       string `json:"task"`
	ErrorType  string `json:"error_type"`
	ErrorTitle string `json:"error_title"`
	// ErrorDetail is empty if errors of any detail are one group.
	ErrorDetail string     `json:"error_detail"`
	Oldest      *time.Time `json:"oldest"`
	Newest      *time.Time `json:"newest"`
	ExampleID   string     `json:"example_id"`
}

// Fallout is what an operator has to know of one order to decide about it.
type Fallout struct {
	Order       Order           `json:"order"`
	Task        string          `json:"task"`
	Input       json.RawMessage `json:"input"`
	HoldsKey    bool            `json:"holds_key"`
	InDoubt     []Doubt         `json:"in_doubt"`
	LateResults []Event         `json:"late_results"`
	Compensable []Undo          `json:"compensable"`
	// How many more there are of each kind than are listed.
	MoreInDoubt     int64 `json:"more_in_doubt"`
	MoreLateResults int64 `json:"more_late_results"`
	MoreCompensable int64 `json:"more_compensable"`
}

// Doubt is an attempt of which nobody knows whether it was executed.
type Doubt struct {
	Task    string `json:"task"`
	Key     string `json:"key"`
	Attempt uint32 `json:"attempt"`
}

// Undo is what a cancellation with compensation would undo.
type Undo struct {
	Task    string `json:"task"`
	Key     string `json:"key"`
	InDoubt bool   `json:"in_doubt"`
}

// FalloutOf makes the form of an order of the fallout desk.
func FalloutOf(f *adminv1.ShowFalloutResponse) Fallout {
	out := Fallout{
		Order: OrderOf(f.GetOrder()), Task: f.GetTask(), Input: valueOf(f.GetInput()), HoldsKey: f.GetHoldsKey(),
		InDoubt: []Doubt{}, LateResults: []Event{}, Compensable: []Undo{}, MoreInDoubt: f.GetMoreInDoubt(),
		MoreLateResults: f.GetMoreLateResults(), MoreCompensable: f.GetMoreCompensable(),
	}
	for _, d := range f.GetInDoubt() {
		out.InDoubt = append(out.InDoubt, Doubt{Task: d.GetTask(), Key: d.GetKey(), Attempt: d.GetAttempt()})
	}
	for _, ev := range f.GetLateResults() {
		out.LateResults = append(out.LateResults, EventOf(ev))
	}
	for _, c := range f.GetCompensable() {
		out.Compensable = append(out.Compensable, Undo{Task: c.GetTask(), Key: c.GetKey(), InDoubt: c.GetInDoubt()})
	}
	return out
}

// GroupOf makes the form of a group.
func GroupOf(g *adminv1.FalloutGroup) Group {
	return Group{
		Count: g.GetCount(), Definition: g.GetDefinition(), Task: g.GetTask(), ErrorType: g.GetErrorType(),
		ErrorTitle: g.GetErrorTitle(), ErrorDetail: g.GetErrorDetail(), Oldest: timeOf(g.GetOldest()),
		Newest: timeOf(g.GetNewest()), ExampleID: g.GetExampleId(),
	}
}
