package actors_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-run/holdfast/actors/view"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/persistence"
)

// wantQuiet checks that nobody waits any more, and nothing is asked.
func (w *town) wantQuiet() {
	w.t.Helper()
	time.Sleep(time.Minute)
	for _, s := range w.sides {
		if waiters, asks := s.engine.View().Len(), s.engine.Asks(); waiters != 0 || asks != 0 {
			w.t.Errorf("node %d has %d waiters and %d asks left", s.index, waiters, asks)
		}
	}
}

// witness waits for the end of an order at a node, and follows its history there.
type witness struct {
	town *town
	at   int
	id   messages.OrderID

	ends chan *orderv1.Order
	done chan struct{}
	mu   sync.Mutex
	seen []uint64 // the versions
}

// witness begins at once, whether the order is there or not. Whole: with a wait for all that is told of the order.
func (w *town) witness(at int, id string, whole bool) *witness {
	x := &witness{town: w, at: at, id: messages.OrderID(id), ends: make(chan *orderv1.Order, 10), done: make(chan struct{})}
	w.sides[at].engine.View().Add(messages.PartitionOf(x.id, ""), x.id, &view.Waiter{
		Brief: !whole, Ended: func(o *orderv1.Order) { x.ends <- o },
	})
	return x
}

// follow reads the history as it grows, until the order has ended.
func (x *witness) follow() {
	defer close(x.done)
	t, v := x.town.t, x.town.sides[x.at].engine.View()
	grown := make(chan struct{}, 1)
	defer v.Add(messages.PartitionOf(x.id, ""), x.id, &view.Waiter{Grown: func(messages.Version) {
		select {
		case grown <- struct{}{}:
		default:
		}
	}})()
	var h *view.History
	for h == nil || !h.Ended() {
		var err error
		if h == nil {
			if h, err = v.History(t.Context(), x.id, 0); errors.Is(err, persistence.ErrNotFound) {
				err = nil
			}
		}
		if err == nil && h != nil {
			err = h.Read(t.Context(), func(int) bool { return true }, func(e *orderv1.HistoryEvent) bool {
				x.mu.Lock()
				defer x.mu.Unlock()
				x.seen = append(x.seen, e.GetVersion())
				return true
			})
		}
		switch {
		case errors.Is(err, persistence.ErrUnavailable):
			time.Sleep(100 * time.Millisecond)
			continue
		case err != nil:
			t.Errorf("order %s: %v", x.id, err)
			return
		case h != nil && h.Ended():
			return
		}
		select {
		case <-grown:
		case <-time.After(10 * time.Minute):
			t.Errorf("of order %s at node %d nothing is told any more", x.id, x.at)
			return
		}
	}
}

// check checks that the end was told once, and truly, and that the history had no gap. It waits for both.
func (x *witness) check(followed bool) {
	t := x.town.t
	t.Helper()
	select {
	case o := <-x.ends:
		if o.GetStatus() != completed {
			t.Errorf("order %s at node %d has ended as %v", x.id, x.at, o)
		}
	case <-time.After(10 * time.Minute):
		t.Errorf("order %s at node %d does not end", x.id, x.at)
	}
	if !followed {
		return
	}
	<-x.done
	for i, v := range x.seen {
		if v != uint64(i)+1 {
			t.Errorf("of order %s the versions %v were seen", x.id, x.seen)
			return
		}
	}
}

// Whoever waits at the node that does not own an order is told at once how it grows and ends, by one ask at a time, whoever else waits.
func TestWaitElsewhere(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := couple(t, nil)
		defer w.end()
		w.deploy()
		const id = "o"
		first, second := w.witness(1, id, false), w.witness(1, id, true)
		synctest.Wait()
		w.accept(id, "test/wait:1.0.0", "")
		go first.follow()
		go second.follow()
		time.Sleep(time.Second)
		if asks := w.sides[1].engine.Asks(); asks > 4 {
			t.Errorf("%d asks are under way", asks)
		}
		began := time.Now()
		first.check(true)
		second.check(true)
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("the end was known %v after the order should have gone on", took)
		}
		late := w.witness(1, id, true) // it has ended already
		late.check(false)
		w.wantQuiet()
	})
}

// Partitions move while orders run, nodes are fenced, messages are lost, late and come twice: who waits, wherever, learns of each end, once,
// and of the whole history.
func TestWaitsWhilePartitionsMove(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const orders, moves = 150, 1500
		w := couple(t, nil)
		defer w.end()
		refs, load := w.deploy(), &clients{town: w}
		w.moving.Store(true)
		w.unfenced = true
		var all sync.WaitGroup
		var witnesses []*witness
		for i := range orders {
			id := fmt.Sprint("o", i)
			ref := refs[i%len(refs)]
			for at := range w.sides {
				x := w.witness(at, id, i%2 == 0)
				witnesses = append(witnesses, x)
				all.Go(x.follow)
			}
			all.Go(func() {
				time.Sleep(time.Duration(w.roll(30_000)) * time.Millisecond)
				for !load.submit(id, ref, "") {
					time.Sleep(100 * time.Millisecond)
				}
			})
		}
		for round := 1; w.moves.Load() < moves; round++ {
			w.move()
			if round%disownEvery == 0 {
				w.disown()
			}
			time.Sleep(time.Duration(w.roll(100)) * time.Millisecond)
		}
		w.moving.Store(false)
		for _, s := range w.sides {
			s.catchUp() // what was moved twice at once
		}
		all.Wait()
		for _, x := range witnesses {
			x.check(true)
			if len(x.ends) > 0 {
				t.Errorf("order %s has ended more than once at node %d", x.id, x.at)
			}
		}
		w.wantQuiet()
		t.Logf("%d messages, %d lost", w.carried.Load(), w.lost.Load())
	})
}

// Of an order that runs at another node nothing is told that only that one knows.
func TestOrderElsewhere(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := couple(t, nil)
		defer w.end()
		w.deploy()
		for _, s := range w.sides {
			s.worker.Detach(true, false)
		}
		w.accept("o", "test/one:1.0.0", "")
		for _, s := range w.sides {
			o, err := s.engine.View().Order(t.Context(), "o")
			if err != nil || len(o.GetWaiting()) != 1 {
				t.Fatalf("node %d tells %v: %v", s.index, o, err)
			}
			if far := strings.Contains(o.GetWaiting()[0].GetReason(), "the node that runs the order"); far != (s.index == 1) {
				t.Errorf("node %d says that it waits for %q", s.index, o.GetWaiting()[0].GetReason())
			}
		}
	})
}
