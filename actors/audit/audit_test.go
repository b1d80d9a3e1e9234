package audit_test

import (
	"bytes"
	"crypto/ed25519"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-run/holdfast/actors/audit"
	"github.com/holdfast-run/holdfast/messages/auditv1"
)

var (
	key   = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, ed25519.SeedSize))
	other = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{2}, ed25519.SeedSize))
)

func public(k ed25519.PrivateKey) ed25519.PublicKey {
	return k.Public().(ed25519.PublicKey) //nolint:errcheck // it always is one
}

// maker makes a chain, as a node does.
type maker struct {
	*testing.T

	chain audit.Chain
	now   int64
	all   [][]byte
}

func newMaker(t *testing.T, name string) *maker {
	t.Helper()
	return &maker{T: t, chain: audit.Chain{Name: name}, now: time.Date(2026, 11, 28, 8, 0, 0, 0, time.UTC).UnixNano()}
}

func (m *maker) add(e *auditv1.Entry) {
	m.Helper()
	m.now += int64(time.Second)
	stored, err := m.chain.Next(e, m.now)
	if err != nil {
		m.Fatal(err)
	}
	m.all = append(m.all, stored)
}

func (m *maker) change(what string) {
	m.Helper()
	m.add(&auditv1.Entry{Kind: &auditv1.Entry_Begun{Begun: &auditv1.Begun{
		Caller: &auditv1.Caller{Address: "127.0.0.1:1"}, Method: what, By: "ops",
	}}})
	m.add(&auditv1.Entry{Kind: &auditv1.Entry_Ended{Ended: &auditv1.Ended{Begun: m.chain.Sequence}}})
}

func (m *maker) open() {
	m.Helper()
	m.add(&auditv1.Entry{Kind: &auditv1.Entry_Opened{Opened: &auditv1.Opened{Version: "v1"}}})
}

func (m *maker) sign(by ed25519.PrivateKey) {
	m.Helper()
	h := audit.HeadOf(m.chain, m.now+int64(time.Second))
	h.Sign(by)
	m.add(&auditv1.Entry{Kind: &auditv1.Entry_Signed{Signed: &auditv1.Signed{Key: h.Key, Signature: h.Signature}}})
}

// whole is a chain that is opened, signed, changed and signed.
func whole(t *testing.T, name string) *maker {
	t.Helper()
	m := newMaker(t, name)
	m.open()
	m.sign(key)
	for range 10 {
		m.change("limit")
	}
	m.sign(key)
	return m
}

func verify(c audit.Checks, entries ...[]byte) audit.Report {
	v := audit.NewVerifier(c)
	for _, e := range entries {
		v.Add(e)
	}
	return v.Report()
}

func TestWhole(t *testing.T) {
	t.Parallel()
	a, b := whole(t, "a"), whole(t, "b")
	a.change("behind the last signature")
	h := audit.HeadOf(a.chain, a.now)
	r := verify(audit.Checks{Keys: []ed25519.PublicKey{public(other), public(key)}, Heads: []audit.Head{h}}, slices.Concat(a.all, b.all)...)
	if r.ProblemCount != 0 || len(r.Chains) != 2 {
		t.Fatalf("%+v", r)
	}
	if c := r.Chains[0]; c.Chain != "a" || c.First != 1 || c.Last != 25 || c.Signed != 22 || c.Head.Hash != a.chain.Hash {
		t.Errorf("chain a: %+v", c)
	}
}

// TestEachBit changes each bit of a chain, whose last entries nobody has signed.
func TestEachBit(t *testing.T) {
	t.Parallel()
	m := newMaker(t, "a")
	m.open()
	m.change("last")
	for i, stored := range m.all {
		for bit := range 8 * len(stored) {
			changed := bytes.Clone(stored)
			changed[bit/8] ^= 1 << (bit % 8)
			entries := slices.Clone(m.all)
			entries[i] = changed
			if r := verify(audit.Checks{}, entries...); r.ProblemCount == 0 {
				t.Fatalf("bit %d of entry %d was changed, and nothing found", bit, i+1)
			}
		}
	}
}

