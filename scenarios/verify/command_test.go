package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestCommand(t *testing.T) {
	t.Parallel()
	s := &site{}
	out, err := s.command(t.Context(), t.TempDir(), []string{"WORD=hello"}, "sh", "-c", "echo $WORD; echo bad >&2")
	if err != nil || string(out) != "hello\n" || firstLine(out) != "hello" {
		t.Errorf("printed %q: %v", out, err)
	}
	_, err = s.command(t.Context(), t.TempDir(), nil, "sh", "-c", "echo the reason >&2; exit 3")
	var exit interface{ ExitCode() int }
	if !errors.As(err, &exit) || exit.ExitCode() != 3 || !strings.Contains(err.Error(), "the reason") {
		t.Errorf("failed with %v", err)
	}
}

// TestCommandLeavesNothing: what a program has started is gone when it is.
func TestCommandLeavesNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	reason := errors.New("long enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	ended := make(chan error, 1)
	go func() {
		_, err := (&site{}).command(ctx, dir, nil, "sh", "-c", "sleep 600 & echo $! > pid.new; mv pid.new pid; wait")
		ended <- err
	}()
	var pid int
	for pid == 0 {
		b, err := os.ReadFile(filepath.Join(dir, "pid"))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if pid, err = strconv.Atoi(strings.TrimSpace(string(b))); err != nil {
			t.Fatal(err)
		}
	}
	cancel(reason)
	if err := <-ended; !errors.Is(err, reason) {
		t.Errorf("it ended with %v", err)
	}
	// It was killed; whoever inherited it reaps it at some time.
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); {
		stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
		if err != nil || strings.Contains(string(stat), ") Z ") || syscall.Kill(pid, 0) != nil {
			return
		}
	}
	t.Errorf("process %d still runs", pid)
}
