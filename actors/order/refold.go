package order

import (
	"bytes"
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/holdfast-run/holdfast/actors/catalog"
	"github.com/holdfast-run/holdfast/actors/definition"
	"github.com/holdfast-run/holdfast/actors/history"
	"github.com/holdfast-run/holdfast/actors/workflow"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
)

// Refolder folds histories without an engine, to check a journal. It is not safe for concurrent use.
type Refolder struct{ catalog *catalog.Catalog }

// NewRefolder makes one that knows no definitions yet.
func NewRefolder(limits definition.Limits) *Refolder { return &Refolder{catalog: catalog.New(limits)} }

// AddDefinition makes a definition known. It fails if it can't be compiled any more.
func (r *Refolder) AddDefinition(row *journalv1.DefinitionRow) error {
	r.catalog.Add(row)
	_, err := r.catalog.Find(catalog.RefOf(row))
	return err
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
		if s, err = history.Evolve(s, rec, r.catalog.Pinned, workflow.Limits{}); err != nil {
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
	is, was := s.Status(), orderv1.Status(row.GetStatus())
	// A short wait is not worth a row: the row may still say running.
	short := is == orderv1.Status_STATUS_WAITING && was == orderv1.Status_STATUS_RUNNING
	if is != was && !short {
		return fmt.Errorf("the history says %v and the row %v", is, was) //nolint:err113 // for people
	}
	if isOpen(s) != (open != nil) || s.HoldsKey() != open.GetHeld() || s.Untold() != open.GetTelling() {
		//nolint:err113 // for people
		return fmt.Errorf("the history says %v, holding its key %v, and the open row %v", is, s.HoldsKey(), open)
	}
	if open.GetQueued() == s.QueuedSince().IsZero() || open.GetSuspended() != isHalted(s) || !bytes.Equal(open.GetTurn(), s.Turn()) {
		//nolint:err113 // for people
		return fmt.Errorf("the history says %v, queued since %v, and the open row %v", is, s.QueuedSince(), open)
	}
	return nil
}
