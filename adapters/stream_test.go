package adapters_test

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/holdfast-run/holdfast/adapters"
	"github.com/holdfast-run/holdfast/adapters/adaptertest"
	"github.com/holdfast-run/holdfast/messages/adapterv1"
)

// gate is an adapter whose activity begins, then waits until it is released.
type gate struct {
	*adapters.Adapter

	begun, release chan struct{}
}

func newGate(opts ...adapters.Option) gate {
	g := gate{adapters.New("test"), make(chan struct{}, 100), make(chan struct{})}
	adapters.Handle(g.Adapter, "work", func(ctx context.Context, _ adapters.Task, in string) (string, error) {
		g.begun <- struct{}{}
		select {
		case <-g.release:
			return in, nil
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}, opts...)
	return g
}

func newEcho(opts ...adapters.Option) *adapters.Adapter {
	a := adapters.New("test")
	adapters.Handle(a, "work", func(_ context.Context, _ adapters.Task, in string) (string, error) { return in, nil }, opts...)
	return a
}

func TestResultsSurviveABrokenStream(t *testing.T) {
	t.Parallel()
	node := adaptertest.Start(t, adaptertest.Options{HoldAcks: true})
	g := newGate()
	p := node.Run(g.Adapter, config(t))
	done, running := node.Task("work", "done"), node.Task("work", "running")
	node.Send(within(t), done)
	<-g.begun
	g.release <- struct{}{}
	first := node.Await(within(t), done.GetKey(), 1)
	node.Send(within(t), running)
	<-g.begun
	node.Break()
	hello := node.AwaitHellos(within(t), 2)[1]
	keys := slices.Sorted(slices.Values(hello.GetKeys()))
	if want := slices.Sorted(slices.Values([]string{done.GetKey(), running.GetKey()})); !slices.Equal(keys, want) {
		t.Errorf("the new stream's hello has the keys %v", keys)
	}
	if hello.GetProcess() != node.Hellos()[0].GetProcess() {
		t.Error("the process has changed its name")
	}
	if again := node.AwaitResults(within(t), 2)[1]; !proto.Equal(first, again) {
		t.Errorf("sent again: %v, at first: %v", again, first)
	}
	g.release <- struct{}{} // it was executed while the stream was down
	if r := node.Await(within(t), running.GetKey(), 1); r.GetOutcome() != succeeded || r.GetSeq() != 2 {
		t.Errorf("%v", r)
	}
	node.Ack(node.Results()...)
	if err := p.Stop(); err != nil {
		t.Errorf("stop: %v", err)
	}
}

// A result that the node could not take is sent again as soon as the node asks for it; what is acknowledged is not.
func TestResultsAreSentAgainWhenAsked(t *testing.T) {
	t.Parallel()
	node := adaptertest.Start(t, adaptertest.Options{HoldAcks: true})
	p := node.Run(newEcho(), config(t))
	first, second := node.Task("work", "first"), node.Task("work", "second")
	node.Send(within(t), first)
	one := node.Await(within(t), first.GetKey(), 1)
	node.Send(within(t), second)
	two := node.Await(within(t), second.GetKey(), 1)
	node.Ack(one)
	node.Broadcast(&adapterv1.ConnectResponse{Again: []uint64{one.GetSeq(), two.GetSeq(), 17}})
	if again := node.AwaitResults(within(t), 3)[2]; !proto.Equal(two, again) {
		t.Errorf("sent again: %v, at first: %v", again, two)
	}
	node.Ack(two)
	if err := p.Stop(); err != nil {
		t.Errorf("stop: %v", err)
	}
	if got := len(node.Results()); got != 3 {
		t.Errorf("%d results came, want 3", got)
	}
}

func TestResultsGoToTheNodeThatReplacesADeadOne(t *testing.T) {
	t.Parallel()
	node := adaptertest.Start(t, adaptertest.Options{HoldAcks: true, ID: "first"})
	node2 := adaptertest.Start(t, adaptertest.Options{ID: "second"})
	c := config(t)
	c.Servers = []string{node.Addr(), node2.Addr()}
	p := node.Run(newEcho(), c)
	node2.AwaitHellos(within(t), 1)
	r := node.Do(within(t), "work", "x")
	node.Close()
	node2.Break() // a stream that begins gets what has no stream
	if again := node2.AwaitResults(within(t), 1)[0]; !proto.Equal(r, again) {
		t.Errorf("sent again: %v, at first: %v", again, r)
	}
	if err := p.Stop(); err != nil {
		t.Errorf("stop: %v", err)
	}
}

func TestARestartedNodeIsFound(t *testing.T) {
	t.Parallel()
	node := adaptertest.Start(t, adaptertest.Options{HoldAcks: true, ID: "before"})
	p := node.Run(newEcho(), config(t))
	r := node.Do(within(t), "work", "x")
	node.Close()
	node2 := adaptertest.Start(t, adaptertest.Options{Addr: node.Addr(), ID: "after"})
	if again := node2.AwaitResults(within(t), 1)[0]; !proto.Equal(r, again) {
		t.Errorf("sent again: %v, at first: %v", again, r)
	}
	if r := node2.Do(within(t), "work", "y"); string(r.GetOutput()) != `"y"` {
		t.Errorf("%v", r)
	}
	if err := p.Stop(); err != nil {
		t.Errorf("stop: %v", err)
	}
}

func TestUnacknowledgedResultsAreSentAgain(t *testing.T) {
	t.Parallel()
	inBubble(t, adaptertest.Options{HoldAcks: true}, func(t *testing.T, node *adaptertest.Node, c adapters.Config) {
		t.Helper()
		node.Run(newEcho(), c)
		first := node.Do(t.Context(), "work", "x")
		time.Sleep(7 * time.Second)
		if n := len(node.Results()); n != 1 {
			t.Fatalf("%d results after 7 s", n)
		}
		time.Sleep(8 * time.Second)
		results := node.Results()
		if len(results) != 2 || !proto.Equal(results[1], first) {
			t.Fatalf("after 15 s: %v", results)
		}
		node.Ack(first)
		time.Sleep(time.Minute)
		if n := len(node.Results()); n != 2 {
			t.Fatalf("%d results after the acknowledgement", n)
		}
	})
}

func TestAnIdleAdapterIsNotSilent(t *testing.T) {
	t.Parallel()
	inBubble(t, adaptertest.Options{Heartbeat: time.Second}, func(t *testing.T, node *adaptertest.Node, c adapters.Config) {
		t.Helper()
		node.Run(newEcho(), c)
		time.Sleep(time.Minute)
		node.Do(t.Context(), "work", "x")
		if silence := node.Silence(); silence > time.Second { // the node itself objects after three
			t.Errorf("longest silence %v", silence)
		}
	})
}

func TestProgressIsTold(t *testing.T) {
	t.Parallel()
	inBubble(t, adaptertest.Options{}, func(t *testing.T, node *adaptertest.Node, c adapters.Config) {
		t.Helper()
		a := adapters.New("test")
		adapters.Handle(a, "work", func(_ context.Context, task adapters.Task, _ string) (string, error) {
			task.Progress("1 %")
			task.Progress("2 %" + strings.Repeat("é", 200))
			time.Sleep(10 * time.Second)
			return "", nil
		})
		adapters.Handle(a, "busy", func(context.Context, adapters.Task, string) (string, error) { return "", nil })
		node.Run(a, c)
		task := node.Task("work", "")
		node.Send(t.Context(), task)
		for range 20 { // so that no heartbeat is needed
			node.Do(t.Context(), "busy", "")
			time.Sleep(100 * time.Millisecond)
		}
		if len(node.Results()) != 20 {
			t.Fatal("the long one is not the last")
		}
		if note := node.AwaitProgress(t.Context(), task.GetKey()); !strings.HasPrefix(note, "2 %éé") || len(note) != 255 {
			t.Errorf("%d bytes: %q", len(note), note)
		}
	})
}

func TestRateLimitAndBreakerHoldTasksBack(t *testing.T) {
	t.Parallel()
	inBubble(t, adaptertest.Options{}, func(t *testing.T, node *adaptertest.Node, c adapters.Config) {
		t.Helper()
		a := adapters.New("test")
		broken := true
		var calls []time.Duration
		start := time.Now()
		adapters.Handle(a, "limited", func(context.Context, adapters.Task, string) (string, error) {
			calls = append(calls, time.Since(start))
			return "", nil
		}, adapters.Concurrency(1), adapters.Prefetch(10), adapters.RateLimit(10, 2))
		adapters.Handle(a, "breaks", func(context.Context, adapters.Task, string) (string, error) {
			calls = append(calls, time.Since(start))
			if broken {
				return "", errors.New("connection refused")
			}
			return "", nil
		}, adapters.Concurrency(1), adapters.Prefetch(10), adapters.Breaker(2, time.Minute))
		node.Run(a, c)
		do := func(activity string, count int) []time.Duration {
			start, calls = time.Now(), nil
			var tasks []*adapterv1.Task
			for range count {
				tasks = append(tasks, node.Task(activity, ""))
				node.Send(t.Context(), tasks[len(tasks)-1])
			}
			for _, task := range tasks {
				node.Await(t.Context(), task.GetKey(), 1)
			}
			return calls
		}
		ms := time.Millisecond
		if got, want := do("limited", 5), []time.Duration{0, 0, 100 * ms, 200 * ms, 300 * ms}; !slices.Equal(got, want) {
			t.Errorf("limited: called at %v, want %v", got, want)
		}
		if got, want := do("breaks", 4), []time.Duration{0, 0, time.Minute, 2 * time.Minute}; !slices.Equal(got, want) {
			t.Errorf("broken: called at %v, want %v", got, want)
		}
		broken = false
		if got, want := do("breaks", 3), []time.Duration{time.Minute, time.Minute, time.Minute}; !slices.Equal(got, want) {
			t.Errorf("mended: called at %v, want %v", got, want)
		}
	})
}

func TestQueuedTasksExpire(t *testing.T) {
	t.Parallel()
	inBubble(t, adaptertest.Options{}, func(t *testing.T, node *adaptertest.Node, c adapters.Config) {
		t.Helper()
		g := newGate(adapters.Concurrency(1), adapters.Prefetch(1))
		node.Run(g.Adapter, c)
		running, queued := node.Task("work", ""), node.Task("work", "")
		queued.Deadline = time.Now().Add(3 * time.Second).UnixNano()
		node.Send(t.Context(), running)
		node.Send(t.Context(), queued)
		start := time.Now()
		r := node.Await(t.Context(), queued.GetKey(), 1)
		if r.GetOutcome() != failed || r.GetError().GetStatus() != 408 || time.Since(start) > 4*time.Second {
			t.Errorf("after %v: %v", time.Since(start), r)
		}
		close(g.release)
		node.Await(t.Context(), running.GetKey(), 1)
		node.AwaitCredits(t.Context(), "work", 2)
	})
}

func TestDrainFinishesWhatWasBegun(t *testing.T) {
	t.Parallel()
	node := adaptertest.Start(t, adaptertest.Options{HoldAcks: true})
	g := newGate(adapters.Concurrency(1), adapters.Prefetch(2))
	p := node.Run(g.Adapter, config(t))
	running, queued, crossing := node.Task("work", "x"), node.Task("work", ""), node.Task("work", "")
	node.Send(within(t), running)
	<-g.begun
	node.Send(within(t), queued)
	p.Drain()
	node.AwaitDrain(within(t))
	node.Broadcast(&adapterv1.ConnectResponse{Tasks: []*adapterv1.Task{crossing}}) // sent before the node knew
	for _, task := range []*adapterv1.Task{queued, crossing} {
		if r := node.Await(within(t), task.GetKey(), 1); r.GetOutcome() != notDone {
			t.Errorf("%v", r)
		}
	}
	node.Break() // a new stream says so from its beginning
	node.AwaitHellos(within(t), 2)
	node.AwaitStreams(within(t), 1)
	node.AwaitDrain(within(t))
	close(g.release)
	r := node.Await(within(t), running.GetKey(), 1)
	if string(r.GetOutput()) != `"x"` {
		t.Errorf("%v", r)
	}
	node.Ack(node.Results()...)
	if err := p.Wait(); err != nil {
		t.Errorf("Run: %v", err)
	}
	node.AwaitStreams(within(t), 0)
}

func TestDrainIsBounded(t *testing.T) {
	t.Parallel()
	inBubble(t, adaptertest.Options{HoldAcks: true}, func(t *testing.T, node *adaptertest.Node, c adapters.Config) {
		t.Helper()
		g := newGate()
		c.DrainTimeout = 20 * time.Second
		p := node.Run(g.Adapter, c)
		node.Send(t.Context(), node.Task("work", ""))
		node.Send(t.Context(), node.Task("work", ""))
		<-g.begun
		<-g.begun
		g.release <- struct{}{}
		start := time.Now()
		err := p.Stop()
		if err == nil || !strings.Contains(err.Error(), "1 tasks were still executed and 1 results not acknowledged") {
			t.Errorf("Run: %v", err)
		}
		if d := time.Since(start); d < 20*time.Second || d > 22*time.Second {
			t.Errorf("it took %v", d)
		}
	})
}

// What can't be given up, and waits for its turn, is not begun when what is executed is interrupted.
func TestDrainBeginsNothingNew(t *testing.T) {
	t.Parallel()
	inBubble(t, adaptertest.Options{}, func(t *testing.T, node *adaptertest.Node, c adapters.Config) {
		t.Helper()
		g := newGate(adapters.Concurrency(1), adapters.Prefetch(1), adapters.Idempotent())
		p := node.Run(g.Adapter, c)
		node.Send(t.Context(), node.Task("work", ""))
		<-g.begun
		marked := node.Task("work", "")
		marked.MaybeStarted = true
		node.Send(t.Context(), marked)
		if err := p.Stop(); err == nil || !strings.Contains(err.Error(), "2 tasks were still executed") {
			t.Errorf("Run: %v", err)
		}
		if len(g.begun) != 0 {
			t.Error("the second task was begun")
		}
	})
}

// An activity that goes on though it was interrupted is in a process that lives: a node must not take that for gone.
func TestDrainAwaitsWhatIgnoresItsContext(t *testing.T) {
	t.Parallel()
	for name, takes := range map[string]time.Duration{"for a while": 5 * time.Second, "for ever": time.Hour} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, adaptertest.Options{}, func(t *testing.T, node *adaptertest.Node, c adapters.Config) {
				t.Helper()
				a, began := adapters.New("test"), make(chan struct{})
				adapters.Handle(a, "work", func(context.Context, adapters.Task, string) (string, error) {
					close(began)
					time.Sleep(time.Second + takes)
					return "x", nil
				})
				c.DrainTimeout = time.Second
				p := node.Run(a, c)
				task := node.Task("work", "")
				node.Send(t.Context(), task)
				<-began
				p.Drain()
				time.Sleep(4 * time.Second)
				soon, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				node.AwaitStreams(soon, 1) // else the node would take the process for gone
				err := p.Wait()
				if takes > time.Minute {
					if err == nil || !strings.Contains(err.Error(), "activity work goes on though it was interrupted") {
						t.Errorf("Run: %v", err)
					}
					time.Sleep(takes)
					return
				}
				if r := node.Await(t.Context(), task.GetKey(), 1); string(r.GetOutput()) != `"x"` {
					t.Errorf("%v", r)
				}
			})
		})
	}
}

