package adapters_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfast-run/holdfast/adapters"
	"github.com/holdfast-run/holdfast/adapters/adaptertest"
	"github.com/holdfast-run/holdfast/messages/adapterv1"
	"github.com/holdfast-run/holdfast/supervision"
)

const (
	succeeded = adapterv1.Outcome_OUTCOME_SUCCEEDED
	failed    = adapterv1.Outcome_OUTCOME_FAILED
	notDone   = adapterv1.Outcome_OUTCOME_NOT_DONE
	inDoubt   = adapterv1.Outcome_OUTCOME_IN_DOUBT
)

// config logs to the test.
func config(t *testing.T) adapters.Config {
	t.Helper()
	return adapters.Config{
		Log:     slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug})),
		LogRate: -1, // else it may be told how many lines were left out when the test is over
	}
}

func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func TestExecutesTypedActivities(t *testing.T) {
	t.Parallel()
	node := adaptertest.Start(t)
	a := adapters.New("hss")
	adapters.Handle(a, "createSubscriber", createSubscriber, adapters.Version("1.2.0"))
	p := node.Run(a, config(t))
	task := node.Task("createSubscriber", Subscriber{IMSI: "262011234567890"})
	node.Send(within(t), task)
	r := node.Await(within(t), task.GetKey(), 1)
	var profile Profile
	if err := json.Unmarshal(r.GetOutput(), &profile); err != nil || r.GetOutcome() != succeeded {
		t.Fatalf("%v: %v", r, err)
	}
	if want := "profile-of-262011234567890-" + task.GetKey(); profile.ID != want {
		t.Errorf("id %q, want %q", profile.ID, want)
	}
	hello := node.Hellos()[0]
	if a := hello.GetActivities()[0]; hello.GetAdapter() != "hss" || a.GetVersion() != "1.2.0" || a.GetIdempotent() ||
		a.GetConcurrency() != 16 {
		t.Errorf("hello %v", hello)
	}
	if err := p.Stop(); err != nil {
		t.Errorf("stop: %v", err)
	}
}

func TestARepeatedKeyIsExecutedOnce(t *testing.T) {
	t.Parallel()
	node := adaptertest.Start(t)
	a := adapters.New("test")
	var calls atomic.Int32
	release, begun := make(chan struct{}), make(chan struct{}, 1)
	adapters.Handle(a, "work", func(context.Context, adapters.Task, string) (int32, error) {
		begun <- struct{}{}
		<-release
		return calls.Add(1), nil
	})
	node.Run(a, config(t))
	task := node.Task("work", "x")
	node.Send(within(t), task)
	<-begun
	again := adaptertest.Attempt(task, 2)
	node.Send(within(t), again) // joins
	node.AwaitCredits(within(t), "work", 19)
	close(release)
	if r := node.Await(within(t), task.GetKey(), 2); string(r.GetOutput()) != "1" {
		t.Errorf("joined: %v", r)
	}
	node.Send(within(t), adaptertest.Attempt(task, 3)) // answered
	if r := node.Await(within(t), task.GetKey(), 3); string(r.GetOutput()) != "1" {
		t.Errorf("answered: %v", r)
	}
	if n := calls.Load(); n != 1 {
		t.Errorf("executed %d times", n)
	}
}

func TestWorkOfAnotherProcessIsRecoveredOrInDoubt(t *testing.T) {
	t.Parallel()
	node := adaptertest.Start(t)
	a := adapters.New("test")
	work := func(context.Context, adapters.Task, string) (string, error) { return "executed", nil }
	adapters.Handle(a, "once", work)
	adapters.Handle(a, "idempotent", work, adapters.Idempotent())
	adapters.Handle(a, "recovers", work, adapters.Recover(
		func(_ context.Context, task adapters.Task, in string) (string, error) {
			switch {
			case !task.MaybeStarted:
				return "", errors.New("not told")
			case in == "lost":
				return "", adapters.ErrNotDone
			case in == "unknown":
				return "", errors.New("connection refused")
			case in == "panic":
				panic("boom")
			}
			return "recovered " + in, nil
		}))
	node.Run(a, config(t))
	for _, c := range []struct {
		activity, input string
		outcome         adapterv1.Outcome
		output          string
	}{
		{"once", "x", inDoubt, ""},
		{"idempotent", "x", succeeded, `"executed"`},
		{"recovers", "x", succeeded, `"recovered x"`},
		{"recovers", "lost", succeeded, `"executed"`},
		{"recovers", "unknown", inDoubt, ""},
		{"recovers", "panic", inDoubt, ""},
	} {
		task := node.Task(c.activity, c.input)
		task.MaybeStarted = true
		node.Send(within(t), task)
		if r := node.Await(within(t), task.GetKey(), 1); r.GetOutcome() != c.outcome || string(r.GetOutput()) != c.output {
			t.Errorf("%s %s: %v", c.activity, c.input, r)
		}
	}
}

