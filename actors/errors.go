package actors

import (
	"errors"
	"fmt"
)

var (
	// ErrBusy: a bounded queue is full; try again later.
	ErrBusy = errors.New("too many messages wait")
	// ErrNotOwner: another node owns the order's partition.
	ErrNotOwner = errors.New("partition is not owned by this node")
	// ErrStarting: the node is still reading what is open.
	ErrStarting = errors.New("node is starting")
	// ErrStopping: the node is stopping.
	ErrStopping = errors.New("node is stopping")
	// ErrInterrupted: what was asked for was interrupted, and may have been done; ask again.
	ErrInterrupted = errors.New("processing was interrupted")
	// ErrUnavailable: the journal did not take a commit, and may have; try again.
	ErrUnavailable = errors.New("journal gave no certain answer")
	// ErrUnknownDefinition: there is no such definition.
	ErrUnknownDefinition = errors.New("definition is not deployed")
	// ErrUncompilable: the definition was deployed, by another version, and this one can't compile it.
	ErrUncompilable = errors.New("definition was deployed by a version that took it, and this one can't compile it")
	// ErrRetired: the definition is not for new orders any more.
	ErrRetired = errors.New("definition is retired, and not for new orders")
)

func tooMany(bound int, whose string) error {
	return fmt.Errorf("%w: at most %d may, for one %s", ErrBusy, bound, whose)
}
