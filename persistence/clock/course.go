package clock

import "time"

// Course is what a clock shows until it is corrected. It never goes back, and goes as slowly as the server's clock may.
type Course struct {
	// from is when it began, by the clock of the process, and shows what it showed then.
	from  time.Duration
	shows time.Time
	// ahead is by how much that was too late.
	ahead time.Duration
}

// At returns what the clock shows.
func (c *Course) At(at time.Duration) time.Time {
	passed := at - c.from
	passed -= passed / drift
	return c.shows.Add(passed - min(c.ahead, passed/2))
}

// Corrected returns the course from a time on, at which the clock should show something. If it shows less, it leaps. If it shows more, it
// goes at half the pace until it is right.
func (c *Course) Corrected(at time.Duration, should time.Time) *Course {
	shows := c.At(at)
	return &Course{from: at, shows: later(shows, should), ahead: max(shows.Sub(should), 0)}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
