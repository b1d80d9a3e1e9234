package main

import (
	"crypto/sha256"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-run/holdfast/certificates/certificatetest"
)

// The node that docs/security.md configures in ten lines starts as it is written there, asks who calls, and signs its audit.
func TestNodeInTenLines(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, found := strings.Cut(string(page), "```yaml\ndata: ")
	text, _, _ = strings.Cut("data: "+text, "```")
	if !found || strings.Count(text, "\n") != 10 {
		t.Fatalf("it does not have ten lines:\n%s", text)
	}
	dir, own := t.TempDir(), certificatetest.New(t).Files("127.0.0.1")
	auditKey(t, dir)
	_, root := tokenOf(t, filepath.Join(dir, "access.yaml"), "root", "--role", "administrator", "--namespace", "*")
	public, admin := freeAddress(t), freeAddress(t)
	port := func(address string) string {
		_, p, err := net.SplitHostPort(address)
		if err != nil {
			t.Fatal(err)
		}
		return ":" + p
	}
	file := filepath.Join(dir, "node.yaml")
	text = strings.NewReplacer("/var/lib/holdfast", filepath.Join(dir, "data"), "/etc/holdfast/node.pem", own.Certificate,
		"/etc/holdfast/node.key", own.Key, "/etc/holdfast", dir, ":7460", port(public), ":7461", port(admin)).Replace(text)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	_, log := startProcess(t, []string{childVariable + "=real"}, "node", "--config", file)
	log.await(t, "node is up", 1)
	log.await(t, "callers are asked who they are", 1)
	f := &fake{t: t, environ: []string{"HOLDFAST_SERVER=" + public, "HOLDFAST_ADMIN=" + admin, "HOLDFAST_CA=" + own.CA, "HOLDFAST_ADMIN_CA=" + own.CA}}
	if got := f.run("order", "list"); !strings.Contains(got.stderr, "UNKNOWN_CALLER") {
		t.Errorf("%+v", got)
	}
	f.environ = append(f.environ, "HOLDFAST_TOKEN="+root)
	for _, args := range [][]string{
		{"order", "list"}, {"audit", "verify", "--key", filepath.Join(dir, "audit.pub")},
	} {
		if got := f.run(args...); got.status != exitOK {
			t.Errorf("%v: %+v", args, got)
		}
	}
	// Which file says who may do what is in the audit, as it is and as it is changed.
	tokenOf(t, filepath.Join(dir, "access.yaml"), "shop", "--role", "submitter", "--namespace", "shop")
	log.await(t, "what callers may do has changed", 1)
	noted := func() string { return f.run("audit", "list", "--method", "access file").stdout }
	after, err := os.ReadFile(filepath.Join(dir, "access.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	want, until := fmt.Sprintf("%x", sha256.Sum256(after)), time.Now().Add(time.Minute)
	for !strings.Contains(noted(), want) {
		if time.Now().After(until) {
			t.Fatalf("the audit does not tell %s:\n%s", want, noted())
		}
	}
	if got := f.run("audit", "list"); !strings.Contains(got.stdout, "List refused") ||
		!strings.Contains(got.stdout, "neither a token nor a certificate") {
		t.Errorf("the audit does not tell who was refused: %+v", got)
	}
}
