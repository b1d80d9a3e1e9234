package access_test

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/oauth2-proxy/mockoidc"

	"github.com/holdfast-run/holdfast/actors/access"
)

// audience is whom the tokens of the tests are for.
const audience = "holdfast"

// issuer is a server of OpenID Connect that counts how often it is asked for its keys.
type issuer struct {
	*mockoidc.MockOIDC

	t     *testing.T
	asked atomic.Int64
}

func startIssuer(t *testing.T) *issuer {
	t.Helper()
	m, err := mockoidc.NewServer(nil)
	if err != nil {
		t.Fatal(err)
	}
	i := &issuer{MockOIDC: m, t: t}
	if err := m.AddMiddleware(func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == mockoidc.JWKSEndpoint {
				i.asked.Add(1)
			}
			next.ServeHTTP(w, r)
		})
	}); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Start(l, nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Shutdown(); err != nil {
			t.Error(err)
		}
	})
	return i
}

// token is one of the issuer, or with other keys, that says what is changed.
func (i *issuer) token(by *mockoidc.Keypair, now time.Time, changes map[string]any) string {
	i.t.Helper()
	claims := jwt.MapClaims{
		"iss": i.Issuer(), "aud": audience, "sub": "alice", "exp": now.Add(time.Hour).Unix(), "iat": now.Unix(), "groups": []string{"ops", "all"},
	}
	maps.Copy(claims, changes)
	signed, err := by.SignJWT(claims)
	if err != nil {
		i.t.Fatal(err)
	}
	return signed
}

func (i *issuer) keys() *mockoidc.Keypair {
	i.t.Helper()
	k, err := mockoidc.RandomKeypair(2048)
	if err != nil {
		i.t.Fatal(err)
	}
	return k
}

func (i *issuer) file() string {
	return fmt.Sprintf(`
issuers: [{url: %q, audience: %s}]
callers: [{name: ops, claims: [{issuer: %q, match: {groups: ops}}], roles: [{role: operator, namespaces: [shop]}]}]
`, i.Issuer(), audience, i.Issuer())
}

// Tokens of an issuer are taken that are signed by it, for this audience, and not expired; who has one is in the roles that its claims say.
func TestTokensOfAnIssuer(t *testing.T) {
	t.Parallel()
	i := startIssuer(t)
	now := time.Now()
	k, _ := setup(t, i.file(), func() time.Time { return now })
	good := i.token(i.Keypair, now, nil)
	for _, c := range []struct{ name, token, want string }{
		{"good", good, "alice (by issuer " + i.Issuer() + ")"},
		{"again", good, "alice (by issuer " + i.Issuer() + ")"},
		{"for others", i.token(i.Keypair, now, map[string]any{"aud": "somebody"}), `expected audience "holdfast"`},
		{"of another issuer", i.token(i.Keypair, now, map[string]any{"iss": "https://evil.example"}), "of no issuer that is trusted here"},
		{"expired", i.token(i.Keypair, now, map[string]any{"exp": now.Add(-time.Minute).Unix()}), "expired"},
		{"of other groups", i.token(i.Keypair, now, map[string]any{"groups": []string{"all"}}), "no role is granted to what"},
		{"of nobody", i.token(i.Keypair, now, map[string]any{"sub": ""}), "the token has no claim"},
		{"with other keys", i.token(i.keys(), now, nil), "failed to verify"},
		{"not signed", good[:strings.LastIndex(good, ".")+1], "failed to verify"},
	} {
		got, err := k.Identify(t.Context(), access.Proof{Token: c.token})
		switch {
		case err != nil && (!errors.Is(err, access.ErrUnknown) || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: %v, want %s", c.name, err, c.want)
		case err == nil && (got.String() != c.want || !got.May(access.Operator, "shop") || got.May(access.Viewer, "other")):
			t.Errorf("%s: %v, want %s", c.name, got, c.want)
		}
	}
	now = now.Add(time.Hour)
	if _, err := k.Identify(t.Context(), access.Proof{Token: good}); err == nil || !strings.Contains(err.Error(), "expired") {
		t.Errorf("a token that was good, and has expired: %v", err)
	}
}

// However many tokens are made up, the issuer is asked for its keys once in a while. New keys of its are known then.
func TestIssuerIsAskedSeldom(t *testing.T) {
	t.Parallel()
	i := startIssuer(t)
	now := time.Now()
	k, _ := setup(t, i.file(), func() time.Time { return now })
	try := func(by *mockoidc.Keypair) error {
		_, err := k.Identify(t.Context(), access.Proof{Token: i.token(by, now, nil)})
		return err
	}
	if err := try(i.Keypair); err != nil {
		t.Fatal(err)
	}
	other := i.keys()
	for range 20 {
		if err := try(other); err == nil {
			t.Fatal("a token is taken whose key is not known")
		}
	}
	if n := i.asked.Load(); n != 1 {
		t.Errorf("the issuer was asked %d times for its keys", n)
	}
	i.Keypair = other
	now = now.Add(time.Minute)
	err := try(other)
	for i.asked.Load() == 1 { // the answer to the question before may be that to this one, too, if it has just come
		err = try(other)
	}
	if err != nil {
		t.Errorf("the issuer has new keys: %v", err)
	}
	if n := i.asked.Load(); n != 2 {
		t.Errorf("the issuer was asked %d times for its keys", n)
	}
}

// An issuer that can't be reached leaves its tokens unknown, and is asked again after a while.
func TestIssuerIsAway(t *testing.T) {
	t.Parallel()
	i := startIssuer(t)
	now := time.Now()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	away := "http://" + l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	k, _ := setup(t, fmt.Sprintf("issuers: [{url: %q, audience: x}]\ncallers: []", away), func() time.Time { return now })
	_, err = k.Identify(t.Context(), access.Proof{Token: i.token(i.Keypair, now, map[string]any{"iss": away})})
	if !errors.Is(err, access.ErrUnknown) || !strings.Contains(err.Error(), "issuer "+away) {
		t.Errorf("%v", err)
	}
}
