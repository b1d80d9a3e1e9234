package memory

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strconv"

	"google.golang.org/protobuf/proto"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/persistence"
)

// CatalogVersion rises with each change.
func (j *Journal) CatalogVersion(ctx context.Context) (uint64, error) {
	if err := j.enter(ctx); err != nil {
		return 0, err
	}
	defer j.leave()
	return j.store.catalog, nil
}

// FeatureLevel returns the level of the journal.
func (j *Journal) FeatureLevel(ctx context.Context) (uint32, error) {
	if err := j.enter(ctx); err != nil {
		return 0, err
	}
	defer j.leave()
	return j.store.level, nil
}

// RaiseFeatureLevel raises it.
func (j *Journal) RaiseFeatureLevel(ctx context.Context, level uint32) error {
	if err := j.enter(ctx); err != nil {
		return err
	}
	defer j.leave()
	if err := persistence.CheckLevel(level); err != nil {
		return err
	}
	if level > j.store.level {
		j.store.level = level
		j.store.catalog++
	}
	return nil
}

// PutDefinition stores a definition for good.
func (j *Journal) PutDefinition(ctx context.Context, row *journalv1.DefinitionRow) (*journalv1.DefinitionRow, error) {
	if err := j.enter(ctx); err != nil {
		return nil, err
	}
	defer j.leave()
	ref := messages.RefOf(row)
	if err := persistence.CheckDefinition(ref); err != nil {
		return nil, err
	}
	if stored := j.store.definitions[ref]; stored != nil {
		if !bytes.Equal(stored.GetHash(), row.GetHash()) {
			return nil, fmt.Errorf("%w: another document is deployed as %s", persistence.ErrConflict, ref)
		}
		if persistence.Redeploy(stored) {
			j.store.changed(ref)
		}
		return proto.CloneOf(stored), nil
	}
	j.store.definitions[ref] = proto.CloneOf(row)
	j.store.changed(ref)
	return proto.CloneOf(row), nil
}

// changed notes that a definition was changed; mu is held.
func (s *Store) changed(ref messages.DefinitionRef) {
	s.catalog++
	s.marks[ref] = s.catalog
}

// Definition returns one definition.
func (j *Journal) Definition(ctx context.Context, ref messages.DefinitionRef) (*journalv1.DefinitionRow, error) {
	if err := j.enter(ctx); err != nil {
		return nil, err
	}
	defer j.leave()
	if row := j.store.definitions[ref]; row != nil {
		return proto.CloneOf(row), nil
	}
	return nil, fmt.Errorf("read definition %s: %w", ref, persistence.ErrNotFound)
}

// RetireDefinition notes that a definition is not for new orders any more, or with nil that it is again.
func (j *Journal) RetireDefinition(
	ctx context.Context, ref messages.DefinitionRef, r *journalv1.Retirement,
) (*journalv1.DefinitionRow, error) {
	if err := j.enter(ctx); err != nil {
		return nil, err
	}
	defer j.leave()
	row := j.store.definitions[ref]
	if row == nil {
		return nil, fmt.Errorf("look for definition %s: %w", ref, persistence.ErrNotFound)
	}
	if (row.GetRetirement() == nil) != (r == nil) {
		row.Retirement = proto.CloneOf(r)
		j.store.changed(ref)
	}
	return proto.CloneOf(row), nil
}

// RemoveDefinition notes that a retired definition is removed.
func (j *Journal) RemoveDefinition(ctx context.Context, ref messages.DefinitionRef, at int64) (*journalv1.DefinitionRow, error) {
	if err := j.enter(ctx); err != nil {
		return nil, err
	}
	defer j.leave()
	row := j.store.definitions[ref]
	if row == nil {
		return nil, fmt.Errorf("look for definition %s: %w", ref, persistence.ErrNotFound)
	}
	changed, err := persistence.Remove(row, at)
	if err != nil {
		return nil, err
	}
	if changed {
		j.store.changed(ref)
	}
	return proto.CloneOf(row), nil
}

// DefinitionMarks returns a mark of each definition.
func (j *Journal) DefinitionMarks(ctx context.Context) (map[messages.DefinitionRef]persistence.DefinitionMark, error) {
	if err := j.enter(ctx); err != nil {
		return nil, err
	}
	defer j.leave()
	marks := make(map[messages.DefinitionRef]persistence.DefinitionMark, len(j.store.marks))
	for ref, version := range j.store.marks {
		marks[ref] = persistence.DefinitionMark(strconv.FormatUint(version, 10))
	}
	return marks, nil
}

// AllDefinitions returns all definitions.
func (j *Journal) AllDefinitions(ctx context.Context) iter.Seq2[*journalv1.DefinitionRow, error] {
	return all(ctx, j, func(s *Store) []*journalv1.DefinitionRow {
		return slices.SortedFunc(maps.Values(s.definitions), func(a, b *journalv1.DefinitionRow) int {
			return cmp.Or(cmp.Compare(a.GetNamespace(), b.GetNamespace()), cmp.Compare(a.GetName(), b.GetName()),
				cmp.Compare(a.GetVersion(), b.GetVersion()))
		})
	})
}

// all yields copies of rows.
func all[M proto.Message](ctx context.Context, j *Journal, read func(*Store) []M) iter.Seq2[M, error] {
	return func(yield func(M, error) bool) {
		var none M
		if err := j.enter(ctx); err != nil {
			yield(none, err)
			return
		}
		stored := read(j.store)
		for i := range stored {
			stored[i] = proto.CloneOf(stored[i])
		}
		j.leave()
		for _, row := range stored {
			if !yield(row, nil) {
				return
			}
		}
	}
}

// PutLimit stores the limit of an activity, or removes it.
func (j *Journal) PutLimit(ctx context.Context, row *journalv1.LimitRow) error {
	if err := j.enter(ctx); err != nil {
		return err
	}
	defer j.leave()
	if err := persistence.CheckLimit(row); err != nil {
		return err
	}
	j.store.limits[row.GetActivity()] = proto.CloneOf(row)
	if row.GetRate() == 0 && row.GetConcurrency() == 0 {
		delete(j.store.limits, row.GetActivity())
	}
	j.store.catalog++
	return nil
}

// AllLimits returns all limits.
func (j *Journal) AllLimits(ctx context.Context) iter.Seq2[*journalv1.LimitRow, error] {
	return all(ctx, j, func(s *Store) []*journalv1.LimitRow {
		return slices.SortedFunc(maps.Values(s.limits), func(a, b *journalv1.LimitRow) int {
			return cmp.Compare(a.GetActivity(), b.GetActivity())
		})
	})
}
