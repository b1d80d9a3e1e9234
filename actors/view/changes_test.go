package view

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
)

// As long as nobody watches, nothing is kept; and each who does begins with what comes then.
func TestChanges(t *testing.T) {
	t.Parallel()
	c := newTown().view.Changes
	c.Changed(handle(1), nil)
	if c.ring != nil || c.next != 0 {
		t.Errorf("%d changes are kept for nobody", c.next)
	}
	first := c.watch()
	c.Changed(handle(2), nil)
	second := c.watch()
	if !isClosed(first.more()) || isClosed(second.more()) {
		t.Error("the first should have something to read, the second nothing")
	}
	waits := second.more()
	c.Changed(handle(3), &journalv1.OrderRow{Id: "c"})
	if !isClosed(waits) {
		t.Error("who waits was not told")
	}
	var buffer [8]change
	for _, tt := range []struct {
		r    *changeReader
		want []messages.Handle
	}{{first, []messages.Handle{handle(2), handle(3)}}, {second, []messages.Handle{handle(3)}}} {
		got, missed, doubtful := tt.r.read(buffer[:])
		if doubtful || missed || len(got) != len(tt.want) {
			t.Fatalf("read %v, missed %v, doubtful %v", got, missed, doubtful)
		}
		for i, h := range tt.want {
			if got[i].handle != h {
				t.Errorf("change %d is of %v, want %v", i, got[i].handle, h)
			}
		}
	}
	second.leave()
	if c.Changed(handle(4), nil); c.ring == nil {
		t.Error("nothing is kept for the one that still reads")
	}
	first.leave()
	if c.Changed(handle(5), nil); c.ring != nil || c.next != 3 {
		t.Errorf("%d changes are kept for nobody", c.next)
	}
}

// Whoever reads too slowly is told so, once, and goes on with what is kept.
func TestChangesMissed(t *testing.T) {
	t.Parallel()
	c := newTown().view.Changes
	r := c.watch()
	defer r.leave()
	for n := range uint32(changesKept + 2) {
		c.Changed(handle(n), nil)
	}
	buffer := make([]change, changesKept+2)
	got, missed, _ := r.read(buffer)
	if !missed || len(got) != changesKept || got[0].handle != handle(2) || got[len(got)-1].handle != handle(changesKept+1) {
		t.Errorf("read %d changes, missed %v", len(got), missed)
	}
	if got, missed, _ = r.read(buffer); missed || len(got) != 0 {
		t.Errorf("then read %d changes, missed %v", len(got), missed)
	}
}

// What another node changes is found within a second, as long as a partition is not here, and when it has come back.
func TestListElsewhere(t *testing.T) {
	t.Parallel()
	w := newTown()
	x := w.watch(Query{Limit: 10, Scan: 1})
	defer x.Close()
	if err := x.settle(); err != nil {
		t.Fatal(err)
	}
	quiet := func() {
		t.Helper()
		reads := w.reads
		waits := x.Changed()
		if isClosed(waits) {
			t.Error("there is something to look at, though nothing has happened")
		}
		if err := x.settle(); err != nil || w.reads != reads {
			t.Errorf("the journal was read %d times in vain: %v", w.reads-reads, err)
		}
	}
	elsewhere := func(n uint32, then func()) {
		t.Helper()
		waits := x.Changed()
		w.rows[handle(n)] = &journalv1.OrderRow{Id: fmt.Sprint(n)} // another node has committed it
		then()
		if !isClosed(waits) {
			t.Error("nothing is said")
		}
		if err := x.settle(); err != nil {
			t.Errorf("of order %d: %v", n, err)
		}
		quiet()
	}
	quiet()
	elsewhere(1, func() { w.view.Serves(7, false) })
	elsewhere(2, w.view.Tick)
	w.view.Serves(7, false) // said twice
	quiet()
	elsewhere(3, func() { w.view.Serves(7, true) })
	w.view.Tick()
	quiet()
}

// A journal that does not answer ends the watching.
func TestListUnavailable(t *testing.T) {
	t.Parallel()
	w := newTown()
	w.commit(handle(1), &journalv1.OrderRow{Id: "a"})
	for _, reads := range []int{0, 1} {
		x := w.watch(Query{Limit: 1, Scan: 1})
		w.fails = nil
		for range reads {
			if err := x.settle(); err != nil {
				t.Fatal(err)
			}
			w.commit(handle(1), &journalv1.OrderRow{Id: "a", Status: 4})
		}
		w.fails = errors.New("away")
		if err := x.Look(t.Context()); !errors.Is(err, w.fails) {
			t.Errorf("after %d readings it fails with %v", reads, err)
		}
		x.Close()
	}
}

// Those who watch come and go while orders change.
func TestChangesRace(t *testing.T) {
	t.Parallel()
	c := newTown().view.Changes
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for n := range uint32(1000) {
				c.Changed(handle(n), nil)
			}
		})
		all.Go(func() {
			for range 100 {
				r := c.watch()
				at := r.at
				var buffer [16]change
				for {
					got, missed, _ := r.read(buffer[:])
					if at += uint64(len(got)); !missed && at != r.at {
						t.Errorf("read up to %d, and is at %d", at, r.at)
					}
					if at = r.at; len(got) == 0 {
						break
					}
				}
				r.leave()
			}
		})
	}
	all.Wait()
	if c.ring != nil || c.watching.Load() != 0 {
		t.Errorf("%d still watch", c.watching.Load())
	}
}
