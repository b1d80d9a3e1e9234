package constructs

import (
	"context"
	"time"

	"github.com/holdfast-run/holdfast/messages/orderv1"
)

// Case is a definition, what happens to an order of it, and what has to come of that.
type Case struct {
	Want

	// Name tells the case from others: small letters, digits and -.
	Name string
	// Document is the definition, Needs are those that it runs.
	Document string
	Needs    []string
	// Input is that of the order, JSON; empty: an empty object.
	Input string
	// Events are published in their order: each one once those before it were consumed.
	Events []Event
	// Comes is how the order comes into being.
	Comes Coming
	// Waits is how long the order waits, if it does nothing else.
	Waits time.Duration
	// Labels are those that the order has to have got of its definition, as name=value.
	Labels []string
	// Meanwhile is done while the order is under way.
	Meanwhile func(ctx context.Context, r *Running) error
	// Plain has the case run only where nothing is killed, as what comes of it is told by times.
	Plain bool
}

// Coming is how an order comes into being.
type Coming int

// Orders are submitted, or come by themselves when the events are there or it is time, or by an operator who triggers the schedule.
const (
	Submitted Coming = iota
	ByItself
	Triggered
)

// Event is one that is published.
type Event struct {
	Type, Source string
	// Extensions are further attributes, Data is JSON.
	Extensions map[string]string
	Data       string
	// Passed: nobody consumes it.
	Passed bool
}

// Want is what has to come of a case.
type Want struct {
	// Refused is a part of what is said of the definition when it is deployed, and refused; empty: it is not. Unfit is a part of what is
	// said of the order.
	Refused, Unfit string
	// Status is how the order ends; not set: it is completed, or with a Fault faulted.
	Status orderv1.Status
	// Output is what it leaves, JSON. With Part, each of its objects may have further properties.
	Output string
	Part   bool
	// Fault is its error.
	Fault *Fault
	// Path is the tasks in the order in which they were started, their names with > between; empty: it does not matter.
	Path string
	// Did is what was done by the order: see Log. Beside: it was done, and the tasks were started, in any order.
	Did    []string
	Beside bool
	// Perhaps is what may have been done, too.
	Perhaps string
}

// Fault is an error of an order. Type is how its type ends.
type Fault struct {
	Type   string
	Status int32
	// Title and Detail are what it says; empty: that does not matter.
	Title, Detail string
}

// status is how the order has to end.
func (w *Want) status() orderv1.Status {
	switch {
	case w.Status != orderv1.Status_STATUS_UNSPECIFIED:
		return w.Status
	case w.Fault != nil:
		return orderv1.Status_STATUS_FAULTED
	}
	return orderv1.Status_STATUS_COMPLETED
}
