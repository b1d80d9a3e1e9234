package main

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-run/holdfast/persistence/postgres/pgserver"
)

// TestCluster runs the whole of it, and has a node killed: it must show that, and find nothing wrong.
func TestCluster(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("builds holdfast, and runs real processes for half a minute")
	}
	consul, err := exec.LookPath(os.Getenv("HOLDFAST_TEST_CONSUL"))
	if err != nil {
		t.Skipf("HOLDFAST_TEST_CONSUL names no Consul: %v", err)
	}
	if _, err := pgserver.Programs(); err != nil {
		t.Skip(err)
	}
	dir := t.TempDir()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	c := telecom(ctx, t, "cluster", "--holdfast", builtHoldfast(t), "--consul", consul, "--dir", dir, "--rate", "10", "--duration", "12s",
		"--kill", "6s", "--back", "10s")
	raw, err := c.CombinedOutput()
	out := string(raw)
	if err != nil {
		t.Errorf("ended with %v", err)
	}
	for _, mention := range []string{
		"node1 has ", " has ended", "node1 has 0", " 0 missing, 0 unexplained, 0 history gaps\n", "nodes have ended ", "\nAll as expected",
	} {
		if !strings.Contains(out, mention) {
			t.Errorf("does not say %q", mention)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 && !t.Failed() {
		t.Errorf("left %v behind (%v)", left, err)
	}
	if t.Failed() {
		t.Logf("output:\n%s", out)
	}
}

func TestClusterRefuses(t *testing.T) {
	t.Parallel()
	out, err := telecom(t.Context(), t, "cluster", "--holdfast", "/nowhere/holdfast", "--consul", "/nowhere/consul", "--rate", "0",
		"--duration", "2h", "--kill", "-1s", "--dir", t.TempDir()).CombinedOutput()
	if err == nil {
		t.Error("it has started")
	}
	for _, mention := range []string{
		"/nowhere/holdfast is not there: build it", "consul is not there: make tools builds it", "--rate is 0: from 1 to 100",
		"--duration is 2h0m0s: up to an hour", "--kill and --back must not be negative",
	} {
		if !strings.Contains(string(out), mention) {
			t.Errorf("does not say %q, but:\n%s", mention, out)
		}
	}
}
