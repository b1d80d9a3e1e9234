package recorder_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/holdfast-run/holdfast/actors/audit"
	"github.com/holdfast-run/holdfast/actors/audit/recorder"
	"github.com/holdfast-run/holdfast/messages/auditv1"
	"github.com/holdfast-run/holdfast/persistence"
	"github.com/holdfast-run/holdfast/persistence/flaky"
	"github.com/holdfast-run/holdfast/persistence/memory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	key    = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, ed25519.SeedSize))
	public = key.Public().(ed25519.PublicKey) //nolint:errcheck // it always is one
)

// node is a recorder over a journal that can be away, and outlives it.
type node struct {
	*testing.T
	*recorder.Recorder

	journal *flaky.Journal
	log     *bytes.Buffer
}

func start(t *testing.T, j *flaky.Journal, change ...func(*recorder.Config)) *node {
	t.Helper()
	c := recorder.Config{Chain: "n", Incarnation: "n/1", Version: "v1", Key: key}
	for _, f := range change {
		f(&c)
	}
	n := &node{T: t, journal: j, log: &bytes.Buffer{}}
	n.Recorder = recorder.Start(c, recorder.Deps{Journal: j, Now: time.Now, Log: slog.New(slog.NewTextHandler(n.log, nil))})
	return n
}

func newJournal(t *testing.T) *flaky.Journal {
	t.Helper()
	j := flaky.Wrap(memory.NewStore().Open(memory.Config{}))
	t.Cleanup(func() {
		if err := j.Close(); err != nil {
			t.Error(err)
		}
	})
	return j
}

func (n *node) change(method string) {
	n.Helper()
	at, err := n.Begin(n.Context(), &auditv1.Begun{Method: method})
	if err == nil {
		err = n.End(n.Context(), &auditv1.Ended{Begun: at})
	}
	if err != nil {
		n.Error(err)
	}
}

// read returns all entries, in pages of two, after they were verified.
func (n *node) read(w recorder.Wanted, checks audit.Checks) (kinds string) {
	n.Helper()
	v := audit.NewVerifier(checks)
	var words []string
	for w.Limit, w.Bytes = 2, 1<<20; ; {
		page, next, err := n.Read(n.Context(), w)
		if err != nil {
			n.Fatal(err)
		}
		for _, stored := range page {
			v.Add(stored)
			e, _, err := audit.Read(stored)
			if err != nil {
				n.Fatal(err)
			}
			word := strings.ToLower(strings.TrimPrefix(fmt.Sprintf("%T", e.GetKind()), "*auditv1.Entry_"))
			if r := e.GetRefused(); r != nil {
				word = fmt.Sprintf("refused(%s %s %d)", r.GetWhat(), r.GetCaller().GetAddress(), r.GetCount())
			}
			words = append(words, word)
		}
		if w.From = next; next == (audit.Place{}) {
			break
		}
	}
	if w.Since.IsZero() {
		if r := v.Report(); r.ProblemCount > 0 {
			n.Errorf("problems: %q", r.Problems)
		}
	}
	return strings.Join(words, " ")
}

func (n *node) check(want string) {
	n.Helper()
	if got := n.read(recorder.Wanted{}, audit.Checks{Keys: []ed25519.PublicKey{public}}); got != want {
		n.Errorf("the chain is\n%s\nwant\n%s", got, want)
	}
}

// TestGoesOn has a node start again, whose chain goes on.
func TestGoesOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		j := newJournal(t)
		n := start(t, j)
		n.change("a")
		n.check("opened signed begun ended")
		time.Sleep(time.Minute + time.Second)
		n.check("opened signed begun ended signed")
		time.Sleep(10 * time.Minute)
		n.check("opened signed begun ended signed")
		n.change("b")
		n.Stop()
		text, err := n.Head()
		if err != nil || !strings.Contains(n.log.String(), "head of the audit") {
			t.Errorf("head %q, %v, and the log is %s", text, err, n.log)
		}
		n = start(t, j)
		n.change("c")
		n.Stop()
		n.check("opened signed begun ended signed begun ended signed opened signed begun ended signed")
		heads, err := audit.ParseHeads([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		n.read(recorder.Wanted{}, audit.Checks{Heads: heads})
		if _, err := n.Begin(t.Context(), &auditv1.Begun{}); !errors.Is(err, recorder.ErrStopped) {
			t.Errorf("after the end: %v", err)
		}
	})
}

