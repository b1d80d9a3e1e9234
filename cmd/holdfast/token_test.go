package main

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/holdfast-run/holdfast/actors/access"
)

// tokenOf makes a token of a caller in a file.
func tokenOf(t *testing.T, file string, args ...string) (id, token string) {
	t.Helper()
	got := (&fake{t: t}).run(append([]string{"token", "create", "--access", file, "-o", "json"}, args...)...)
	var made struct {
		ID    string `json:"id"`
		Token string `json:"token"`
	}
	if err := json.Unmarshal([]byte(got.stdout), &made); err != nil || got.status != exitOK {
		t.Fatalf("%+v: %v", got, err)
	}
	return made.ID, made.Token
}

// Tokens are made, listed and revoked in a file that keeps its comments, and has none of them itself.
func TestTokens(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "access.yaml")
	run := func(args ...string) outcome { return (&fake{t: t}).run(append(args, "--access", file)...) }
	if got := run("token", "create", "shop"); got.status != exitError || !strings.Contains(got.stderr, "no such caller: shop\nSay with --role") {
		t.Errorf("%+v", got)
	}
	if got := run("token", "create", "shop", "--role", "king", "--namespace", "x"); !strings.Contains(got.stderr, `"king" is no role`) {
		t.Errorf("%+v", got)
	}
	first, secret := tokenOf(t, file, "shop", "--role", "submitter", "--namespace", "shop")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, append([]byte("# Who may call.\n"), text...), 0o600); err != nil {
		t.Fatal(err)
	}
	second, _ := tokenOf(t, file, "shop", "--lasts", "1h")
	if got := run("token", "list"); strings.Count(got.stdout, "shop") != 2 || !strings.Contains(got.stdout, "never") {
		t.Errorf("%+v", got)
	}
	if got := run("token", "revoke", first); got.status != exitOK {
		t.Errorf("%+v", got)
	}
	if got := run("token", "revoke", first); got.status != exitError || !strings.Contains(got.stderr, "no such token") {
		t.Errorf("%+v", got)
	}
	text, err = os.ReadFile(file)
	if err != nil || !strings.Contains(string(text), "# Who may call.") || strings.Contains(string(text), secret) ||
		strings.Contains(string(text), first) || !strings.Contains(string(text), second) {
		t.Errorf("%s %v", text, err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info.Mode(), err)
	}
}

// A node with --access tells those who call what they lack, on both listeners and on the pages of the administration; who bears a token does
// what its roles allow, by flag, by file and in the environment.
func TestNodeAsksWhoCalls(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "access.yaml")
	_, root := tokenOf(t, file, "root", "--role", "administrator", "--namespace", "*")
	_, viewer := tokenOf(t, file, "viewer", "--role", "viewer", "--namespace", "shop")
	n := startSecuredWith(t, "--access", file)
	kept := filepath.Join(dir, "token")
	if err := os.WriteFile(kept, []byte(root+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	trust, trustAdmin := []string{"--ca", n.own.CA}, []string{"--admin-ca", n.own.CA}
	for _, c := range []struct {
		command string
		args    []string
		want    string // empty: it succeeds
	}{
		{"order list", trust, "neither a token nor a certificate was shown (UNAUTHENTICATED)\n  reason: UNKNOWN_CALLER\nGive a token with --token-file"},
		{"order list", n.as("", n.client), "no role is granted to a name in the certificate: somebody (UNAUTHENTICATED)"},
		{"order list", append(trust, "--token", viewer), ""},
		{"order list", append(trust, "--token-file", kept), ""},
		{
			"order list --definition other/x", append(trust, "--token", viewer),
			"viewer (by token ID) lacks the role viewer in the namespace other (PERMISSION_DENIED)\n  reason: MISSING_ROLE\nWhoever keeps",
		},
		{"order submit --definition shop/x", append(trust, "--token", viewer), "lacks the role submitter in the namespace shop (PERMISSION_DENIED)"},
		{"status", append(trustAdmin, "--token", viewer), ""},
		{"cluster level", append(trustAdmin, "--token", viewer), "lacks the role viewer in all namespaces (*) (PERMISSION_DENIED)"},
		{"status", append(trustAdmin, "--token-file", kept), ""},
		{"status", trustAdmin, "(UNAUTHENTICATED)\n  reason: UNKNOWN_CALLER\nGive a token with"},
	} {
		got := n.run(c.command, append(c.args, "--timeout", "30s")...)
		told := got.stderr
		if _, rest, found := strings.Cut(told, "(by token "); found {
			_, rest, _ = strings.Cut(rest, ")")
			told = strings.Split(told, "(by token ")[0] + "(by token ID)" + rest
		}
		if c.want == "" && got.status != exitOK || c.want != "" && !strings.Contains(told, c.want) {
			t.Errorf("%s %v: %+v, want %q", c.command, c.args, got, c.want)
		}
	}
	for _, c := range []struct {
		path, token string
		status      int
	}{
		{"/livez", "", 200},
		{"/readyz", "", 200},
		{"/metrics", "", 401},
		{"/metrics", "hf_none", 401},
		{"/metrics", viewer, 200},
		{"/debug/pprof/", viewer, 403},
		{"/debug/pprof/", root, 404},
		{"/debug/pprof/cmdline", viewer, 403},
	} {
		if status, text, _ := n.getBearing(c.path, c.token); status != c.status {
			t.Errorf("%s: %d %s, want %d", c.path, status, text, c.status)
		}
	}
}

// Each page of the administration has a rule.
func TestPagesHaveRules(t *testing.T) {
	t.Parallel()
	for path := range (&node{config: nodeConfig{Profiles: true}}).pages() {
		if _, known := access.RuleOf(path); !known {
			t.Errorf("%s has no rule in the table of access", path)
		}
	}
}

// bearing has requests bear a token.
type bearing struct {
	http.RoundTripper

	token string
}

// RoundTrip implements http.RoundTripper.
func (b bearing) RoundTrip(r *http.Request) (*http.Response, error) {
	if b.token != "" {
		r = r.Clone(r.Context())
		r.Header.Set("Authorization", "Bearer "+b.token)
	}
	return b.RoundTripper.RoundTrip(r)
}
