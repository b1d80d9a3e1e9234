package persistence

import (
	"context"
	"fmt"
	"strings"
)

// Audit keeps what was done by people and programs, in chains of entries. What an entry says, and whether it follows on the one before it,
// is not the journal's matter. In a journal of several shards it lives in the first.
type Audit interface {
	// AppendAudit adds entries to a chain, all or none. They are durable when it returns. The first one gets a sequence, which must be one
	// more than that of the last that is there, or 1 if none is; else it fails with ErrConflict, and nothing was done. After any other
	// error they may have been added or not: what is read once the journal answers tells.
	AppendAudit(ctx context.Context, chain string, first uint64, entries [][]byte) error
	// AuditEntries returns entries of a chain in their order, from a sequence on, and at most so many.
	AuditEntries(ctx context.Context, chain string, from uint64, limit int) ([]AuditEntry, error)
	// AuditChains returns the chains that have entries, by name.
	AuditChains(ctx context.Context) ([]AuditChain, error)
	// TrimAudit removes the entries of a chain before a sequence for good, but never the last one that there is.
	TrimAudit(ctx context.Context, chain string, from uint64) error
}

// AuditEntry is an entry as it is stored, and where.
type AuditEntry struct {
	Chain    string
	Sequence uint64
	Value    []byte
}

// AuditChain is which entries of a chain there are.
type AuditChain struct {
	Name        string
	First, Last uint64
}

// maxChain is the longest name of a chain, in bytes.
const maxChain = 256

// CheckAudit says what is wrong with entries that are to be stored.
func CheckAudit(chain string, first uint64, entries [][]byte) error {
	if chain == "" || len(chain) > maxChain || strings.ContainsRune(chain, 0) || first == 0 || len(entries) == 0 {
		return fmt.Errorf("audit: %d entries of chain %q from %d on: at least one is expected, from 1 on, and a name of at most %d bytes, "+
			"without zero bytes", len(entries), chain, first, maxChain)
	}
	return nil
}

// AuditConflict says that a chain does not end where entries were to be added.
func AuditConflict(chain string, first uint64) error {
	return fmt.Errorf("%w: chain %q of the audit does not end before entry %d", ErrConflict, chain, first)
}
