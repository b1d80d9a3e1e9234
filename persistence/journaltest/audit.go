package journaltest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/holdfast-run/holdfast/persistence"
)

// auditState is all that a journal has of the audit.
func auditState(t env, j persistence.Audit) string {
	t.Helper()
	chains, err := j.AuditChains(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, c := range chains {
		fmt.Fprintf(&b, "%s %d-%d:", c.Name, c.First, c.Last)
		for from := c.First; ; {
			page, err := j.AuditEntries(t.Context(), c.Name, from, 2)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range page {
				if e.Chain != c.Name || e.Sequence != from {
					t.Errorf("entry %d of chain %q is where %d of %q should be", e.Sequence, e.Chain, from, c.Name)
				}
				from++
				fmt.Fprintf(&b, " %s", e.Value)
			}
			if len(page) < 2 {
				break
			}
		}
		b.WriteString("\n")
	}
	return b.String()
}

func testAudit(t env) {
	j := t.Open(t)
	add := func(want error, chain string, first uint64, entries ...string) {
		t.Helper()
		values := make([][]byte, 0, len(entries))
		for _, e := range entries {
			values = append(values, []byte(e))
		}
		if err := j.AppendAudit(t.Context(), chain, first, values); !errors.Is(err, want) {
			t.Errorf("add %q to %s at %d: %v, want %v", entries, chain, first, err, want)
		}
	}
	check := func(want string) {
		t.Helper()
		if got := auditState(t, j); got != want {
			t.Errorf("the audit is\n%s\nwant\n%s", got, want)
		}
	}
	check("")
	add(persistence.ErrConflict, "b", 2, "x")
	add(nil, "b", 1, "b1", "b2", "b3")
	add(nil, "a\xffb", 1, "a1")
	add(persistence.ErrConflict, "b", 3, "x")
	add(persistence.ErrConflict, "b", 5, "x", "y")
	add(persistence.ErrConflict, "b", 1, "x")
	add(nil, "b", 4, "b4")
	all := "a\xffb 1-1: a1\nb 1-4: b1 b2 b3 b4\n"
	check(all)
	closeJournal(t, j)
	j = t.Open(t)
	check(all)
	for _, trim := range []struct {
		from uint64
		want string
	}{{0, all}, {3, "a\xffb 1-1: a1\nb 3-4: b3 b4\n"}, {2, "a\xffb 1-1: a1\nb 3-4: b3 b4\n"}, {9, "a\xffb 1-1: a1\nb 4-4: b4\n"}} {
		if err := j.TrimAudit(t.Context(), "b", trim.from); err != nil {
			t.Errorf("trim to %d: %v", trim.from, err)
		}
		check(trim.want)
	}
	if err := j.TrimAudit(t.Context(), "none", 3); err != nil {
		t.Errorf("trim a chain that is not there: %v", err)
	}
	add(nil, "b", 5, "b5")
	check("a\xffb 1-1: a1\nb 4-5: b4 b5\n")
	for _, wrong := range []struct {
		chain   string
		first   uint64
		entries [][]byte
	}{{"", 1, [][]byte{{1}}}, {"c\x00", 1, [][]byte{{1}}}, {strings.Repeat("c", 300), 1, [][]byte{{1}}}, {"c", 0, [][]byte{{1}}}, {"c", 1, nil}} {
		if err := j.AppendAudit(t.Context(), wrong.chain, wrong.first, wrong.entries); err == nil {
			t.Errorf("%+v passed", wrong)
		}
	}
	closeJournal(t, j)
}

// testAuditAtOnce has many add to the end of one chain at once: of those who add at the same end one does.
func testAuditAtOnce(t env) {
	j := t.Open(t)
	const writers, each = 4, 10
	var made atomic.Int64
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			for at := uint64(1); at <= each; {
				err := j.AppendAudit(t.Context(), "chain", at, [][]byte{fmt.Appendf(nil, "%d.%d", w, at)})
				switch {
				case err == nil:
					made.Add(1)
				case !errors.Is(err, persistence.ErrConflict):
					t.Error(err)
					return
				}
				page, err := j.AuditEntries(t.Context(), "chain", at, 1)
				if err != nil || len(page) > 1 {
					t.Errorf("entry %d: %v, %v", at, page, err)
					return
				}
				at += uint64(len(page))
			}
		})
	}
	all.Wait()
	page, err := j.AuditEntries(t.Context(), "chain", 0, 2*each)
	if err != nil || made.Load() != each || len(page) != each {
		t.Errorf("%d were added, and there are %d, %v", made.Load(), len(page), err)
	}
	if !slices.IsSortedFunc(page, func(a, b persistence.AuditEntry) int { return int(a.Sequence) - int(b.Sequence) }) {
		t.Errorf("entries out of order: %v", page)
	}
	closeJournal(t, j)
}
