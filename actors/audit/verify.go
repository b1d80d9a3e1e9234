package audit

import (
	"bytes"
	"crypto/ed25519"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/holdfast-run/holdfast/messages/auditv1"
)

// Checks is what a Verifier holds chains against, beside themselves.
type Checks struct {
	// Keys are the public keys by which heads may be signed. With at least one, all chains have to be signed; default: none is looked at.
	Keys []ed25519.PublicKey
	// Heads were kept elsewhere. Default: none.
	Heads []Head
}

// MaxUnsigned is how long entries may go unsigned in a chain that is checked by keys.
const MaxUnsigned = time.Hour

// mostProblems is how many problems are told in full.
const mostProblems = 100

// Report is what a Verifier found.
type Report struct {
	Chains []ChainReport
	// ProblemCount counts all problems; Problems are the first of them.
	ProblemCount int
	Problems     []string
}

// ChainReport tells of a chain.
type ChainReport struct {
	Chain string
	// First and Last are the sequences of its first and last entry that are there, Signed is how far it is signed by a key that was given.
	First, Last, Signed uint64
	Head                Head
}

// Verifier checks chains. Entries are given to it as they are stored, those of one chain in their order.
type Verifier struct {
	checks Checks
	chains map[string]*verified
	report Report
}

// verified is what is known of a chain so far.
type verified struct {
	Chain

	first    uint64
	previous []byte // of the first entry
	// signed is how far the chain is signed. Behind that, since is when the first entry was made by the life of the node that made the
	// last one, and opened tells that this life has begun there, which it does by signing.
	signed uint64
	since  int64
	opened bool
	// kept are the entries from which the chain was kept at some time.
	kept map[uint64]keptFrom
	// sums are the hashes of those entries of which a head was kept elsewhere.
	sums map[uint64]Hash
}

type keptFrom struct {
	by       uint64
	previous []byte
}

// NewVerifier makes one that has seen nothing.
func NewVerifier(c Checks) *Verifier { return &Verifier{checks: c, chains: map[string]*verified{}} }

func (v *Verifier) problemf(format string, args ...any) {
	v.report.ProblemCount++
	if len(v.report.Problems) < mostProblems {
		v.report.Problems = append(v.report.Problems, fmt.Sprintf(format, args...))
	}
}

// AddAt takes the next entry, which is stored under a name and a sequence.
func (v *Verifier) AddAt(chain string, sequence uint64, stored []byte) {
	e, hash, err := Read(stored)
	switch {
	case err != nil:
		v.problemf("entry %d of chain %q: %v", sequence, chain, err)
	case e.GetChain() != chain || e.GetSequence() != sequence:
		v.problemf("entry %d of chain %q is stored as entry %d of chain %q", e.GetSequence(), e.GetChain(), sequence, chain)
	default:
		v.entry(e, hash)
	}
}

// Add takes the next entry, which says itself which it is.
func (v *Verifier) Add(stored []byte) {
	e, hash, err := Read(stored)
	if err != nil {
		v.problemf("an entry can't be read: %v", err)
		return
	}
	v.entry(e, hash)
}

func (v *Verifier) entry(e *auditv1.Entry, hash Hash) {
	c := v.chains[e.GetChain()]
	switch {
	case c == nil:
		c = &verified{first: e.GetSequence(), previous: e.GetPrevious(), kept: map[uint64]keptFrom{}, sums: map[uint64]Hash{}}
		c.Name = e.GetChain()
		v.chains[c.Name] = c
	case e.GetSequence() > c.Sequence+1:
		v.problemf("chain %q has no entries between %d and %d", c.Name, c.Sequence, e.GetSequence())
	case e.GetSequence() <= c.Sequence:
		v.problemf("entry %d of chain %q comes behind entry %d", e.GetSequence(), c.Name, c.Sequence)
	case !bytes.Equal(e.GetPrevious(), c.Hash[:]):
		v.problemf("entry %d of chain %q followed on another entry than the one that is before it now", e.GetSequence(), c.Name)
	}
	if e.GetAt() < c.At {
		v.problemf("entry %d of chain %q is older than the one before it", e.GetSequence(), c.Name)
	}
	v.kind(c, e)
	c.Sequence, c.Hash, c.At = e.GetSequence(), hash, e.GetAt()
	for _, h := range v.checks.Heads {
		if h.Chain == c.Name && h.Sequence == c.Sequence {
			c.sums[c.Sequence] = hash
		}
	}
}

