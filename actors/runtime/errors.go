package runtime

import (
	"errors"
	"fmt"
)

var (
	// ErrBusy: a bounded queue is full; try again later.
	ErrBusy = errors.New("too many messages wait")
	// ErrInterrupted: an ask came to no answer. What was asked for may have been done; ask again.
	ErrInterrupted = errors.New("processing was interrupted")
	// ErrNotOwner: another node owns the partition, or none does.
	ErrNotOwner = errors.New("partition is not owned by this node")
	// ErrStopping: the node is stopping.
	ErrStopping = errors.New("node is stopping")
)

// TooMany is an ErrBusy of a mailbox with a bound.
func TooMany(bound int, whose string) error {
	return fmt.Errorf("%w: at most %d may, for one %s", ErrBusy, bound, whose)
}
