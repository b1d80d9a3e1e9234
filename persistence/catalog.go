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
	// AllDefinitions returns them by namespace, name and version.
	AllDefinitions(ctx context.Context) iter.Seq2[*journalv1.DefinitionRow, error]
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
