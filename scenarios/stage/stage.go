package stage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/holdfast-run/holdfast/supervision"
)

// Stage is a set of processes.
type Stage struct {
	cancel context.CancelCauseFunc
	dir    string
	all    sync.WaitGroup
}

// New makes an empty stage; logs go to the folder dir. The context that it returns ends with the stage, when that fails
// or stops; its cause says why. Stop it.
func New(ctx context.Context, dir string) (context.Context, *Stage) {
	s := &Stage{dir: dir}
	ctx, s.cancel = context.WithCancelCause(ctx)
	return ctx, s
}

// errStopped is the cause of a stage that was stopped.
var errStopped = errors.New("the stage was stopped")

// Stop ends all processes, and waits for them.
func (s *Stage) Stop() {
	s.cancel(errStopped)
	s.all.Wait()
}

// Dir is the stage's folder.
func (s *Stage) Dir() string { return s.dir }

// Spec says which process to run.
type Spec struct {
	// Name is for people, and names the log.
	Name string
	// Path is the program, Args its arguments, Env is added to the environment.
	Path string
	Args []string
	Env  []string
	// Restart has the process started again when it ends. Else its end fails the stage.
	Restart bool
	// Host is where it runs; nil: on this one.
	Host *Host
}

// restartAfter is the delay of a restart: as good as none, but a program that can't start doesn't take a whole CPU.
const restartAfter = 10 * time.Millisecond

// stopGrace is how long a process has to stop by itself.
const stopGrace = 10 * time.Second

// Start starts a process. It runs until ctx ends, which must be the stage's or come from it.
func (s *Stage) Start(ctx context.Context, spec Spec) (*Process, error) {
	name := filepath.Join(s.dir, spec.Name+".log")
	log, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("%s: open log: %w", spec.Name, err)
	}
	p := &Process{name: spec.Name, log: name, away: restartAfter, changed: make(chan struct{})}
	s.all.Go(func() {
		defer log.Close() //nolint:errcheck // each line was handed to the system already
		for ctx.Err() == nil {
			ended, err := p.live(ctx, spec, log)
			switch {
			case ctx.Err() != nil:
			case err != nil:
				s.cancel(fmt.Errorf("process %s: %w", spec.Name, err))
			case !spec.Restart:
				s.cancel(fmt.Errorf("process %s ended: %s; its log ends so:\n%s", spec.Name, exitText(ended), p.Tail()))
			default:
				p.rest(ctx)
			}
		}
	})
	return p, nil
}

// live runs the process once. It returns how that ended, once all of its output is in the log.
func (p *Process) live(ctx context.Context, spec Spec, log io.Writer) (ended, err error) {
	ctx, end := context.WithCancel(ctx)
	defer end()
	if spec.Host != nil {
		spec = spec.Host.run(spec)
	}
	err = supervision.NewProcess(supervision.Spec{
		Name: spec.Name, Path: spec.Path, Args: spec.Args, Env: spec.Env, Stdout: log, Stderr: log, StopGrace: stopGrace,
		OnEvent: func(e supervision.Event) {
			p.happened(e)
			if e.Kind == supervision.Exited {
				ended = e.Err
				end()
			}
		},
	}).Run(ctx)
	return ended, err
}

func exitText(err error) string {
	if err == nil {
		return "exit status 0"
	}
	return err.Error()
}

// Process is a process of a stage, over all its restarts.
type Process struct {
	name, log string

	mu      sync.Mutex
	current *os.Process // nil while it doesn't run
	starts  int
	away    time.Duration
	changed chan struct{} // closed, and replaced, whenever the process starts or ends, and away is set
}

// StayAway sets how long the process stays away when it has ended, also if that was before; it is 10 ms at first.
func (p *Process) StayAway(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.away = d
	p.tell()
}

// rest returns when the process, which has just ended, was away for so long as it is to be.
func (p *Process) rest(ctx context.Context) {
	ended := time.Now()
	for ctx.Err() == nil {
		p.mu.Lock()
		left, changed := p.away-time.Since(ended), p.changed
		p.mu.Unlock()
		if left <= 0 {
			return
		}
		again := time.NewTimer(left)
		select {
		case <-again.C:
		case <-changed:
		case <-ctx.Done():
		}
		again.Stop()
	}
}

