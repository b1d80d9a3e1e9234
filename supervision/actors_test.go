package supervision_test

import (
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/holdfast-run/holdfast/supervision"
)

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func quietSystem() *actor.ActorSystem {
	return actor.NewActorSystem(actor.WithLoggerFactory(func(*actor.ActorSystem) *slog.Logger { return quiet() }))
}

// supervisor records what a strategy does with one child.
type supervisor struct {
	actor.Supervisor

	mu   sync.Mutex
	done []string
}

func (s *supervisor) RestartChildren(...*actor.PID) { s.did("restart") }
func (s *supervisor) StopChildren(...*actor.PID)    { s.did("stop") }

func (s *supervisor) did(what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.done = append(s.done, what)
}

// take returns what was done since it was last called.
func (s *supervisor) take() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer func() { s.done = nil }()
	return s.done
}

func TestStrategyDelaysRestartsAndEscalatesWhenTheyAreTooMany(t *testing.T) {
	t.Parallel()
	system := quietSystem()
	child := system.Root.Spawn(actor.PropsFromFunc(func(actor.Context) {}))
	t.Cleanup(func() { _ = system.Root.StopFuture(child).Wait(); system.Shutdown() })
	synctest.Test(t, func(t *testing.T) {
		parent := &supervisor{}
		policy := supervision.Policy{
			MaxRestarts: 2, Within: time.Minute,
			Backoff: supervision.Backoff{Initial: time.Second, Max: time.Hour},
		}
		s := policy.Strategy(quiet(), func(reason any, who *actor.PID) {
			parent.did(fmt.Sprint(reason, " ", who.Id))
		})
		rs := actor.NewRestartStatistics()
		fail := func(after time.Duration, want ...string) {
			t.Helper()
			s.HandleFailure(system, parent, child, rs, "boom", "message")
			time.Sleep(after)
			synctest.Wait()
			if got := parent.take(); !slices.Equal(got, want) {
				t.Fatalf("after %v: %q, want %q", after, got, want)
			}
		}
		fail(time.Second - 1)
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		if got := parent.take(); !slices.Equal(got, []string{"restart"}) {
			t.Fatalf("after the delay: %q", got)
		}
		fail(2*time.Second, "restart")
		fail(0, "boom "+child.Id, "stop")
		// The count begins anew, and failures outside of the period don't count.
		for range 5 {
			fail(31*time.Second, "restart")
		}
	})
}

func TestStrategyRestartsOneForOneAndStopsAfterEscalation(t *testing.T) {
	t.Parallel()
	system := quietSystem()
	t.Cleanup(system.Shutdown)

	started, terminated, escalated := make(chan string, 8), make(chan string, 8), make(chan any, 8)
	child := actor.PropsFromFunc(func(c actor.Context) {
		switch m := c.Message().(type) {
		case *actor.Started:
			started <- c.Self().Id
		case error:
			panic(m)
		case chan string:
			m <- c.Self().Id
		}
	})
	policy := supervision.Policy{
		MaxRestarts: 1, Within: time.Hour,
		Backoff: supervision.Backoff{Initial: time.Millisecond, Max: time.Millisecond},
	}
	children := make(chan *actor.PID, 2)
	parent := system.Root.Spawn(actor.PropsFromFunc(func(c actor.Context) {
		switch m := c.Message().(type) {
		case *actor.Started:
			children <- c.Spawn(child)
			children <- c.Spawn(child)
		case *actor.Terminated:
			terminated <- m.Who.Id
		}
	}, actor.WithSupervisor(policy.Strategy(quiet(), func(reason any, _ *actor.PID) { escalated <- reason }))))
	t.Cleanup(func() { _ = system.Root.StopFuture(parent).Wait() })
	failing, healthy := <-children, <-children
	<-started
	<-started

	system.Root.Send(failing, io.ErrUnexpectedEOF)
	answers := make(chan string, 1)
	system.Root.Send(failing, answers) // waits in the mailbox until the restart
	if got := <-started; got != failing.Id {
		t.Fatalf("%s was restarted, not %s", got, failing.Id)
	}
	if got := <-answers; got != failing.Id {
		t.Fatalf("%s answered, not %s", got, failing.Id)
	}
	system.Root.Send(failing, io.ErrUnexpectedEOF)
	if got := <-escalated; got != any(io.ErrUnexpectedEOF) {
		t.Errorf("escalated %v", got)
	}
	if got := <-terminated; got != failing.Id {
		t.Errorf("%s terminated, not %s", got, failing.Id)
	}
	system.Root.Send(healthy, answers)
	if got := <-answers; got != healthy.Id {
		t.Errorf("%s answered, not %s", got, healthy.Id)
	}
}

func TestStrategyRestartsNothingThatIsGone(t *testing.T) {
	t.Parallel()
	system := quietSystem()
	t.Cleanup(system.Shutdown)
	child := system.Root.Spawn(actor.PropsFromFunc(func(actor.Context) {}))
	if err := system.Root.StopFuture(child).Wait(); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		parent := &supervisor{}
		policy := supervision.Policy{
			MaxRestarts: 1, Within: time.Minute,
			Backoff: supervision.Backoff{Initial: time.Second, Max: time.Second},
		}
		policy.Strategy(quiet(), func(any, *actor.PID) {}).
			HandleFailure(system, parent, child, actor.NewRestartStatistics(), "boom", nil)
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := parent.take(); len(got) != 0 {
			t.Errorf("a child that was stopped got %q", got)
		}
	})
}

func TestPolicyValidateTellsEveryMistake(t *testing.T) {
	t.Parallel()
	err := supervision.Policy{MaxRestarts: -1, Backoff: supervision.Backoff{Jitter: 2}}.Validate()
	for _, want := range []string{"restarts", "period", "jitter"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v doesn't tell of the %s", err, want)
		}
	}
}
