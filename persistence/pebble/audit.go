package pebble

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/cockroachdb/pebble/v2"

	"github.com/holdfast-run/holdfast/persistence"
)

// auditPrefix is what the keys of a chain begin with, auditKey the key of an entry.
func auditPrefix(chain string) []byte { return appendString([]byte{kindAudit}, chain) }

func auditKey(chain string, sequence uint64) []byte {
	return appendNumber(auditPrefix(chain), sequence)
}

// parseAuditKey reads what auditKey wrote, and nothing else.
func parseAuditKey(k []byte) (chain string, sequence uint64, err error) {
	const head, number = 3, 8
	if len(k) < head+number || len(k) != head+int(binary.BigEndian.Uint16(k[1:]))+number {
		return "", 0, persistence.DecodeError("audit", fmt.Errorf("key %x is not that of an entry", k))
	}
	return string(k[head : len(k)-number]), binary.BigEndian.Uint64(k[len(k)-number:]), nil
}

// AppendAudit adds entries to a chain.
func (j *Journal) AppendAudit(ctx context.Context, chain string, first uint64, entries [][]byte) error {
	if err := persistence.CheckAudit(chain, first, entries); err != nil {
		return err
	}
	if err := j.enter(ctx); err != nil {
		return err
	}
	defer j.leave()
	j.writing.Lock()
	defer j.writing.Unlock()
	last, err := lastAudit(j.db, auditPrefix(chain))
	if err != nil {
		return err
	}
	if last+1 != first {
		return persistence.AuditConflict(chain, first)
	}
	writes := make([]write, 0, len(entries))
	for i, e := range entries {
		writes = append(writes, write{auditKey(chain, first+uint64(i)), e})
	}
	if err := j.write(writes...); err != nil {
		return fmt.Errorf("add to chain %q of the audit: %w", chain, err)
	}
	return nil
}

// lastAudit returns the sequence of the last entry behind a prefix; 0 if there is none.
func lastAudit(db pebble.Reader, prefix []byte) (uint64, error) {
	it, err := db.NewIter(&pebble.IterOptions{LowerBound: prefix, UpperBound: successor(bytes.Clone(prefix))})
	if err != nil {
		return 0, readError("look for the end of a chain", err)
	}
	last := uint64(0)
	if it.Last() {
		_, last, err = parseAuditKey(it.Key())
	}
	if closeErr := it.Close(); err == nil {
		err = readError("look for the end of a chain", closeErr)
	}
	return last, err
}

// AuditEntries returns entries of a chain.
func (j *Journal) AuditEntries(
	ctx context.Context, chain string, from uint64, limit int,
) (entries []persistence.AuditEntry, err error) {
	if err := j.enter(ctx); err != nil {
		return nil, err
	}
	defer j.leave()
	if !fits(chain) {
		return nil, nil
	}
	upper := successor(auditPrefix(chain))
	err = j.scan(ctx, auditKey(chain, from), upper, func(key, value []byte) (bool, error) {
		_, sequence, err := parseAuditKey(key)
		if err != nil {
			return false, err
		}
		entries = append(entries, persistence.AuditEntry{Chain: chain, Sequence: sequence, Value: bytes.Clone(value)})
		return len(entries) < limit, nil
	})
	if err != nil {
		return nil, fmt.Errorf("read chain %q of the audit: %w", chain, err)
	}
	return entries, nil
}

// AuditChains returns the chains that there are.
func (j *Journal) AuditChains(ctx context.Context) (chains []persistence.AuditChain, err error) {
	if err := j.enter(ctx); err != nil {
		return nil, err
	}
	defer j.leave()
	for lower := []byte{kindAudit}; ; {
		found := false
		c := persistence.AuditChain{}
		if err := j.scan(ctx, lower, []byte{kindAudit + 1}, func(key, _ []byte) (more bool, err error) {
			found = true
			c.Name, c.First, err = parseAuditKey(key)
			return false, err
		}); err != nil {
			return nil, fmt.Errorf("read the chains of the audit: %w", err)
		}
		if !found { // keys have the length before the name
			slices.SortFunc(chains, func(a, b persistence.AuditChain) int { return strings.Compare(a.Name, b.Name) })
			return chains, nil
		}
		prefix := auditPrefix(c.Name)
		if c.Last, err = lastAudit(j.db, prefix); err != nil {
			return nil, err
		}
		chains, lower = append(chains, c), successor(prefix)
	}
}

// TrimAudit removes the oldest entries of a chain.
func (j *Journal) TrimAudit(ctx context.Context, chain string, from uint64) error {
	if err := j.enter(ctx); err != nil {
		return err
	}
	defer j.leave()
	if !fits(chain) {
		return nil
	}
	j.writing.Lock()
	defer j.writing.Unlock()
	last, err := lastAudit(j.db, auditPrefix(chain))
	if err != nil {
		return err
	}
	b := j.db.NewBatch()
	_ = b.DeleteRange(auditKey(chain, 0), auditKey(chain, min(from, last)), nil) // Always nil.
	if err := j.apply(b); err != nil {
		return fmt.Errorf("remove the oldest entries of chain %q of the audit: %w: %w", chain, persistence.ErrUnknown, err)
	}
	return engineError("write", b.Close())
}

// AllAudit yields all entries of all chains, in their order.
func (s *Source) AllAudit(ctx context.Context) iter.Seq2[persistence.AuditEntry, error] {
	return func(yield func(persistence.AuditEntry, error) bool) {
		if err := s.each(ctx, []byte{kindAudit}, kindAudit, func(key, value []byte) (bool, error) {
			chain, sequence, err := parseAuditKey(key)
			if err != nil {
				return false, err
			}
			return yield(persistence.AuditEntry{Chain: chain, Sequence: sequence, Value: bytes.Clone(value)}, nil), nil
		}); err != nil {
			yield(persistence.AuditEntry{}, fmt.Errorf("read the audit: %w", err))
		}
	}
}

// audit looks at the entries of all chains.
func (v *verifier) audit() error {
	return v.each([]byte{kindAudit}, []byte{kindAudit + 1}, func(key, value []byte) {
		v.report.AuditEntries++
		chain, sequence, err := parseAuditKey(key)
		if err != nil {
			v.keyProblemf(key, "not that of an entry of the audit")
			return
		}
		if v.Audit != nil {
			v.Audit(persistence.AuditEntry{Chain: chain, Sequence: sequence, Value: value})
		}
	})
}