// tell wakes those who wait for a change.
func (p *Process) tell() {
	close(p.changed)
	p.changed = make(chan struct{})
}

func (p *Process) happened(e supervision.Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch e.Kind {
	case supervision.Started:
		// On Linux this holds the very process, so that a signal can't reach another one that got its id.
		if current, err := os.FindProcess(e.PID); err == nil {
			p.current = current
		}
		p.starts++
	case supervision.Exited:
		if p.current != nil {
			_ = p.current.Release() // it only fails if it was released before
		}
		p.current = nil
	default:
		return
	}
	p.tell()
}

// Starts counts how often the process was started.
func (p *Process) Starts() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.starts
}

// PID returns the id of the process; 0 while it doesn't run.
func (p *Process) PID() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.current == nil {
		return 0
	}
	return p.current.Pid
}

// Signal sends a signal to the process, if it runs.
func (p *Process) Signal(s os.Signal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.current == nil {
		return fmt.Errorf("signal %s: %w", p.name, os.ErrProcessDone)
	}
	if err := p.current.Signal(s); err != nil {
		return fmt.Errorf("signal %s: %w", p.name, err)
	}
	return nil
}

// AwaitStart waits until the process was started more often than so many times.
func (p *Process) AwaitStart(ctx context.Context, starts int) error {
	for {
		p.mu.Lock()
		now, changed := p.starts, p.changed
		p.mu.Unlock()
		if now > starts {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("wait until %s is started again: %w", p.name, context.Cause(ctx))
		}
	}
}

// AwaitEnd waits until the process that was started so many times has ended, and returns when that was seen.
func (p *Process) AwaitEnd(ctx context.Context, starts int) (time.Time, error) {
	for {
		p.mu.Lock()
		runs, now, changed := p.current != nil, p.starts, p.changed
		p.mu.Unlock()
		if now > starts || now == starts && !runs {
			return time.Now(), nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return time.Time{}, fmt.Errorf("wait until %s has ended: %w", p.name, context.Cause(ctx))
		}
	}
}

// Kill kills the process as it runs now, waits until it is gone, and returns when it was killed. If it is just being
// started, it waits for that.
func (p *Process) Kill(ctx context.Context) (time.Time, error) {
	var at time.Time
	killed := 0
	for {
		p.mu.Lock()
		current, starts, changed := p.current, p.starts, p.changed
		if current != nil && killed == 0 {
			killed, at = starts, time.Now()
			if err := current.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
				p.mu.Unlock()
				return at, fmt.Errorf("kill %s: %w", p.name, err)
			}
		}
		p.mu.Unlock()
		if killed > 0 && (current == nil || starts > killed) {
			return at, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return at, fmt.Errorf("kill %s: %w", p.name, context.Cause(ctx))
		}
	}
}

// tailBytes is how much of a log's end a failure tells.
const tailBytes = 2000

// Tail returns the last lines of the log.
func (p *Process) Tail() string {
	f, err := os.Open(p.log)
	if err != nil {
		return err.Error()
	}
	defer f.Close() //nolint:errcheck // it was only read
	if size, err := f.Seek(0, io.SeekEnd); err == nil {
		_, err = f.Seek(max(size-tailBytes, 0), io.SeekStart)
		if err != nil {
			return err.Error()
		}
	}
	b, err := io.ReadAll(io.LimitReader(f, tailBytes))
	if err != nil {
		return err.Error()
	}
	if len(b) == tailBytes {
		b = b[bytes.IndexByte(b, '\n')+1:]
	}
	return strings.TrimSpace(string(b))
}

// lowPort and highPort bound ports that systems do not give to those who ask for any, nor to outgoing connections: what is free stays so
// until it is needed.
const lowPort, highPort = 15_000, 32_000

// FreeAddresses returns loopback addresses that are free now. A process that is started again needs its old one, so they
// are chosen beforehand.
func FreeAddresses(ctx context.Context, n int) ([]string, error) {
	var found []string
	for taken := 0; len(found) < n; {
		port := lowPort + rand.IntN(highPort-lowPort)
		l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if errors.Is(err, syscall.EADDRINUSE) && taken < highPort-lowPort {
			taken++
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("find a free port: %w", err)
		}
		defer l.Close() //nolint:errcheck // it was never used; all at once, so that none is found twice
		found = append(found, l.Addr().String())
	}
	return found, nil
}
