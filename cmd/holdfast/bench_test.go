package main

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/holdfast-run/holdfast/scenarios/load"
	"github.com/holdfast-run/holdfast/scenarios/stage"
)

// asHoldfast makes the test binary the real program in place of running tests: bench starts it as node and adapter.
const asHoldfast = "HOLDFAST_TEST_AS_HOLDFAST"

func init() { //nolint:gochecknoinits // TestMain knows another kind of child
	if os.Getenv(asHoldfast) != "" {
		os.Exit(realMain())
	}
}

// TestBench measures a real node for some seconds, in each way: machines may stand still for one.
func TestBench(t *testing.T) {
	t.Setenv(asHoldfast, "1")
	for _, args := range [][]string{
		{"--workload", "w3", "--in-flight", "16"},
		{"--workload", "w3", "--in-flight", "16", "--secure"},
		{"--workload", "w0", "--in-flight", "16", "--submit", "unary"},
		{"--workload", "accept", "--in-flight", "16"},
		{"--workload", "timers", "--orders", "50", "--delay", "1.5s"},
	} {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			dir := t.TempDir()
			if _, memory, err := stage.Filesystem(dir); err != nil || memory {
				t.Skipf("bench refuses the file system of the temporary folder (%v)", err)
			}
			var stdout, stderr bytes.Buffer
			a := &app{stdout: &stdout, stderr: &stderr, environ: os.Environ, terminal: noTerminal}
			args = append([]string{"bench", "-o", "json", "--duration", "3s", "--dir", dir}, args...)
			if code := run(t.Context(), a, args); code != exitOK || stderr.Len() > 0 {
				t.Fatalf("exit %d: %s", code, stderr.String())
			}
			var r load.Result
			d := json.NewDecoder(&stdout)
			d.DisallowUnknownFields()
			if err := d.Decode(&r); err != nil {
				t.Fatal(err)
			}
			if r.Orders == 0 || r.Errors != 0 || r.RatePerS <= 0 || r.P50MS <= 0 || r.P99MS < r.P50MS || r.Fsyncs <= 0 || r.BytesPerOrder <= 0 {
				t.Errorf("measured %+v", r)
			}
			for i, name := range []string{"node", "adapter", "client"} {
				if p := r.Processes[i]; p.Name != name || p.PeakRSSBytes <= 0 {
					t.Errorf("process %d is %+v: %s is expected", i, p, name)
				}
			}
			if timers := r.TimersResult; (timers != nil) != (r.Workload == load.Timers) ||
				timers != nil && (timers.Early != 0 || timers.Lost != 0 || timers.LateP99MS <= 0 || r.Orders != 50) {
				t.Errorf("%d orders, timers: %+v", r.Orders, timers)
			}
			if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
				t.Errorf("%v is left behind: %v", left, err)
			}
		})
	}
}

func TestBenchUsage(t *testing.T) {
	t.Setenv(asHoldfast, "1") // lest a wrong start runs the tests again
	for _, args := range [][]string{
		{"--workload", "w9"},
		{"--submit", "pigeon"},
		{"--in-flight", "-1"},
		{"--duration", "1ms"},
		{"--workload", "timers", "--submit", "unary"},
		{"more"},
	} {
		var stdout, stderr bytes.Buffer
		a := &app{stdout: &stdout, stderr: &stderr, environ: func() []string { return nil }, terminal: noTerminal}
		if code := run(t.Context(), a, append([]string{"bench"}, args...)); code != exitUsage || stdout.Len() > 0 {
			t.Errorf("%v: exit %d, %s%s", args, code, stdout.String(), stderr.String())
		}
	}
}

// TestBenchOnMemory: what is not durable can't be measured.
func TestBenchOnMemory(t *testing.T) {
	t.Setenv(asHoldfast, "1")
	const shm = "/dev/shm"
	if _, memory, err := stage.Filesystem(shm); err != nil || !memory {
		t.Skipf("%s is not in memory (%v)", shm, err)
	}
	var stdout, stderr bytes.Buffer
	a := &app{stdout: &stdout, stderr: &stderr, environ: func() []string { return nil }, terminal: noTerminal}
	code := run(t.Context(), a, []string{"bench", "--dir", shm})
	if code != exitError || !strings.Contains(stderr.String(), "is on a tmpfs") {
		t.Errorf("exit %d: %s", code, stderr.String())
	}
}
