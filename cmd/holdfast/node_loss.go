package main

import (
	"context"
	"sync/atomic"

	"github.com/holdfast-run/holdfast/cluster"
	"github.com/holdfast-run/holdfast/messages/adminv1"
	"github.com/holdfast-run/holdfast/persistence/postgres"
)

// losses has operators see what the journal's databases lack of what any node knows to have been confirmed, and accept that: also while the
// node can't open the journal because of it.
type losses struct {
	databases  *postgres.Losses
	watermarks *cluster.Watermarks
	// journal is the one that the node has open; nil: it has none yet.
	journal atomic.Pointer[postgres.Journal]
}

// known is what was confirmed to this node and to others.
func (l *losses) known(ctx context.Context) (known postgres.Confirmed, err error) {
	known.To, known.Unreadable, err = l.watermarks.Heard(ctx)
	if j := l.journal.Load(); err == nil && j != nil {
		known.To[j.Incarnation()] = j.Watermarks()
	}
	return known, err
}

// Show implements gateway.Losses.
func (l *losses) Show(ctx context.Context) ([]*adminv1.JournalServer, error) {
	known, err := l.known(ctx)
	if err != nil {
		return nil, err
	}
	return l.databases.Show(ctx, known)
}

// Accept implements gateway.Losses.
func (l *losses) Accept(ctx context.Context, confirm string) (uint64, error) {
	known, err := l.known(ctx)
	if err != nil {
		return 0, err
	}
	generation, err := l.databases.Accept(ctx, known, confirm, l.watermarks.Bind)
	return uint64(generation), err
}
