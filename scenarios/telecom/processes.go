package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfast-run/holdfast/supervision"
)

// processes are those that a demo runs with. Each is supervised: one that is killed is started again, under the same
// address. All of them end with stop, and on Linux also with this process, whatever ends it.
type processes struct {
	ctx    context.Context //nolint:containedctx // bounds the life of the processes; stop ends it
	cancel context.CancelCauseFunc
	all    sync.WaitGroup
	dir    string // of the logs
	ready  atomic.Bool
	told   func(text string)
}

// stopGrace is how long a process may take to stop: longer than "holdfast dev" needs to stop its own.
const stopGrace = 45 * time.Second

// newProcesses starts none yet. told gets what happens to processes while orders run.
// The context ends with them, and its cause says why.
func newProcesses(ctx context.Context, dir string, told func(text string)) (context.Context, *processes) {
	s := &processes{dir: dir, told: told}
	s.ctx, s.cancel = context.WithCancelCause(ctx)
	return s.ctx, s
}

// start runs a program until stop. Its output goes to a file NAME.log. If it ends before all are ready, something is
// wrong with how it was started, and the context ends with the reason.
func (s *processes) start(name, path string, args ...string) error {
	logName := filepath.Join(s.dir, name+".log")
	log, err := os.OpenFile(logName, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("%s: open log: %w", name, err)
	}
	p := supervision.NewProcess(supervision.Spec{
		Name: name, Path: path, Args: args, Stdout: log, Stderr: log, StopGrace: stopGrace,
		OnEvent: func(e supervision.Event) {
			switch {
			case e.Kind != supervision.Exited || s.ctx.Err() != nil:
			case s.ready.Load():
				s.told(fmt.Sprintf("%s ended (%v), and is started again", name, e.Err))
			default:
				s.cancel(fmt.Errorf("process %s ended at its start (%w): %s", name, e.Err, lastLine(logName)))
			}
		},
	})
	s.all.Go(func() {
		defer func() { _ = log.Close() }()
		if err := p.Run(s.ctx); err != nil && s.ctx.Err() == nil {
			s.cancel(fmt.Errorf("process %s: %w", name, err))
		}
	})
	return nil
}

// stop ends all processes, and waits for them.
func (s *processes) stop() {
	s.cancel(errors.New("the processes are being stopped"))
	s.all.Wait()
}

// lastLine returns the last line of a log, for a message.
func lastLine(name string) string {
	const most = 400
	b, err := os.ReadFile(name)
	if err != nil {
		return err.Error()
	}
	b = bytes.TrimSpace(b)
	last := b[bytes.LastIndexByte(b, '\n')+1:]
	return string(last[:min(len(last), most)])
}
