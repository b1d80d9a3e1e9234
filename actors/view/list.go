package view

import (
	"context"
	"fmt"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/persistence"
)

// Query selects orders.
type Query = persistence.Query

// FoundOrder is one that was found.
type FoundOrder = persistence.FoundOrder

// List returns orders, newest first, and where to continue: a zero handle when there are no more.
func (v *View) List(ctx context.Context, q Query) (found []FoundOrder, next messages.Handle, err error) {
	found, next, err = v.parts.Journal.List(ctx, q)
	if err != nil {
		return nil, next, fmt.Errorf("list orders: %w", err)
	}
	return found, next, nil
}

// Row returns the row of an order.
func (v *View) Row(ctx context.Context, id messages.OrderID) (*journalv1.OrderRow, error) {
	e, err := v.parts.Journal.Find(ctx, id)
	if err == nil {
		var row *journalv1.OrderRow
		if row, err = v.parts.Journal.Row(ctx, e.Handle); err == nil {
			return row, nil
		}
	}
	return nil, fmt.Errorf("order %s: %w", id, err)
}
