package access

import (
	"crypto/subtle"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/holdfast-run/holdfast/tokens"
)

// ErrUnknown says that it is not known who calls.
var ErrUnknown = errors.New("it is not known who calls")

// Proof is what a caller has shown.
type Proof struct {
	// Token is the one that a call bears; empty: it bears none.
	Token string
	// Certificate is the one that the connection has shown, and that an authority has signed; nil: it has shown none.
	Certificate *x509.Certificate
}

// policy is what a file says, made for quick answers.
type policy struct {
	tokens map[tokens.Hash]*tokenOf
	exact  map[string][]*Entry // by subject alternative name
	begun  []begun             // that end with *
	claims map[string][]claimsOf
}

type tokenOf struct {
	hash    tokens.Hash
	expires time.Time
	caller  *Caller
}

type begun struct {
	pattern string
	entry   *Entry
}

type claimsOf struct {
	match map[string]string
	entry *Entry
}

func newPolicy(f *File) *policy {
	p := &policy{tokens: map[tokens.Hash]*tokenOf{}, exact: map[string][]*Entry{}, claims: map[string][]claimsOf{}}
	for i := range f.Callers {
		e := &f.Callers[i]
		for _, t := range e.Tokens {
			hash, err := tokens.ParseHash(t.SHA256)
			if err != nil {
				panic(err) // it was validated
			}
			p.tokens[hash] = &tokenOf{
				hash: hash, expires: t.Expires, caller: &Caller{Name: e.Name, How: ByToken, Via: t.ID, grants: e.grants()},
			}
		}
		for _, pattern := range e.Certificates {
			if strings.HasSuffix(pattern, "*") {
				p.begun = append(p.begun, begun{pattern, e})
			} else {
				p.exact[pattern] = append(p.exact[pattern], e)
			}
		}
		for _, c := range e.Claims {
			p.claims[c.Issuer] = append(p.claims[c.Issuer], claimsOf{c.Match, e})
		}
	}
	return p
}

func (e *Entry) grants() []Grant {
	out := make([]Grant, 0, len(e.Roles))
	for _, r := range e.Roles {
		out = append(out, Grant(r))
	}
	return out
}

// byToken returns who has one of the tokens that operators have made.
func (p *policy) byToken(token string, now time.Time) (*Caller, error) {
	hash := tokens.HashOf(token)
	t := p.tokens[hash]
	switch {
	case t == nil || subtle.ConstantTimeCompare(t.hash[:], hash[:]) != 1:
		return nil, fmt.Errorf("%w: the token is not one that is known here: it may have been revoked", ErrUnknown)
	case !t.expires.IsZero() && !now.Before(t.expires):
		return nil, fmt.Errorf("%w: the token %s has expired at %s", ErrUnknown, t.caller.Via, t.expires.UTC().Format(time.RFC3339))
	}
	return t.caller, nil
}

// byCertificate returns who has a certificate: the first of its names that is granted something names the caller, and the grants of all
// count.
func (p *policy) byCertificate(c *x509.Certificate) (*Caller, error) {
	var out *Caller
	seen := map[*Entry]bool{}
	names := namesOf(c)
	for _, name := range names {
		add := func(e *Entry) {
			if seen[e] {
				return
			}
			seen[e] = true
			if out == nil {
				out = &Caller{Name: name, How: ByCertificate}
			}
			out.grants = append(out.grants, e.grants()...)
		}
		for _, e := range p.exact[name] {
			add(e)
		}
		for _, b := range p.begun {
			if matches(b.pattern, name) {
				add(b.entry)
			}
		}
	}
	if out == nil {
		return nil, fmt.Errorf("%w: no role is granted to a name in the certificate: %s", ErrUnknown, strings.Join(names, ", "))
	}
	return out, nil
}

// namesOf are the subject alternative names of a certificate. The common name is none.
func namesOf(c *x509.Certificate) []string {
	names := make([]string, 0, len(c.URIs)+len(c.DNSNames)+len(c.EmailAddresses)+len(c.IPAddresses))
	for _, u := range c.URIs {
		names = append(names, u.String())
	}
	names = append(append(names, c.DNSNames...), c.EmailAddresses...)
	for _, ip := range c.IPAddresses {
		names = append(names, ip.String())
	}
	return names
}

// byClaims returns who is meant by the claims that an issuer makes.
func (p *policy) byClaims(issuer, name string, claims map[string]any) (*Caller, error) {
	out := &Caller{Name: name, How: ByIssuer, Via: issuer}
	found := false
	for _, c := range p.claims[issuer] {
		if c.holds(claims) {
			found = true
			out.grants = append(out.grants, c.entry.grants()...)
		}
	}
	if !found {
		return nil, fmt.Errorf("%w: no role is granted to what %s claims of %s", ErrUnknown, issuer, name)
	}
	return out, nil
}

func (c claimsOf) holds(claims map[string]any) bool {
	for name, want := range c.match {
		switch has := claims[name].(type) {
		case string:
			if has != want {
				return false
			}
		case []any:
			in := false
			for _, v := range has {
				s, isText := v.(string)
				in = in || isText && s == want
			}
			if !in {
				return false
			}
		default:
			return false
		}
	}
	return true
}