// connection is a resource that counts its life.
type connection struct {
	closed *atomic.Int32
	uses   int
}

func (c *connection) Close() error {
	c.closed.Add(1)
	return nil
}

func TestAFailingActorIsRestartedAlone(t *testing.T) {
	t.Parallel()
	node := adaptertest.Start(t)
	a := adapters.New("test")
	var opened, closed atomic.Int32
	adapters.HandleWith(a, "use",
		func(context.Context) (*connection, error) {
			opened.Add(1)
			return &connection{closed: &closed}, nil
		},
		func(_ context.Context, c *connection, _ adapters.Task, what string) (int, error) {
			c.uses++
			switch what {
			case "panic":
				panic("boom")
			case "dirty":
				return 0, adapters.Dirty(adapters.Permanent(errors.New("broken pipe")))
			}
			return c.uses, nil
		}, adapters.Concurrency(1))
	adapters.Handle(a, "other", func(context.Context, adapters.Task, string) (string, error) { return "fine", nil })
	p := node.Run(a, config(t))
	for _, c := range []struct {
		what    string
		outcome adapterv1.Outcome
		output  string
	}{
		{"use", succeeded, "1"},
		{"use", succeeded, "2"},
		{"panic", inDoubt, ""},
		{"use", succeeded, "1"},
		{"dirty", failed, ""},
		{"use", succeeded, "1"},
	} {
		if r := node.Do(within(t), "use", c.what); r.GetOutcome() != c.outcome || string(r.GetOutput()) != c.output {
			t.Errorf("%s: %v", c.what, r)
		}
		if r := node.Do(within(t), "other", ""); r.GetOutcome() != succeeded {
			t.Errorf("after %s, other: %v", c.what, r)
		}
	}
	if err := p.Stop(); err != nil {
		t.Fatalf("stop: %v", err)
	}
	if opened.Load() != 3 || closed.Load() != 3 {
		t.Errorf("opened %d, closed %d resources; 3 each are expected", opened.Load(), closed.Load())
	}
}

// hasty restarts actors at once, a few times.
var hasty = supervision.Policy{
	MaxRestarts: 2, Within: time.Minute, Backoff: supervision.Backoff{Initial: time.Millisecond, Max: 5 * time.Millisecond},
}

func TestTooManyFailuresEndTheAdapter(t *testing.T) {
	t.Parallel()
	node := adaptertest.Start(t)
	a := adapters.New("test")
	adapters.Handle(a, "work", func(context.Context, adapters.Task, string) (string, error) { panic("boom") },
		adapters.Idempotent(), adapters.Concurrency(1))
	c := config(t)
	c.Restarts = hasty
	p := node.Run(a, c)
	for range 3 {
		if r := node.Do(within(t), "work", ""); r.GetOutcome() != inDoubt || r.GetError().GetStatus() != 503 ||
			!strings.Contains(r.GetError().GetDetail(), "boom") {
			t.Errorf("%v", r)
		}
	}
	if err := p.Wait(); err == nil || !strings.Contains(err.Error(), "failed too often: boom") {
		t.Errorf("Run returned %v", err)
	}
}

func TestAResourceThatCantBeOpenedAnswersTasks(t *testing.T) {
	t.Parallel()
	node := adaptertest.Start(t)
	a := adapters.New("test")
	adapters.HandleWith(a, "work",
		func(context.Context) (int, error) { return 0, errors.New("connection refused") },
		func(context.Context, int, adapters.Task, string) (string, error) { return "", nil },
	)
	c := config(t)
	c.Restarts = hasty
	p := node.Run(a, c)
	r := node.Do(within(t), "work", "")
	if r.GetOutcome() != failed || r.GetPermanent() || !strings.Contains(r.GetError().GetDetail(), "connection refused") {
		t.Errorf("%v", r)
	}
	if err := p.Wait(); err == nil || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("Run returned %v", err)
	}
}

