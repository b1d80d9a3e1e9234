package supervision_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-run/holdfast/supervision"
)

// fifoName is the variable that names the fifo by which a child shows that it lives.
const fifoName = "SUPERVISION_TEST_FIFO"

// hold writes its pid to the fifo, and keeps it open as long as the child lives.
func hold() {
	f, err := os.OpenFile(os.Getenv(fifoName), os.O_WRONLY, 0)
	must(err)
	_, err = f.WriteString("alive\n")
	must(err)
	held = f
}

var held *os.File

func neverEnds() context.Context { return context.Background() }

// fifo tells whether a child lives: alive waits until one holds it, gone until none does.
type fifo struct {
	path string
	file *os.File
	read *bufio.Reader
}

func newFifo(t *testing.T) *fifo {
	t.Helper()
	f := &fifo{path: filepath.Join(t.TempDir(), "fifo")}
	if err := syscall.Mkfifo(f.path, 0o600); err != nil {
		t.Fatal(err)
	}
	return f
}

func (f *fifo) env() string { return fifoName + "=" + f.path }

func (f *fifo) alive(t *testing.T) {
	t.Helper()
	var err error
	if f.file, err = os.Open(f.path); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.file.Close() })
	f.read = bufio.NewReader(f.file)
	if line, err := f.read.ReadString('\n'); line != "alive\n" {
		t.Fatalf("%q %v", line, err)
	}
}

func (f *fifo) gone(t *testing.T) {
	t.Helper()
	if rest, err := io.ReadAll(f.read); err != nil || len(rest) > 0 {
		t.Fatalf("%q %v", rest, err)
	}
}

// run is a process under supervision.
type run struct {
	t      *testing.T
	events chan supervision.Event
	stop   context.CancelFunc
	ended  chan error
}

// supervise runs the test binary as a child, with short times, and stops it at the end.
func supervise(t *testing.T, mode string, change func(*supervision.Spec)) *run {
	t.Helper()
	r := &run{t: t, events: make(chan supervision.Event, 1000), ended: make(chan error, 1)}
	spec := supervision.Spec{
		Name: mode, Path: os.Args[0], Env: []string{childMode + "=" + mode},
		LiveEvery: time.Millisecond, LiveTimeout: 20 * time.Millisecond,
		Backoff: supervision.Backoff{Initial: time.Millisecond, Max: 4 * time.Millisecond},
		OnEvent: func(e supervision.Event) { r.events <- e },
	}
	change(&spec)
	ctx, cancel := context.WithCancel(t.Context())
	r.stop = cancel
	go func() { r.ended <- supervision.NewProcess(spec).Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		for range r.events { // until the channel is closed by finish
		}
	})
	t.Cleanup(func() {
		cancel()
		if err := <-r.ended; err != nil {
			t.Error(err)
		}
		close(r.events)
	})
	return r
}

// next returns the next event, which must be of a kind.
func (r *run) next(kind supervision.EventKind) supervision.Event {
	r.t.Helper()
	e := <-r.events
	if e.Kind != kind {
		r.t.Fatalf("event %+v, want %s", e, kind)
	}
	return e
}

// lines is a writer that hands out what was written.
type lines chan string

func (l lines) Write(p []byte) (int, error) {
	l <- string(p)
	return len(p), nil
}

func TestProcessIsRestartedWithBackoffWhenItExits(t *testing.T) {
	t.Parallel()
	r := supervise(t, "exit", func(*supervision.Spec) {})
	seen := map[int]bool{}
	for _, want := range []int64{1, 2, 4, 4} {
		began := r.next(supervision.Started)
		if seen[began.PID] {
			t.Errorf("pid %d again", began.PID)
		}
		seen[began.PID] = true
		ended := r.next(supervision.Exited)
		var exit *exec.ExitError
		if !errors.As(ended.Err, &exit) || exit.ExitCode() != 3 || ended.PID != began.PID {
			t.Errorf("after %+v: %+v", began, ended)
		}
		if ended.Delay.Milliseconds() != want {
			t.Errorf("delay %v, want %d ms", ended.Delay, want)
		}
	}
}

func TestProcessForgetsFailuresOnceItWasStable(t *testing.T) {
	t.Parallel()
	r := supervise(t, "exit", func(s *supervision.Spec) { s.Stable = time.Nanosecond })
	for range 3 {
		r.next(supervision.Started)
		if e := r.next(supervision.Exited); e.Delay != time.Millisecond {
			t.Errorf("delay %v, want 1ms", e.Delay)
		}
	}
}

func TestProcessThatCantStartIsTriedAgain(t *testing.T) {
	t.Parallel()
	r := supervise(t, "absent", func(s *supervision.Spec) { s.Path = "/nonexistent/program" })
	for range 2 {
		if e := r.next(supervision.Exited); e.PID != 0 || !errors.Is(e.Err, os.ErrNotExist) {
			t.Errorf("%+v", e)
		}
	}
}

