package gateway

import (
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// lastYear is the last year that a time may lie in. Any time from 1970 to its end can be represented in nanoseconds since 1970; a time far
// outside would become another one.
const lastYear = 2200

// checkTime returns a time that a caller gave; the zero time if there is none, or if it is refused.
func checkTime(m *mistakes, field string, ts *timestamppb.Timestamp) time.Time {
	if ts == nil {
		return time.Time{}
	}
	if err := ts.CheckValid(); err != nil {
		m.add(field, err.Error())
		return time.Time{}
	}
	t := ts.AsTime()
	if !isTellable(t) {
		m.add(field, "is "+t.Format(time.RFC3339)+", and must be between 1970 and 2200")
		return time.Time{}
	}
	return t
}

func isTellable(t time.Time) bool { return t.Unix() >= 0 && t.Year() <= lastYear }

// deadline returns when something that a caller asks for must have ended: the caller gives a time, or a duration from now on, or neither.
// Errors name the message that has these fields by its path.
func (s *Server) deadline(m *mistakes, path string, at *timestamppb.Timestamp, after *durationpb.Duration) int64 {
	switch {
	case after == nil && at == nil:
		return 0
	case after == nil:
		return nanoseconds(checkTime(m, path+".deadline", at))
	}
	field := path + ".deadline_after"
	if at != nil {
		m.add(field, "and deadline exclude each other: give one of them")
		return 0
	}
	if err := after.CheckValid(); err != nil {
		m.add(field, err.Error())
		return 0
	}
	t := s.engine.Now().Add(after.AsDuration())
	switch {
	case after.AsDuration() <= 0:
		m.add(field, "is "+after.AsDuration().String()+", and must be longer than 0")
	case !isTellable(t):
		m.add(field, "is "+after.AsDuration().String()+", and must end before the year 2201")
	}
	return nanoseconds(t)
}

// nanoseconds tells a time in nanoseconds since 1970; 0 if there is none. The beginning of 1970 is told as
// the first nanosecond.
func nanoseconds(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return max(1, t.UnixNano())
}