func TestNodesShareTheCredits(t *testing.T) {
	t.Parallel()
	node2 := adaptertest.Start(t, adaptertest.Options{ID: "second"})
	node := adaptertest.Start(t, adaptertest.Options{ID: "first", Nodes: []string{node2.Addr()}})
	g := newGate(adapters.Concurrency(12), adapters.Prefetch(0))
	node.Run(g.Adapter, config(t))
	node.AwaitCredits(within(t), "work", 6)
	node2.AwaitCredits(within(t), "work", 6)
	node2.Waiting("work", 100) // the first keeps a quarter of its share
	node.AwaitCredits(within(t), "work", 1)
	node2.AwaitCredits(within(t), "work", 11)
	for range 11 {
		node2.Send(within(t), node2.Task("work", ""))
		<-g.begun
	}
	node2.Waiting("work", 0)
	node.Waiting("work", 5)
	close(g.release)
	node2.AwaitResults(within(t), 11)
	node.AwaitCredits(within(t), "work", 11)
	node2.AwaitCredits(within(t), "work", 1)
	node.Broadcast(&adapterv1.ConnectResponse{Drain: true})
	node2.AwaitCredits(within(t), "work", 12)
	node.AwaitCredits(within(t), "work", 0)
}

func TestANodeWithTwoAddressesGetsOneStream(t *testing.T) {
	t.Parallel()
	node := adaptertest.Start(t)
	_, port, err := net.SplitHostPort(node.Addr())
	if err != nil {
		t.Fatal(err)
	}
	c := config(t)
	c.Servers = []string{node.Addr(), "localhost:" + port}
	node.Run(newEcho(), c)
	node.AwaitHellos(within(t), 2)
	node.AwaitStreams(within(t), 1)
	if r := node.Do(within(t), "work", "x"); r.GetOutcome() != succeeded {
		t.Errorf("%v", r)
	}
}

func TestTasksOfAnOlderEpochAreIgnored(t *testing.T) {
	t.Parallel()
	node := adaptertest.Start(t)
	node.Run(newEcho(), config(t))
	newer, older := node.Task("work", "newer"), node.Task("work", "older")
	newer.Epoch = 2
	node.Send(within(t), newer)
	node.Send(within(t), older)
	node.AwaitCredits(within(t), "work", 20)
	newest := node.Task("work", "newest")
	newest.Epoch = 2
	node.Send(within(t), newest)
	node.Await(within(t), newest.GetKey(), 1)
	if results := node.Results(); len(results) != 2 {
		t.Errorf("%v", results)
	}
}

func TestUnacknowledgedResultsHoldCreditsBack(t *testing.T) {
	t.Parallel()
	node := adaptertest.Start(t, adaptertest.Options{HoldAcks: true})
	c := config(t)
	c.MaxUnacked = 3
	node.Run(newEcho(adapters.Concurrency(1), adapters.Prefetch(1)), c)
	for range 4 { // one was granted while only two were unacknowledged
		node.Do(within(t), "work", "")
	}
	node.AwaitCredits(within(t), "work", 0)
	node.Ack(node.Results()...)
	node.AwaitCredits(within(t), "work", 2)
}
