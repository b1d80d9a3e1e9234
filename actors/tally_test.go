package actors_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-run/holdfast/actors/dispatch"
	"github.com/holdfast-run/holdfast/actors/failure"
	"github.com/holdfast-run/holdfast/actors/workflow"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/adapterv1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/persistence"
)

// checkCounts compares what the engine counts with what is in the journal.
func (n *node) checkCounts() {
	n.t.Helper()
	stored := 0
	for i := range messages.Partitions * dispatch.Priorities * 3 {
		of := persistence.Overflow{
			Activity: []string{"x.do", "x.do:1.0.0", "x.do:2.0.0"}[i%3], Priority: i / 3 % dispatch.Priorities,
			Partition: messages.Partition(i / 3 / dispatch.Priorities),
		}
		tasks, err := n.journal.Overflowed(n.t.Context(), of, persistence.OverflowPlace{}, 1<<20)
		if err != nil {
			n.t.Fatal(err)
		}
		stored += len(tasks)
	}
	if got := n.overflowed(); got != stored {
		n.t.Errorf("%d tasks are counted to be on disk, and %d are", got, stored)
	}
	open, _, err := n.journal.List(n.t.Context(), persistence.Query{
		Statuses: []orderv1.Status{running, waiting, pending, suspended}, Limit: 1 << 20, Scan: 1 << 20,
	})
	if err != nil {
		n.t.Fatal(err)
	}
	if got := n.gauge("holdfast_orders_running"); got != len(open) {
		n.t.Errorf("%d orders are counted to be open, and %d are", got, len(open))
	}
	halted, fallen, doubtful := 0, 0, 0
	for _, o := range open {
		if orderv1.Status(o.Row.GetStatus()) == suspended {
			halted++
		}
	}
	bad, _, err := n.journal.List(n.t.Context(), persistence.Query{Statuses: []orderv1.Status{faulted}, Limit: 1 << 20, Scan: 1 << 20})
	if err != nil {
		n.t.Fatal(err)
	}
	for _, o := range bad {
		fallen++
		if o.Row.GetInDoubt() {
			doubtful++
		}
	}
	s := n.Status(n.t.Context())
	if got, want := [...]int64{s.Suspended, s.Faulted, s.InDoubt}, [...]int64{int64(halted), int64(fallen), int64(doubtful)}; got != want {
		n.t.Errorf("suspended, faulted and in doubt are counted %v, and are %v", got, want)
	}
	queued := 0
	for p := range messages.Partition(messages.Partitions) {
		first, err := n.journal.QueuedKeys(n.t.Context(), p, "", 1<<20)
		if err != nil {
			n.t.Fatal(err)
		}
		for _, q := range first {
			waiting, err := n.journal.Queue(n.t.Context(), p, q.Key, 0, 1<<20)
			if err != nil {
				n.t.Fatal(err)
			}
			queued += len(waiting)
		}
	}
	n.sleep(time.Second) // it is told each second
	if got := n.gauge("holdfast_key_orders_waiting"); got != queued {
		n.t.Errorf("%d orders are counted to wait for keys, and %d do", got, queued)
	}
	if got := n.gauge("holdfast_orders_faulted"); got != fallen {
		n.t.Errorf("the metric tells %d faulted orders, and %d have", got, fallen)
	}
}

// slowFirst is a journal that takes its time to read a history once.
type slowFirst struct {
	persistence.Journal

	read    *atomic.Int64
	release chan struct{}
}

func (s slowFirst) Records(ctx context.Context, h messages.Handle, from messages.Version) iter.Seq2[persistence.StoredRecord, error] {
	if s.read.Add(1) == 1 {
		<-s.release
	}
	return s.Journal.Records(ctx, h, from)
}

// What is open is counted once, though reading it fails, and though orders end while others are still being read.
func TestCountsOfRecovery(t *testing.T) {
	const orders = 1100
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var reads, histories atomic.Int64
		release := make(chan struct{})
		f := &faulty{read: func(p messages.Partition) error {
			if p != crowded {
				return nil
			}
			if n := reads.Add(1); n%3 == 0 && n < 10 {
				return errors.New("injected")
			}
			return nil
		}}
		n := start(t, inMemory, narrow, func(s *settings) {
			s.engine.Waking, s.engine.Workflow = 1, workflow.Limits{StopGrace: time.Second}
			s.wrap = f.wrap
		})
		def := n.deploy("one", callOne)
		ids := crowd(orders)
		for _, id := range ids {
			n.mustSubmit(order{id: id, def: def})
		}
		n.checkCounts()
		n.settings.wrap = func(j persistence.Journal) persistence.Journal {
			return slowFirst{Journal: f.wrap(j), read: &histories, release: release}
		}
		n = n.crash()
		settle() // the first order is read
		if n.Ready() == nil {
			t.Error("all was read at once: the test shows nothing")
		}
		late := ids[orders-10:]
		for _, id := range late {
			if err := n.cancel(id); err != nil {
				t.Error(err)
			}
		}
		n.sleep(5 * time.Second)
		for _, id := range late {
			n.expect(id, cancelled)
		}
		close(release)
		n.sleep(10 * time.Second)
		if err := n.Ready(); err != nil {
			t.Error(err)
		}
		n.checkCounts()
		n.worker(succeed("1"))
		n.drain()
		n.checkCounts()
	})
}