func TestProcessStopsOnSIGTERM(t *testing.T) {
	t.Parallel()
	out := make(lines, 10)
	r := supervise(t, "obedient", func(s *supervision.Spec) { s.Stdout = out })
	r.next(supervision.Started)
	if got := <-out; got != "ready\n" {
		t.Fatal(got)
	}
	r.stop()
	r.next(supervision.Stopping)
	if e := r.next(supervision.Exited); e.Err != nil || e.Delay != 0 {
		t.Errorf("%+v", e)
	}
	if got := <-out; got != "bye\n" {
		t.Error(got)
	}
}

func TestProcessIsKilledAfterTheGrace(t *testing.T) {
	t.Parallel()
	out := make(lines, 10)
	r := supervise(t, "stubborn", func(s *supervision.Spec) {
		s.Stdout = out
		s.StopGrace = time.Millisecond
	})
	r.next(supervision.Started)
	<-out
	r.stop()
	r.next(supervision.Stopping)
	if e := r.next(supervision.Exited); e.Err == nil || !strings.Contains(e.Err.Error(), "1ms after SIGTERM") {
		t.Errorf("%+v", e)
	}
}

func TestProcessIsKilledAndRestartedWhenItsLivenessFails(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	t.Cleanup(func() { close(release) })
	for name, live := range map[string]func(context.Context) error{
		"fails":               func(context.Context) error { return errors.New("503: stuck") },
		"hangs":               func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
		"ignores its context": func(context.Context) error { <-release; return nil },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := supervise(t, "stubborn", func(s *supervision.Spec) {
				s.Live = live
				s.LiveFailures = 2
				s.StartGrace = time.Nanosecond
			})
			for range 3 {
				began := r.next(supervision.Started)
				e := r.next(supervision.Unhealthy)
				if !strings.Contains(e.Err.Error(), "2 times in a row") {
					t.Errorf("%+v", e)
				}
				if e := r.next(supervision.Exited); e.PID != began.PID || !strings.Contains(e.Err.Error(), "liveness") {
					t.Errorf("%+v", e)
				}
			}
		})
	}
}

func TestProcessHasAGraceUntilItIsFirstAlive(t *testing.T) {
	t.Parallel()
	answers := make(chan error)
	r := supervise(t, "stubborn", func(s *supervision.Spec) {
		s.StartGrace = time.Hour
		s.LiveFailures = 2
		s.LiveTimeout = time.Hour
		s.Live = func(ctx context.Context) error {
			select {
			case err := <-answers:
				return err
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	})
	r.next(supervision.Started)
	bad := errors.New("not alive")
	// Within the grace failures don't count; then a success ends the grace; a success between failures ends the row.
	for _, answer := range []error{bad, bad, bad, nil} {
		answers <- answer
	}
	r.next(supervision.Alive)
	for _, answer := range []error{bad, nil, bad} {
		answers <- answer
	}
	select {
	case e := <-r.events:
		t.Fatalf("%+v too early", e)
	default:
	}
	answers <- bad
	r.next(supervision.Unhealthy)
}

func TestProcessEndsTheLineThatItsChildDidNot(t *testing.T) {
	t.Parallel()
	out := make(lines, 100)
	r := supervise(t, "cut off", func(s *supervision.Spec) { s.Stdout = out })
	for range 2 {
		r.next(supervision.Started)
		r.next(supervision.Exited)
		if got := <-out; got != "cut o\n" {
			t.Errorf("got %q", got)
		}
	}
	r.stop()
}

func TestProcessIsNotBlockedByABlockedLog(t *testing.T) {
	t.Parallel()
	f, g := newFifo(t), newGate()
	r := supervise(t, "talkative", func(s *supervision.Spec) {
		s.Stderr = g
		s.Env = append(s.Env, f.env())
	})
	t.Cleanup(func() { close(g.open) })
	r.next(supervision.Started)
	f.alive(t) // it has written two megabytes, though nobody took them
	<-g.entered
}

func TestProcessKillsWhatItsChildLeavesBehind(t *testing.T) {
	t.Parallel()
	f := newFifo(t)
	r := supervise(t, "parent", func(s *supervision.Spec) { s.Env = append(s.Env, f.env()) })
	child := r.next(supervision.Started)
	f.alive(t)
	if err := syscall.Kill(child.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	f.gone(t)
}

func TestProcessDiesWithItsSupervisor(t *testing.T) {
	t.Parallel()
	f := newFifo(t)
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childMode+"=supervisor", f.env())
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	f.alive(t)
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	f.gone(t)
	_ = cmd.Wait()
}

func TestProcessTellsEveryMistakeOfItsSpec(t *testing.T) {
	t.Parallel()
	err := supervision.NewProcess(supervision.Spec{LiveEvery: -1, LiveFailures: -1}).Run(t.Context())
	for _, want := range []string{"name is missing", "path is missing", "liveness interval", "liveness failures"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v doesn't tell: %s", err, want)
		}
	}
}
