package main

import (
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// startProcess runs the test binary as holdfast, in a mode of beChild, until the test ends.
func startProcess(t *testing.T, environ []string, args ...string) (*exec.Cmd, *screen) {
	t.Helper()
	out := newScreen()
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), environ...)
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return cmd, out
}

// A dev that is killed takes the node and all adapters with it: else the next one would run a second copy of each.
func TestDevThatIsKilledLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	adapter := os.Args[0] + " adapter"
	dev, out := startProcess(t, []string{childVariable + "=dev", fifoVariable + "=" + fifo},
		"dev", "--data", t.TempDir(), "--listen", freeAddress(t), "--admin-listen", freeAddress(t),
		"--adapter", "one="+adapter, "--adapter", "two="+adapter)
	held, err := os.Open(fifo) // once somebody holds it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = held.Close() })
	out.await(t, "| node [", 1)
	out.await(t, "| adapter [", 2)
	if err := dev.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := held.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(held); err != nil {
		t.Errorf("a child outlives dev: %v", err)
	}
}

// The real node tells a service manager when it takes orders, that it lives, and that it stops.
func TestNodeTellsItsServiceManager(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "notify")
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = manager.Close() })
	listen, admin := freeAddress(t), freeAddress(t)
	node, out := startProcess(t, []string{childVariable + "=real", "NOTIFY_SOCKET=" + path, "WATCHDOG_USEC=100000", "WATCHDOG_PID="},
		"node", "--data", t.TempDir(), "--listen", listen, "--admin-listen", admin)
	await := func(want string) {
		t.Helper()
		buf := make([]byte, 4096)
		for got := ""; !strings.HasPrefix(got, want); {
			if err := manager.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
				t.Fatal(err)
			}
			n, err := manager.Read(buf)
			if err != nil {
				t.Fatalf("%q was not said: %v\n%s", want, err, out)
			}
			got = string(buf[:n])
		}
	}
	await("READY=1\nSTATUS=orders at " + listen + ", administration at " + admin)
	if c, err := net.Dial("tcp", listen); err != nil {
		t.Errorf("ready, and not there: %v", err)
	} else {
		_ = c.Close()
	}
	await("WATCHDOG=1")
	if err := node.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	await("STOPPING=1")
	if err := node.Wait(); err != nil {
		t.Errorf("%v:\n%s", err, out)
	}
}
