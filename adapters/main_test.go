package adapters_test

import (
	"bytes"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/holdfast-run/holdfast/adapters"
	"github.com/holdfast-run/holdfast/adapters/adaptertest"
	"github.com/holdfast-run/holdfast/adapters/bench"
)

// adapterChild is the environment variable that makes the test binary an adapter: that of the benchmarks, or remembering.
const adapterChild = "HOLDFAST_TEST_ADAPTER"

func TestMain(m *testing.M) {
	switch os.Getenv(adapterChild) {
	case "":
	case "remembering":
		adapters.Main(newRemembering())
	default:
		adapters.Main(bench.New())
	}
	goleak.VerifyTestMain(m)
}

// adapterProcess is the command that runs the test binary as an adapter.
func adapterProcess(tb testing.TB, args ...string) *exec.Cmd {
	tb.Helper()
	cmd := exec.CommandContext(tb.Context(), os.Args[0], args...)
	cmd.Env = append(os.Environ(), adapterChild+"=1")
	return cmd
}

func TestAProcessDrainsWhenItIsTerminated(t *testing.T) {
	t.Parallel()
	node := adaptertest.Start(t, adaptertest.Options{HoldAcks: true})
	var stderr bytes.Buffer
	cmd := adapterProcess(t)
	cmd.Env = append(cmd.Env, adapters.ServerEnv+"="+node.Addr())
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	r := node.Do(within(t), "echo", "x")
	if string(r.GetOutput()) != `"x"` {
		t.Errorf("%v", r)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	node.AwaitDrain(within(t))
	node.Ack(r) // what it waits for
	if err := cmd.Wait(); err != nil || !strings.Contains(stderr.String(), "drained") {
		t.Errorf("%v: %s", err, stderr.String())
	}
}

// Whoever reads the log may leave, or read no more: the adapter neither ends nor waits.
func TestALogThatNobodyReads(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(r, w *os.File) error{
		"left": func(r, _ *os.File) error { return r.Close() },
		"blocked": func(_, w *os.File) error {
			err := w.SetWriteDeadline(time.Now().Add(200 * time.Millisecond))
			for full := err != nil; !full; {
				_, failed := w.Write(make([]byte, 1024))
				full = failed != nil
			}
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				_ = r.Close()
				_ = w.Close()
			})
			if err := spoil(r, w); err != nil {
				t.Fatal(err)
			}
			node := adaptertest.Start(t)
			cmd := adapterProcess(t, "-server", node.Addr())
			cmd.Stderr = w
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			if r := node.Do(within(t), "echo", "x"); string(r.GetOutput()) != `"x"` {
				t.Errorf("%v", r)
			}
			if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			tooLong := time.AfterFunc(30*time.Second, func() { _ = cmd.Process.Kill() })
			defer tooLong.Stop()
			if err := cmd.Wait(); err != nil {
				t.Errorf("it has ended with: %v", err)
			}
		})
	}
}

func TestExitCodes(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]int{
		"-help":                     0,
		"-server nowhere":           2,
		"-name a.b -server local:1": 1,
		"-ca /does/not/exist":       1,
	} {
		cmd := adapterProcess(t, strings.Fields(args)...)
		out, _ := cmd.CombinedOutput() // the exit code is what counts
		if got := cmd.ProcessState.ExitCode(); got != want || len(out) == 0 {
			t.Errorf("%s: exit code %d, want %d: %s", args, got, want, out)
		}
	}
}

func readFile(t *testing.T, path string) []byte {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}
