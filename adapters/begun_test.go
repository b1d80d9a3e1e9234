package adapters_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-run/holdfast/adapters"
	"github.com/holdfast-run/holdfast/adapters/adaptertest"
	"github.com/holdfast-run/holdfast/messages/adapterv1"
)

func awaiting(t *adapterv1.Task) *adapterv1.Task {
	t.AwaitConfirmation = true
	return t
}

func alone(t *adapterv1.Task) *adapterv1.Task {
	t.Alone = true
	return t
}

func held() adaptertest.Options { return adaptertest.Options{HoldConfirmations: true} }

func TestATaskIsExecutedOnceThatIsConfirmed(t *testing.T) {
	t.Parallel()
	inBubble(t, held(), func(t *testing.T, node *adaptertest.Node, c adapters.Config) {
		t.Helper()
		g := newGate(adapters.Concurrency(1), adapters.Prefetch(1))
		node.Run(g.Adapter, c)
		first, second := awaiting(node.Task("work", "1")), awaiting(node.Task("work", "2"))
		node.Send(inTime(t), first)
		node.Send(inTime(t), second)
		start := time.Now()
		node.AwaitBegun(inTime(t), first.GetKey(), 1, 4) // until it is confirmed
		if d := time.Since(start); d < 3*time.Second || d > 4*time.Second {
			t.Errorf("4 reports in %v", d)
		}
		node.Confirm(second.GetKey(), 1) // its turn has not come
		synctest.Wait()
		select {
		case <-g.begun:
			t.Fatal("executed without confirmation")
		default:
		}
		node.Confirm(first.GetKey(), 1)
		<-g.begun
		g.release <- struct{}{}
		if r := node.Await(inTime(t), first.GetKey(), 1); string(r.GetOutput()) != `"1"` {
			t.Errorf("%v", r)
		}
		node.AwaitBegun(inTime(t), second.GetKey(), 1, 1)
		node.Confirm(second.GetKey(), 1)
		node.Confirm(second.GetKey(), 1)
		<-g.begun
		g.release <- struct{}{}
		node.Await(inTime(t), second.GetKey(), 1)
		reports := len(node.Begun())
		time.Sleep(time.Minute)
		if n := len(node.Begun()); n != reports {
			t.Errorf("%d reports after the end", n-reports)
		}
		node.AwaitCredits(inTime(t), "work", 2)
	})
}

// What was not confirmed was not executed: it is not done, unless another process may have done it.
func TestWhatIsNotConfirmedIsGivenUp(t *testing.T) {
	t.Parallel()
	maybe := func(t *adapterv1.Task) *adapterv1.Task {
		t.MaybeStarted = true
		return t
	}
	soon := func(t *adapterv1.Task) *adapterv1.Task {
		t.Deadline = time.Now().Add(3 * time.Second).UnixNano()
		return t
	}
	same := func(t *adapterv1.Task) *adapterv1.Task { return t }
	cancel := func(node *adaptertest.Node, _ *adaptertest.Process, t *adapterv1.Task) { node.Cancel(t.GetKey(), 1) }
	drain := func(_ *adaptertest.Node, p *adaptertest.Process, _ *adapterv1.Task) { p.Drain() }
	nothing := func(*adaptertest.Node, *adaptertest.Process, *adapterv1.Task) {}
	for name, c := range map[string]struct {
		activity string
		task     func(*adapterv1.Task) *adapterv1.Task
		then     func(*adaptertest.Node, *adaptertest.Process, *adapterv1.Task)
		want     adapterv1.Outcome
		status   int32
	}{
		"cancelled":                     {"work", same, cancel, notDone, 0},
		"cancelled, maybe started":      {"recovers", maybe, cancel, inDoubt, 500},
		"cancelled, maybe repeated":     {"repeats", maybe, cancel, inDoubt, 500},
		"drained":                       {"work", same, drain, notDone, 0},
		"the deadline passes":           {"work", soon, nothing, failed, 408},
		"to be alone, and is cancelled": {"work", alone, cancel, notDone, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, held(), func(t *testing.T, node *adaptertest.Node, config adapters.Config) {
				t.Helper()
				a := adapters.New("test")
				called := 0
				work := func(context.Context, adapters.Task, string) (string, error) {
					called++
					return "", nil
				}
				one := []adapters.Option{adapters.Concurrency(1), adapters.Prefetch(0), adapters.RateLimit(1e-3, 1), adapters.Breaker(1, time.Hour)}
				adapters.Handle(a, "work", work, one...)
				adapters.Handle(a, "recovers", work, append(one, adapters.Recover(work))...)
				adapters.Handle(a, "repeats", work, append(one, adapters.Idempotent())...)
				p := node.Run(a, config)
				task := awaiting(c.task(node.Task(c.activity, "")))
				node.Send(inTime(t), task)
				node.AwaitBegun(inTime(t), task.GetKey(), 1, 1)
				c.then(node, p, task)
				r := node.Await(inTime(t), task.GetKey(), 1)
				if r.GetOutcome() != c.want || r.GetError().GetStatus() != c.status || called != 0 {
					t.Errorf("%v, called %d times", r, called)
				}
				node.Confirm(task.GetKey(), 1) // on its way meanwhile
				if name == "drained" {
					return
				}
				start := time.Now()
				next := node.Task(c.activity, "") // it has its place, and its turn under the limits
				node.Send(inTime(t), next)
				if r := node.Await(inTime(t), next.GetKey(), 1); r.GetOutcome() != succeeded || time.Since(start) > time.Second {
					t.Errorf("the next: after %v: %v", time.Since(start), r)
				}
			})
		})
	}
}

