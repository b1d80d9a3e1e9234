package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-run/holdfast/messages/adminv1"
)

func namedPipe(t *testing.T) string {
	t.Helper()
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	return pipe
}

// A command that is interrupted ends, also while it waits for what somebody types or writes to a pipe.
func TestWaitingForInputIsInterrupted(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		args []string
		// opened: it is interrupted once it has opened the pipe, else before anybody writes to that.
		opened bool
	}{
		"orders":                {[]string{"order", "submit", "--definition", "t/n", "--from"}, true},
		"orders, nobody writes": {[]string{"order", "submit", "--definition", "t/n", "--from"}, false},
		"input":                 {[]string{"order", "submit", "--definition", "t/n", "--input"}, true},
		"input, nobody writes":  {[]string{"order", "submit", "--definition", "t/n", "--input"}, false},
		"definition":            {[]string{"definition", "deploy"}, true},
		"result":                {[]string{"order", "complete", orderID, "--reason", "x", "--result"}, true},
	} {
		f, pipe := setup(t), namedPipe(t)
		ctx, interrupt := context.WithCancel(t.Context())
		t.Cleanup(interrupt)
		ended := make(chan outcome, 1)
		if !c.opened {
			interrupt()
		}
		go func() { ended <- f.runUntil(ctx, append(c.args, pipe)...) }()
		var writer *os.File
		if c.opened {
			var err error
			if writer, err = os.OpenFile(pipe, os.O_WRONLY, 0); err != nil { // once it is read
				t.Fatal(err)
			}
			interrupt()
		}
		select {
		case o := <-ended:
			if o.status != exitError || !strings.HasPrefix(o.stderr, "holdfast: interrupted\n") {
				t.Errorf("%s: %+v", name, o)
			}
		case <-time.After(20 * time.Second):
			t.Errorf("%s: it goes on after it was interrupted", name)
		}
		if writer == nil { // what was left behind ends, too
			writer, _ = os.OpenFile(pipe, os.O_WRONLY, 0)
		}
		_ = writer.Close()
	}
}

// An error is told at once, though a pipe has more to say.
func TestSubmitFromPipeFails(t *testing.T) {
	t.Parallel()
	f, pipe := setup(t), namedPipe(t)
	writer, err := os.OpenFile(pipe, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = writer.Close() })
	if o := f.run("order", "submit", "--from", pipe, "--timeout", "1ms"); !strings.Contains(o.stderr, "within 1ms (--timeout)") {
		t.Errorf("%+v", o)
	}
}

// Nor does an unanswered question hold a command.
func TestQuestionIsInterrupted(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.admin.operateAll = func(*adminv1.OperateAllRequest) (*adminv1.OperateAllResponse, error) {
		return &adminv1.OperateAllResponse{Selected: 1}, nil
	}
	stdin, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = stdin.Close(), writer.Close() })
	ctx, interrupt := context.WithCancel(t.Context())
	ended := make(chan int, 1)
	out := newScreen()
	go func() {
		ended <- run(ctx, &app{
			stdin: stdin, stdout: out, stderr: out, environ: func() []string { return f.environ }, terminal: noTerminal,
		}, []string{"fallout", "cancel", "--task", "/do/0/a", "--reason", "x"})
	}()
	out.await(t, "Go on? [y/N]", 1)
	interrupt()
	select {
	case status := <-ended:
		if status != exitError {
			t.Errorf("exit status %d", status)
		}
	case <-time.After(20 * time.Second):
		t.Error("it goes on after it was interrupted")
	}
}
