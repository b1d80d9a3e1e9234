package pebble

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"strings"

	"github.com/cockroachdb/pebble/v2"
	"google.golang.org/protobuf/proto"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/persistence"
)

// loadCatalog reads what is kept in memory of the catalogue.
func (j *Journal) loadCatalog() error {
	version, err := getNumber(j.db, kindCatalog)
	if err != nil {
		return err
	}
	level, err := getNumber(j.db, kindLevel)
	if err != nil {
		return err
	}
	if level > persistence.NewestLevel {
		return fmt.Errorf("%w: the journal has feature level %d, this version knows levels up to %d: use a newer version of Holdfast",
			persistence.ErrFeatureLevel, level, persistence.NewestLevel)
	}
	j.catalog.Store(version)
	j.level.Store(uint32(level))
	return j.loadMarks()
}

// loadMarks marks each definition that there is. Damaged keys are left to who reads what they lead to.
func (j *Journal) loadMarks() error {
	it, err := j.db.NewIter(&pebble.IterOptions{LowerBound: []byte{kindDefinition}, UpperBound: []byte{kindDefinition + 1}})
	if err != nil {
		return fmt.Errorf("read the names of definitions: %w", err)
	}
	for it.First(); it.Valid(); it.Next() {
		if parts := strings.Split(string(it.Key()[1:]), "\x00"); len(parts) == 3 {
			j.marks[messages.DefinitionRef{Namespace: parts[0], Name: parts[1], Version: parts[2]}] = j.catalog.Load()
		}
	}
	if err := errors.Join(it.Error(), it.Close()); err != nil {
		return fmt.Errorf("read the names of definitions: %w", err)
	}
	return nil
}

// change makes a change of the catalogue durable, and with it that there was one; writing is held.
func (j *Journal) change(w write) error {
	version := j.catalog.Load() + 1
	if err := j.write(w, write{[]byte{kindCatalog}, appendNumber(nil, version)}); err != nil {
		return err
	}
	j.catalog.Store(version)
	return nil
}

// CatalogVersion rises with each change.
func (j *Journal) CatalogVersion(ctx context.Context) (uint64, error) {
	if err := j.enter(ctx); err != nil {
		return 0, err
	}
	defer j.leave()
	return j.catalog.Load(), j.failed()
}

// FeatureLevel returns the level of the journal.
func (j *Journal) FeatureLevel(ctx context.Context) (uint32, error) {
	if err := j.enter(ctx); err != nil {
		return 0, err
	}
	defer j.leave()
	return j.level.Load(), j.failed()
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
	j.writing.Lock()
	defer j.writing.Unlock()
	if level <= j.level.Load() {
		return j.failed()
	}
	if err := j.change(write{[]byte{kindLevel}, appendNumber(nil, uint64(level))}); err != nil {
		return fmt.Errorf("raise the feature level to %d: %w", level, err)
	}
	j.level.Store(level)
	return nil
}

// PutDefinition stores a definition for good. Two documents are the same if their hashes are.
func (j *Journal) PutDefinition(ctx context.Context, row *journalv1.DefinitionRow) (*journalv1.DefinitionRow, error) {
	if err := j.enter(ctx); err != nil {
		return nil, err
	}
	defer j.leave()
	ref := messages.RefOf(row)
	if err := persistence.CheckDefinition(ref); err != nil {
		return nil, err
	}
	value, err := marshal.Marshal(row)
	if err != nil {
		return nil, fmt.Errorf("encode definition %s: %w", ref, err)
	}
	j.writing.Lock()
	defer j.writing.Unlock()
	key, stored := definitionKey(ref), new(journalv1.DefinitionRow)
	switch err := get(j.db, key, stored); {
	case err == nil && bytes.Equal(stored.GetHash(), row.GetHash()):
		if persistence.Redeploy(stored) {
			return stored, j.putDefinition(stored)
		}
		return stored, nil
	case err == nil:
		return nil, fmt.Errorf("%w: another document is deployed as %s", persistence.ErrConflict, ref)
	case !errors.Is(err, persistence.ErrNotFound):
		return nil, fmt.Errorf("look for definition %s: %w", ref, err)
	}
	if err := j.changeDefinition(ref, value); err != nil {
		return nil, err
	}
	return proto.CloneOf(row), nil
}

// putDefinition stores a definition in place of the one before; writing is held.
func (j *Journal) putDefinition(row *journalv1.DefinitionRow) error {
	value, err := marshal.Marshal(row)
	if err != nil {
		return fmt.Errorf("encode definition %s: %w", messages.RefOf(row), err)
	}
	return j.changeDefinition(messages.RefOf(row), value)
}

