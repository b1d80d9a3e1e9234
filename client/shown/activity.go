package shown

import (
	"time"

	"github.com/holdfast-run/holdfast/messages/adminv1"
)

// Activity is how things stand with an activity.
type Activity struct {
	Activity string  `json:"activity"`
	Adapters int64   `json:"adapters"`
	Waiting  int64   `json:"waiting"`
	Overflow int64   `json:"overflow"`
	InFlight int64   `json:"in_flight"`
	AgeS     float64 `json:"age_s"`
	RatePerS float64 `json:"rate_per_s"`
	// Limit is null if there is none.
	Limit *Limit `json:"limit"`
	// Away are in flight with an adapter that is away; AwayUntil is when another one is asked for the first of them.
	Away        int64      `json:"away"`
	AwayUntil   *time.Time `json:"away_until"`
	Suspects    int64      `json:"suspects"`
	Redelivered int64      `json:"redelivered"`
	Quarantined int64      `json:"quarantined"`
}

// Limit is a limit of an activity; 0 bounds nothing.
type Limit struct {
	RatePerS    float64    `json:"rate_per_s"`
	Concurrency uint32     `json:"concurrency"`
	SetAt       *time.Time `json:"set_at,omitempty"`
	By          string     `json:"by"`
	Reason      string     `json:"reason"`
}

// Limited is what the limit of an activity has become.
type Limited struct {
	Activity string `json:"activity"`
	// Limit is null if it was lifted.
	Limit *Limit `json:"limit"`
	// Unknown: no adapter offers the activity, and no definition calls it.
	Unknown bool `json:"unknown"`
}

// ActivityOf makes the form of an activity.
func ActivityOf(s *adminv1.ActivityStatus) Activity {
	out := Activity{
		Activity: s.GetActivity(), Adapters: s.GetAdapters(), Waiting: s.GetWaiting(), Overflow: s.GetOverflow(), InFlight: s.GetInFlight(),
		AgeS: s.GetAgeSeconds(), RatePerS: s.GetRatePerSecond(), Away: s.GetAway(), AwayUntil: timeOf(s.GetAwayUntil()),
		Suspects: s.GetSuspects(), Redelivered: s.GetRedelivered(), Quarantined: s.GetQuarantined(),
	}
	if l := s.GetLimit(); l != nil {
		out.Limit = &Limit{l.GetRatePerSecond(), l.GetConcurrency(), timeOf(l.GetSetAt()), l.GetBy(), l.GetReason()}
	}
	return out
}

// LimitedOf makes the form of what a request to limit an activity has led to.
func LimitedOf(r *adminv1.LimitActivityRequest, answer *adminv1.LimitActivityResponse) Limited {
	out := Limited{Activity: r.GetActivity(), Unknown: answer.GetUnknown()}
	if r.GetRatePerSecond() != 0 || r.GetConcurrency() != 0 {
		out.Limit = &Limit{RatePerS: r.GetRatePerSecond(), Concurrency: r.GetConcurrency(), By: r.GetBy(), Reason: r.GetReason()}
	}
	return out
}
