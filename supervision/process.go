package supervision

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// Spec says which process to run, and how it is supervised.
type Spec struct {
	// Name is for people.
	Name string
	// Path is the program, Args its arguments, without its name. Without a slash it is looked up in PATH.
	Path string
	Args []string
	// Env is added to the environment of this process.
	Env []string
	// Dir is where it runs; empty: here.
	Dir string
	// Stdout and Stderr get its output, line by line, through a Relay, so that they may block without blocking the
	// process. A *Relay is used as it is, and not closed. Nil: thrown away.
	Stdout, Stderr io.Writer

	// Live tells whether the process makes progress: nil if so. It should end with its context; if it doesn't, it has
	// failed all the same. Nil: not asked.
	Live func(context.Context) error
	// LiveEvery is the time from one question to the next; 0 means 1 s. Until Live has succeeded it is asked more often.
	// LiveTimeout bounds each question; 0 means 2 s.
	LiveEvery, LiveTimeout time.Duration
	// LiveFailures is how many in a row have the process killed; 0 means 3.
	LiveFailures int
	// StartGrace is how long failures don't count while Live has not succeeded yet; 0 means 30 s.
	StartGrace time.Duration

	// StopGrace is how long the process has from SIGTERM to SIGKILL when it shall stop; 0 means 10 s.
	StopGrace time.Duration
	// Backoff delays restarts; the zero value means 100 ms, doubling up to 5 s, with a jitter of 0.2.
	Backoff Backoff
	// Stable is how long the process must have run for its earlier failures to be forgotten; 0 means 10 s.
	Stable time.Duration

	// Log tells of starts and ends. Nil: nothing is logged.
	Log *slog.Logger
	// OnEvent, if set, is called for each event, one at a time. It must not block.
	OnEvent func(Event)
}

// Event is something that happened to a process.
type Event struct {
	Kind EventKind
	// PID is the process; 0 if it could not be started.
	PID int
	// Err is why it was killed or ended; nil if it exited with 0.
	Err error
	// Delay is the time to the next start. 0 with the last Exited.
	Delay time.Duration
}

// EventKind is a kind of Event.
type EventKind string

// The kinds of events. Each Started is followed by one Exited.
const (
	Started   EventKind = "started"
	Alive     EventKind = "alive"     // its liveness has succeeded for the first time: from now on failures count
	Unhealthy EventKind = "unhealthy" // it is killed because its liveness failed
	Stopping  EventKind = "stopping"  // it was asked to stop
	Exited    EventKind = "exited"    // it has ended, or could not be started
)

// Process supervises an operating-system process.
//
// On Linux the process dies with its supervisor, whatever kills that, so there are never two copies of it. It leads a
// process group of its own: a Ctrl-C at the terminal reaches the supervisor alone, and what the process has started, and
// left behind, is killed when it ends. (What outlives a killed supervisor are only grandchildren. So let Path be the
// program itself, not a shell.) On other systems it is told by the end of its output only.
type Process struct {
	spec   Spec
	rnd    func() float64
	probes chan struct{} // bounds the calls of Live that are under way, those included that ignore their context
}

// maxProbes is how many calls of Live may hang at once; while that many do, liveness has failed.
const maxProbes = 4

// NewProcess makes a supervisor, with the defaults filled in. Nothing is started before Run.
func NewProcess(spec Spec) *Process {
	defaultTo(&spec.LiveEvery, time.Second)
	defaultTo(&spec.LiveTimeout, 2*time.Second)
	defaultTo(&spec.LiveFailures, 3)
	defaultTo(&spec.StartGrace, 30*time.Second)
	defaultTo(&spec.StopGrace, 10*time.Second)
	defaultTo(&spec.Stable, 10*time.Second)
	defaultTo(&spec.Backoff, Backoff{Initial: 100 * time.Millisecond, Max: 5 * time.Second, Jitter: 0.2})
	if spec.Log == nil {
		spec.Log = slog.New(slog.DiscardHandler)
	}
	spec.Log = spec.Log.With("process", spec.Name)
	if spec.OnEvent == nil {
		spec.OnEvent = func(Event) {}
	}
	return &Process{spec: spec, rnd: rand.Float64, probes: make(chan struct{}, maxProbes)}
}

