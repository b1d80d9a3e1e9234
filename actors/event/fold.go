package event

import (
	"errors"
	"fmt"
	"iter"

	"google.golang.org/protobuf/proto"

	"github.com/holdfast-run/holdfast/actors/slot"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/persistence"
)

// Fold folds the history of a correlation slot to its state, from the version of a summary on; 0: from the first. The records are those
// from the one on that has it.
func Fold(
	h messages.Handle, records iter.Seq2[persistence.StoredRecord, error], from messages.Version, limits slot.Limits,
) (*slot.State, error) {
	from = max(from, 1)
	s := slot.From(from, limits)
	for stored, err := range records {
		if err != nil {
			return nil, fmt.Errorf("read history %s: %w", h, err)
		}
		var r journalv1.Record
		if err := proto.Unmarshal(stored.Data, &r); err != nil {
			return nil, persistence.DecodeError(fmt.Sprintf("record %s/%d", h, stored.First), err)
		}
		for n, ev := range r.GetEvents() {
			if stored.First+messages.Version(n) >= from {
				s.Evolve(ev)
			}
		}
	}
	if s.Opened() == nil {
		return nil, fmt.Errorf("history %s: %w", h, persistence.ErrNotFound)
	}
	return s, nil
}

// Check folds the whole history of a correlation slot, and compares it with the rows beside it; open is nil if there is none.
func Check(row *journalv1.OrderRow, open *journalv1.OpenRow, records []*journalv1.Record) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the history can't be folded: %v", p) //nolint:err113 // for people
		}
	}()
	s := slot.New(slot.Limits{})
	for _, r := range records {
		for _, ev := range r.GetEvents() {
			s.Evolve(ev)
		}
	}
	if s.Opened() == nil {
		return errors.New("the history is empty")
	}
	f := s.Facts()
	return f.Follow(row, open)
}
