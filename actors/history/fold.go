package history

import (
	"fmt"
	"iter"

	"google.golang.org/protobuf/proto"

	"github.com/holdfast-run/holdfast/actors/workflow"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/persistence"
)

// Pinned finds the definition that an order was accepted with.
type Pinned func(name string, hash []byte) (*workflow.Definition, error)

// Fold folds the whole history of an order to its state, and tells its landmark. It fails with ErrNotFound if there is no history.
func Fold(
	h messages.Handle, records iter.Seq2[persistence.StoredRecord, error], pinned Pinned, limits *workflow.Limits,
) (*workflow.State, Landmark, error) {
	var state *workflow.State
	var mark Landmark
	for stored, err := range records {
		if err != nil {
			return nil, mark, fmt.Errorf("read history %s: %w", h, err)
		}
		var r journalv1.Record
		if err := proto.Unmarshal(stored.Data, &r); err != nil {
			return nil, mark, persistence.DecodeError(fmt.Sprintf("record %s/%d", h, stored.First), err)
		}
		mark.pass(stored.First, r.GetEntered(), len(stored.Data))
		if state, err = Evolve(state, &r, pinned, limits); err != nil {
			return nil, mark, err
		}
	}
	if state == nil {
		return nil, mark, fmt.Errorf("history %s: %w", h, persistence.ErrNotFound)
	}
	return state, mark, nil
}

// Evolve takes a state on by the events of a record; nil is the state before the first one.
func Evolve(s *workflow.State, r *journalv1.Record, pinned Pinned, limits *workflow.Limits) (*workflow.State, error) {
	for _, ev := range r.GetEvents() {
		if s == nil {
			def, err := definitionOf(ev.GetOrderAccepted(), pinned)
			if err != nil {
				return nil, err
			}
			s = workflow.New(def, limits)
		}
		s.Evolve(ev)
	}
	return s, nil
}

// definitionOf finds the definition of an order. One that was refused has none.
func definitionOf(a *journalv1.OrderAccepted, pinned Pinned) (*workflow.Definition, error) {
	if len(a.GetDefinitionHash()) == 0 {
		return workflow.NoDefinition(a.GetDefinition()), nil
	}
	return pinned(a.GetDefinition(), a.GetDefinitionHash())
}
