package actors_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-run/holdfast/actors"
	"github.com/holdfast-run/holdfast/actors/catalog"
	"github.com/holdfast-run/holdfast/actors/failure"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/messages/nodev1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/persistence"
	"github.com/holdfast-run/holdfast/persistence/memory"
)

// couple is a town in which nothing goes wrong but what the test does. The first node owns all partitions but the last.
func couple(t *testing.T, wrap func(i int, j persistence.Journal) persistence.Journal) *town {
	t.Helper()
	w := &town{t: t, store: memory.NewStore(), chance: rand.New(rand.NewPCG(1, 1)), wrap: wrap}
	w.desired[messages.Partitions-1] = 1
	w.begin()
	return w
}

// begin starts both nodes.
func (w *town) begin() {
	for i := range w.sides {
		w.sides[i] = &side{town: w, index: i}
	}
	for _, s := range w.sides {
		s.open()
	}
}

// end ends both nodes.
func (w *town) end() {
	for _, s := range w.sides {
		s.close()
	}
	time.Sleep(time.Minute)
}

// give has the second node own a partition of the first one.
func (w *town) give(p messages.Partition) {
	w.mu.Lock()
	w.desired[p] = 1
	w.mu.Unlock()
	w.sides[0].host.Give(p)
	w.sides[1].host.Take(p)
}

// of returns ids of orders of a partition.
func of(p messages.Partition, n int) (ids []string) {
	for i := 0; len(ids) < n; i++ {
		if id := fmt.Sprint("o", i); messages.PartitionOf(messages.OrderID(id), "") == p {
			ids = append(ids, id)
		}
	}
	return ids
}

// accept has the first node accept an order.
func (w *town) accept(id, ref, key string) {
	w.t.Helper()
	if f := (<-w.submit(id, ref, key)).GetFailure(); f != nil {
		w.t.Fatalf("submit %s: %v", id, failure.Err(f))
	}
}

// pinOf pins a definition for an order without input.
func pinOf(t *testing.T, e *actors.Engine, ref string) (catalog.Pin, error) {
	t.Helper()
	r, err := messages.ParseDefinitionRef(ref)
	if err != nil {
		return catalog.Pin{}, err
	}
	o := &journalv1.OrderAccepted{Input: []byte("{}")}
	return catalog.Look(t.Context(), e.Catalog(), func() (catalog.Pin, error) { return e.Catalog().Pin(r, o, nil) })
}

// passing tells whether what was asked for can be asked for again: it could not be read, or the node stops.
func passing(err error) bool {
	return errors.Is(err, persistence.ErrUnavailable) || errors.Is(err, catalog.ErrEnded)
}

// submit submits an order at the first node.
func (w *town) submit(id, ref, key string) <-chan *nodev1.Answer {
	w.t.Helper()
	e := w.sides[0].engine
	pin, err := pinOf(w.t, e, ref)
	if err != nil {
		w.t.Fatal(err)
	}
	answer := make(chan *nodev1.Answer, 1)
	e.Submit(&journalv1.OrderAccepted{
		OrderId: id, Definition: ref, DefinitionHash: pin.Hash, Input: []byte("{}"), OrderKey: key, ContentHash: []byte(id),
	}, nodev1.Wanted_WANTED_ACCEPTED, func(a *nodev1.Answer) { answer <- a })
	return answer
}

// status tells how an order stands in the journal.
func (w *town) status(id string) orderv1.Status {
	w.t.Helper()
	j := w.sides[1].journal
	e, err := j.Find(w.t.Context(), messages.OrderID(id))
	if err != nil {
		w.t.Fatal(err)
	}
	row, err := j.Row(w.t.Context(), e.Handle)
	if err != nil {
		w.t.Fatal(err)
	}
	return orderv1.Status(row.GetStatus())
}

// heavy is a journal whose commits take a while, and that counts how often tasks on disk are read.
type heavy struct {
	persistence.Journal

	takes time.Duration
	reads *atomic.Int64
}

