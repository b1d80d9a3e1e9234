package persistence

import (
	"fmt"

	"github.com/holdfast-run/holdfast/messages"
)

// Sharding tells which parts of a journal answer and fail together: its shards. One that is away holds up what lives in it, and nothing
// else. A partition lives whole in one shard, with its orders, their histories and who owns it. The entry of an id in the directory lives
// where the partition of that id alone does, without an order key, and the catalogue in the first shard: so an order with a key is not
// accepted while the shard of its id is away.
type Sharding interface {
	// Shards returns how many there are: at least one.
	Shards() int
	// ShardOf returns the shard where a partition lives; the first is 0.
	ShardOf(p messages.Partition) int
}

// UnavailableError is an ErrUnavailable that tells which shard does not answer.
type UnavailableError struct {
	Shard int
	Err   error
}

func (e *UnavailableError) Error() string {
	return fmt.Sprintf("shard %d of the journal is unavailable: %v", e.Shard, e.Err)
}

// Is makes an UnavailableError an ErrUnavailable.
func (e *UnavailableError) Is(target error) bool { return target == ErrUnavailable }

func (e *UnavailableError) Unwrap() error { return e.Err }
