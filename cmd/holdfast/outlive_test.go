package main

import (
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// startTalking runs the real program, which writes all that it has to say to a pipe, until the test ends.
func startTalking(t *testing.T, pipe *os.File, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), childVariable+"=real")
	cmd.Stdout, cmd.Stderr = pipe, pipe
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return cmd
}

// wait waits until a process has ended by itself.
func wait(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	tooLong := time.AfterFunc(30*time.Second, func() { _ = cmd.Process.Kill() })
	defer tooLong.Stop()
	_ = cmd.Wait() // its state tells how it has ended
}

func newPipe(t *testing.T) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = r.Close()
		_ = w.Close()
	})
	return r, w
}

// fill fills a pipe that nobody reads. The write end is that of the process, which must stay as it is: blocking.
func fill(t *testing.T, w *os.File) {
	t.Helper()
	if err := w.SetWriteDeadline(time.Now().Add(200 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	line := []byte(strings.Repeat("x", 1023) + "\n")
	for {
		if _, err := w.Write(line); err != nil {
			return
		}
	}
}

// long is a command that runs until it is told to stop, and what waits until it is up.
type long struct {
	args  []string
	await func(*testing.T)
}

func longCommands(t *testing.T) map[string]long {
	t.Helper()
	all := map[string]long{}
	for _, name := range []string{"node", "dev"} {
		admin := freeAddress(t)
		args := []string{name, "--data", t.TempDir(), "--listen", freeAddress(t), "--admin-listen", admin}
		all[name] = long{args, func(t *testing.T) { t.Helper(); awaitReady(t, admin) }}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	all["adapter"] = long{[]string{"adapter", "bench", "--server", l.Addr().String()}, func(t *testing.T) {
		t.Helper()
		c, err := l.Accept() // and close, of which the adapter has something to say
		if err != nil {
			t.Fatal(err)
		}
		_ = c.Close()
	}}
	return all
}

// awaitReady waits until a node is ready.
func awaitReady(t *testing.T, admin string) {
	t.Helper()
	poll := time.NewTicker(10 * time.Millisecond)
	defer poll.Stop()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for late := time.Now().Add(30 * time.Second); time.Now().Before(late); <-poll.C {
		answer, err := client.Get("http://" + admin + "/readyz")
		if err != nil {
			continue
		}
		_ = answer.Body.Close()
		if answer.StatusCode == http.StatusOK {
			return
		}
	}
	t.Fatal("the node does not get ready")
}

// Whoever reads the output of a process may leave: the process goes on, and ends only when it is told to.
func TestOutputThatNobodyReadsAnyMoreEndsNothing(t *testing.T) {
	t.Parallel()
	for name, c := range longCommands(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, w := newPipe(t)
			if err := r.Close(); err != nil {
				t.Fatal(err)
			}
			c.endsWell(t, w)
		})
	}
}

// Nor does an output that takes nothing hold a process up.
func TestOutputThatIsBlockedHoldsNothingUp(t *testing.T) {
	t.Parallel()
	for name, c := range longCommands(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, w := newPipe(t)
			fill(t, w)
			c.endsWell(t, w)
		})
	}
}

// endsWell runs a command whose output goes to a pipe, and sees that it comes up, and ends well when it is told to.
func (c long) endsWell(t *testing.T, out *os.File) {
	t.Helper()
	cmd := startTalking(t, out, append(c.args, "--log-level", "debug")...)
	c.await(t)
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if wait(t, cmd); cmd.ProcessState.ExitCode() != exitOK {
		t.Errorf("it has ended with: %v", cmd.ProcessState)
	}
}

// A process that can't go on ends, also if nobody takes the reason.
func TestAFailureThatNobodyReadsEndsTheProcess(t *testing.T) {
	t.Parallel()
	_, w := newPipe(t)
	fill(t, w)
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := startTalking(t, w, "node", "--data", file, "--listen", freeAddress(t), "--admin-listen", freeAddress(t))
	if wait(t, cmd); cmd.ProcessState.ExitCode() != exitError {
		t.Errorf("it has ended with: %v", cmd.ProcessState)
	}
}
