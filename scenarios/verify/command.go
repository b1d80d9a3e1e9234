package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// commandGrace is how long a program has to end when a row is interrupted.
const commandGrace = 15 * time.Second

// maxOutput bounds the output of a program that is kept, in bytes.
const maxOutput = 16 << 20

// command runs a program in a folder, and returns what it printed. Its error tells the end of what it printed on the
// standard error. It leads a process group, and what it leaves behind is killed.
func (s *site) command(ctx context.Context, dir string, env []string, name string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = commandGrace
	var out, failed bytes.Buffer
	cmd.Stdout, cmd.Stderr = &limited{&out}, &limited{&failed}
	err := cmd.Run()
	if cmd.Process != nil {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // it fails if nothing is left
	}
	if ctx.Err() != nil {
		return out.Bytes(), fmt.Errorf("%s: %w", name, context.Cause(ctx))
	}
	if err != nil {
		return out.Bytes(), fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, lastBytes(failed.Bytes()))
	}
	return out.Bytes(), nil
}

// limited keeps the first maxOutput bytes.
type limited struct{ *bytes.Buffer }

var _ io.Writer = (*limited)(nil)

func (l *limited) Write(p []byte) (int, error) {
	l.Buffer.Write(p[:min(len(p), max(maxOutput-l.Len(), 0))])
	return len(p), nil
}

// lastBytes returns the end of a text, for a message.
func lastBytes(b []byte) string {
	const most = 2000
	b = bytes.TrimSpace(b)
	return string(b[max(len(b)-most, 0):])
}

func firstLine(b []byte) string {
	line, _, _ := strings.Cut(string(b), "\n")
	return line
}
