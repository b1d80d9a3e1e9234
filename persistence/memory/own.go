package memory

import (
	"context"
	"fmt"
	"slices"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/persistence"
)

// Incarnation is in whose name the store was opened.
func (j *Journal) Incarnation() messages.Incarnation { return j.self }

// Shards is 1: a journal of this kind answers or fails as a whole.
func (j *Journal) Shards() int { return 1 }

// ShardOf is the shard that there is.
func (j *Journal) ShardOf(messages.Partition) int { return 0 }

// Owners returns the owners of all partitions.
func (j *Journal) Owners(ctx context.Context) ([]persistence.Owner, error) {
	if err := j.enter(ctx); err != nil {
		return nil, err
	}
	defer j.leave()
	return slices.Clone(j.store.owners[:]), nil
}

// Claim makes this incarnation the owner of partitions.
func (j *Journal) Claim(ctx context.Context, seen []persistence.Holding) ([]persistence.Holding, error) {
	if err := j.enter(ctx); err != nil {
		return nil, err
	}
	defer j.leave()
	s := j.store
	if s.fenced[j.self] {
		return nil, fmt.Errorf("claim: %w", persistence.ErrIncarnationFenced)
	}
	for _, h := range seen {
		if err := h.Partition.Validate(); err != nil {
			return nil, fmt.Errorf("claim: %w", err)
		}
	}
	var claimed []persistence.Holding
	for _, h := range seen {
		if now := s.owners[h.Partition]; now.Epoch != h.Epoch || !now.Free(j.self) {
			continue
		}
		h.Epoch = h.Epoch.Next(s.generation)
		s.owners[h.Partition] = persistence.Owner{Epoch: h.Epoch, Incarnation: j.self}
		claimed = append(claimed, h)
	}
	return claimed, nil
}

// Fence ends the right of an incarnation to commit.
func (j *Journal) Fence(ctx context.Context, who messages.Incarnation) error {
	if err := j.enter(ctx); err != nil {
		return err
	}
	defer j.leave()
	j.store.fence(who)
	return nil
}

// NewGeneration begins a new generation of epochs.
func (j *Journal) NewGeneration(ctx context.Context) (messages.Generation, error) {
	if err := j.enter(ctx); err != nil {
		return 0, err
	}
	defer j.leave()
	s := j.store
	s.generation++
	for p := range s.owners {
		s.owners[p] = persistence.Owner{Epoch: s.owners[p].Epoch}
	}
	return s.generation, nil
}
