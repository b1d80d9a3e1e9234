package memory

import (
	"bytes"
	"cmp"
	"context"
	"maps"
	"slices"

	"github.com/holdfast-run/holdfast/persistence"
)

// AppendAudit adds entries to a chain.
func (j *Journal) AppendAudit(ctx context.Context, chain string, first uint64, entries [][]byte) error {
	if err := persistence.CheckAudit(chain, first, entries); err != nil {
		return err
	}
	if err := j.enter(ctx); err != nil {
		return err
	}
	defer j.leave()
	there := j.store.audit[chain]
	last := uint64(0)
	if len(there) > 0 {
		last = there[len(there)-1].Sequence
	}
	if last+1 != first {
		return persistence.AuditConflict(chain, first)
	}
	for i, e := range entries {
		there = append(there, persistence.AuditEntry{Chain: chain, Sequence: first + uint64(i), Value: bytes.Clone(e)})
	}
	j.store.audit[chain] = there
	return nil
}

// AuditEntries returns entries of a chain.
func (j *Journal) AuditEntries(ctx context.Context, chain string, from uint64, limit int) ([]persistence.AuditEntry, error) {
	if err := j.enter(ctx); err != nil {
		return nil, err
	}
	defer j.leave()
	there := j.store.audit[chain]
	i, _ := slices.BinarySearchFunc(there, from, func(e persistence.AuditEntry, from uint64) int { return cmp.Compare(e.Sequence, from) })
	there = there[i:]
	out := slices.Clone(there[:min(limit, len(there))])
	for i := range out {
		out[i].Value = bytes.Clone(out[i].Value)
	}
	return out, nil
}

// AuditChains returns the chains that there are.
func (j *Journal) AuditChains(ctx context.Context) ([]persistence.AuditChain, error) {
	if err := j.enter(ctx); err != nil {
		return nil, err
	}
	defer j.leave()
	var out []persistence.AuditChain
	for _, name := range slices.Sorted(maps.Keys(j.store.audit)) {
		there := j.store.audit[name]
		out = append(out, persistence.AuditChain{Name: name, First: there[0].Sequence, Last: there[len(there)-1].Sequence})
	}
	return out, nil
}

// TrimAudit removes the oldest entries of a chain.
func (j *Journal) TrimAudit(ctx context.Context, chain string, from uint64) error {
	if err := j.enter(ctx); err != nil {
		return err
	}
	defer j.leave()
	there := j.store.audit[chain]
	for len(there) > 1 && there[0].Sequence < from {
		there = there[1:]
	}
	if len(there) > 0 {
		j.store.audit[chain] = slices.Clone(there)
	}
	return nil
}