// The node gives what was not confirmed to another process when the stream ends, so that this one may not keep it.
func TestWhatIsNotConfirmedEndsWithItsStream(t *testing.T) {
	t.Parallel()
	node := adaptertest.Start(t, held())
	g := newGate(adapters.Concurrency(2), adapters.Prefetch(1))
	node.Run(g.Adapter, config(t))
	confirmed, announced, queued := awaiting(node.Task("work", "")), awaiting(node.Task("work", "")), awaiting(node.Task("work", ""))
	for _, task := range []*adapterv1.Task{confirmed, announced, queued} {
		node.Send(within(t), task)
	}
	node.AwaitBegun(within(t), confirmed.GetKey(), 1, 1)
	node.AwaitBegun(within(t), announced.GetKey(), 1, 1)
	node.Confirm(confirmed.GetKey(), 1)
	<-g.begun
	node.Break()
	if keys := node.AwaitHellos(within(t), 2)[1].GetKeys(); !slices.Equal(keys, []string{confirmed.GetKey()}) {
		t.Errorf("the new stream's hello has the keys %v", keys)
	}
	node.AwaitStreams(within(t), 1)
	node.AwaitCredits(within(t), "work", 2) // but for what is executed
	node.Send(within(t), announced)
	node.AwaitBegun(within(t), announced.GetKey(), 1, 2)
	node.Confirm(announced.GetKey(), 1)
	<-g.begun
	close(g.release)
	for _, task := range []*adapterv1.Task{confirmed, announced} {
		if r := node.Await(within(t), task.GetKey(), 1); r.GetOutcome() != succeeded {
			t.Errorf("%v", r)
		}
	}
	node.AwaitCredits(within(t), "work", 3)
}

func TestALaterAttemptIsReportedInPlaceOfTheFirst(t *testing.T) {
	t.Parallel()
	node := adaptertest.Start(t, held())
	g := newGate()
	node.Run(g.Adapter, config(t))
	task := awaiting(node.Task("work", "x"))
	node.Send(within(t), task)
	node.AwaitBegun(within(t), task.GetKey(), 1, 1)
	node.Send(within(t), adaptertest.Attempt(task, 2))
	node.AwaitBegun(within(t), task.GetKey(), 2, 1)
	node.Confirm(task.GetKey(), 1) // on its way meanwhile
	node.Confirm(task.GetKey(), 2)
	<-g.begun
	node.Send(within(t), adaptertest.Attempt(task, 3)) // it is being executed: the node is to know
	node.AwaitBegun(within(t), task.GetKey(), 3, 1)
	close(g.release)
	if r := node.Await(within(t), task.GetKey(), 3); string(r.GetOutput()) != `"x"` {
		t.Errorf("%v", r)
	}
	waits := awaiting(node.Task("work", "y"))
	node.Send(within(t), waits)
	node.AwaitBegun(within(t), waits.GetKey(), 1, 1)
	plain := adaptertest.Attempt(waits, 2)
	plain.AwaitConfirmation = false // of a node that doesn't ask for it
	node.Send(within(t), plain)
	if r := node.Await(within(t), waits.GetKey(), 2); string(r.GetOutput()) != `"y"` {
		t.Errorf("%v", r)
	}
}

