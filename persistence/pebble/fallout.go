package pebble

import (
	"context"

	"github.com/cockroachdb/pebble/v2"

	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/persistence"
)

// Fallout counts the orders that have faulted.
func (j *Journal) Fallout(ctx context.Context) (persistence.Fallout, error) {
	if err := j.enter(ctx); err != nil {
		return persistence.Fallout{}, err
	}
	defer j.leave()
	return persistence.Fallout{Faulted: j.counts.faulted.Load(), InDoubt: j.counts.inDoubt.Load()}, nil
}

// countFallout counts them in the index, before there are commits.
func (j *Journal) countFallout() error {
	prefix := appendStatusPrefix(nil, int32(orderv1.Status_STATUS_FAULTED))
	it, err := j.db.NewIter(&pebble.IterOptions{LowerBound: prefix, UpperBound: successor(append([]byte(nil), prefix...))})
	if err != nil {
		return engineError("count faulted orders", err)
	}
	for it.First(); it.Valid(); it.Next() {
		j.counts.faulted.Add(1)
		if len(it.Value()) > 0 {
			j.counts.inDoubt.Add(1)
		}
	}
	return engineError("count faulted orders", it.Close())
}
