package supervision

import (
	"errors"
	"fmt"
	"math"
	"time"
)

// Backoff is a delay that doubles from Initial up to Max, less a random share of it.
type Backoff struct {
	// Initial is the delay before the first restart. 0 restarts at once, and every time.
	Initial time.Duration
	// Max bounds every delay. At least Initial.
	Max time.Duration
	// Jitter is the largest share of a delay that may be taken off at random, from 0 (none) to 1 (all of it). It keeps
	// things that failed together from coming back together.
	Jitter float64
}

// Next returns the delay before a restart; attempt counts the failures in a row, from 1. rnd returns numbers from 0 up to,
// but not including, 1.
func (b Backoff) Next(attempt int, rnd func() float64) time.Duration {
	d := b.Max
	if doublings := max(attempt-1, 0); doublings < 62 && b.Initial <= math.MaxInt64>>doublings {
		d = min(b.Initial<<doublings, b.Max)
	}
	if b.Jitter > 0 {
		d -= time.Duration(float64(d) * b.Jitter * rnd())
	}
	return d
}

// Validate says everything that is wrong with the settings.
func (b Backoff) Validate() error {
	var errs []error
	if b.Initial < 0 {
		errs = append(errs, fmt.Errorf("initial delay %v is negative", b.Initial))
	}
	if b.Max < b.Initial {
		errs = append(errs, fmt.Errorf("longest delay %v is shorter than the initial delay %v", b.Max, b.Initial))
	}
	if !(b.Jitter >= 0 && b.Jitter <= 1) { // also refuses NaN
		errs = append(errs, fmt.Errorf("jitter %v is not between 0 and 1", b.Jitter))
	}
	return errors.Join(errs...)
}
