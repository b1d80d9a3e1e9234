package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"

	"github.com/holdfast-run/holdfast/scenarios/stage"
)

// needsWrongClock tells whether a row needs a holdfast whose clock can be wrong.
func needsWrongClock(s *site, row string) bool {
	switch row {
	case "schedule":
		return true
	case "skew":
		return !noCluster(s)
	case "keys_cluster", "saga_cluster":
		return !noCluster(s) && !s.ci()
	}
	return false
}

// apart has the clocks of a cluster's nodes be apart.
func (w *wrongClock) apart(spec *stage.ClusterSpec) (err error) {
	spec.Nodes, spec.Ahead = len(skewed), skewed
	spec.Holdfast, err = w.binary()
	return err
}

// wrongClock is a holdfast whose clock can be wrong. It is built when it is first needed, or begun.
type wrongClock struct {
	dir    string
	binary func() (string, error)
	begun  sync.WaitGroup
}

// newWrongClock makes the folder for it. Remove it.
func newWrongClock(ctx context.Context, root, parent string) (*wrongClock, error) {
	err := os.MkdirAll(parent, 0o750)
	w := &wrongClock{}
	if err == nil {
		w.dir, err = os.MkdirTemp(parent, "verify-wrong-clock-")
	}
	if err == nil {
		w.dir, err = filepath.Abs(w.dir)
	}
	w.binary = sync.OnceValues(func() (string, error) { return buildWrongClock(ctx, root, w.dir) })
	return w, err //nolint:wrapcheck // it names the folder
}

// begin has it built beside what else is done: the first time, all is compiled anew, which takes minutes.
func (w *wrongClock) begin() { w.begun.Go(func() { _, _ = w.binary() }) } // who needs it is told of an error

func (w *wrongClock) remove() error {
	w.begun.Wait()
	return os.RemoveAll(w.dir) //nolint:wrapcheck // it names the folder
}

// buildWrongClock builds a holdfast whose clock is ahead by as many seconds as the variable CLOCK_AHEAD says: all of it, whoever in it
// asks for the time. Nothing of the product differs, but its standard library. The clock that nobody sets, by which durations are
// measured, is right.
func buildWrongClock(ctx context.Context, root, to string) (binary string, err error) {
	goroot, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
	if err != nil {
		return "", fmt.Errorf("find the standard library: %w", err)
	}
	dir := filepath.Join(strings.TrimSpace(string(goroot)), "src", "time")
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
		replace[filepath.Join(dir, name)] = filepath.Join(to, name+".txt")
		if err := os.WriteFile(filepath.Join(to, name+".txt"), []byte(text), 0o600); err != nil {
			return "", fmt.Errorf("change the standard library: %w", err)
		}
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	if err == nil {
		err = os.WriteFile(to+"/overlay.json", overlay, 0o600)
	}
	if err != nil {
		return "", fmt.Errorf("change the standard library: %w", err)
	}
	binary = filepath.Join(to, "holdfast")
	build := exec.CommandContext(ctx, "nice", "-n", "19", // it disturbs nobody
		"go", "build", "-pgo=off", "-overlay", to+"/overlay.json", "-o", binary, "./cmd/holdfast")
	build.Dir = root
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
