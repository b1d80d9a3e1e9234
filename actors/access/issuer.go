package access

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"

	"github.com/holdfast-run/holdfast/tokens"
)

const (
	// askIssuerWithin is how long an issuer may take to answer.
	askIssuerWithin = 10 * time.Second
	// cooldown is how long after an issuer was asked for its keys it is not asked again, also if a token has a key that is unknown: whoever
	// makes up tokens would have the node ask without end.
	cooldown = 30 * time.Second
	// maxAnswer is the longest answer of an issuer, in bytes.
	maxAnswer = 1 << 20
	// mostVerified is how many bytes the tokens have that are remembered as they were good; what they say takes some times as much. Beyond
	// it all are forgotten, and verified again.
	mostVerified = 4 << 20
)

// issuer verifies the tokens of an issuer.
type issuer struct {
	Issuer

	now  func() time.Time
	http *http.Client

	verified sync.Map     // tokens.Hash: *claimed
	size     atomic.Int64 // of the tokens in verified, in bytes

	asking   chan struct{} // of capacity 1: who holds it asks the issuer for its configuration
	verifier atomic.Pointer[oidc.IDTokenVerifier]
	failed   time.Time // the holder of asking has it, and
	why      error
}

// claimed is what a token says that was good.
type claimed struct {
	name    string
	claims  map[string]any
	expires time.Time
}

func newIssuer(config Issuer, now func() time.Time) (*issuer, error) {
	transport, err := tokens.IssuerTransport(config.CA)
	if err != nil {
		return nil, fmt.Errorf("access: issuer %s: %w", config.URL, err)
	}
	return &issuer{
		Issuer: config, now: now, asking: make(chan struct{}, 1),
		http: &http.Client{Transport: &seldom{next: transport, now: now, answers: map[string]*answer{}}, Timeout: askIssuerWithin},
	}, nil
}

func unknown(err error) error { return fmt.Errorf("%w: %w", ErrUnknown, err) }

var errForeign = errors.New("the token is of no issuer that is trusted here")

// byIssuer returns who has a token of an issuer.
func (in *inForce) byIssuer(ctx context.Context, token string) (*Caller, error) {
	is := in.issuers[claimedIssuer(token)]
	if is == nil {
		return nil, unknown(errForeign)
	}
	c, err := is.verify(ctx, token)
	if err != nil {
		return nil, err
	}
	return in.byClaims(is.URL, c.name, c.claims)
}

// claimedIssuer is who is said to have issued a token, which says nothing before the token is verified.
func claimedIssuer(token string) string {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return ""
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return ""
	}
	var claims struct {
		Issuer string `json:"iss"`
	}
	if json.Unmarshal(payload, &claims) != nil {
		return ""
	}
	return claims.Issuer
}

// verify returns what a token says, if it is good.
func (i *issuer) verify(ctx context.Context, token string) (*claimed, error) {
	hash := tokens.HashOf(token)
	if known, ok := i.verified.Load(hash); ok {
		if c := known.(*claimed); i.now().Before(c.expires) { //nolint:errcheck,forcetypeassert // of no other type
			return c, nil
		}
		i.verified.Delete(hash)
		i.size.Add(-int64(len(token)))
	}
	v, err := i.ask(ctx)
	if err != nil {
		return nil, unknown(err)
	}
	t, err := v.Verify(oidc.ClientContext(ctx, i.http), token)
	if err != nil {
		return nil, unknown(err)
	}
	c := &claimed{expires: t.Expiry}
	if err := t.Claims(&c.claims); err != nil {
		return nil, unknown(err)
	}
	c.name = t.Subject
	if i.NameClaim != "" {
		c.name, _ = c.claims[i.NameClaim].(string)
	}
	if c.name == "" || len(c.name) > maxName {
		return nil, unknown(fmt.Errorf("the token has no claim %q of 1 to %d bytes", i.NameClaim, maxName))
	}
	if i.size.Add(int64(len(token))) > mostVerified {
		i.verified.Clear()
		i.size.Store(int64(len(token)))
	}
	i.verified.Store(hash, c)
	return c, nil
}

// ask returns what verifies tokens of the issuer, whose configuration it asks for when it is needed first.
func (i *issuer) ask(ctx context.Context) (*oidc.IDTokenVerifier, error) {
	if v := i.verifier.Load(); v != nil {
		return v, nil
	}
	select {
	case i.asking <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-i.asking }()
	if v := i.verifier.Load(); v != nil {
		return v, nil
	}
	if now := i.now(); i.why != nil && now.Sub(i.failed) < cooldown {
		return nil, i.why
	}
	// What is learnt is for all: it does not end with the call that needed it first.
	p, err := oidc.NewProvider(oidc.ClientContext(context.WithoutCancel(ctx), i.http), i.URL)
	if err != nil {
		i.failed, i.why = i.now(), fmt.Errorf("issuer %s: %w", i.URL, err)
		return nil, i.why
	}
	v := p.Verifier(&oidc.Config{ClientID: i.Audience, Now: i.now})
	i.verifier.Store(v)
	return v, nil
}

// seldom asks for the same page once within the cooldown, and bounds the answers.
type seldom struct {
	next http.RoundTripper
	now  func() time.Time

	mu      sync.Mutex
	answers map[string]*answer // of two pages: the configuration and the keys
}

type answer struct {
	at     time.Time
	status int
	header http.Header
	body   []byte
	err    error
}

// RoundTrip implements http.RoundTripper.
func (s *seldom) RoundTrip(r *http.Request) (*http.Response, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	page := r.URL.String()
	a := s.answers[page]
	if a == nil || s.now().Sub(a.at) >= cooldown {
		a = s.ask(r)
		s.answers[page] = a
	}
	if a.err != nil {
		return nil, a.err
	}
	return &http.Response{
		Status: http.StatusText(a.status), StatusCode: a.status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: a.header.Clone(),
		Body: io.NopCloser(bytes.NewReader(a.body)), ContentLength: int64(len(a.body)), Request: r,
	}, nil
}

func (s *seldom) ask(r *http.Request) *answer {
	a := &answer{at: s.now()}
	resp, err := s.next.RoundTrip(r)
	if err != nil {
		a.err = err
		return a
	}
	defer resp.Body.Close() //nolint:errcheck // it was read
	a.status, a.header = resp.StatusCode, resp.Header
	if a.body, a.err = io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1)); len(a.body) > maxAnswer {
		a.err = fmt.Errorf("%s answers with more than %d bytes", r.URL, maxAnswer)
	}
	return a
}
