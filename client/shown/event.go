package shown

import (
	"encoding/json"
	"time"

	"github.com/holdfast-run/holdfast/messages/orderv1"
)

// Event is something that happened to an order.
type Event struct {
	Version    uint64          `json:"version"`
	At         *time.Time      `json:"at"`
	Type       string          `json:"type"`
	Task       string          `json:"task"`
	Attempt    uint32          `json:"attempt"`
	Key        string          `json:"key,omitempty"`
	Activity   string          `json:"activity,omitempty"`
	ChildID    string          `json:"child_id,omitempty"`
	Data       json.RawMessage `json:"data,omitempty"`
	Error      *Problem        `json:"error,omitempty"`
	Due        *time.Time      `json:"due,omitempty"`
	Reason     string          `json:"reason,omitempty"`
	By         string          `json:"by,omitempty"`
	NotDone    bool            `json:"not_done,omitempty"`
	Compensate bool            `json:"compensate,omitempty"`
	// Process was lost with the attempt, or is back; Ledger is where it was sent.
	Process      string `json:"process,omitempty"`
	Ledger       string `json:"ledger,omitempty"`
	MaybeStarted bool   `json:"maybe_started,omitempty"`
	Alone        bool   `json:"alone,omitempty"`
	Suspect      bool   `json:"suspect,omitempty"`
	Kept         bool   `json:"kept,omitempty"`
}

// EventOf makes the form of an event.
func EventOf(ev *orderv1.HistoryEvent) Event {
	return Event{
		Version: ev.GetVersion(), At: timeOf(ev.GetAt()), Type: ev.GetType(), Task: ev.GetTask(), Attempt: ev.GetAttempt(),
		Key: ev.GetKey(), Activity: ev.GetActivity(), ChildID: ev.GetChildId(), Data: valueOf(ev.GetData()),
		Error: problemOf(ev.GetError()), Due: timeOf(ev.GetDue()), Reason: ev.GetReason(), By: ev.GetBy(),
		NotDone: ev.GetNotDone(), Compensate: ev.GetCompensate(), Process: ev.GetProcess(), Ledger: ev.GetLedger(),
		MaybeStarted: ev.GetMaybeStarted(), Alone: ev.GetAlone(), Suspect: ev.GetSuspect(), Kept: ev.GetKept(),
	}
}
