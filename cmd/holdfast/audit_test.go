package main

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/holdfast-run/holdfast/persistence/pebble"
)

// auditKey makes a key that signs, and its public one, as openssl does.
func auditKey(t *testing.T, dir string) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	open, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{
		"audit.pem": {Type: "PRIVATE KEY", Bytes: secret}, "audit.pub": {Type: "PUBLIC KEY", Bytes: open},
	} {
		if err := os.WriteFile(filepath.Join(dir, file), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// What operators change is listed, and passes the check, also of a node that started again; what was changed afterwards does not: in a file,
// and in the store of a node that was stopped.
func TestAudit(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	auditKey(t, p.dir)
	data := filepath.Join(p.dir, "data")
	settings := []string{"--data", data, "--audit-key", filepath.Join(p.dir, "audit.pem")}
	node := p.node(t, settings...)
	p.run(t, exitOK, "adapter", "limit", "bench.echo", "--rate", "5", "--by", "jane", "--reason", "it is slow")
	p.run(t, exitError, "order", "cancel", "none", "--by", "joe")
	stop(t, node)
	node = p.node(t, settings...)
	p.run(t, exitOK, "adapter", "limit", "bench.echo", "--none", "--by", "joe")
	list := p.run(t, exitOK, "audit", "list")
	for _, want := range []string{
		"LimitActivity", "(says jane)", "it is slow", `"0 a second, 0 at a time (0: any)" → "5 a second`, "NotFound NO_SUCH_ORDER", "goes on",
	} {
		if !strings.Contains(list, want) {
			t.Errorf("the list does not tell %q:\n%s", want, list)
		}
	}
	if list := p.run(t, exitOK, "audit", "list", "--who", "jane", "--since", "1h", "-o", "json"); strings.Count(list, "\n") != 1 ||
		!strings.Contains(list, `"outcome":"done"`) {
		t.Errorf("of jane there is\n%s", list)
	}
	keep := func(file string, args ...string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(p.dir, file), []byte(p.run(t, exitOK, args...)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	keep("head.json", "audit", "head")
	keep("audit.jsonl", "audit", "export")
	strictly := []string{"audit", "verify", "--key", "audit.pub", "--head", "head.json"}
	p.run(t, exitOK, strictly...)
	p.run(t, exitOK, append(strictly, "audit.jsonl")...)
	if out := p.run(t, exitOK, "audit", "verify", "-o", "json", "audit.jsonl"); !strings.Contains(out, `"problem_count":0`) {
		t.Errorf("verified: %s", out)
	}
	stop(t, node)

	export, err := os.ReadFile(filepath.Join(p.dir, "audit.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(strings.TrimSuffix(string(export), "\n"), "\n")
	keep("short.jsonl", "version")
	if err := os.WriteFile(filepath.Join(p.dir, "short.jsonl"), []byte(strings.Join(lines[:len(lines)-1], "")), 0o600); err != nil {
		t.Fatal(err)
	}
	if out := p.run(t, exitError, append(strictly, "short.jsonl")...); !strings.Contains(out, "it was cut") {
		t.Errorf("a chain that was cut: %s", out)
	}
	p.run(t, exitOK, "journal", "verify", "--data", data)
	j, err := pebble.Open(pebble.Config{Dir: journalIn(data)})
	if err != nil {
		t.Fatal(err)
	}
	chains, err := j.AuditChains(t.Context())
	if err == nil && len(chains) == 1 {
		err = j.AppendAudit(t.Context(), chains[0].Name, chains[0].Last+1, [][]byte{[]byte("what nobody has written, and is longer than a hash")})
	}
	if closeErr := j.Close(); err != nil || closeErr != nil || len(chains) != 1 {
		t.Fatal(chains, err, closeErr)
	}
	if out := p.run(t, exitError, "journal", "verify", "--data", data); !strings.Contains(out, "audit: entry") {
		t.Errorf("a store with an entry that nobody has made: %s", out)
	}
}

// Keys that are none are refused before the node starts, with the name of the setting.
func TestAuditSettings(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	auditKey(t, dir)
	for want, args := range map[string][]string{
		"--audit-key: read":            {"node", "--audit-key", filepath.Join(dir, "none")},
		"--audit-key: " + dir:          {"node", "--audit-key", filepath.Join(dir, "audit.pub")},
		"--audit-sign is 1ms":          {"node", "--audit-sign", "1ms"},
		"--audit-keep is 1s":           {"node", "--audit-keep", "1s"},
		"--key: " + dir + "/audit.pem": {"audit", "verify", "--key", filepath.Join(dir, "audit.pem"), filepath.Join(dir, "x")},
		"--head":                       {"audit", "verify", "--head", filepath.Join(dir, "audit.pub"), filepath.Join(dir, "x")},
	} {
		f := &fake{t: t}
		if o := f.run(args...); o.status == exitOK || !strings.Contains(o.stderr, want) {
			t.Errorf("%v: %d, %s", args, o.status, o.stderr)
		}
	}
}
