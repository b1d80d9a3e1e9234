package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestDemo runs the whole demo, with and without the deduplication of the downstreams: the check must tell them apart.
func TestDemo(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("builds holdfast, and runs real processes for seconds")
	}
	holdfast := builtHoldfast(t)
	for name, tt := range map[string]struct {
		flags    []string
		well     bool
		mentions []string
	}{
		"deduplicated": {
			nil, true,
			[]string{"8 orders", "1 repeated", "\n0 duplicated, 0 missing, 0 unexplained, 0 history gaps\n", "\nAll as expected"},
		},
		"not deduplicated": {
			[]string{"--no-dedup"},
			false,
			[]string{"8 orders", "0 repeated", "\n1 duplicated, 0 missing, 0 unexplained, 0 history gaps\n", errViolations.Error()},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
			defer cancel()
			c := telecom(ctx, t, append([]string{"demo", "--holdfast", holdfast, "--dir", dir}, tt.flags...)...)
			raw, err := c.CombinedOutput()
			out := string(raw)
			if (err == nil) != tt.well {
				t.Errorf("ended with %v", err)
			}
			for _, mention := range tt.mentions {
				if !strings.Contains(out, mention) {
					t.Errorf("does not say %q", mention)
				}
			}
			left, err := os.ReadDir(dir)
			if err != nil || (len(left) == 0) != tt.well {
				t.Errorf("left %v behind (%v)", left, err)
			}
			if t.Failed() {
				t.Logf("output:\n%s", out)
			}
		})
	}
}

func builtHoldfast(t *testing.T) string {
	t.Helper()
	holdfast := filepath.Join(t.TempDir(), "holdfast")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", holdfast, "github.com/holdfast-run/holdfast/cmd/holdfast")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build holdfast: %v: %s", err, out)
	}
	return holdfast
}

func TestDemoFailsSoon(t *testing.T) {
	t.Parallel()
	for holdfast, mention := range map[string]string{
		"/nowhere/holdfast": "/nowhere/holdfast is not there: build it",
		"/bin/false":        "process holdfast-dev ended at its start (exit status 1)",
	} {
		out, err := telecom(t.Context(), t, "demo", "--holdfast", holdfast, "--dir", t.TempDir()).CombinedOutput()
		if err == nil || !strings.Contains(string(out), mention) {
			t.Errorf("%s: %v: %s", holdfast, err, out)
		}
	}
}
