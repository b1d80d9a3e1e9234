package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/holdfast-run/holdfast/scenarios/stage"
)

// needsWrongClock tells whether a row needs a holdfast whose clock can be wrong.
func needsWrongClock(s *site, row string) bool {
	switch row {
	case "skew":
		return !noCluster(s)
	case "keys_cluster", "saga_cluster":
		return !noCluster(s) && !s.ci()
	}
	return false
}

// withWrongClocks has a row use a cluster of its own, the clocks of whose nodes are apart.
func withWrongClocks(
	ctx context.Context, s *site, use func(context.Context, *stage.Stage, *clusterRow) (figures, error),
) (figures, error) {
	return withOwnCluster(ctx, s, func(_ *cluster, spec *stage.ClusterSpec) error {
		spec.Holdfast, spec.Nodes, spec.Ahead = s.wrongClock, len(skewed), skewed
		return nil
	}, use)
}

// buildWrongClock builds a holdfast whose clock is ahead by as many seconds as the variable CLOCK_AHEAD says: all of it, whoever in it
// asks for the time. Nothing of the product differs, but its standard library. The clock that nobody sets, by which durations are
// measured, is right.
func buildWrongClock(ctx context.Context, s *site) (binary string, err error) {
	root, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
	if err != nil {
		return "", fmt.Errorf("find the standard library: %w", err)
	}
	dir := filepath.Join(strings.TrimSpace(string(root)), "src", "time")
	source, err := os.ReadFile(filepath.Join(dir, "time.go"))
	if err != nil {
		return "", fmt.Errorf("read the standard library: %w", err)
	}
	const reads = "\tsec, nsec, mono := runtimeNow()\n"
	before, after, found := strings.Cut(string(source), "func Now() Time {\n"+reads)
	if !found {
		return "", fmt.Errorf("time.Now of %s does not begin as is known: %q", dir, reads)
	}
	files := map[string]string{
		"time.go": before + "func Now() Time {\n" + reads + "\tsec += clockAhead\n" + after, "clockahead.go": clockAhead,
	}
	replace := map[string]string{}
	for name, text := range files {
		replace[filepath.Join(dir, name)] = filepath.Join(s.dir, name+".txt")
		if err := os.WriteFile(filepath.Join(s.dir, name+".txt"), []byte(text), 0o600); err != nil {
			return "", fmt.Errorf("change the standard library: %w", err)
		}
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	if err == nil {
		err = os.WriteFile(s.dir+"/overlay.json", overlay, 0o600)
	}
	if err != nil {
		return "", fmt.Errorf("change the standard library: %w", err)
	}
	binary = filepath.Join(s.dir, "holdfast-wrong-clock")
	build := exec.CommandContext(ctx, "go", "build", "-pgo=off", "-overlay", s.dir+"/overlay.json", "-o", binary, "./cmd/holdfast")
	build.Dir = s.root
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build a binary whose clock is wrong: %w: %s", err, lastBytes(out))
	}
	return binary, nil
}

// clockAhead is what is added to package time.
const clockAhead = `package time

import "syscall"

// clockAhead is by how many seconds the clock of this process is ahead.
var clockAhead = func() (seconds int64) {
	text, _ := syscall.Getenv("CLOCK_AHEAD")
	sign := int64(1)
	for _, c := range []byte(text) {
		if c == '-' {
			sign = -1
			continue
		}
		seconds = seconds*10 + int64(c-'0')
	}
	return sign * seconds
}()
`
