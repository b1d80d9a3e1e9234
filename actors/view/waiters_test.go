package view

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/orderv1"
)

// end is what an order has come to.
func end(bool) *orderv1.Order { return &orderv1.Order{} }

func TestWaiters(t *testing.T) {
	t.Parallel()
	w := newTown().view.Waiters
	var told []string
	note := func(name string) *Waiter {
		return &Waiter{
			Grown: func(messages.Version) { told = append(told, name+" grown") },
			Ended: func(*orderv1.Order) { told = append(told, name+" ended") },
		}
	}
	a, b, other := note("a"), note("b"), note("other")
	forgetA := w.Add(7, "o", a)
	w.Add(7, "o", b)
	w.Add(7, "p", other)
	w.Grown(7, "o", 1, nil)
	forgetA()
	forgetA() // again
	w.Grown(7, "o", 1, end)
	w.Grown(7, "o", 1, end)
	forgetC := w.Add(7, "o", &Waiter{Grown: func(messages.Version) { told = append(told, "c grown") }}) // that watches
	w.Grown(7, "o", 1, end)
	w.Grown(7, "o", 1, nil) // it goes on
	w.Grown(7, "o", 1, end)
	if got, want := fmt.Sprint(told), "[a grown b grown b ended b grown c grown c grown c grown]"; got != want {
		t.Errorf("told %s, want %s", got, want)
	}
	forgetC()
	if got := w.Len(); got != 1 {
		t.Errorf("%d waiters are left, want that of the other order", got)
	}
}

// Waiters come and go while orders end: each is told of the end once, or left before.
func TestWaitersRace(t *testing.T) {
	t.Parallel()
	const orders, each = 50, 40
	w := newTown().view.Waiters
	var ended atomic.Int64
	var all sync.WaitGroup
	for i := range orders {
		id := messages.OrderID(fmt.Sprint("o", i))
		added := make(chan struct{})
		all.Go(func() {
			for range each {
				var mine atomic.Int64
				x := &Waiter{Ended: func(*orderv1.Order) {
					ended.Add(1)
					if mine.Add(1) > 1 {
						t.Error("told twice")
					}
				}}
				w.Add(7, id, x)
				w.Add(7, id, &Waiter{Grown: func(messages.Version) {}})()
			}
			close(added)
		})
		all.Go(func() {
			for range each {
				w.Grown(7, id, 1, nil)
			}
			w.Grown(7, id, 1, end)
			<-added
			w.Grown(7, id, 1, end)
		})
	}
	all.Wait()
	if got := ended.Load(); got != orders*each {
		t.Errorf("%d ends told, want %d", got, orders*each)
	}
	if got := w.Len(); got != 0 {
		t.Errorf("%d waiters are left", got)
	}
	for i := range w.shards {
		if got := len(w.shards[i].byOrder); got != 0 {
			t.Errorf("%d orders are left", got)
		}
	}
}