// What waits for an operator is counted, over restarts and crashes, without being looked for.
func TestCountsOfFallout(t *testing.T) {
	t.Parallel()
	for name, again := range restarts {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				n := start(t, inMemory)
				doubt := func(*worker, *adapterv1.Task) *adapterv1.Result {
					return &adapterv1.Result{Outcome: adapterv1.Outcome_OUTCOME_IN_DOUBT}
				}
				w := n.worker(doubt)
				one, wait := n.deploy("one", callOne), n.deploy("wait", "do: [{a: {wait: PT1H}}]")
				raise := n.deploy("raise", "do: [{a: {raise: {error: {type: 'https://x.y/z', status: 400}}}}]")
				for _, o := range []order{{id: "doubt", def: one}, {id: "doubt2", def: one}, {id: "bad", def: raise}, {id: "wait", def: wait}, {id: "wait2", def: wait}} {
					n.mustSubmit(o)
				}
				n.expect("doubt", faulted)
				n.mustOperate("wait", workflow.Suspend{})
				n.mustOperate("wait2", workflow.Suspend{})
				n.mustSubmit(order{id: "away", def: n.deploy("away", "do: [{a: {call: nobody.there}}]")})
				n.mustOperate("away", workflow.Suspend{}) // while its task is under way
				want := func(f, d, s int64) {
					t.Helper()
					n.checkCounts()
					got := n.Status(t.Context())
					if got.Faulted != f || got.InDoubt != d || got.Suspended != s {
						t.Errorf("the status is %+v, want %d faulted, %d in doubt, %d suspended", got, f, d, s)
					}
				}
				want(3, 2, 3)
				w.leave()
				n = again(n)
				w = n.worker(doubt)
				n.sleep(time.Second)
				want(3, 2, 3)
				n.mustOperate("away", workflow.Resume{})
				want(3, 2, 2)
				n.mustOperate("wait", workflow.Resume{})
				n.mustOperate("bad", workflow.Cancel{})
				n.mustOperate("doubt", workflow.Complete{Output: []byte("1")})
				want(1, 1, 1)
				w.leave()
				n = again(n)
				n.worker(doubt)
				n.sleep(time.Second)
				want(1, 1, 1)
				n.mustOperate("doubt2", retry) // is in doubt again
				n.expect("doubt2", faulted)
				want(1, 1, 1)
				n.mustOperate("doubt2", workflow.Complete{Output: []byte("1")})
				n.mustOperate("wait2", workflow.Cancel{})
				want(0, 0, 0)
			})
		})
	}
}

// A commit counts, though its order is gone from memory before its outcome is known; or nobody ever told that.
func TestCountsOfCommits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		held := make(chan struct{})
		var next atomic.Pointer[fault]
		f := &faulty{fail: func(*persistence.Commit) *fault { return next.Load() }}
		n := start(t, narrow, withWrap(f.wrap))
		w := n.slowWorker()
		w.work = stubborn(func() time.Duration { return 0 })
		def := n.deploy("two", "do: [{a: {call: x.do}}, {w: {wait: PT1S}}, {b: {call: x.do}}]")
		ids := crowd(10)
		for _, id := range ids {
			n.mustSubmit(order{id: id, def: def})
		}
		next.Store(&fault{until: held})
		w.credit(2)
		n.hand(order{id: crowd(11)[10], def: def}.accepted(), func(error) {})
		settle()
		n.BreakPartition(crowded)
		n.sleep(100 * time.Millisecond)
		close(held)
		next.Store(nil)
		n.sleep(time.Second)
		n.checkCounts()
		for made := range 2 {
			next.Store(&fault{err: persistence.ErrUnknown, made: made == 1})
			w.credit(uint64(3 + made))
			o := order{id: fmt.Sprint("unknown", made), def: def}
			n.hand(o.accepted(), func(err error) { wantErr(t, err, failure.ErrUnavailable) })
			settle()
			next.Store(nil)
			n.sleep(10 * time.Second)
			n.checkCounts()
		}
		n.worker(succeed("1"))
		n.drain()
		n.checkCounts()
	})
}
