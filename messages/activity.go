package messages

import (
	"strings"
	"time"
)

// ErrorTypeQuarantined is the type of the error of a task that was set apart because adapters died of it.
const ErrorTypeQuarantined = "https://holdfast.run/errors/quarantined"

// ErrorTypeCommunication is the type of the error of an attempt that failed.
const ErrorTypeCommunication = "https://serverlessworkflow.io/spec/1.0.0/errors/communication"

// ErrorTypeByHand is the type of the error of an order that an operator has faulted, if they gave no other.
const ErrorTypeByHand = "https://holdfast.run/errors/by-hand"

// ErrorTypeUnreported is the type of the error of a task whose work was done, and whose output could not be reported.
const ErrorTypeUnreported = "https://holdfast.run/errors/output-unreported"

// Priorities is the number of priorities, from 0, the lowest.
const Priorities = 10

// SplitActivity splits what a definition calls, adapter.activity or adapter.activity:version, into the activity and its version,
// which is empty if any is meant.
func SplitActivity(called string) (activity, version string) {
	activity, version, _ = strings.Cut(called, ":")
	return activity, version
}

// Attempt is one try at an activity, as an order offers it to be executed.
type Attempt struct {
	Order     OrderID
	Partition Partition
	Epoch     Epoch
	// Key is the idempotency key, Attempt the number of the try under it.
	Key     string
	Attempt uint32
	// Called is what the task calls: see SplitActivity. Task is its reference.
	Called, Task string
	Priority     int
	Input        []byte
	// Deadline and Since are in nanoseconds since 1970: when it should be over (0: never), and when it was scheduled.
	Deadline, Since int64
	// RunWithin is how long it may run once it was begun; 0: no bound.
	RunWithin time.Duration
	// Ledger is where it was sent before; empty if it was not.
	Ledger string
	// MaybeStarted: an earlier attempt under the key may have run. Suspect: it was set apart before. Again: it was offered
	// before, and some adapter may have it.
	MaybeStarted, Suspect, Again bool
	// Deaths are the processes that may have died of it.
	Deaths []Death
	// Reservation is what was reserved for it.
	Reservation Reservation
}

// Reservation is of room for an attempt among those of its activity that wait in memory. The zero value is none.
type Reservation struct {
	// ByOrder: the order itself has made it, for an attempt of this size.
	ByOrder bool
	// Number names one that was made for an attempt on disk when its order was asked to offer that; 0: it is none of these.
	Number uint64
}
