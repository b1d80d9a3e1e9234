package workflow

import "time"

// Schedule says when orders of a definition come into being by themselves: at times, some time after the one before has ended, or on
// events. One of Times, After and On is set.
type Schedule struct {
	Times Times
	After time.Duration
	On    *Listen
	// Missed says what becomes of due times at which nothing could fire.
	Missed Missed
	// Single: no order comes into being at a due time while the one before has not ended.
	Single bool
	// Text tells people what the schedule is, such as "every 10m". Digest tells it from others.
	Text   string
	Digest []byte
}

// Times are points in time.
type Times interface {
	// Next returns the first of them after a time; the zero time: there is none. From is since when they count.
	Next(after, from time.Time) time.Time
}

// Missed says what becomes of due times at which nothing could fire.
type Missed int

// The policies for missed due times.
const (
	MissedLast Missed = iota // the last one is made up for
	MissedSkip               // none is
	MissedAll                // all are
)

// ScheduleRef is what filters of a schedule are known by where those of a task are by its reference.
const ScheduleRef = "/schedule/on"

// FiltersOf returns the filters of what a reference means: a task that listens, or the schedule; nil: there is no such.
func (d *Definition) FiltersOf(ref string) []*EventFilter {
	if ref == ScheduleRef && d.Schedule != nil && d.Schedule.On != nil {
		return d.Schedule.On.Filters()
	}
	if t := d.Tasks[ref]; t != nil {
		if k, listens := t.Kind.(*Listen); listens {
			return k.Filters()
		}
	}
	return nil
}

// ScheduledInput is the input of an order that comes into being by itself, other than on events.
func ScheduledInput(s *Schedule) []byte {
	if s.On != nil {
		return []byte("[]")
	}
	return []byte("{}")
}
