package order

import (
	"time"

	"github.com/holdfast-run/holdfast/messages"
)

// Notes of a partition to an order.
type (
	// Fired tells an order that its due time has come.
	Fired struct{}
	// Resume has an order take up whatever is outstanding.
	Resume struct{}
	// Yield asks an order to leave memory, if it can.
	Yield struct{}
	// Leave has an order take no more messages, as its partition is given up. The order answers with Left when it has no commit under
	// way.
	Leave struct{}
)

// Notes of an order to its partition. Telling one again does no harm.
type (
	// Due says when the order wants to be fired next, in nanoseconds since 1970; 0: never. Indexed: the journal's index has
	// that time.
	Due struct {
		ID      messages.OrderID
		Handle  messages.Handle
		At      int64
		Indexed bool
	}
	// Release says that an activation of an order can leave memory, unless more messages than Received were sent to it.
	Release struct {
		ID         messages.OrderID
		Activation uint64
		Received   uint64
	}
	// Queued says that an order waits for its key, and since when.
	Queued struct {
		ID    messages.OrderID
		Key   string
		Since time.Time
	}
	// KeyEnded says that an order has given up the turn of its key, so that the next one may run.
	KeyEnded struct {
		ID  messages.OrderID
		Key string
	}
	// KeyHeld says that an order has faulted and holds its key; or that it has not faulted any more.
	KeyHeld struct {
		ID   messages.OrderID
		Key  string
		Held bool
	}
	// Left answers a Leave.
	Left struct {
		ID         messages.OrderID
		Activation uint64
	}
	// Rested says that an order that was resumed or fired has nothing to do now.
	Rested struct{ ID messages.OrderID }
	// Recover asks for the order to be resumed after a while, as what it had to do is lost.
	Recover struct {
		ID     messages.OrderID
		Handle messages.Handle
	}
	// Fenced says that a commit was refused, because another node owns the partition. Whole: this node has lost the right to
	// commit anything.
	Fenced struct {
		ID    messages.OrderID
		Whole bool
	}
)

// committed tells the outcome of the commit of one activation.
type committed struct {
	to  *instance
	err error
}
