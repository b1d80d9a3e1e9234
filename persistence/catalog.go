package persistence

import (
	"context"
	"fmt"
	"iter"
	"strings"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
)

// Definitions keeps deployed definitions.
type Definitions interface {
	// PutDefinition stores a definition for good. Putting the same document again returns the one stored; another
	// document under the same name and version fails with ErrConflict.
	PutDefinition(ctx context.Context, row *journalv1.DefinitionRow) (*journalv1.DefinitionRow, error)
	// Definition returns one definition, or ErrNotFound.
	Definition(ctx context.Context, ref messages.DefinitionRef) (*journalv1.DefinitionRow, error)
	// RetireDefinition retires a definition, or reinstates it with nil, and returns it. The retirement of one that is retired
	// already stays as it is. It fails with ErrNotFound if there is none.
	RetireDefinition(ctx context.Context, ref messages.DefinitionRef, r *journalv1.Retirement) (*journalv1.DefinitionRow, error)
	// RemoveDefinition notes in the retirement of a definition since when, in nanoseconds since 1970, it is removed, and returns it.
	// That of one that is removed already stays as it is. The document is kept, as histories can't be read without it; to put the same
	// document again ends removal and retirement. It fails with ErrNotFound if there is no such definition, with ErrConflict if it is
	// not retired.
	RemoveDefinition(ctx context.Context, ref messages.DefinitionRef, at int64) (*journalv1.DefinitionRow, error)
	// DefinitionMarks returns a mark of each definition, in any order: it differs from an earlier one if the definition was changed in
	// between. No document is read for it.
	DefinitionMarks(ctx context.Context) (map[messages.DefinitionRef]DefinitionMark, error)
	// AllDefinitions returns them by namespace, name and version, also those that are removed.
	AllDefinitions(ctx context.Context) iter.Seq2[*journalv1.DefinitionRow, error]
}

// DefinitionMark tells how a definition is stored now from how it was stored before. It means nothing to another opening of the journal.
type DefinitionMark string

// Redeploy ends the retirement of a definition that is removed, and tells whether there was one: it was put again.
func Redeploy(row *journalv1.DefinitionRow) bool {
	removed := row.GetRetirement().GetRemovedAt() != 0
	if removed {
		row.Retirement = nil
	}
	return removed
}

// Remove notes in a stored definition that it is removed, and tells whether that is new. It fails with ErrConflict if it is not retired.
func Remove(row *journalv1.DefinitionRow, at int64) (changed bool, err error) {
	r := row.GetRetirement()
	switch {
	case r == nil:
		return false, fmt.Errorf("%w: definition %s is not retired", ErrConflict, messages.RefOf(row))
	case at == 0:
		return false, fmt.Errorf("remove definition %s: no time is given", messages.RefOf(row))
	case r.GetRemovedAt() != 0:
		return false, nil
	}
	r.RemovedAt = at
	return true, nil
}

// Limits keeps the limits of activities that operators have set.
type Limits interface {
	// PutLimit stores the limit of an activity, in place of the one before. One that bounds nothing removes that.
	PutLimit(ctx context.Context, row *journalv1.LimitRow) error
	// AllLimits returns them by activity.
	AllLimits(ctx context.Context) iter.Seq2[*journalv1.LimitRow, error]
}

// Levels keeps the feature level of the journal: the highest that records may have. A new journal has the newest level that the
// version knows which makes it.
type Levels interface {
	// FeatureLevel returns it.
	FeatureLevel(ctx context.Context) (uint32, error)
	// RaiseFeatureLevel raises it for good; if it is that high already, nothing happens. ErrFeatureLevel if this version does
	// not know the level. No node that knows less can open the journal from then on.
	RaiseFeatureLevel(ctx context.Context, level uint32) error
}

// Catalog is what is kept beside orders.
type Catalog interface {
	Definitions
	Limits
	Levels
	Audit
	// CatalogVersion returns a number that has risen if definitions, limits or the feature level were changed, by whichever
	// node. What is read after it is at least as new. It is cheap enough to be asked for every second.
	CatalogVersion(ctx context.Context) (uint64, error)
}

// CheckDefinition says what is wrong with the name of a definition that is to be stored.
func CheckDefinition(ref messages.DefinitionRef) error {
	for _, part := range []string{ref.Namespace, ref.Name, ref.Version} {
		if part == "" || strings.ContainsRune(part, 0) {
			return fmt.Errorf("definition %q: namespace, name and version must be given, without zero bytes", ref)
		}
	}
	return nil
}

// CheckLimit says what is wrong with a limit that is to be stored.
func CheckLimit(row *journalv1.LimitRow) error {
	if row.GetActivity() == "" || row.GetRate() < 0 {
		return fmt.Errorf("limit of %q to %v a second: an activity, and no negative rate, are expected", row.GetActivity(), row.GetRate())
	}
	return nil
}

// CheckLevel makes sure that this version knows a feature level to which a journal is to be raised.
func CheckLevel(level uint32) error {
	if level > NewestLevel {
		return fmt.Errorf("raise the feature level to %d: %w: it is %d", level, ErrFeatureLevel, NewestLevel)
	}
	return nil
}