func defaultTo[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

func (s Spec) validate() error {
	var errs []error
	if s.Name == "" {
		errs = append(errs, errors.New("name is missing"))
	}
	if s.Path == "" {
		errs = append(errs, errors.New("path is missing: name the program to run"))
	}
	for name, d := range map[string]time.Duration{
		"liveness interval": s.LiveEvery, "liveness timeout": s.LiveTimeout, "start grace": s.StartGrace,
		"stop grace": s.StopGrace, "stable time": s.Stable,
	} {
		if d < 0 {
			errs = append(errs, fmt.Errorf("%s %v is negative", name, d))
		}
	}
	if s.LiveFailures < 0 {
		errs = append(errs, fmt.Errorf("liveness failures %d is negative", s.LiveFailures))
	}
	if err := s.Backoff.Validate(); err != nil {
		errs = append(errs, fmt.Errorf("backoff: %w", err))
	}
	return errors.Join(errs...)
}

// Run starts the process, and again whenever it has ended or was killed because its liveness failed. When ctx ends it
// stops the process, and returns nil once that is gone. It fails at once if the spec is wrong. Call it once.
func (p *Process) Run(ctx context.Context) error {
	if err := p.spec.validate(); err != nil {
		return fmt.Errorf("supervise process %q: %w", p.spec.Name, err)
	}
	closeOutputs := p.relayOutputs() //nolint:contextcheck // they are closed after ctx has ended
	defer closeOutputs()
	for failures := 1; ctx.Err() == nil; failures++ {
		began := time.Now()
		pid, err := p.once(ctx)
		endLines(p.spec.Stdout, p.spec.Stderr)
		if ctx.Err() != nil {
			p.spec.Log.Info("process has stopped", "pid", pid, "exit", exitText(err))
			p.spec.OnEvent(Event{Kind: Exited, PID: pid, Err: err})
			break
		}
		if time.Since(began) >= p.spec.Stable {
			failures = 1
		}
		delay := p.spec.Backoff.Next(failures, p.rnd)
		p.spec.Log.Warn("process ended and is started again", "pid", pid, "exit", exitText(err),
			"failures", failures, "delay", delay)
		p.spec.OnEvent(Event{Kind: Exited, PID: pid, Err: err, Delay: delay})
		select {
		case <-time.After(delay):
		case <-ctx.Done():
		}
	}
	return nil
}

func exitText(err error) string {
	if err == nil {
		return "exit status 0"
	}
	return err.Error()
}

// relayOutputs puts a relay before each output. The function returned closes them.
func (p *Process) relayOutputs() func() {
	var own []*Relay
	relay := func(w io.Writer) io.Writer {
		switch w.(type) {
		case nil, *Relay:
			return w
		default:
			r := NewRelay(w, "", DefaultRelay)
			own = append(own, r)
			return r
		}
	}
	same := p.spec.Stdout == p.spec.Stderr
	p.spec.Stdout = relay(p.spec.Stdout)
	if same {
		p.spec.Stderr = p.spec.Stdout
	} else {
		p.spec.Stderr = relay(p.spec.Stderr)
	}
	return func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		for _, r := range own {
			_ = r.Close(ctx) // what a blocked output can't take is lost
		}
	}
}

// endLines ends the lines that a process left without an end.
func endLines(outputs ...io.Writer) {
	for _, w := range outputs {
		if r, ok := w.(*Relay); ok {
			r.endPartial()
		}
	}
}

// once runs the process once, and returns why it ended.
func (p *Process) once(ctx context.Context) (pid int, err error) {
	child, err := start(p.command())
	if err != nil {
		return 0, err
	}
	p.spec.Log.Info("process has started", "pid", child.pid)
	p.spec.OnEvent(Event{Kind: Started, PID: child.pid})

	watching, stopWatching := context.WithCancel(context.WithoutCancel(ctx))
	alive, dead := make(chan struct{}, 1), make(chan error, 1)
	watcher := make(chan struct{})
	go func() {
		defer close(watcher)
		p.watch(watching, alive, dead)
	}()
	defer func() { stopWatching(); <-watcher }()

	for ctx.Err() == nil {
		select {
		case err = <-child.exited:
			return child.pid, err
		case <-alive:
			p.spec.OnEvent(Event{Kind: Alive, PID: child.pid})
		case err = <-dead:
			p.spec.Log.Error("process makes no progress and is killed", "pid", child.pid, "reason", err.Error())
			p.spec.OnEvent(Event{Kind: Unhealthy, PID: child.pid, Err: err})
			return child.pid, fmt.Errorf("%w, because its liveness failed: %w", child.kill(), err)
		case <-ctx.Done():
		}
	}
	p.spec.OnEvent(Event{Kind: Stopping, PID: child.pid})
	child.signal(syscall.SIGTERM)
	select {
	case err = <-child.exited:
		return child.pid, err
	case <-time.After(p.spec.StopGrace):
	}
	return child.pid, fmt.Errorf("%w, because it had not stopped %v after SIGTERM", child.kill(), p.spec.StopGrace)
}

// outputGrace is how long output is awaited that a grandchild outside of the process group still holds open.
const outputGrace = time.Second

func (p *Process) command() *exec.Cmd {
	cmd := exec.Command(p.spec.Path, p.spec.Args...) //nolint:noctx // it is stopped with a grace, not with a context
	cmd.Env = append(os.Environ(), p.spec.Env...)
	cmd.Dir = p.spec.Dir
	cmd.Stdout, cmd.Stderr = p.spec.Stdout, p.spec.Stderr
	cmd.WaitDelay = outputGrace
	return cmd
}

// firstEvery is the time between questions until the first success: soon after it, the process must stay alive.
const firstEvery = 50 * time.Millisecond

// watch asks for liveness until ctx ends or it has failed too often, which it sends to dead. To alive it sends the first
// success.
func (p *Process) watch(ctx context.Context, alive chan<- struct{}, dead chan<- error) {
	if p.spec.Live == nil {
		return
	}
	began, failures, succeeded := time.Now(), 0, false
	tick := time.NewTicker(min(p.spec.LiveEvery, firstEvery))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		err := p.probe(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			if !succeeded {
				tick.Reset(p.spec.LiveEvery)
				alive <- struct{}{}
			}
			failures, succeeded = 0, true
		case !succeeded && time.Since(began) < p.spec.StartGrace:
		default:
			failures++
		}
		if failures >= p.spec.LiveFailures {
			dead <- fmt.Errorf("%d times in a row, at last: %w", failures, err)
			return
		}
	}
}

// probe calls Live, and waits for it no longer than its timeout.
func (p *Process) probe(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, p.spec.LiveTimeout)
	defer cancel()
	select {
	case p.probes <- struct{}{}:
	default:
		return fmt.Errorf("%d earlier calls still hang", maxProbes)
	}
	answer := make(chan error, 1)
	go func() { // nobody can wait for a call that ignores its context; maxProbes bounds them
		defer func() { <-p.probes }()
		answer <- p.spec.Live(ctx)
	}()
	select {
	case err := <-answer:
		return err
	case <-ctx.Done():
		return fmt.Errorf("no answer within %v", p.spec.LiveTimeout)
	}
}
