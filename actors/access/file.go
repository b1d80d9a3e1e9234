package access

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/holdfast-run/holdfast/tokens"
)

// File says who may call, and what each caller may do. It is YAML.
type File struct {
	// Callers are those who may.
	Callers []Entry `yaml:"callers"`
	// Issuers are those whose tokens are taken, by OpenID Connect.
	Issuers []Issuer `yaml:"issuers,omitempty"`
}

// Entry is a caller, or a group of callers with the same roles.
type Entry struct {
	// Name is that of who has one of the tokens, and tells entries apart.
	Name string `yaml:"name"`
	// Certificates are subject alternative names, each whole or the beginning of some with * behind it: of a URI, a DNS name (also one with
	// *. before it), an e-mail address or an IP address.
	Certificates []string `yaml:"certificates,omitempty"`
	// Tokens are those that were made for the caller.
	Tokens []Token `yaml:"tokens,omitempty"`
	// Claims are what the token of an issuer must say, each alternative wholly.
	Claims []Claims `yaml:"claims,omitempty"`
	// Roles are what the caller may do.
	Roles []RoleGrant `yaml:"roles"`
}

// Token is what is kept of a token.
type Token struct {
	// ID tells it from others.
	ID string `yaml:"id"`
	// SHA256 is that of the token, in hexadecimal digits.
	SHA256 string `yaml:"sha256"`
	// Expires is when it is not taken any more; absent: it is taken until it is revoked, which is to be removed here.
	Expires time.Time `yaml:"expires,omitempty"`
}

// Claims are what a token of an issuer must say.
type Claims struct {
	Issuer string `yaml:"issuer"`
	// Match has the values that claims must have, by their names. A claim that is a list must have it in it.
	Match map[string]string `yaml:"match"`
}

// RoleGrant is a role that an entry has.
type RoleGrant struct {
	Role       Role     `yaml:"role"`
	Namespaces []string `yaml:"namespaces,omitempty"`
	Activities []string `yaml:"activities,omitempty"`
}

// Issuer is one whose tokens are taken.
type Issuer struct {
	// URL is that of the issuer, below which its configuration is found, and Audience what its tokens must be for.
	URL      string `yaml:"url"`
	Audience string `yaml:"audience"`
	// NameClaim is the claim that names the caller. Default sub.
	NameClaim string `yaml:"name_claim,omitempty"`
	// CA is a file with the authorities that sign the certificate of the issuer. Default: those of the system.
	CA string `yaml:"ca,omitempty"`
}

// maxFile is the longest file that is read, in bytes.
const maxFile = 4 << 20

// Read reads a file.
func Read(name string) (*File, []byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, nil, fmt.Errorf("access: %w", err)
	}
	defer f.Close() //nolint:errcheck // it was only read
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, nil, fmt.Errorf("access: %w", err)
	}
	if len(text) > maxFile {
		return nil, nil, fmt.Errorf("access: %s has more than %d bytes", name, maxFile)
	}
	parsed, err := Parse(text)
	if err != nil {
		return nil, nil, fmt.Errorf("access: %s: %w", name, err)
	}
	return parsed, text, nil
}

// Parse reads what a file says. What it does not know is an error: a word that is misspelt must not leave out what it was to say.
func Parse(text []byte) (*File, error) {
	var f File
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	if err := d.Decode(&f); err != nil && !errors.Is(err, io.EOF) {
		return nil, err //nolint:wrapcheck // the caller names the file
	}
	if err := d.Decode(new(any)); !errors.Is(err, io.EOF) {
		return nil, errors.New("has more than one document, and only the first would count")
	}
	return &f, f.Validate()
}

