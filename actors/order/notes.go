package order

import (
	"time"

	"github.com/holdfast-run/holdfast/messages"
)

// Notes of a partition to an order.
type (
	// Fired tells an order that its due time has come.
	Fired struct{}
	// Resume makes an order take up whatever is outstanding.
	Resume struct{}
	// Yield asks an order to leave memory, if it can.
	Yield struct{}
	// Leave has an order take no more messages, and tell with Left when it has no commit under way: its partition goes elsewhere.
	Leave struct{}
)

// Notes of an order to its partition. Telling one again does no harm.
type (
	// Due says when the order wants to be fired next, in nanoseconds since 1970; 0: never. Indexed: the journal's index knows.
	Due struct {
		ID      messages.OrderID
		Handle  messages.Handle
		At      int64
		Indexed bool
	}
	// Release says that an activation of an order can leave memory if no message came after the first Received ones.
	Release struct {
		ID         messages.OrderID
		Activation uint64
		Received   uint64
	}
	// Queued says that an order with a key waits for it, since then.
	Queued struct {
		ID    messages.OrderID
		Key   string
		Since time.Time
	}
	// KeyEnded says that an order with a key lets the next one run.
	KeyEnded struct {
		ID  messages.OrderID
		Key string
	}
	// KeyHeld says that an order with a key has faulted, and holds it; or that it does so no longer.
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
	// Recover asks for the order to be resumed after a while: it has lost what it had to do.
	Recover struct {
		ID     messages.OrderID
		Handle messages.Handle
	}
	// Fenced says that a commit was refused, because the partition is somebody else's. Whole: this node has no right to commit
	// anything any more.
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
