package actors_test

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-run/holdfast/actors/failure"
	"github.com/holdfast-run/holdfast/actors/workflow"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/adapterv1"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/persistence"
)

// span is from when an order started until it let the next one of its key run, in nanoseconds; started 0 if it never did.
type span struct {
	id             string
	started, ended int64
}

func (n *node) span(id string) span {
	n.t.Helper()
	spans := n.spans(id)
	if len(spans) == 0 {
		return span{id: id}
	}
	return span{id: id, started: spans[0].started, ended: spans[len(spans)-1].ended}
}

// spans are all of an order that was reopened after it had let the next one run.
func (n *node) spans(id string) (spans []span) {
	n.t.Helper()
	s := span{id: id}
	ended := false
	for _, ev := range n.history(id) {
		switch e := ev.GetKind().(type) {
		case *journalv1.Event_OrderStarted, *journalv1.Event_OrderContinued:
			if s.started == 0 {
				s.started = ev.GetAt()
			}
		case *journalv1.Event_OrderReopened:
			ended = false
			if e.OrderReopened.Turn != nil {
				s.started = 0
			}
		case *journalv1.Event_OrderCompleted, *journalv1.Event_OrderFaulted, *journalv1.Event_OrderCancelled,
			*journalv1.Event_KeyReleased:
			s.ended, ended = ev.GetAt(), true
			if s.started == 0 {
				continue
			}
			if k := len(spans) - 1; k >= 0 && spans[k].started == s.started {
				spans[k] = s // it held its key until now
			} else {
				spans = append(spans, s)
			}
		}
	}
	if !ended {
		n.t.Errorf("%s has not ended", id)
	}
	return spans
}

// checkSequence checks that of these orders with one key none ran beside another and, if inOrder, that they ran in this
// order.
func (n *node) checkSequence(inOrder bool, ids ...string) {
	n.t.Helper()
	var spans []span
	for _, id := range ids {
		if !inOrder {
			spans = append(spans, n.spans(id)...)
		} else if s := n.span(id); s.started != 0 {
			spans = append(spans, s)
		}
	}
	if !inOrder {
		slices.SortFunc(spans, func(a, b span) int { return cmp.Or(cmp.Compare(a.started, b.started), cmp.Compare(a.ended, b.ended)) })
	}
	for i := 1; i < len(spans); i++ {
		if a, b := spans[i-1], spans[i]; b.started < a.ended {
			n.t.Errorf("%s started %v before %s ended", b.id, time.Duration(a.ended-b.started), a.id)
		}
	}
}

func TestOrderKeys(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t)
		w := n.worker(nil)
		def := n.deploy("one", callOne)
		ids := []string{"a", "b", "c", "d"}
		for _, id := range ids {
			n.mustSubmit(order{id: id, def: def, key: "k"})
		}
		n.mustSubmit(order{id: "free", def: def, key: "other"})
		n.expect("a", running)
		n.expect("free", running)
		for _, id := range ids[1:] {
			n.expect(id, pending)
		}
		if err := n.cancel("c"); err != nil { // from the middle
			t.Error(err)
		}
		n.expect("c", cancelled)
		n.expect("b", pending)
		for i, id := range []string{"a", "b", "d"} {
			tasks := w.took()
			last := tasks[len(tasks)-1]
			if i == 0 {
				last = tasks[0]
			}
			if last.GetOrderId() != id {
				t.Fatalf("%s runs, want %s", last.GetOrderId(), id)
			}
			w.answer(last, done("1"))
			settle()
		}
		n.expect("a", completed)
		n.expect("b", completed)
		n.expect("d", completed)
		n.mustSubmit(order{id: "e", def: def, key: "k"})
		n.expect("e", running)
	})
}

// A queued order that is over before its turn never holds its key.
func TestOrderKeysQueuedEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t, inMemory)
		n.worker(nil)
		def := n.deploy("one", callOne)
		n.mustSubmit(order{id: "a", def: def, key: "k"})
		n.mustSubmit(order{id: "late", def: def, key: "k", deadline: time.Now().Add(20 * time.Second)})
		n.mustSubmit(order{id: "cancelled", def: def, key: "k"})
		n.mustSubmit(order{id: "b", def: def, key: "k"})
		n.sleep(10 * time.Second)
		n = n.crash()
		w := n.worker(nil)
		n.sleep(10 * time.Second)
		n.expect("late", faulted)
		if err := n.cancel("cancelled"); err != nil {
			t.Error(err)
		}
		n.expect("a", running)
		n.expect("b", pending)
		w.answer(w.one(), done("1"))
		settle()
		n.expect("b", running)
	})
}