// kind looks at what an entry says of the chain.
func (v *Verifier) kind(c *verified, e *auditv1.Entry) {
	if c.since == 0 {
		c.since = e.GetAt()
	}
	switch k := e.GetKind().(type) {
	case *auditv1.Entry_Kept:
		c.kept[k.Kept.GetFrom()] = keptFrom{by: e.GetSequence(), previous: k.Kept.GetPrevious()}
	case *auditv1.Entry_Opened:
		c.opened, c.since = true, e.GetAt()
	case *auditv1.Entry_Signed:
		if len(v.checks.Keys) == 0 {
			return
		}
		h := signedBy(e)
		if err := h.Check(v.checks.Keys); err != nil {
			v.problemf("entry %d of chain %q, which signs it: %v", e.GetSequence(), c.Name, err)
			return
		}
		c.signed, c.opened, c.since = h.Sequence, false, 0
	}
}

// Report tells what was found, once all entries were given.
func (v *Verifier) Report() Report {
	for _, name := range slices.Sorted(maps.Keys(v.chains)) {
		c := v.chains[name]
		v.beginning(c)
		v.signatures(c)
		v.report.Chains = append(v.report.Chains, ChainReport{
			Chain: name, First: c.first, Last: c.Sequence, Signed: c.signed, Head: HeadOf(c.Chain, c.At),
		})
	}
	for _, h := range v.checks.Heads {
		v.head(h)
	}
	return v.report
}

// beginning looks how a chain begins.
func (v *Verifier) beginning(c *verified) {
	if c.first == 1 {
		if len(c.previous) > 0 {
			v.problemf("entry 1 of chain %q has one before it", c.Name)
		}
		return
	}
	k, kept := c.kept[c.first]
	switch {
	case !kept || !bytes.Equal(k.previous, c.previous):
		v.problemf("chain %q begins with entry %d, and does not say that those before were removed because of their age", c.Name, c.first)
	case len(v.checks.Keys) > 0 && k.by > c.signed:
		v.problemf("chain %q begins with entry %d, and what says why is not signed", c.Name, c.first)
	}
}

// signatures looks how far a chain is signed.
func (v *Verifier) signatures(c *verified) {
	if len(v.checks.Keys) == 0 {
		return
	}
	switch late := time.Duration(c.At - c.since); {
	case c.signed == 0:
		v.problemf("chain %q is not signed", c.Name)
	case c.since != 0 && (c.opened || late > MaxUnsigned):
		v.problemf("chain %q is not signed behind entry %d", c.Name, c.signed)
	}
}

// head holds what is there against a head that was kept elsewhere. One of entries that were removed since tells nothing any more.
func (v *Verifier) head(h Head) {
	if len(v.checks.Keys) > 0 && len(h.Signature) > 0 {
		if err := h.Check(v.checks.Keys); err != nil {
			v.problemf("the head of entry %d of chain %q: %v", h.Sequence, h.Chain, err)
		}
	}
	c := v.chains[h.Chain]
	if c == nil {
		v.problemf("chain %q is gone: its head was entry %d", h.Chain, h.Sequence)
		return
	}
	sum, there := c.sums[h.Sequence]
	switch {
	case h.Sequence > c.Sequence:
		v.problemf("chain %q ends with entry %d: it was cut, as its head was entry %d", h.Chain, c.Sequence, h.Sequence)
	case there && sum != h.Hash:
		v.problemf("entry %d of chain %q is another one than when its head was kept", h.Sequence, h.Chain)
	}
}
