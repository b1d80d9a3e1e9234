package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"syscall"
	"time"

	"github.com/holdfast-run/holdfast/adapters"
	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/scenarios/stage"
)

// skewed is by how many seconds the clocks of the nodes are ahead. The database's, and this process's, are right.
var skewed = []int{2, 0, -2}

// skewRate is how many orders come in a second.
const skewRate = 20

func skewRounds(s *site) int {
	if s.ci() {
		return 1
	}
	return 10
}

// skewRow is the row skew under way.
type skewRow struct {
	*clusterRow

	told   tellings
	owners owners
}

// skew has orders wait, try again and run out of time at nodes whose clocks are apart, while their partitions move from one to the other.
func skew(ctx context.Context, s *site) (figures, error) {
	if noCluster(s) {
		return withoutCluster(), nil
	}
	apart := func(_ *cluster, spec *stage.ClusterSpec) error { return s.wrongClock.apart(spec) }
	return withOwnCluster(ctx, s, apart, withClient(func(ctx context.Context, _ *stage.Stage, r *clusterRow) (figures, error) {
		return (&skewRow{clusterRow: r}).run(ctx)
	}, "skew"))
}

func (r *skewRow) run(ctx context.Context) (f figures, err error) {
	var beside sync.WaitGroup
	running, stop := context.WithCancel(ctx)
	defer func() {
		stop()
		beside.Wait()
	}()
	adapter, failed := r.told.adapter(), error(nil)
	beside.Go(func() {
		failed = adapter.Run(running, adapters.Config{Servers: r.Servers(), DrainTimeout: time.Second})
	})
	beside.Go(func() { r.owners.follow(running, r.Nodes) })
	f = figures{}
	p := &pulse{conn: r.conn, name: r.s.row, rate: skewRate, work: skewWork, patience: r.patience}
	beating, rest := context.WithCancel(running)
	defer rest()
	var submitting sync.WaitGroup
	submitting.Go(func() { p.run(beating) })
	for range skewRounds(r.s) {
		if err := r.move(ctx, f); err != nil {
			return f, err
		}
	}
	rest()
	submitting.Wait()
	if err := r.drained(ctx); err != nil {
		return f, err
	}
	stop()
	beside.Wait()
	f["acknowledged"], f["client_errors"] = len(p.orders), len(p.failed)
	return f, errors.Join(failed, r.judge(ctx, f, p))
}

// skewWork is what an order of the row is to do.
func skewWork(n int) *orderv1.WorkOrder {
	return &orderv1.WorkOrder{Definition: "verify/skew:1.0.0", Input: fmt.Appendf(nil, `{"pause":"PT%d.%03dS"}`, 1+n%2, n%1000)}
}

// move has all partitions of one node move to others, and back, and then those of another: one ends gracefully, one is killed.
func (r *skewRow) move(ctx context.Context, f figures) error {
	if err := r.settled(ctx); err != nil {
		return err
	}
	if err := r.offsets(ctx, f); err != nil {
		return err
	}
	first, starts := r.Nodes[0], r.Nodes[0].Starts()
	first.StayAway(untilTold)
	if err := first.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	if err := r.taken(ctx, 0); err != nil {
		return err
	}
	first.StayAway(nodeBack)
	if err := first.AwaitStart(ctx, starts); err != nil {
		return err
	}
	if err := r.settled(ctx); err != nil {
		return err
	}
	if _, err := r.kill(ctx, len(r.Nodes)-1); err != nil {
		return err
	}
	return r.settled(ctx)
}

// offsets makes sure that the nodes tell how wrong their clocks are.
func (r *skewRow) offsets(ctx context.Context, f figures) error {
	least, most, off := math.Inf(1), math.Inf(-1), 0.
	for i, n := range r.Nodes {
		m, err := n.Metrics(ctx)
		if err != nil {
			return err
		}
		offset, err := m.Value("holdfast_clock_offset_seconds")
		if err != nil {
			return err
		}
		least, most, off = min(least, offset), max(most, offset), max(off, math.Abs(offset+float64(skewed[i])))
	}
	apart, isKnown := f.number("clocks_apart_s")
	if !isKnown {
		apart = math.Inf(1)
	}
	before, _ := f.number("offset_wrong_ms")
	f["clocks_apart_s"], f["offset_wrong_ms"] = round(min(apart, most-least), 3), round(max(before, off*1000), 3)
	return nil
}

// tellings are the executions of attempts, as the adapter has seen them by a clock that is right.
type tellings struct {
	mu         sync.Mutex
	executions map[attemptAt]execution
}

type attemptAt struct {
	key     string
	attempt uint32
}

// execution is when an attempt was begun first, and when it was over last.
type execution struct{ began, ended time.Time }

// flakyFailures is how often the activity fails that does so, before it succeeds.
const flakyFailures = 2

// hangOn is for how long more the activity hangs that was told to end.
const hangOn = 300 * time.Millisecond

// adapter makes an adapter that writes down when it does what.
func (t *tellings) adapter() *adapters.Adapter {
	t.executions = map[attemptAt]execution{}
	a := adapters.New("clock")
	options := []adapters.Option{adapters.Idempotent(), adapters.Concurrency(4 * skewRate)}
	adapters.Handle(a, "tell", func(_ context.Context, task adapters.Task, _ any) (any, error) {
		defer t.tell(task)()
		return struct{}{}, nil
	}, options...)
	adapters.Handle(a, "fail", func(_ context.Context, task adapters.Task, _ any) (any, error) {
		defer t.tell(task)()
		if task.Attempt <= flakyFailures {
			return nil, adapters.Transient(errFlaky)
		}
		return struct{}{}, nil
	}, options...)
	adapters.Handle(a, "hang", func(ctx context.Context, task adapters.Task, _ any) (any, error) {
		defer t.tell(task)()
		<-ctx.Done()
		_ = stage.Pause(context.WithoutCancel(ctx), hangOn) // so that it is the node's timer that strikes
		return nil, context.Cause(ctx)
	}, options...)
	return a
}

var errFlaky = errors.New("it fails, as it should")

func (t *tellings) tell(task adapters.Task) (ended func()) {
	began := time.Now()
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		at := attemptAt{task.Key, uint32(task.Attempt)} //nolint:gosec // it is positive
		if before, again := t.executions[at]; again {
			began = before.began
		}
		t.executions[at] = execution{began, time.Now()}
	}
}

func skewBars(s *site) bars {
	if noCluster(s) {
		return bars{}
	}
	rounds := float64(skewRounds(s))
	return bars{
		"clocks_apart_s": atLeast(3.5), "offset_wrong_ms": atMost(500), "acknowledged": atLeast(5 * skewRate * rounds),
		"timers": atLeast(5 * 5 * skewRate * rounds), "moved": atLeast(skewRate * rounds),
	}.none("client_errors", "lost", "without_history", "history_falls", "early", "dated_ahead", "dated_behind", "unseen")
}
