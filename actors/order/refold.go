package order

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/holdfast-run/holdfast/actors/catalog"
	"github.com/holdfast-run/holdfast/actors/definition"
	"github.com/holdfast-run/holdfast/actors/history"
	"github.com/holdfast-run/holdfast/actors/workflow"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/persistence"
)

// Refolder folds histories without an engine, to check a journal. It is not safe for concurrent use.
type Refolder struct {
	catalog   *catalog.Catalog
	documents documents
}

// documents are the definitions that were added.
type documents map[messages.DefinitionRef]*journalv1.DefinitionRow

// Definition implements catalog.Documents.
func (d documents) Definition(_ context.Context, ref messages.DefinitionRef) (*journalv1.DefinitionRow, error) {
	if row := d[ref]; row != nil {
		return row, nil
	}
	return nil, persistence.ErrNotFound
}

// NewRefolder makes one that knows no definitions yet.
func NewRefolder(limits definition.Limits) *Refolder {
	d := documents{}
	return &Refolder{catalog: catalog.New(d, catalog.Config{Definition: limits}), documents: d}
}

// AddDefinition makes a definition known. It fails if it can't be compiled any more.
func (r *Refolder) AddDefinition(row *journalv1.DefinitionRow) error {
	ref := messages.RefOf(row)
	r.documents[ref] = row
	r.catalog.Add(row)
	_, err := r.pinned(ref.String(), row.GetHash())
	return err
}

func (r *Refolder) pinned(name string, hash []byte) (*workflow.Definition, error) {
	return r.catalog.PinnedNow(context.Background(), name, hash)
}

// Check folds a history and compares it with the rows beside it; open is nil if there is none.
func (r *Refolder) Check(row *journalv1.OrderRow, open *journalv1.OpenRow, records []*journalv1.Record) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the history can't be folded: %v", p) //nolint:err113 // for people
		}
	}()
	var s *workflow.State
	for _, rec := range records {
		if s, err = history.Evolve(s, rec, r.pinned, new(workflow.Limits{}.WithDefaults())); err != nil {
			return err
		}
		if e := rec.GetEntered(); e != nil && !proto.Equal(e, s.Entered()) {
			//nolint:err113 // for people
			return fmt.Errorf("at version %d the record names the tasks %v, and the history %v", s.Version(), e, s.Entered())
		}
	}
	if s == nil {
		return errors.New("the history is empty")
	}
	f := factsOf(s)
	return f.Follow(row, open)
}