// changeDefinition makes a definition durable, and marks it as changed; writing is held.
func (j *Journal) changeDefinition(ref messages.DefinitionRef, value []byte) error {
	if err := j.change(write{definitionKey(ref), value}); err != nil {
		return fmt.Errorf("store definition %s: %w", ref, err)
	}
	j.marks[ref] = j.catalog.Load()
	return nil
}

// RetireDefinition notes that a definition is not for new orders any more, or with nil that it is again.
func (j *Journal) RetireDefinition(
	ctx context.Context, ref messages.DefinitionRef, r *journalv1.Retirement,
) (*journalv1.DefinitionRow, error) {
	if err := j.enter(ctx); err != nil {
		return nil, err
	}
	defer j.leave()
	j.writing.Lock()
	defer j.writing.Unlock()
	row := new(journalv1.DefinitionRow)
	if err := get(j.db, definitionKey(ref), row); err != nil {
		return nil, fmt.Errorf("look for definition %s: %w", ref, err)
	}
	if (row.GetRetirement() == nil) == (r == nil) {
		return row, nil
	}
	row.Retirement = proto.CloneOf(r)
	if err := j.putDefinition(row); err != nil {
		return nil, err
	}
	return row, nil
}

// RemoveDefinition notes that a retired definition is removed.
func (j *Journal) RemoveDefinition(ctx context.Context, ref messages.DefinitionRef, at int64) (*journalv1.DefinitionRow, error) {
	if err := j.enter(ctx); err != nil {
		return nil, err
	}
	defer j.leave()
	j.writing.Lock()
	defer j.writing.Unlock()
	row := new(journalv1.DefinitionRow)
	if err := get(j.db, definitionKey(ref), row); err != nil {
		return nil, fmt.Errorf("look for definition %s: %w", ref, err)
	}
	changed, err := persistence.Remove(row, at)
	if changed {
		err = j.putDefinition(row)
	}
	if err != nil {
		return nil, err
	}
	return row, nil
}

// DefinitionMarks returns a mark of each definition.
func (j *Journal) DefinitionMarks(ctx context.Context) (map[messages.DefinitionRef]persistence.DefinitionMark, error) {
	if err := j.enter(ctx); err != nil {
		return nil, err
	}
	defer j.leave()
	j.writing.Lock()
	defer j.writing.Unlock()
	marks := make(map[messages.DefinitionRef]persistence.DefinitionMark, len(j.marks))
	for ref, version := range j.marks {
		marks[ref] = persistence.DefinitionMark(strconv.FormatUint(version, 10))
	}
	return marks, j.failed()
}

// Definition returns one definition.
func (j *Journal) Definition(ctx context.Context, ref messages.DefinitionRef) (*journalv1.DefinitionRow, error) {
	if err := j.enter(ctx); err != nil {
		return nil, err
	}
	defer j.leave()
	row := new(journalv1.DefinitionRow)
	if err := get(j.db, definitionKey(ref), row); err != nil {
		return nil, fmt.Errorf("read definition %s: %w", ref, err)
	}
	return row, j.settle(ctx)
}

// AllDefinitions returns all definitions.
func (j *Journal) AllDefinitions(ctx context.Context) iter.Seq2[*journalv1.DefinitionRow, error] {
	return all[journalv1.DefinitionRow](ctx, j, kindDefinition, "definition")
}

// all returns the rows of a kind.
func all[T any, M interface {
	*T
	proto.Message
}](ctx context.Context, j *Journal, kind byte, what string) iter.Seq2[M, error] {
	return func(yield func(M, error) bool) {
		if err := j.enter(ctx); err != nil {
			yield(nil, err)
			return
		}
		defer j.leave()
		err := j.scan(ctx, []byte{kind}, []byte{kind + 1}, func(key, value []byte) (bool, error) {
			row := M(new(T))
			if err := proto.Unmarshal(value, row); err != nil {
				return false, persistence.DecodeError(fmt.Sprintf("%s under key %q", what, key), err)
			}
			return yield(row, nil), nil
		})
		if err != nil {
			yield(nil, fmt.Errorf("read each %s: %w", what, err))
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
	value, err := marshal.Marshal(row)
	if err != nil {
		return fmt.Errorf("encode the limit of %s: %w", row.GetActivity(), err)
	}
	key := append([]byte{kindLimit}, row.GetActivity()...)
	j.writing.Lock()
	defer j.writing.Unlock()
	if row.GetRate() == 0 && row.GetConcurrency() == 0 {
		value = nil
	}
	if err := j.change(write{key, value}); err != nil {
		return fmt.Errorf("store the limit of %s: %w", row.GetActivity(), err)
	}
	return nil
}

// AllLimits returns all limits.
func (j *Journal) AllLimits(ctx context.Context) iter.Seq2[*journalv1.LimitRow, error] {
	return all[journalv1.LimitRow](ctx, j, kindLimit, "limit")
}
