package flaky

import (
	"context"

	"github.com/holdfast-run/holdfast/persistence"
)

// AppendAudit implements persistence.Audit.
func (j *Journal) AppendAudit(ctx context.Context, chain string, first uint64, entries [][]byte) error {
	if err := j.answers(ctx, catalog()...); err != nil {
		return err
	}
	return j.Journal.AppendAudit(ctx, chain, first, entries)
}

// AuditEntries implements persistence.Audit.
func (j *Journal) AuditEntries(ctx context.Context, chain string, from uint64, limit int) ([]persistence.AuditEntry, error) {
	return ask(ctx, j, catalog(), func() ([]persistence.AuditEntry, error) { return j.Journal.AuditEntries(ctx, chain, from, limit) })
}

// AuditChains implements persistence.Audit.
func (j *Journal) AuditChains(ctx context.Context) ([]persistence.AuditChain, error) {
	return ask(ctx, j, catalog(), func() ([]persistence.AuditChain, error) { return j.Journal.AuditChains(ctx) })
}

// TrimAudit implements persistence.Audit.
func (j *Journal) TrimAudit(ctx context.Context, chain string, from uint64) error {
	if err := j.answers(ctx, catalog()...); err != nil {
		return err
	}
	return j.Journal.TrimAudit(ctx, chain, from)
}