func (s heavy) Commit(c *persistence.Commit) { time.AfterFunc(s.takes, func() { s.Journal.Commit(c) }) }

func (s heavy) Release(h persistence.Holding, done func(error)) {
	time.AfterFunc(s.takes, func() { s.Journal.Release(h, done) })
}

func (s heavy) Overflowed(
	ctx context.Context, of persistence.Overflow, after persistence.OverflowPlace, limit int,
) ([]persistence.OverflowedTask, error) {
	s.reads.Add(1)
	return s.Journal.Overflowed(ctx, of, after, limit)
}

// A node that has given a partition away, in the middle of refilling its room with tasks of that, leaves them to the next owner.
func TestRefillOfLostPartition(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var reads atomic.Int64
		w := couple(t, func(i int, j persistence.Journal) persistence.Journal {
			if i == 0 {
				return heavy{j, 150 * time.Millisecond, &reads}
			}
			return j
		})
		defer w.end()
		w.deploy()
		for _, s := range w.sides {
			s.worker.Detach(true, false) // nobody executes anything
		}
		const p = 7
		ids := of(p, 60)
		for _, id := range ids[:50] {
			w.accept(id, "test/one:1.0.0", "")
		}
		time.Sleep(5 * time.Second)
		held := w.sides[0].worker.node.newWorker(nil)
		held.attach()
		answer := w.submit(ids[50], "test/one:1.0.0", "") // its commit is under way while the partition is drained
		time.Sleep(10 * time.Millisecond)
		w.give(p)
		time.Sleep(10 * time.Millisecond)
		held.credit(1) // there is room again
		time.Sleep(20 * time.Second)
		if w.sides[1].serving[p].Load() == nil {
			t.Fatal("the other node does not own it")
		}
		if used := w.sides[0].engine.RoomUsed("x.do"); used != "" {
			t.Errorf("the node that has nothing has left in its room: %s", used)
		}
		before := reads.Load()
		time.Sleep(time.Minute)
		if n := reads.Load() - before; n > 0 {
			t.Errorf("in a minute it has read %d times which tasks of others wait on disk", n)
		}
		if f := (<-answer).GetFailure(); f != nil {
			t.Error(failure.Err(f))
		}
		held.Detach(true, false)
	})
}

// usurp has the second node own a partition, though the first one has not let it go: it is taken for dead.
func (w *town) usurp(p messages.Partition) {
	w.t.Helper()
	w.mu.Lock()
	w.desired[p] = 1
	w.mu.Unlock()
	if err := w.sides[1].journal.Fence(w.t.Context(), w.sides[0].journal.Incarnation()); err != nil {
		w.t.Fatal(err)
	}
	w.sides[1].host.Take(p)
	time.Sleep(5 * time.Second)
	if w.sides[1].serving[p].Load() == nil {
		w.t.Fatal("the other node does not own it")
	}
}

// Who owns a key no longer does not tell who has it.
func TestKeyOfLostPartition(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := couple(t, nil)
		defer w.end()
		w.deploy()
		w.accept("a", "test/long:1.0.0", "k")
		w.accept("b", "test/long:1.0.0", "k")
		time.Sleep(10 * time.Second)
		if err := w.sides[1].journal.Fence(t.Context(), w.sides[0].journal.Incarnation()); err != nil {
			t.Fatal(err)
		}
		if q, err := w.sides[0].engine.Key(t.Context(), "k", 0, 10); err == nil {
			t.Errorf("the node was fenced, and says that %q has the key", q.GetHead())
		}
	})
}

// A node that was taken for dead finds out that it owns nothing, even if nothing happens in its partitions.
func TestIdleNodeLearnsOfItsFence(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := couple(t, nil)
		defer w.end()
		w.deploy()
		w.usurp(7)
		time.Sleep(time.Hour)
		select {
		case <-w.sides[0].broken:
		default:
			t.Errorf("an hour after it was fenced it does not know; it is ready: %v", w.sides[0].engine.Ready())
		}
	})
}