// An order that faults holds its key, over restarts too, until it is released, or if its definition says otherwise.
func TestOrderKeysHeld(t *testing.T) {
	t.Parallel()
	for name, again := range map[string]func(*node) *node{"stop": (*node).restart, "kill": (*node).crash} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				n := start(t, inMemory)
				n.worker(nil)
				fault := n.deploy("fault", "do: [{a: {raise: {error: {type: 'https://x.y/z', status: 500}}}}]")
				one := n.deploy("one", callOne)
				n.mustSubmit(order{id: "a", def: fault, key: "k"})
				n.mustSubmit(order{id: "b", def: fault, key: "k"})
				n.mustSubmit(order{id: "c", def: one, key: "k"})
				n.mustSubmit(order{id: "free", def: one, key: "other"})
				n.expect("a", faulted)
				n.expect("free", running)
				n.wantQueue("a", "b", "c")
				n.sleep(10 * time.Second)
				if got := n.gauge("holdfast_key_age_seconds"); got != 10 {
					t.Errorf("the oldest waits for %d s, want 10", got)
				}
				n = again(n)
				n.worker(nil)
				n.sleep(time.Minute)
				n.expect("b", pending)
				n.wantQueue("a", "b", "c")
				for gauge, want := range map[string]int{
					"holdfast_orders_running": 3, "holdfast_key_orders_waiting": 2, "holdfast_keys_held": 1,
				} {
					if got := n.gauge(gauge); got != want {
						t.Errorf("%s is %d, want %d", gauge, got, want)
					}
				}
				if err := n.release("b"); !errors.Is(err, workflow.ErrNotHeld) {
					t.Errorf("release of an order that waits: %v", err)
				}
				for range 2 { // again does no harm
					if err := n.release("a"); err != nil {
						t.Errorf("release: %v", err)
					}
				}
				n.expect("b", faulted)
				n.wantQueue("b", "c")
				n = again(n)
				w := n.worker(nil)
				settle()
				n.wantQueue("b", "c")
				if err := n.release("b"); err != nil {
					t.Errorf("release after a restart: %v", err)
				}
				settle()
				n.expect("c", running)
				n.wantQueue("c")
				for _, task := range w.took() {
					w.answer(task, done("1"))
				}
				settle()
				n.wantQueue()
				n = again(n)
				n.wantQueue()
				n.sleep(time.Second)
				for _, gauge := range []string{"holdfast_key_orders_waiting", "holdfast_keys_held", "holdfast_key_age_seconds"} {
					if got := n.gauge(gauge); got != 0 {
						t.Errorf("%s is %d, want none", gauge, got)
					}
				}
			})
		})
	}
}

func TestOrderKeysReleasedByDefinition(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t, inMemory)
		fault := n.deployDocument(`document: {dsl: '1.0.3', namespace: test, name: lax, version: 1.0.0, metadata: {holdfast: {onFault: release}}}
do: [{a: {raise: {error: {type: 'https://x.y/z', status: 500}}}}]`)
		for _, id := range []string{"a", "b"} {
			n.mustSubmit(order{id: id, def: fault, key: "k"})
			n.expect(id, faulted)
		}
		n.wantQueue()
		if err := n.release("a"); !errors.Is(err, workflow.ErrNotHeld) {
			t.Errorf("release: %v", err)
		}
	})
}

// wantQueue compares the queue of the key k: the head, and those behind it.
func (n *node) wantQueue(want ...string) {
	n.t.Helper()
	settle()
	q, err := n.Key(n.t.Context(), "k", 0, 10)
	if err != nil {
		n.t.Fatal(err)
	}
	var got []string
	for _, id := range append([]string{q.GetHead()}, q.GetWaiting()...) {
		if id != "" {
			got = append(got, id)
		}
	}
	if !slices.Equal(got, want) || q.GetCount() != int64(max(len(want)-1, 0)) {
		n.t.Errorf("the key has %v, and %d behind the first, want %v", got, q.GetCount(), want)
	}
}

