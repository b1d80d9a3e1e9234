package main

import (
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// parseTime reads a time of RFC 3339, or how long ago it was. Empty means no time.
func parseTime(flag, text string, now time.Time) (*timestamppb.Timestamp, error) {
	t, ago, err := parseWhen(flag, text)
	if err != nil || ago == nil {
		return t, err
	}
	return tellable(flag, text, now.Add(-ago.AsDuration()))
}

// parseWhen reads a time of RFC 3339, or a duration, as such: what is counted from is for others to say. Empty means neither.
func parseWhen(flag, text string) (*timestamppb.Timestamp, *durationpb.Duration, error) {
	if text == "" {
		return nil, nil, nil
	}
	if d, err := time.ParseDuration(text); err == nil {
		if d < 0 {
			return nil, nil, usagef("%s %s is negative", flag, text)
		}
		return nil, durationpb.New(d), nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return nil, nil, usagef("%s %q is neither a time such as 2026-01-02T15:04:05Z nor a duration such as 90s or 1h30m", flag, text)
	}
	at, err := tellable(flag, text, t)
	return at, nil, err
}

// tellable refuses times that nodes can't tell.
func tellable(flag, text string, t time.Time) (*timestamppb.Timestamp, error) {
	if t.Unix() < 0 || t.UTC().Year() > 2200 {
		return nil, usagef("%s %s is not between 1970 and 2200", flag, text)
	}
	return timestamppb.New(t), nil
}