// Tasks of a partition that a node has given away are not in the way of others: not in an activity's concurrency, and not when their
// results come after all.
func TestLimitAfterLostPartition(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := couple(t, nil)
		defer w.end()
		w.deploy()
		for _, s := range w.sides {
			s.worker.Detach(true, false)
		}
		if err := w.sides[0].engine.SetLimit(t.Context(), &journalv1.LimitRow{Activity: "x.do", Concurrency: 2}); err != nil {
			t.Fatal(err)
		}
		held := w.sides[0].worker.node.newWorker(nil)
		held.join()
		const p, q = 7, 8
		for _, id := range append(of(p, 2), of(q, 4)...) {
			w.accept(id, "test/one:1.0.0", "")
		}
		time.Sleep(5 * time.Second) // until both nodes know of the limit, and have their shares
		first := held.took()
		if len(first) != 2 || first[0].GetPartition() != p {
			t.Fatalf("the adapter has %v", first)
		}
		w.give(p)
		time.Sleep(5 * time.Second)
		for _, task := range first {
			held.deliver(task, 0)
		}
		for range 10 {
			time.Sleep(5 * time.Second)
			for _, task := range held.took()[2:] {
				held.deliver(task, 0)
			}
		}
		if got := len(held.took()); got != 6 {
			t.Errorf("the adapter got %d tasks, want 6", got)
		}
		for _, id := range append(of(p, 2), of(q, 4)...) {
			if got := w.status(id); got != completed {
				t.Errorf("order %s is %v", id, got)
			}
		}
		held.Detach(true, false)
		if used := w.sides[0].engine.RoomUsed("x.do"); used != "" {
			t.Errorf("left in the room: %s", used)
		}
	})
}

// A partition that comes back while the node that has it away is still letting go of it is owned by one of them in the end, and its
// orders go on: keys, timers and children.
func TestBackAndForth(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := couple(t, nil)
		defer w.end()
		w.deploy()
		const p = 7
		ids := of(p, 40)
		for i, id := range ids {
			w.accept(id, "test/"+[]string{"one", "three", "wait", "parent"}[i%4]+":1.0.0", "")
		}
		for i := range 400 {
			from, to := w.sides[i%2], w.sides[1-i%2]
			w.mu.Lock()
			w.desired[p] = to.index
			w.mu.Unlock()
			to.host.Take(p)
			from.host.Give(p)
			if i%3 == 0 {
				from.host.Take(p)
				from.host.Give(p)
			}
			time.Sleep(time.Duration(w.roll(30)) * time.Millisecond)
		}
		time.Sleep(5 * time.Minute)
		for _, id := range ids {
			if got := w.status(id); got != completed {
				t.Errorf("order %s is %v", id, got)
			}
		}
		if i := w.desired[p]; w.sides[i].serving[p].Load() == nil || w.sides[1-i].serving[p].Load() != nil {
			t.Error("it is not owned by who should own it")
		}
		if i := w.desired[p]; !w.sides[i].has[p].Load() || w.sides[1-i].has[p].Load() {
			t.Error("who has it is not what the placement was told")
		}
		for _, s := range w.sides {
			if n, used := s.engine.Asks(), s.engine.RoomUsed("x.do"); n != 0 || used != "" {
				t.Errorf("node %d has left %d asks, and %q", s.index, n, used)
			}
		}
	})
}

// A node is to have a partition again before it has released it, and another one is faster: it has left it.
func TestLeftAlthoughWantedAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var late atomic.Bool
		w := couple(t, func(i int, j persistence.Journal) persistence.Journal {
			if i == 0 {
				return claimsLate{j, &late}
			}
			return j
		})
		defer w.end()
		const p = 7
		late.Store(true)
		w.give(p)
		w.sides[0].host.Take(p)
		time.Sleep(10 * time.Second)
		w.sides[0].host.Give(p)
		time.Sleep(10 * time.Second)
		if !w.sides[1].has[p].Load() || w.sides[0].has[p].Load() {
			t.Error("who has it is not what the placement was told")
		}
	})
}
