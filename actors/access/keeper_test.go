package access_test

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-run/holdfast/actors/access"
	"github.com/holdfast-run/holdfast/tokens"
)

// setup opens a file with a text, and returns what rewrites it.
func setup(t *testing.T, text string, now func() time.Time) (*access.Keeper, func(string)) {
	t.Helper()
	name := filepath.Join(t.TempDir(), "access.yaml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(text)
	k, err := access.Open(name, now)
	if err != nil {
		t.Fatal(err)
	}
	return k, write
}

func certificate(t *testing.T, uri string, names ...string) *x509.Certificate {
	t.Helper()
	c := &x509.Certificate{DNSNames: names, NotAfter: time.Now().Add(time.Hour)}
	c.Subject.CommonName = "boss.example"
	if uri != "" {
		u, err := url.Parse(uri)
		if err != nil {
			t.Fatal(err)
		}
		c.URIs = []*url.URL{u}
	}
	return c
}

// Who shows what is who.
func TestWhoCalls(t *testing.T) {
	t.Parallel()
	now := time.Now()
	lasting, short, stranger := tokens.New(), tokens.New(), tokens.New()
	k, _ := setup(t, fmt.Sprintf(`
callers:
- name: shop
  tokens: [{id: a, sha256: %v}, {id: b, sha256: %v, expires: %s}]
  roles: [{role: submitter, namespaces: [shop]}]
- {name: boss, certificates: [boss.example], roles: [{role: administrator, namespaces: ["*"]}]}
- {name: fleet, certificates: ["spiffe://x/fleet/*"], roles: [{role: adapter, activities: ["billing.*"]}]}
- {name: one, certificates: ["spiffe://x/fleet/one"], roles: [{role: viewer, namespaces: ["shop*"]}]}
`, tokens.HashOf(lasting), tokens.HashOf(short), now.Add(time.Minute).Format(time.RFC3339)), func() time.Time { return now })
	expired := certificate(t, "", "boss.example")
	expired.NotAfter = now
	for _, c := range []struct {
		name  string
		proof access.Proof
		want  string // the caller, or a part of why it is not known
	}{
		{"a token", access.Proof{Token: lasting}, "shop (by token a)"},
		{"a token that will expire", access.Proof{Token: short}, "shop (by token b)"},
		{"another token", access.Proof{Token: stranger}, "not one that is known here"},
		{"a bad token beside a certificate", access.Proof{Token: stranger, Certificate: certificate(t, "", "boss.example")}, "not one that is known"},
		{"a token of nobody", access.Proof{Token: "x.y.z"}, "of no issuer that is trusted here"},
		{"nothing", access.Proof{}, "neither a token nor a certificate"},
		{"a certificate", access.Proof{Certificate: certificate(t, "", "boss.example")}, "boss.example (by certificate)"},
		{"a certificate that has expired", access.Proof{Certificate: expired}, "the certificate has expired"},
		{"only a common name", access.Proof{Certificate: certificate(t, "", "other.example")}, "no role is granted to a name in the certificate: other.example"},
		{"the beginning of a name", access.Proof{Certificate: certificate(t, "spiffe://x/fleet/two")}, "spiffe://x/fleet/two (by certificate)"},
		{"another beginning", access.Proof{Certificate: certificate(t, "spiffe://x/fleeting")}, "no role is granted"},
	} {
		got, err := k.Identify(t.Context(), c.proof)
		if err != nil {
			if !errors.Is(err, access.ErrUnknown) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: %v, want %s", c.name, err, c.want)
			}
			continue
		}
		if got.String() != c.want {
			t.Errorf("%s: %v, want %s", c.name, got, c.want)
		}
	}
	both, err := k.Identify(t.Context(), access.Proof{Certificate: certificate(t, "spiffe://x/fleet/one")})
	if err != nil || !both.MayServe("billing.charge") || both.MayServe("billings.x") || !both.May(access.Viewer, "shop-2") || both.May(access.Viewer, "sho") ||
		both.May(access.Submitter, "shop") || both.May(access.Viewer, access.Everywhere) {
		t.Errorf("who is in two entries has the roles of both, and no others: %v", err)
	}
	now = now.Add(time.Minute)
	if _, err := k.Identify(t.Context(), access.Proof{Token: short}); err == nil || !strings.Contains(err.Error(), "the token b has expired at") {
		t.Errorf("a token that has expired: %v", err)
	}
}

// A file that has changed counts if it is good, and else the one before does, which is told once.
func TestFileIsReadAgain(t *testing.T) {
	t.Parallel()
	token := tokens.New()
	entry := "- {name: %s, tokens: [{id: a, sha256: " + tokens.HashOf(token).String() + "}], roles: [{role: viewer, namespaces: ['*']}]}\n"
	k, write := setup(t, fmt.Sprintf("callers:\n"+entry, "before"), time.Now)
	step := func(want string, taken bool, wrong string) {
		t.Helper()
		got, err := k.Reload()
		if got != taken || (err == nil) != (wrong == "") || err != nil && !strings.Contains(err.Error(), wrong) {
			t.Errorf("taken %v, %v; want %v, %q", got, err, taken, wrong)
		}
		if c, err := k.Identify(t.Context(), access.Proof{Token: token}); err != nil || c.Name != want {
			t.Errorf("it is %v, %v; want %s", c, err, want)
		}
	}
	step("before", false, "")
	write("callers: [{nome: x}]")
	step("before", false, "field nome not found")
	step("before", false, "")
	write(fmt.Sprintf("callers:\n"+entry, "after"))
	step("after", true, "")
}

// All mistakes in a file are told at once.
func TestMistakesInFile(t *testing.T) {
	t.Parallel()
	_, err := access.Parse([]byte(`
issuers: [{url: "http://id.example", audience: ""}]
callers:
- {name: "", roles: []}
- {name: a, tokens: [{id: x, sha256: "12"}], claims: [{issuer: "https://b", match: {}}], roles: [{role: king, namespaces: [x]}]}
- {name: a, roles: [{role: viewer}, {role: adapter, namespaces: [x]}, {role: operator, namespaces: ["a*b"], activities: [c.d]}]}
`))
	for _, want := range []string{
		`issuers[0].url is "http://id.example", and must be https`, "issuers[0].audience is missing", "callers[0].name must have",
		"callers[0].roles: is missing", `"12" is not the SHA-256 of a token`, `the issuer "https://b" is not among`, "match is missing",
		`"king" is no role`, `callers[2].name is "a", as that of another`, "viewer needs namespaces", "an adapter needs activities",
		`callers[2].roles.namespaces: "a*b" must be`, "operator has no activities",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not told in\n%v", want, err)
		}
	}
	if _, err := access.Parse([]byte("callers: []\n---\ncallers: []")); err == nil {
		t.Error("a second document is passed over")
	}
}

// FuzzParse has files not break anything, whatever is in them.
func FuzzParse(f *testing.F) {
	f.Add([]byte("callers: [{name: a, certificates: ['*'], roles: [{role: viewer, namespaces: ['*']}]}]"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if parsed, err := access.Parse(text); err == nil && parsed == nil {
			t.Error("nothing was read, and nothing is wrong")
		}
	})
}
