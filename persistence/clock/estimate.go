package clock

import "time"

const (
	// kept is how many readings an estimate goes by.
	kept = 8
	// drift is the part by which two clocks may run at different rates: what a clock is off by itself, and what it is slewed by.
	drift = 2000
	// resolution is how much more a server's clock may have shown than it said.
	resolution = time.Microsecond
)

// Reading is one look at a server's clock. Sent and Received are by the clock of the process.
type Reading struct {
	Sent, Received time.Duration
	Read           time.Time
}

// bounds are what the server's clock shows at the least and at the most at a time, as far as one reading tells.
func (r Reading) bounds(at time.Duration) (earliest, latest time.Time) {
	since, longest := at-r.Received, at-r.Sent
	return r.Read.Add(since - since/drift), r.Read.Add(longest + longest/drift + resolution)
}

// Estimate is what is known of a server's clock. The zero value knows nothing.
type Estimate struct {
	readings []Reading
}

// Known tells whether anything is known.
func (e *Estimate) Known() bool { return len(e.readings) > 0 }

// At returns what the server's clock shows at the least and at the most, at a time that is not before the last reading. Something must be
// known.
func (e *Estimate) At(at time.Duration) (earliest, latest time.Time) {
	for i, r := range e.readings {
		least, most := r.bounds(at)
		if i == 0 || least.After(earliest) {
			earliest = least
		}
		if i == 0 || most.Before(latest) {
			latest = most
		}
	}
	return earliest, latest
}

// Add takes a reading that was received last. It tells whether that can't go with those before, which are forgotten then.
func (e *Estimate) Add(r Reading) (set bool) {
	if e.Known() {
		earliest, latest := e.At(r.Received)
		least, most := r.bounds(r.Received)
		if set = least.After(latest) || most.Before(earliest); set {
			e.readings = e.readings[:0]
		}
	}
	if len(e.readings) == kept {
		e.readings = append(e.readings[:0], e.readings[1:]...)
	}
	e.readings = append(e.readings, r)
	return set
}