// releaseAll moves the clock, and releases whatever faulted order holds one of these keys, until all orders have ended. It
// returns how many it released.
func (n *node) releaseAll(keys ...string) (released int) {
	n.t.Helper()
	for range 200 {
		for _, key := range keys {
			q, err := n.Key(n.t.Context(), key, 0, 0)
			if err != nil {
				n.t.Fatal(err)
			}
			if q.GetHead() != "" && n.release(messages.OrderID(q.GetHead())) == nil {
				released++
			}
		}
		n.sleep(2 * time.Second)
	}
	n.drain()
	return released
}

func (n *node) release(id messages.OrderID) error {
	n.t.Helper()
	return n.operate(string(id), workflow.ReleaseKey{By: "test", Reason: "corrected"})
}

// Who waits for a key is counted once, whatever came of its commits, and whoever lived to see that.
func TestOrderKeysCounted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var next atomic.Pointer[fault]
		f := &faulty{fail: func(*persistence.Commit) *fault { return next.Swap(nil) }}
		n := start(t, inMemory, withWrap(f.wrap))
		def := n.deploy("one", callOne)
		for _, id := range []string{"a", "b", "c", "d"} {
			n.mustSubmit(order{id: id, def: def, key: "k"})
		}
		n.wantQueue("a", "b", "c", "d")
		for _, step := range []struct {
			made bool
			do   func() error
			want []string
		}{
			{false, func() error { return n.submit(order{id: "lost", def: def, key: "k"}) }, []string{"a", "b", "c", "d"}},
			{true, func() error { return n.submit(order{id: "e", def: def, key: "k"}) }, []string{"a", "b", "c", "d", "e"}},
			{false, func() error { return n.cancel("e") }, []string{"a", "b", "c", "d", "e"}},
			{true, func() error { return n.cancel("c") }, []string{"a", "b", "d", "e"}},
		} {
			next.Store(&fault{err: persistence.ErrUnknown, made: step.made})
			wantErr(t, step.do(), failure.ErrUnavailable)
			n.sleep(10 * time.Second)
			n.wantQueue(step.want...)
			n.BreakPartition(messages.PartitionOf("", "k"))
			n.sleep(10 * time.Second)
			n.wantQueue(step.want...)
			n.checkCounts()
		}
	})
}

// Orders of a few keys, some of which fault, from many clients, on an engine that is killed again and again.
func TestOrderKeysModel(t *testing.T) {
	const keys, perClient = 5, 6
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(1, 2))
		n := start(t, inMemory)
		def := n.deploy("steps", "do: [{a: {call: x.do}}, {w: {wait: PT6S}}, {b: {call: x.do}}]")
		slow := func(n *node) {
			n.worker(func(w *worker, task *adapterv1.Task) *adapterv1.Result {
				result := done("1")
				if rand.N(8) == 0 {
					result = failing(500)
				}
				time.AfterFunc(rand.N(2*time.Second), func() { w.answer(task, result) })
				return nil
			})
		}
		slow(n)
		var sequential, crowd [keys][]string
		for round := range perClient {
			answers := make(chan error, keys*4)
			for k := range keys {
				key := fmt.Sprint("key", k)
				id := fmt.Sprintf("%s-s%d", key, round)
				sequential[k] = append(sequential[k], id)
				n.mustSubmit(order{id: id, def: def, key: key})
				for i := range 4 { // four at once
					id := fmt.Sprintf("%s-c%d-%d", key, round, i)
					crowd[k] = append(crowd[k], id)
					o := order{id: id, def: def, key: key}
					go n.hand(o.accepted(), func(err error) { answers <- err })
				}
			}
			for range cap(answers) {
				if err := <-answers; err != nil {
					t.Fatal(err)
				}
			}
			if k := rng.IntN(keys); round > 0 {
				_ = n.cancel(crowd[k][rng.IntN(len(crowd[k]))]) // it may have ended
			}
			n.sleep(rand.N(10 * time.Second))
			if round%2 == 1 {
				n = n.crash()
				slow(n)
			}
		}
		names := make([]string, 0, keys)
		for k := range keys {
			names = append(names, fmt.Sprint("key", k))
		}
		if n.releaseAll(names...) == 0 {
			t.Error("no order held its key")
		}
		for k := range keys {
			n.checkSequence(true, sequential[k]...)
			n.checkSequence(false, append(sequential[k], crowd[k]...)...)
		}
		if got := messages.PartitionOf("a", "key0"); got != messages.PartitionOf("b", "key0") {
			t.Error("orders of one key are in two partitions")
		}
	})
}