// Validate says everything that is wrong with a file.
func (f *File) Validate() error {
	issuers, errs := f.checkIssuers()
	names, ids, hashes := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for i := range f.Callers {
		e := &f.Callers[i]
		in := fmt.Sprintf("callers[%d]", i)
		wrong := func(format string, args ...any) { errs = append(errs, fmt.Errorf(in+"."+format, args...)) }
		if e.Name == "" || len(e.Name) > maxName || strings.ContainsFunc(e.Name, func(r rune) bool { return r < ' ' }) {
			wrong("name must have 1 to %d bytes, and no control characters", maxName)
		}
		if names[e.Name] {
			wrong("name is %q, as that of another", e.Name)
		}
		names[e.Name] = true
		for _, c := range e.Claims {
			if !issuers[c.Issuer] {
				wrong("claims: the issuer %q is not among the issuers", c.Issuer)
			}
			if len(c.Match) == 0 {
				wrong("claims: match is missing: whoever has a token of the issuer would be meant")
			}
		}
		errs = append(errs, e.checkTokens(in, ids, hashes)...)
		errs = append(errs, e.checkPatterns(in)...)
		errs = append(errs, e.checkRoles(in)...)
	}
	return errors.Join(errs...)
}

func (f *File) checkIssuers() (issuers map[string]bool, errs []error) {
	issuers = map[string]bool{}
	for i, is := range f.Issuers {
		wrong := func(format string, args ...any) {
			errs = append(errs, fmt.Errorf("issuers[%d]."+format, append([]any{i}, args...)...))
		}
		if !tokens.Unseen(is.URL) {
			wrong("url is %q, and must be https://…: in plain text, whoever is on the way would be the issuer", is.URL)
		}
		if is.Audience == "" {
			wrong("audience is missing: tokens that the issuer gives to others would be taken here")
		}
		if issuers[is.URL] {
			wrong("url is there twice")
		}
		issuers[is.URL] = true
	}
	return issuers, errs
}

// checkTokens says what is wrong with tokens; ids and hashes are those of all entries so far.
func (e *Entry) checkTokens(in string, ids, hashes map[string]bool) (errs []error) {
	wrong := func(format string, args ...any) { errs = append(errs, fmt.Errorf(in+".tokens"+format, args...)) }
	for _, t := range e.Tokens {
		if t.ID == "" || ids[t.ID] {
			wrong(": each needs an id of its own, and one has %q", t.ID)
		}
		if _, err := tokens.ParseHash(t.SHA256); err != nil {
			wrong(" %s: %w", t.ID, err)
		} else if hashes[strings.ToLower(t.SHA256)] {
			wrong(" %s: another entry has the same token", t.ID)
		}
		ids[t.ID], hashes[strings.ToLower(t.SHA256)] = true, true
	}
	return errs
}

// maxName is the longest name of an entry, in bytes.
const maxName = 128

func (e *Entry) checkPatterns(in string) (errs []error) {
	check := func(what string, patterns []string) {
		for _, p := range patterns {
			// A certificate may have a name with * before it.
			if body := strings.TrimSuffix(p, "*"); p == "" || what != "certificates" && strings.Contains(body, "*") {
				errs = append(errs, fmt.Errorf("%s.%s: %q must be a name, or the beginning of some with * behind it", in, what, p))
			}
		}
	}
	check("certificates", e.Certificates)
	for _, r := range e.Roles {
		check("roles.namespaces", r.Namespaces)
		check("roles.activities", r.Activities)
	}
	return errs
}

func (e *Entry) checkRoles(in string) (errs []error) {
	wrong := func(format string, args ...any) { errs = append(errs, fmt.Errorf(in+".roles: "+format, args...)) }
	if len(e.Roles) == 0 {
		wrong("is missing: the caller could do nothing")
	}
	for _, r := range e.Roles {
		switch {
		case !slices.Contains(Roles(), r.Role):
			wrong("%q is no role: viewer, submitter, operator, deployer, administrator and adapter are", r.Role)
		case r.Role == Adapter && len(r.Activities) == 0:
			wrong("an adapter needs activities: those that it may serve, as billing.charge, or billing.* for all of billing")
		case r.Role == Adapter && len(r.Namespaces) > 0:
			wrong("an adapter has activities, and no namespaces: it is sent what orders of any call")
		case r.Role != Adapter && len(r.Namespaces) == 0:
			wrong("%s needs namespaces: those in which the caller has it, or * for all", r.Role)
		case r.Role != Adapter && r.Role != Deployer && len(r.Activities) > 0:
			wrong("%s has no activities", r.Role)
		}
	}
	return errs
}
