package main

import (
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/oauth2-proxy/mockoidc"
)

// Somebody logs in at the issuer that a node trusts, does what his roles allow, and is told what they don't; and logs out.
func TestLogin(t *testing.T) {
	t.Parallel()
	m, err := mockoidc.NewServer(nil)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Start(l, nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Shutdown() })
	dir := t.TempDir()
	access, home := filepath.Join(dir, "access.yaml"), filepath.Join(dir, "home")
	text := "issuers: [{url: '" + m.Issuer() + "', audience: '" + m.ClientID + "', name_claim: email}]\n" +
		"callers: [{name: people, claims: [{issuer: '" + m.Issuer() + "', match: {email: " + mockoidc.DefaultUser().Email + "}}], " +
		"roles: [{role: viewer, namespaces: [shop]}]}]\n"
	if err := os.WriteFile(access, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	n := startSecuredWith(t, "--access", access)
	ask := func(args ...string) outcome {
		t.Helper()
		f := &fake{t: t, environ: []string{
			"HOLDFAST_SERVER=" + n.listen, "HOLDFAST_CA=" + n.own.CA, "HOME=" + home, "HOLDFAST_ISSUER_SECRET=" + m.ClientSecret,
		}}
		return f.run(args...)
	}
	if got := ask("login"); got.status != exitUsage || !strings.Contains(got.stderr, "--issuer and --issuer-client are both needed") {
		t.Errorf("%+v", got)
	}
	if got := ask("order", "list"); !strings.Contains(got.stderr, "or log in with 'holdfast login'") {
		t.Errorf("%+v", got)
	}
	out := newScreen()
	ended := make(chan int, 1)
	go func() {
		environ := []string{"HOME=" + home, "HOLDFAST_ISSUER_SECRET=" + m.ClientSecret}
		ended <- run(t.Context(), &app{
			stdin: strings.NewReader(""), stdout: out, stderr: out, environ: func() []string { return environ }, terminal: noTerminal,
		}, []string{"login", "--issuer", m.Issuer(), "--issuer-client", m.ClientID})
	}()
	out.await(t, "Open http", 1)
	page := regexp.MustCompile(`Open (\S+)`).FindStringSubmatch(out.String())[1]
	browser := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}
	r, err := browser.Get(page)
	if err != nil {
		t.Fatal(err)
	}
	_ = r.Body.Close()
	if status := <-ended; status != exitOK || !strings.Contains(out.String(), mockoidc.DefaultUser().Email+" is logged in") {
		t.Fatalf("%d %s", status, out)
	}
	kept := filepath.Join(home, ".config", "holdfast", "login.json")
	if info, err := os.Stat(kept); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info, err)
	}
	if got := ask("order", "list"); got.status != exitOK {
		t.Errorf("%+v", got)
	}
	if got := ask("order", "submit", "--definition", "shop/x"); !strings.Contains(got.stderr,
		mockoidc.DefaultUser().Email+" (by issuer "+m.Issuer()+") lacks the role submitter in the namespace shop") {
		t.Errorf("%+v", got)
	}
	// What cannot be renewed any more says what to do.
	text2, err := os.ReadFile(kept)
	if err != nil {
		t.Fatal(err)
	}
	old := regexp.MustCompile(`"expires": "[^"]*"`).ReplaceAllString(string(text2), `"expires": "2020-01-01T00:00:00Z"`)
	old = regexp.MustCompile(`"refresh": "[^"]*"`).ReplaceAllString(old, `"refresh": ""`)
	if err := os.WriteFile(kept, []byte(old), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := ask("order", "list"); !strings.Contains(got.stderr, "the login has expired") || !strings.Contains(got.stderr, "Log in again with") {
		t.Errorf("%+v", got)
	}
	if got := ask("logout"); got.status != exitOK || !strings.Contains(got.stdout, "forgotten") {
		t.Errorf("%+v", got)
	}
	if got := ask("logout"); got.status != exitOK || !strings.Contains(got.stdout, "nobody is logged in") {
		t.Errorf("%+v", got)
	}
}
