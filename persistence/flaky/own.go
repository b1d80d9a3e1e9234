package flaky

import (
	"cmp"
	"context"
	"errors"
	"iter"
	"slices"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/persistence"
)

// Owners implements persistence.Ownership.
func (j *Journal) Owners(ctx context.Context) ([]persistence.Owner, error) {
	errs := make([]error, len(j.shards))
	up := false
	for n := range errs {
		errs[n] = j.answers(ctx, n)
		up = up || errs[n] == nil
	}
	if !up {
		return nil, errs[0]
	}
	owners, err := j.Journal.Owners(ctx)
	for p := range owners {
		if errs[j.ShardOf(messages.Partition(p))] != nil {
			owners[p] = persistence.Owner{Unread: true}
		}
	}
	return owners, err
}

// Claim implements persistence.Ownership.
func (j *Journal) Claim(ctx context.Context, seen []persistence.Holding) ([]persistence.Holding, error) {
	var away error
	asked := slices.DeleteFunc(slices.Clone(seen), func(h persistence.Holding) bool {
		err := j.answers(ctx, j.ShardOf(h.Partition))
		away = cmp.Or(away, err)
		return err != nil
	})
	if away == nil && len(seen) == 0 {
		away = j.answers(ctx, j.all()...)
	}
	claimed, err := j.Journal.Claim(ctx, asked)
	return claimed, errors.Join(err, away)
}

// Fence implements persistence.Ownership.
func (j *Journal) Fence(ctx context.Context, who messages.Incarnation) error {
	if err := j.answers(ctx, j.all()...); err != nil {
		return err
	}
	return j.Journal.Fence(ctx, who)
}

// NewGeneration implements persistence.Ownership.
func (j *Journal) NewGeneration(ctx context.Context) (messages.Generation, error) {
	return ask(ctx, j, j.all(), func() (messages.Generation, error) { return j.Journal.NewGeneration(ctx) })
}

// catalog is the shard that has the catalogue.
func catalog() []int { return []int{0} }

// PutDefinition implements persistence.Definitions.
func (j *Journal) PutDefinition(ctx context.Context, row *journalv1.DefinitionRow) (*journalv1.DefinitionRow, error) {
	return ask(ctx, j, catalog(), func() (*journalv1.DefinitionRow, error) { return j.Journal.PutDefinition(ctx, row) })
}

// Definition implements persistence.Definitions.
func (j *Journal) Definition(ctx context.Context, ref messages.DefinitionRef) (*journalv1.DefinitionRow, error) {
	return ask(ctx, j, catalog(), func() (*journalv1.DefinitionRow, error) { return j.Journal.Definition(ctx, ref) })
}

// RetireDefinition implements persistence.Definitions.
func (j *Journal) RetireDefinition(
	ctx context.Context, ref messages.DefinitionRef, r *journalv1.Retirement,
) (*journalv1.DefinitionRow, error) {
	return ask(ctx, j, catalog(), func() (*journalv1.DefinitionRow, error) { return j.Journal.RetireDefinition(ctx, ref, r) })
}

// RemoveDefinition implements persistence.Definitions.
func (j *Journal) RemoveDefinition(ctx context.Context, ref messages.DefinitionRef, at int64) (*journalv1.DefinitionRow, error) {
	return ask(ctx, j, catalog(), func() (*journalv1.DefinitionRow, error) { return j.Journal.RemoveDefinition(ctx, ref, at) })
}

// DefinitionMarks implements persistence.Definitions.
func (j *Journal) DefinitionMarks(ctx context.Context) (map[messages.DefinitionRef]persistence.DefinitionMark, error) {
	return ask(ctx, j, catalog(), func() (map[messages.DefinitionRef]persistence.DefinitionMark, error) {
		return j.Journal.DefinitionMarks(ctx)
	})
}

// AllDefinitions implements persistence.Definitions.
func (j *Journal) AllDefinitions(ctx context.Context) iter.Seq2[*journalv1.DefinitionRow, error] {
	return askAll(ctx, j, 0, j.Journal.AllDefinitions(ctx))
}

// PutLimit implements persistence.Limits.
func (j *Journal) PutLimit(ctx context.Context, row *journalv1.LimitRow) error {
	if err := j.answers(ctx, 0); err != nil {
		return err
	}
	return j.Journal.PutLimit(ctx, row)
}

// AllLimits implements persistence.Limits.
func (j *Journal) AllLimits(ctx context.Context) iter.Seq2[*journalv1.LimitRow, error] {
	return askAll(ctx, j, 0, j.Journal.AllLimits(ctx))
}

// FeatureLevel implements persistence.Levels.
func (j *Journal) FeatureLevel(ctx context.Context) (uint32, error) {
	return ask(ctx, j, catalog(), func() (uint32, error) { return j.Journal.FeatureLevel(ctx) })
}

// RaiseFeatureLevel implements persistence.Levels.
func (j *Journal) RaiseFeatureLevel(ctx context.Context, level uint32) error {
	if err := j.answers(ctx, 0); err != nil {
		return err
	}
	return j.Journal.RaiseFeatureLevel(ctx, level)
}

// CatalogVersion implements persistence.Catalog.
func (j *Journal) CatalogVersion(ctx context.Context) (uint64, error) {
	return ask(ctx, j, catalog(), func() (uint64, error) { return j.Journal.CatalogVersion(ctx) })
}