// forge makes the hash of an entry anew after its bytes were changed, and of all behind it: what somebody does who knows how chains are
// made, and has no key.
func forge(t *testing.T, entries [][]byte, at int, change func(*auditv1.Entry)) [][]byte {
	t.Helper()
	chain, out := audit.Chain{}, slices.Clone(entries[:at])
	if at > 0 {
		var err error
		if chain, err = audit.After(out[at-1]); err != nil {
			t.Fatal(err)
		}
	}
	for i, stored := range entries[at:] {
		e, _, err := audit.Read(stored)
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			change(e)
		}
		chain.Name = e.GetChain()
		forged, err := chain.Next(e, e.GetAt())
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, forged)
	}
	return out
}

func TestForged(t *testing.T) {
	t.Parallel()
	m := whole(t, "a")
	kept := audit.HeadOf(m.chain, m.now)
	keys := []ed25519.PublicKey{public(key)}
	for at := 2; at < 22; at += 2 {
		forged := forge(t, m.all, at, func(e *auditv1.Entry) { e.GetBegun().By = "somebody else" })
		if r := verify(audit.Checks{}, forged...); r.ProblemCount != 0 {
			t.Fatalf("the chain was not forged well: %v", r.Problems)
		}
		if r := verify(audit.Checks{Keys: keys}, forged...); r.ProblemCount == 0 {
			t.Errorf("entry %d was forged, and the signature is good", at+1)
		}
		if r := verify(audit.Checks{Heads: []audit.Head{kept}}, forged...); r.ProblemCount == 0 {
			t.Errorf("entry %d was forged, and the head that was kept is the same", at+1)
		}
	}
}

func TestFound(t *testing.T) {
	t.Parallel()
	m := whole(t, "a")
	n := len(m.all)
	kept := audit.HeadOf(m.chain, m.now)
	badKept := kept
	badKept.Sign(other)
	keys := []ed25519.PublicKey{public(key)}
	unsigned := whole(t, "a")
	for range 3 {
		unsigned.now += int64(audit.MaxUnsigned)
		unsigned.change("late")
	}
	reopened := whole(t, "a")
	reopened.open()
	never := newMaker(t, "a")
	never.open()
	tests := map[string]struct {
		checks  audit.Checks
		entries [][]byte
		want    string
	}{
		"an end was cut":               {audit.Checks{Heads: []audit.Head{kept}}, m.all[:n-1], "it was cut"},
		"a chain was removed":          {audit.Checks{Heads: []audit.Head{kept}}, nil, "is gone"},
		"the beginning was cut":        {audit.Checks{}, m.all[1:], "begins with entry 2"},
		"an entry was removed":         {audit.Checks{}, slices.Delete(slices.Clone(m.all), 5, 6), "no entries between 5 and 7"},
		"an entry is there twice":      {audit.Checks{}, slices.Insert(slices.Clone(m.all), 5, m.all[4]), "comes behind"},
		"another key":                  {audit.Checks{Keys: []ed25519.PublicKey{public(other)}}, m.all, "key that was not given"},
		"a head by another key":        {audit.Checks{Keys: keys, Heads: []audit.Head{badKept}}, m.all, "the head of entry 23"},
		"never signed":                 {audit.Checks{Keys: keys}, never.all, "is not signed"},
		"not signed for long":          {audit.Checks{Keys: keys}, unsigned.all, "not signed behind entry 22"},
		"opened by a node with no key": {audit.Checks{Keys: keys}, reopened.all, "not signed behind entry 22"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := verify(tt.checks, tt.entries...)
			if !strings.Contains(strings.Join(r.Problems, "\n"), tt.want) {
				t.Errorf("problems %q, and not %q", r.Problems, tt.want)
			}
		})
	}
}

