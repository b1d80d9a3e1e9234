package instance

import (
	"errors"
	"fmt"
	"iter"

	"google.golang.org/protobuf/proto"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/persistence"
)

// fold folds the history of an instance to its state, from the version of a summary on; 1: from the first. The records are those from the
// one on that has it.
func fold(s State, h messages.Handle, records iter.Seq2[persistence.StoredRecord, error], from messages.Version) error {
	for stored, err := range records {
		if err != nil {
			return fmt.Errorf("read history %s: %w", h, err)
		}
		var r journalv1.Record
		if err := proto.Unmarshal(stored.Data, &r); err != nil {
			return persistence.DecodeError(fmt.Sprintf("record %s/%d", h, stored.First), err)
		}
		for n, ev := range r.GetEvents() {
			if stored.First+messages.Version(n) >= from {
				s.Evolve(ev)
			}
		}
	}
	if !s.Exists() {
		return fmt.Errorf("history %s: %w", h, persistence.ErrNotFound)
	}
	return nil
}

// Check folds the whole history of an instance to a state that nothing has happened to, and compares it with the rows beside it; open is
// nil if there is none.
func Check(s State, row *journalv1.OrderRow, open *journalv1.OpenRow, records []*journalv1.Record) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the history can't be folded: %v", p) //nolint:err113 // for people
		}
	}()
	for _, r := range records {
		for _, ev := range r.GetEvents() {
			s.Evolve(ev)
		}
	}
	if !s.Exists() {
		return errors.New("the history is empty")
	}
	f := s.Facts()
	return f.Follow(row, open)
}
