package actors

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/holdfast-run/holdfast/actors/workflow"
	"github.com/holdfast-run/holdfast/messages"
)

func TestWaiters(t *testing.T) {
	t.Parallel()
	var w waiters
	var told []string
	note := func(name string) *Waiter {
		return &Waiter{
			Grown: func() { told = append(told, name+" grown") },
			Ended: func(*workflow.State) { told = append(told, name+" ended") },
		}
	}
	a, b, other := note("a"), note("b"), note("other")
	w.add("o", a)
	w.add("o", b)
	w.add("p", other)
	w.grown("o", nil)
	w.remove("o", a)
	w.remove("o", a) // again
	w.remove("q", a)
	w.add("o", &Waiter{}) // that wants to know nothing
	w.grown("o", &workflow.State{})
	w.grown("o", &workflow.State{})
	if got, want := fmt.Sprint(told), "[a grown b grown b ended b grown]"; got != want {
		t.Errorf("told %s, want %s", got, want)
	}
	if got := w.count(); got != 1 {
		t.Errorf("%d waiters are left, want that of the other order", got)
	}
}

// Waiters come and go while orders end: each is told of the end once, or left before.
func TestWaitersRace(t *testing.T) {
	t.Parallel()
	const orders, each = 50, 40
	var w waiters
	var ended atomic.Int64
	var all sync.WaitGroup
	for i := range orders {
		id := messages.OrderID(fmt.Sprint("o", i))
		added := make(chan struct{})
		all.Go(func() {
			for range each {
				var mine atomic.Int64
				x := &Waiter{Ended: func(*workflow.State) {
					ended.Add(1)
					if mine.Add(1) > 1 {
						t.Error("told twice")
					}
				}}
				w.add(id, x)
				gone := &Waiter{Grown: func() {}}
				w.add(id, gone)
				w.remove(id, gone)
			}
			close(added)
		})
		all.Go(func() {
			for range each {
				w.grown(id, nil)
			}
			w.grown(id, &workflow.State{})
			<-added
			w.grown(id, &workflow.State{})
		})
	}
	all.Wait()
	if got := ended.Load(); got != orders*each {
		t.Errorf("%d ends told, want %d", got, orders*each)
	}
	if got := w.count(); got != 0 {
		t.Errorf("%d waiters are left", got)
	}
	for i := range w.shards {
		if got := len(w.shards[i].byOrder); got != 0 {
			t.Errorf("%d orders are left", got)
		}
	}
}