func TestKept(t *testing.T) {
	t.Parallel()
	m := whole(t, "a")
	fifth, _, err := audit.Read(m.all[4])
	if err != nil {
		t.Fatal(err)
	}
	m.add(&auditv1.Entry{Kind: &auditv1.Entry_Kept{Kept: &auditv1.Kept{From: 5, Previous: fifth.GetPrevious()}}})
	keys := []ed25519.PublicKey{public(key)}
	if r := verify(audit.Checks{Keys: keys}, m.all[4:]...); !strings.Contains(strings.Join(r.Problems, ""), "what says why is not signed") {
		t.Errorf("problems %q", r.Problems)
	}
	m.sign(key)
	if r := verify(audit.Checks{Keys: keys}, m.all[4:]...); r.ProblemCount != 0 {
		t.Errorf("a chain whose beginning was removed by age: %q", r.Problems)
	}
	if r := verify(audit.Checks{Keys: keys}, m.all[5:]...); r.ProblemCount == 0 {
		t.Error("more was removed than the chain says, and nothing found")
	}
}

func TestStoredElsewhere(t *testing.T) {
	t.Parallel()
	m := whole(t, "a")
	v := audit.NewVerifier(audit.Checks{})
	for i, stored := range m.all {
		v.AddAt("a", uint64(i+1), stored)
	}
	if r := v.Report(); r.ProblemCount != 0 {
		t.Fatal(r.Problems)
	}
	v = audit.NewVerifier(audit.Checks{})
	v.AddAt("b", 1, m.all[0])
	if r := v.Report(); r.ProblemCount != 1 {
		t.Errorf("an entry under another name: %q", r.Problems)
	}
}

func TestHeadText(t *testing.T) {
	t.Parallel()
	m := whole(t, `a "node"`)
	h := audit.HeadOf(m.chain, m.now)
	h.Sign(key)
	heads, err := audit.ParseHeads([]byte(h.Text() + "\n" + h.Text()))
	if err != nil || len(heads) != 2 || heads[1].Text() != h.Text() {
		t.Fatalf("%+v, %v", heads, err)
	}
	if err := heads[0].Check([]ed25519.PublicKey{public(key)}); err != nil {
		t.Error(err)
	}
	for _, text := range []string{"{}", "x", `{"chain":"a","sequence":1,"hash":"00"}`} {
		if heads, err := audit.ParseHeads([]byte(text)); err == nil {
			t.Errorf("%s: %+v", text, heads)
		}
	}
}

// TestTimeGoesOn gives a clock that goes back.
func TestTimeGoesOn(t *testing.T) {
	t.Parallel()
	m := whole(t, "a")
	m.now -= int64(time.Hour)
	m.change("limit")
	if r := verify(audit.Checks{}, m.all...); r.ProblemCount != 0 {
		t.Error(r.Problems)
	}
}

func FuzzVerify(f *testing.F) {
	f.Add([]byte("x"), []byte(`{"chain":"a"}`))
	f.Fuzz(func(t *testing.T, stored, head []byte) {
		heads, _ := audit.ParseHeads(head)
		if r := verify(audit.Checks{Heads: heads}, stored); len(r.Chains) == 0 && r.ProblemCount == 0 && len(r.Problems) == 0 && len(stored) > 0 {
			t.Errorf("nothing was said of %x", stored)
		}
	})
}

// TestMany makes random changes of several entries at once.
func TestMany(t *testing.T) {
	t.Parallel()
	m := whole(t, "a")
	random := rand.New(rand.NewPCG(1, 2))
	for range 1000 {
		entries := slices.Clone(m.all)
		switch at := random.IntN(len(entries) - 1); random.IntN(3) {
		case 0:
			entries[at], entries[at+1] = entries[at+1], entries[at]
		case 1:
			entries = slices.Delete(entries, at, at+1)
		case 2:
			entries[at] = entries[at][:random.IntN(len(entries[at]))]
		}
		if r := verify(audit.Checks{}, entries...); r.ProblemCount == 0 {
			t.Fatal("a change was not found")
		}
	}
}
