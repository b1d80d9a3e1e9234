package shown

import (
	"time"

	"github.com/holdfast-run/holdfast/messages/adminv1"
)

// Schedule is when orders of a definition come into being by themselves.
type Schedule struct {
	Name string `json:"name"`
	// Definition is empty if no version's orders do.
	Definition string     `json:"definition"`
	Rule       string     `json:"rule"`
	Next       *time.Time `json:"next"`
	// Paused is null unless it is paused.
	Paused *Paused `json:"paused"`
	// Last is null if there was none.
	Last      *Fired   `json:"last"`
	UnderWay  int64    `json:"under_way"`
	Collected int64    `json:"collected"`
	Skipped   *Skipped `json:"skipped"`
	Unknown   string   `json:"unknown,omitempty"`
}

// Paused is since when a schedule is paused.
type Paused struct {
	At     *time.Time `json:"at"`
	By     string     `json:"by"`
	Reason string     `json:"reason"`
}

// Fired is the last order of a schedule.
type Fired struct {
	ID    string     `json:"id"`
	At    *time.Time `json:"at"`
	Due   *time.Time `json:"due"`
	Error *Problem   `json:"error"`
}

// Skipped is what a schedule has passed over last.
type Skipped struct {
	Why    string     `json:"why"`
	From   *time.Time `json:"from"`
	To     *time.Time `json:"to"`
	Detail string     `json:"detail,omitempty"`
}

// ScheduleOf makes the form of a schedule.
func ScheduleOf(s *adminv1.Schedule) Schedule {
	out := Schedule{
		Name: s.GetName(), Definition: s.GetDefinition(), Rule: s.GetRule(), Next: timeOf(s.GetNext()), UnderWay: s.GetUnderWay(),
		Collected: s.GetCollected(), Unknown: s.GetUnknown(),
	}
	if s.GetPausedAt() != nil {
		out.Paused = &Paused{timeOf(s.GetPausedAt()), s.GetPausedBy(), s.GetPausedReason()}
	}
	if s.GetLastId() != "" {
		out.Last = &Fired{s.GetLastId(), timeOf(s.GetLastAt()), timeOf(s.GetLastDue()), problemOf(s.GetLastError())}
	}
	if s.GetSkippedWhy() != "" {
		out.Skipped = &Skipped{s.GetSkippedWhy(), timeOf(s.GetSkippedFrom()), timeOf(s.GetSkippedTo()), s.GetSkippedDetail()}
	}
	return out
}
