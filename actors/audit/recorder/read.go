package recorder

import (
	"context"
	"fmt"
	"sort"
	"time"

	"github.com/holdfast-run/holdfast/actors/audit"
	"github.com/holdfast-run/holdfast/messages/auditv1"
	"github.com/holdfast-run/holdfast/persistence"
)

// Wanted says which entries are read.
type Wanted struct {
	// Chain is the only one that is read; empty: all are.
	Chain string
	// Since leaves out what is known to be older.
	Since time.Time
	// From is where to begin.
	From audit.Place
	// Limit is the most entries, Bytes about the most bytes of them; the first entry always fits.
	Limit, Bytes int
}

// pageEntries is how many entries are read from the journal at once.
const pageEntries = 100

// Read returns entries as they are stored, and where to go on; the zero place: there are no more.
func (r *Recorder) Read(ctx context.Context, w Wanted) (entries [][]byte, next audit.Place, err error) {
	chains, err := r.Journal.AuditChains(ctx)
	if err != nil {
		return nil, next, fmt.Errorf("read the chains of the audit: %w", err)
	}
	bytes := 0
	for _, c := range chains {
		if c.Name < w.From.Chain || w.Chain != "" && c.Name != w.Chain {
			continue
		}
		at := c.First
		if c.Name == w.From.Chain {
			at = max(at, w.From.Sequence)
		} else if !w.Since.IsZero() {
			if at, err = r.since(ctx, c, w.Since); err != nil {
				return nil, next, err
			}
		}
		for at <= c.Last {
			page, err := r.Journal.AuditEntries(ctx, c.Name, at, min(pageEntries, w.Limit-len(entries)+1))
			if err != nil {
				return nil, next, fmt.Errorf("read chain %q of the audit: %w", c.Name, err)
			}
			if len(page) == 0 {
				break
			}
			for _, e := range page {
				if bytes += len(e.Value); len(entries) == w.Limit || len(entries) > 0 && bytes > w.Bytes {
					return entries, audit.Place{Chain: c.Name, Sequence: e.Sequence}, nil
				}
				entries, at = append(entries, e.Value), e.Sequence+1
			}
		}
	}
	return entries, next, nil
}

// since returns the first entry of a chain that is not older than a time; one behind the last if all are. Times rise with sequences; what
// can't be read counts as new.
func (r *Recorder) since(ctx context.Context, c persistence.AuditChain, t time.Time) (at uint64, err error) {
	n := sort.Search(int(c.Last-c.First+1), func(i int) bool { //nolint:gosec // there are not that many
		page, readErr := r.Journal.AuditEntries(ctx, c.Name, c.First+uint64(i), 1) //nolint:gosec // not negative
		if readErr != nil || len(page) == 0 {
			err = readErr
			return true
		}
		e, _, damaged := audit.Read(page[0].Value)
		return damaged != nil || e.GetAt() >= t.UnixNano()
	})
	if err != nil {
		return 0, fmt.Errorf("read chain %q of the audit: %w", c.Name, err)
	}
	return c.First + uint64(n), nil //nolint:gosec // not negative
}

// trim removes the entries of the node's chain that are older than they are to be kept. The chain says so before, and is signed.
func (r *Recorder) trim(now time.Time) error {
	ctx, cancel := context.WithTimeout(context.Background(), writeWithin)
	defer cancel()
	first, err := r.Journal.AuditEntries(ctx, r.Chain, 0, 1)
	if err != nil || len(first) == 0 {
		return err
	}
	c := persistence.AuditChain{Name: r.Chain, First: first[0].Sequence, Last: r.end.Sequence}
	from, err := r.since(ctx, c, now.Add(-r.Keep))
	if err != nil || from == c.First {
		return err
	}
	from = min(from, c.Last)
	page, err := r.Journal.AuditEntries(ctx, r.Chain, from, 1)
	if err != nil || len(page) == 0 {
		return err
	}
	e, _, err := audit.Read(page[0].Value)
	if err != nil {
		return fmt.Errorf("entry %d: %w", from, err)
	}
	entries := []*auditv1.Entry{{Kind: &auditv1.Entry_Kept{Kept: &auditv1.Kept{From: from, Previous: e.GetPrevious()}}}}
	if len(r.Key) > 0 {
		entries = append(entries, &auditv1.Entry{Kind: &auditv1.Entry_Signed{}})
	}
	if err := r.write(writeWithin, entries...); err != nil {
		return err
	}
	return r.Journal.TrimAudit(ctx, r.Chain, from)
}
