package shown

import (
	"time"

	"github.com/holdfast-run/holdfast/messages/adminv1"
)

// Node is how things stand with a node.
type Node struct {
	Node      string     `json:"node"`
	Version   string     `json:"version"`
	StartedAt *time.Time `json:"started_at"`
	Ready     bool       `json:"ready"`
	Unready   string     `json:"unready"`
	// What waits for people.
	Faulted       int64    `json:"faulted"`
	InDoubt       int64    `json:"in_doubt"`
	Suspended     int64    `json:"suspended"`
	KeysHeld      int64    `json:"keys_held"`
	Unserved      []string `json:"unserved"`
	UnservedCount int64    `json:"unserved_count"`
	// Orders that can't be loaded.
	Unloadable      []string `json:"unloadable"`
	UnloadableCount int64    `json:"unloadable_count"`

	Open          int64 `json:"open"`
	Resident      int64 `json:"resident"`
	ResidentBytes int64 `json:"resident_bytes"`
	Timers        int64 `json:"timers"`
	Waiting       int64 `json:"waiting"`
	Overflow      int64 `json:"overflow"`
	InFlight      int64 `json:"in_flight"`
}

// NodeOf makes the form of a node.
func NodeOf(s *adminv1.StatusResponse) Node {
	return Node{
		Node: s.GetNode(), Version: s.GetVersion(), StartedAt: timeOf(s.GetStartedAt()), Ready: s.GetUnready() == "", Unready: s.GetUnready(),
		Faulted: s.GetFaulted(), InDoubt: s.GetInDoubt(), Suspended: s.GetSuspended(), KeysHeld: s.GetKeysHeld(),
		Unserved: append([]string{}, s.GetUnserved()...), UnservedCount: s.GetUnservedCount(),
		Unloadable: append([]string{}, s.GetUnloadable()...), UnloadableCount: s.GetUnloadableCount(),
		Open: s.GetOpen(), Resident: s.GetResident(), ResidentBytes: s.GetResidentBytes(), Timers: s.GetTimers(),
		Waiting: s.GetWaiting(), Overflow: s.GetOverflow(), InFlight: s.GetInFlight(),
	}
}
