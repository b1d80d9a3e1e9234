package actors_test

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-run/holdfast/actors/workflow"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/adapterv1"
	"github.com/holdfast-run/holdfast/messages/journalv1"
)

// span is from when an order started until it ended, in nanoseconds; started 0 if it never did.
type span struct {
	id             string
	started, ended int64
}

func (n *node) span(id string) span {
	n.t.Helper()
	s := span{id: id}
	for _, ev := range n.history(id) {
		switch ev.GetKind().(type) {
		case *journalv1.Event_OrderStarted:
			s.started = ev.GetAt()
		case *journalv1.Event_OrderCompleted, *journalv1.Event_OrderFaulted, *journalv1.Event_OrderCancelled:
			s.ended = ev.GetAt()
		}
	}
	if s.ended == 0 {
		n.t.Errorf("%s has not ended", id)
	}
	return s
}

// checkSequence checks that of these orders with one key none ran beside another and, if inOrder, that they ran in this
// order.
func (n *node) checkSequence(inOrder bool, ids ...string) {
	n.t.Helper()
	var spans []span
	for _, id := range ids {
		if s := n.span(id); s.started != 0 {
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
			result := done("1")
			if id == "b" {
				result = failing(500) // a fault lets the next go, too
			}
			w.answer(last, result)
			settle()
		}
		n.expect("a", completed)
		n.expect("b", faulted)
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

// Orders of a few keys, from many clients, on an engine that is killed again and again.
func TestOrderKeysModel(t *testing.T) {
	const keys, perClient = 5, 6
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(1, 2))
		n := start(t, inMemory)
		def := n.deploy("steps", "do: [{a: {call: x.do}}, {w: {wait: PT6S}}, {b: {call: x.do}}]")
		slow := func(n *node) {
			n.worker(func(w *worker, task *adapterv1.Task) *adapterv1.Result {
				time.AfterFunc(rand.N(2*time.Second), func() { w.answer(task, done("1")) })
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
					go n.Submit(o.accepted(), def, func(_ *workflow.State, err error) { answers <- err })
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
		n.drain()
		for k := range keys {
			n.checkSequence(true, sequential[k]...)
			n.checkSequence(false, append(sequential[k], crowd[k]...)...)
		}
		if got := messages.PartitionOf("a", "key0"); got != messages.PartitionOf("b", "key0") {
			t.Error("orders of one key are in two partitions")
		}
	})
}