func TestCancel(t *testing.T) {
	t.Parallel()
	node := adaptertest.Start(t)
	a := adapters.New("test")
	begun := make(chan struct{}, 1)
	adapters.Handle(a, "work", func(ctx context.Context, _ adapters.Task, _ string) (string, error) {
		begun <- struct{}{}
		<-ctx.Done()
		return "", ctx.Err()
	}, adapters.Concurrency(1), adapters.Prefetch(1))
	node.Run(a, config(t))
	running, queued := node.Task("work", ""), node.Task("work", "")
	node.Send(within(t), running)
	<-begun
	node.Send(within(t), queued)
	node.Cancel(queued.GetKey(), 1)
	if r := node.Await(within(t), queued.GetKey(), 1); r.GetOutcome() != notDone {
		t.Errorf("queued: %v", r)
	}
	node.Cancel(running.GetKey(), 2) // another attempt
	node.Cancel("unknown", 1)
	node.Cancel(running.GetKey(), 1)
	if r := node.Await(within(t), running.GetKey(), 1); r.GetOutcome() != inDoubt {
		t.Errorf("running: %v", r)
	}
	node.AwaitCredits(within(t), "work", 2)
}

func TestConcurrencyIsBounded(t *testing.T) {
	t.Parallel()
	node := adaptertest.Start(t)
	a := adapters.New("test")
	var now, most atomic.Int32
	var once sync.Once
	full, release := make(chan struct{}), make(chan struct{})
	adapters.Handle(a, "work", func(context.Context, adapters.Task, string) (string, error) {
		n := now.Add(1)
		defer now.Add(-1)
		for {
			m := most.Load()
			if n <= m || most.CompareAndSwap(m, n) {
				break
			}
		}
		if n == 4 {
			once.Do(func() { close(full) })
		}
		<-release
		return "", nil
	}, adapters.Concurrency(4), adapters.Prefetch(3))
	node.Run(a, config(t))
	node.AwaitCredits(within(t), "work", 7)
	tasks := make([]*adapterv1.Task, 7)
	for i := range tasks {
		tasks[i] = node.Task("work", "")
		node.Send(within(t), tasks[i])
	}
	<-full
	node.AwaitCredits(within(t), "work", 0)
	close(release)
	for _, task := range tasks {
		node.Await(within(t), task.GetKey(), 1)
	}
	node.AwaitCredits(within(t), "work", 7)
	if most.Load() != 4 {
		t.Errorf("%d were executed at once", most.Load())
	}
}

// Whoever wants to know is told that the adapter makes progress, as long as it runs.
func TestHealth(t *testing.T) {
	t.Parallel()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = free.Close()
	node := adaptertest.Start(t)
	a := adapters.New("hss")
	adapters.Handle(a, "createSubscriber", createSubscriber)
	c := config(t)
	c.Health = free.Addr().String()
	p := node.Run(a, c)
	node.Do(within(t), "createSubscriber", Subscriber{IMSI: "262011234567890"})
	ask := func(host string) (int, error) {
		client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		request, err := http.NewRequest(http.MethodGet, "http://"+c.Health+"/livez", http.NoBody)
		if err != nil {
			return 0, err
		}
		request.Host = host
		answer, err := client.Do(request)
		if err != nil {
			return 0, err
		}
		return answer.StatusCode, answer.Body.Close()
	}
	if code, err := ask("localhost"); code != http.StatusOK || err != nil {
		t.Errorf("/livez: %d %v", code, err)
	}
	if code, err := ask("evil.example"); code != http.StatusMisdirectedRequest || err != nil {
		t.Errorf("/livez of another host: %d %v", code, err)
	}
	if err := p.Stop(); err != nil {
		t.Error(err)
	}
	if _, err := ask("localhost"); err == nil {
		t.Error("/livez answers after the end")
	}
	c.Health = "here"
	if err := a.Run(t.Context(), c); err == nil || !strings.Contains(err.Error(), "host:port is expected") {
		t.Errorf("a wrong address: %v", err)
	}
}