// TestAway has the journal away: nothing can be begun, and who is refused is counted on.
func TestAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		j := newJournal(t)
		j.Set(flaky.Away)
		n := start(t, j)
		if _, err := n.Begin(t.Context(), &auditv1.Begun{}); !errors.Is(err, persistence.ErrUnavailable) {
			t.Errorf("begun without a journal: %v", err)
		}
		for range 3 {
			n.Refused("x", &auditv1.Caller{Address: "1.2.3.4:5"}, "why")
			synctest.Wait()
		}
		j.Set(flaky.Silent)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := n.Begin(ctx, &auditv1.Begun{}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("begun with a silent journal: %v", err)
		}
		time.Sleep(5 * time.Minute)
		j.Set(flaky.Up)
		time.Sleep(2 * time.Minute)
		n.Stop()
		n.check("opened signed refused(x 1.2.3.4 3) signed")
	})
}

func TestRefused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t, newJournal(t), func(c *recorder.Config) { c.Refusals, c.Sign = 2, time.Hour })
		for range 10 {
			n.Refused("x", &auditv1.Caller{Address: "1.2.3.4:5"}, "why")
			synctest.Wait()
		}
		n.Refused("y", &auditv1.Caller{Address: "1.2.3.4:5"}, "why")
		synctest.Wait()
		for port := range 100 {
			n.Refused(fmt.Sprint("z", port), &auditv1.Caller{}, "why")
			synctest.Wait()
		}
		n.check("opened signed refused(x 1.2.3.4 1) refused(y 1.2.3.4 1) refused(others  1)")
		// Those whose names are known are told apart all the same.
		for name := range 100 {
			n.Refused("k", &auditv1.Caller{Name: fmt.Sprint("n", name), KnownBy: "token", Address: "1.2.3.5"}, "why")
			synctest.Wait()
		}
		n.check("opened signed refused(x 1.2.3.4 1) refused(y 1.2.3.4 1) refused(others  1) refused(k 1.2.3.5 1) refused(k 1.2.3.5 1) " +
			"refused(others  1)")
		time.Sleep(time.Minute)
		synctest.Wait()
		got := strings.Fields(strings.ReplaceAll(n.read(recorder.Wanted{}, audit.Checks{}), " 1.2.3.4 ", "-"))
		others := 0
		for _, word := range got {
			if word == "99)" || word == "97)" {
				others++
			}
		}
		if len(got) != 19 || !slices.Contains(got, "refused(x-9)") || others != 2 {
			t.Errorf("after a minute: %q", got)
		}
		time.Sleep(time.Minute)
		n.Refused("x", &auditv1.Caller{Address: "1.2.3.4:6"}, "why")
		n.Stop()
	})
}

func TestTrim(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t, newJournal(t), func(c *recorder.Config) { c.Keep = 24 * time.Hour })
		n.change("old")
		time.Sleep(20*time.Hour + time.Second)
		n.change("young")
		time.Sleep(10 * time.Hour)
		n.Stop()
		n.check("begun ended signed kept signed")
		if got := n.read(recorder.Wanted{Since: time.Now().Add(-6 * time.Hour)}, audit.Checks{}); got != "kept signed" {
			t.Errorf("of the last hours there is %q", got)
		}
	})
}

// TestTwo has two write to the same chain, as a node does that was believed dead: each entry has its place.
func TestTwo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		j := newJournal(t)
		a, b := start(t, j), start(t, j)
		var both sync.WaitGroup
		for range 20 {
			both.Go(func() { a.change("a") })
			both.Go(func() { b.change("b") })
		}
		both.Wait()
		a.Stop()
		b.Stop()
		got := b.read(recorder.Wanted{}, audit.Checks{Keys: []ed25519.PublicKey{public}})
		if n := strings.Count(got, "begun"); n != 40 || strings.Count(got, "ended") != 40 || strings.Count(got, "opened") != 2 {
			t.Errorf("the chain is %s", got)
		}
	})
}

// TestChanged has somebody change the last entry behind the node's back: the node goes on, and who verifies finds it.
func TestChanged(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		j := newJournal(t)
		if err := j.AppendAudit(t.Context(), "n", 1, [][]byte{bytes.Repeat([]byte{7}, 40)}); err != nil {
			t.Fatal(err)
		}
		n := start(t, j)
		n.change("a")
		n.Stop()
		page, _, err := n.Read(t.Context(), recorder.Wanted{Limit: 10, Bytes: 1 << 20})
		if err != nil || len(page) != 6 || !strings.Contains(n.log.String(), "was changed") {
			t.Errorf("%d entries, %v, and the log is %s", len(page), err, n.log)
		}
		v := audit.NewVerifier(audit.Checks{})
		for _, e := range page {
			v.Add(e)
		}
		if r := v.Report(); r.ProblemCount == 0 {
			t.Error("nothing was found")
		}
	})
}

func TestConfig(t *testing.T) {
	t.Parallel()
	err := recorder.Config{Sign: time.Millisecond, Keep: time.Second, Refusals: -1}.Validate()
	for _, field := range []string{"Sign", "Keep", "Refusals"} {
		if err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%v does not tell of %s", err, field)
		}
	}
	if err := (recorder.Config{}).Validate(); err != nil {
		t.Error(err)
	}
}