func TestATaskIsExecutedAlone(t *testing.T) {
	t.Parallel()
	inBubble(t, held(), func(t *testing.T, node *adaptertest.Node, c adapters.Config) {
		t.Helper()
		g := newGate(adapters.Concurrency(4), adapters.Prefetch(4))
		var others []string
		adapters.Handle(g.Adapter, "other", func(_ context.Context, _ adapters.Task, in string) (string, error) {
			others = append(others, in)
			return in, nil
		}, adapters.Concurrency(1))
		node.Run(g.Adapter, c)
		running, suspect, second := node.Task("work", "running"), alone(node.Task("work", "suspect")), alone(node.Task("other", "second"))
		node.Send(inTime(t), running)
		<-g.begun
		node.Send(inTime(t), suspect)
		synctest.Wait() // it is the first in line
		node.Send(inTime(t), second)
		synctest.Wait()
		later := node.Task("other", "later")
		node.Send(inTime(t), later)
		synctest.Wait()
		if n := len(node.Begun()); n > 0 || len(others) > 0 {
			t.Fatalf("%d reports while another task is executed, %v are begun while one waits to be alone", n, others)
		}
		g.release <- struct{}{}
		node.AwaitBegun(inTime(t), suspect.GetKey(), 1, 1)
		node.Confirm(suspect.GetKey(), 1)
		<-g.begun
		synctest.Wait()
		if n := len(node.Begun()); n > 1 || len(others) > 0 {
			t.Fatalf("%d reports, %v are begun while one is executed alone", n, others)
		}
		g.release <- struct{}{}
		node.Await(inTime(t), suspect.GetKey(), 1)
		node.AwaitBegun(inTime(t), second.GetKey(), 1, 1)
		node.Send(inTime(t), node.Task("work", ""))
		synctest.Wait()
		if len(g.begun) > 0 || len(others) > 0 {
			t.Fatalf("%v are begun while one that is to be alone is reported", others)
		}
		node.Cancel(second.GetKey(), 1)
		node.Await(inTime(t), second.GetKey(), 1)
		node.Await(inTime(t), later.GetKey(), 1)
		<-g.begun
		close(g.release)
	})
}

// A task that has others wait until it can be alone lets them go on when it is given up.
func TestWhatWaitsToBeAloneCanBeGivenUp(t *testing.T) {
	t.Parallel()
	inBubble(t, held(), func(t *testing.T, node *adaptertest.Node, c adapters.Config) {
		t.Helper()
		g := newGate(adapters.Concurrency(4))
		node.Run(g.Adapter, c)
		node.Send(inTime(t), node.Task("work", ""))
		<-g.begun
		suspect := alone(node.Task("work", ""))
		node.Send(inTime(t), suspect)
		synctest.Wait()
		node.Send(inTime(t), node.Task("work", ""))
		synctest.Wait()
		if len(g.begun) > 0 {
			t.Fatal("another one is begun")
		}
		node.Cancel(suspect.GetKey(), 1)
		if r := node.Await(inTime(t), suspect.GetKey(), 1); r.GetOutcome() != notDone {
			t.Errorf("%v", r)
		}
		<-g.begun
		close(g.release)
	})
}

