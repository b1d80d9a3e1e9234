package view

import (
	"errors"
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
	first, err := c.watch()
	if err != nil {
		t.Fatal(err)
	}
	c.Changed(handle(2), nil)
	second, err := c.watch()
	if err != nil {
		t.Fatal(err)
	}
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
		got, missed, err := tt.r.read(buffer[:])
		if err != nil || missed || len(got) != len(tt.want) {
			t.Fatalf("read %v, missed %v: %v", got, missed, err)
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
	r, err := c.watch()
	if err != nil {
		t.Fatal(err)
	}
	defer r.leave()
	for n := range uint32(changesKept + 2) {
		c.Changed(handle(n), nil)
	}
	buffer := make([]change, changesKept+2)
	got, missed, err := r.read(buffer)
	if err != nil || !missed || len(got) != changesKept || got[0].handle != handle(2) || got[len(got)-1].handle != handle(changesKept+1) {
		t.Errorf("read %d changes, missed %v: %v", len(got), missed, err)
	}
	if got, missed, err = r.read(buffer); err != nil || missed || len(got) != 0 {
		t.Errorf("then read %d changes, missed %v: %v", len(got), missed, err)
	}
}

// A node that does not have all partitions does not learn of all changes: nobody can watch a list there.
func TestListElsewhere(t *testing.T) {
	t.Parallel()
	w := newTown()
	x, err := w.watch(Query{Limit: 1, Scan: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	if err := x.settle(); err != nil {
		t.Fatal(err)
	}
	waits := x.Changed()
	w.view.Serves(7, false)
	w.view.Serves(7, false) // said twice
	if err := x.Look(t.Context()); !isClosed(waits) || !errors.Is(err, ErrElsewhere) {
		t.Errorf("told: %v, and failed with %v", isClosed(waits), err)
	}
	if _, err := w.watch(x.query); !errors.Is(err, ErrElsewhere) {
		t.Errorf("another one begins: %v", err)
	}
	w.view.Serves(7, true)
	if err := x.Look(t.Context()); !errors.Is(err, ErrElsewhere) {
		t.Errorf("it has missed what happened meanwhile: %v", err)
	}
	y, err := w.watch(x.query)
	if err != nil {
		t.Fatal(err)
	}
	y.Close()
}

// A journal that does not answer ends the watching.
func TestListUnavailable(t *testing.T) {
	t.Parallel()
	w := newTown()
	w.commit(handle(1), &journalv1.OrderRow{Id: "a"})
	for _, reads := range []int{0, 1} {
		x, err := w.watch(Query{Limit: 1, Scan: 1})
		if err != nil {
			t.Fatal(err)
		}
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
				r, err := c.watch()
				if err != nil {
					t.Error(err)
					return
				}
				at := r.at
				var buffer [16]change
				for {
					got, missed, err := r.read(buffer[:])
					if at += uint64(len(got)); err != nil || !missed && at != r.at {
						t.Errorf("read up to %d, and is at %d: %v", at, r.at, err)
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
