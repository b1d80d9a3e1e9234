package stage_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/holdfast-run/holdfast/scenarios/stage"
)

// asChild makes the test binary a child in place of running tests: it fails, or serves HTTP on the address given. Asked to dial an address,
// it tells whether that answers.
const asChild = "HOLDFAST_TEST_STAGE_CHILD"

func TestMain(m *testing.M) {
	switch what := os.Getenv(asChild); what {
	case "":
		goleak.VerifyTestMain(m)
	case "fail":
		for i := range 1000 {
			fmt.Fprintf(os.Stderr, "line %d\n", i)
		}
		fmt.Fprintln(os.Stderr, "the reason")
		os.Exit(7)
	default:
		s := &http.Server{Addr: what, ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(
			func(w http.ResponseWriter, r *http.Request) {
				if address := r.FormValue("dial"); address != "" {
					c, err := net.DialTimeout("tcp", address, 500*time.Millisecond)
					if err != nil {
						w.WriteHeader(http.StatusGatewayTimeout)
						return
					}
					_ = c.Close()
				}
				_, _ = fmt.Fprint(w, os.Getpid())
			},
		)}
		fmt.Fprintln(os.Stderr, s.ListenAndServe())
		os.Exit(1)
	}
}

func setup(t *testing.T) (context.Context, *stage.Stage) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	ctx, s := stage.New(ctx, t.TempDir())
	t.Cleanup(s.Stop)
	return ctx, s
}

func child(name, what string, restart bool) stage.Spec {
	return stage.Spec{Name: name, Path: os.Args[0], Env: []string{asChild + "=" + what}, Restart: restart}
}

// TestFailure: the end of a process fails the stage, and says how its log ends.
func TestFailure(t *testing.T) {
	t.Parallel()
	ctx, s := setup(t)
	if _, err := s.Start(ctx, child("bad", "fail", false)); err != nil {
		t.Fatal(err)
	}
	<-ctx.Done()
	got := context.Cause(ctx).Error()
	if !strings.Contains(got, "process bad ended: exit status 7") || !strings.HasSuffix(got, "line 999\nthe reason") {
		t.Errorf("the stage failed with %q", got)
	}
	if strings.Contains(got, "line 1\n") || strings.Contains(got, "\nne ") {
		t.Errorf("the log is told from its beginning, or from within a line: %q", got)
	}
}

// server starts a process that answers at a URL, and is started again when it ends.
func server(ctx context.Context, t *testing.T, s *stage.Stage) (p *stage.Process, url string) {
	t.Helper()
	addresses, err := stage.FreeAddresses(ctx, 1)
	if err != nil {
		t.Fatal(err)
	}
	p, err = s.Start(ctx, child("server", addresses[0], true))
	if err != nil {
		t.Fatal(err)
	}
	return p, "http://" + addresses[0]
}

// TestKill: a killed process is gone when Kill returns, and another one takes its place.
func TestKill(t *testing.T) {
	t.Parallel()
	ctx, s := setup(t)
	p, url := server(ctx, t, s)
	var pids []int
	for range 3 {
		if err := stage.Answers(ctx, url); err != nil {
			t.Fatal(err)
		}
		pid := p.PID()
		pids = append(pids, pid)
		usage, err := p.Usage()
		if err != nil || usage.PeakRSS < usage.RSS || usage.RSS < 1<<20 {
			t.Errorf("usage is %+v: %v", usage, err)
		}
		before := time.Now()
		at, err := p.Kill(ctx)
		if err != nil || at.Before(before) || at.After(time.Now()) {
			t.Fatalf("killed at %v: %v", at, err)
		}
		if _, err := os.Stat(fmt.Sprintf("/proc/%d", pid)); err == nil {
			t.Errorf("process %d is still there", pid)
		}
	}
	if pids[0] == pids[1] || pids[1] == pids[2] || p.Starts() < 3 || p.Starts() > 4 {
		t.Errorf("processes were %v, %d starts", pids, p.Starts())
	}
	s.Stop()
	if p.PID() != 0 {
		t.Errorf("process %d runs after the stage was stopped", p.PID())
	}
	if _, err := p.Usage(); err == nil {
		t.Error("a process that is gone has a usage")
	}
	if _, err := p.Kill(ctx); err == nil {
		t.Error("a process that is gone was killed")
	}
}

// TestStayAway: a process that is away for long comes back when it is told to.
func TestStayAway(t *testing.T) {
	t.Parallel()
	ctx, s := setup(t)
	p, _ := server(ctx, t, s)
	if err := p.AwaitStart(ctx, 0); err != nil {
		t.Fatal(err)
	}
	p.StayAway(time.Hour)
	if _, err := p.Kill(ctx); err != nil {
		t.Fatal(err)
	}
	if p.PID() != 0 {
		t.Error("the process is back at once")
	}
	p.StayAway(0)
	if err := p.AwaitStart(ctx, 1); err != nil {
		t.Error(err)
	}
}

func TestFreeAddresses(t *testing.T) {
	t.Parallel()
	addresses, err := stage.FreeAddresses(t.Context(), 20)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	taken := 0
	for _, a := range addresses {
		l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", a)
		switch {
		case errors.Is(err, syscall.EADDRINUSE) && taken == 0:
			taken++ // tests of other packages look for free addresses, too, and may have found one of these since
		case err != nil:
			t.Error(err)
		default:
			_ = l.Close()
		}
		if host, _, _ := net.SplitHostPort(a); host != "127.0.0.1" || seen[a] {
			t.Errorf("%s is not on the loopback, or was given before", a)
		}
		seen[a] = true
	}
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	m := stage.Metrics("# HELP a_total Help.\n# TYPE a_total counter\na_total 3\na_total_more 4\n" +
		"b{status=\"x\"} 1.5e+06 1700000000000\nc wrong\n")
	for series, want := range map[string]float64{"a_total": 3, "a_total_more": 4, `b{status="x"}`: 1.5e6} {
		if got, err := m.Value(series); err != nil || got != want {
			t.Errorf("%s is %v, not %v: %v", series, got, want, err)
		}
	}
	for _, series := range []string{"a", "b", "c", "HELP", ""} {
		if got, err := m.Value(series); err == nil {
			t.Errorf("%q is %v", series, got)
		}
	}
}

func TestFolderSize(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "a", "b"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, size := range map[string]int{"x": 10, "a/y": 100, "a/b/z": 1000} {
		if err := os.WriteFile(filepath.Join(dir, name), make([]byte, size), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	reserved, err := os.OpenFile(filepath.Join(dir, "a", "y"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(reserved.Truncate(1<<20), reserved.Close()); err != nil {
		t.Fatal(err)
	}
	const block = 4096 // the least that a file system tells apart
	if got, err := stage.FolderSize(dir); err != nil || got < 1110 || got >= 1110+block {
		t.Errorf("1110 bytes are measured as %d: %v", got, err)
	}
	if _, err := stage.FolderSize(filepath.Join(dir, "none")); err != nil {
		t.Errorf("a folder that is gone: %v", err)
	}
}