// One that is to be alone, and is held back by the breaker of its activity, doesn't hold up other activities.
func TestWhatIsHeldBackHasNobodyWait(t *testing.T) {
	t.Parallel()
	inBubble(t, adaptertest.Options{}, func(t *testing.T, node *adaptertest.Node, c adapters.Config) {
		t.Helper()
		g := newGate(adapters.Concurrency(2), adapters.Breaker(1, time.Minute))
		adapters.Handle(g.Adapter, "other", func(_ context.Context, _ adapters.Task, in string) (string, error) { return in, nil })
		node.Run(g.Adapter, c)
		fails := node.Task("work", "")
		fails.RunWithinMs = 1000
		node.Send(inTime(t), fails)
		<-g.begun
		suspect := alone(node.Task("work", ""))
		node.Send(inTime(t), suspect)
		node.Await(inTime(t), fails.GetKey(), 1)
		start := time.Now()
		node.Do(inTime(t), "other", "")
		if d := time.Since(start); d > time.Second {
			t.Errorf("another activity waited for %v", d)
		}
		<-g.begun
		if d := time.Since(start); d < 55*time.Second {
			t.Errorf("the breaker is open for a minute, and it was begun after %v", d)
		}
		close(g.release)
		node.Await(inTime(t), suspect.GetKey(), 1)
	})
}

// The place of a task that is not executed is free, and granted anew.
func TestCreditsOfWhatIsAnsweredAtOnceAreGrantedAnew(t *testing.T) {
	t.Parallel()
	node := adaptertest.Start(t)
	g := newGate(adapters.Concurrency(2), adapters.Prefetch(0))
	node.Run(g.Adapter, config(t))
	task := node.Task("work", "x")
	task.Epoch = 2
	node.Send(within(t), task)
	<-g.begun
	for attempt := range uint32(5) { // joined
		node.AwaitCredits(within(t), "work", 1)
		node.Send(within(t), adaptertest.Attempt(task, attempt+1))
	}
	stale := node.Task("work", "")
	node.AwaitCredits(within(t), "work", 1)
	node.Send(within(t), stale)
	node.AwaitCredits(within(t), "work", 1)
	close(g.release)
	node.Await(within(t), task.GetKey(), 5)
	for attempt := range uint32(5) { // answered
		node.AwaitCredits(within(t), "work", 2)
		node.Send(within(t), adaptertest.Attempt(task, attempt+6))
	}
	node.Await(within(t), task.GetKey(), 10)
	node.AwaitCredits(within(t), "work", 2)
}

// A new stream begins without credits, and gets those whose place is not taken by what is executed.
func TestCreditsAfterAReconnect(t *testing.T) {
	t.Parallel()
	node := adaptertest.Start(t)
	g := newGate(adapters.Concurrency(4), adapters.Prefetch(1))
	node.Run(g.Adapter, config(t))
	for range 3 {
		node.Send(within(t), node.Task("work", ""))
		<-g.begun
	}
	node.Break()
	node.AwaitHellos(within(t), 2)
	node.AwaitStreams(within(t), 1)
	node.AwaitCredits(within(t), "work", 2)
	close(g.release)
	node.AwaitResults(within(t), 3)
	node.AwaitCredits(within(t), "work", 5)
}

// That another process may have started the work may become known only when it is confirmed.
func TestAConfirmationMayAskToFindOut(t *testing.T) {
	t.Parallel()
	node := adaptertest.Start(t, held())
	a := adapters.New("test")
	work := func(context.Context, adapters.Task, string) (string, error) { return "executed", nil }
	adapters.Handle(a, "once", work)
	adapters.Handle(a, "recovers", work, adapters.Recover(
		func(_ context.Context, task adapters.Task, _ string) (string, error) {
			if !task.MaybeStarted {
				return "", errors.New("not told")
			}
			return "recovered", nil
		}))
	node.Run(a, config(t))
	for activity, want := range map[string]struct {
		outcome adapterv1.Outcome
		output  string
	}{"once": {inDoubt, ""}, "recovers": {succeeded, `"recovered"`}} {
		task := awaiting(node.Task(activity, ""))
		node.Send(within(t), task)
		node.AwaitBegun(within(t), task.GetKey(), 1, 1)
		node.ConfirmMaybe(task.GetKey(), 1)
		if r := node.Await(within(t), task.GetKey(), 1); r.GetOutcome() != want.outcome || string(r.GetOutput()) != want.output {
			t.Errorf("%s: %v", activity, r)
		}
	}
}
