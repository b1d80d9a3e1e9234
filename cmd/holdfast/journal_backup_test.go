package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// place is a machine with a node of its own, as an operator sees it: all processes are real ones.
type place struct {
	dir, listen, admin string
	environ            []string
}

func newPlace(t *testing.T) *place {
	t.Helper()
	p := &place{dir: t.TempDir(), listen: freeAddress(t), admin: freeAddress(t)}
	p.environ = []string{childVariable + "=real", "HOLDFAST_SERVER=" + p.listen, "HOLDFAST_ADMIN=" + p.admin}
	return p
}

// node starts a node, and waits until it is ready.
func (p *place) node(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	node, out := startProcess(t, p.environ, append([]string{"node", "--listen", p.listen, "--admin-listen", p.admin}, args...)...)
	out.await(t, "node is up", 1)
	awaitReady(t, p.admin)
	return node
}

// adapter starts the adapter bench.
func (p *place) adapter(t *testing.T) *exec.Cmd {
	t.Helper()
	adapter, out := startProcess(t, p.environ, "adapter", "bench")
	out.await(t, "connected", 1)
	return adapter
}

// stop ends a process as an operator does.
func stop(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if wait(t, cmd); cmd.ProcessState.ExitCode() != exitOK {
		t.Fatalf("it has ended with: %v", cmd.ProcessState)
	}
}

// run runs a command, and returns what it has printed.
func (p *place) run(t *testing.T, status int, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], args...)
	var out bytes.Buffer
	cmd.Env, cmd.Stdout, cmd.Stderr, cmd.Dir = append(os.Environ(), p.environ...), &out, &out, p.dir
	_ = cmd.Run() // its status tells
	if cmd.ProcessState == nil || cmd.ProcessState.ExitCode() != status {
		t.Fatalf("holdfast %s: %v, want the exit status %d:\n%s", strings.Join(args, " "), cmd.ProcessState, status, out.String())
	}
	return out.String()
}

// deploy deploys definitions, given by their names and tasks.
func (p *place) deploy(t *testing.T, definitions map[string]string) {
	t.Helper()
	for name, tasks := range definitions {
		file := filepath.Join(p.dir, name+".yaml")
		text := fmt.Sprintf("document: {dsl: '1.0.3', namespace: place, name: %s, version: '1.0.0'}\ndo:\n%s", name, tasks)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		p.run(t, exitOK, "definition", "deploy", file)
	}
}

// What was acknowledged before a backup is in it, and completes on the journal that is restored from it; nobody runs on the copy, and
// nothing is restored over another journal.
func TestBackupAndRestore(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	node := p.node(t, "--data", filepath.Join(p.dir, "data"))
	p.deploy(t, map[string]string{"call": "  - call: {call: bench.echo, with: {a: 1}}\n"})
	p.run(t, exitOK, "order", "submit", "--definition", "place/call", "--id", "before")
	out := p.run(t, exitOK, "journal", "backup", "--to", "backup")
	if !strings.Contains(out, "1 orders (1 open)") || !strings.Contains(out, "generation 0: nothing is wrong") {
		t.Errorf("the backup says:\n%s", out)
	}
	if out := p.run(t, exitError, "journal", "backup", "--to", "backup"); !strings.Contains(out, "folder") || !strings.Contains(out, "not empty") {
		t.Errorf("a second backup in the same folder: %s", out)
	}
	p.run(t, exitOK, "order", "submit", "--definition", "place/call", "--id", "after")
	stop(t, node)

	node, started := startProcess(t, p.environ, "node", "--data", filepath.Join(p.dir, "backup"), "--listen", p.listen, "--admin-listen", p.admin)
	if wait(t, node); node.ProcessState.ExitCode() != exitError || !strings.Contains(started.String(), "journal restore") {
		t.Errorf("a node on the copy: %v\n%s", node.ProcessState, started)
	}
	if out := p.run(t, exitError, "journal", "restore", "--from", "backup", "--data", "data"); !strings.Contains(out, "not empty") {
		t.Errorf("restored over another journal: %s", out)
	}
	if out := p.run(t, exitOK, "journal", "restore", "--from", "backup", "--data", "new"); !strings.Contains(out, "as generation 1") {
		t.Errorf("the restoring says:\n%s", out)
	}
	p.run(t, exitOK, "journal", "verify", "--data", "new")
	p.node(t, "--data", filepath.Join(p.dir, "new"))
	p.adapter(t)
	p.run(t, exitOK, "order", "watch", "before")
	p.run(t, exitError, "order", "get", "after")
}
