package journaltest

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/persistence"
)

var keeps = []Keep{KeepNone, KeepSome, KeepAll}

// testCrash crashes again and again when nothing is under way: everything is there.
func testCrash(t env) {
	crasher, ok := t.store.(Crasher)
	if !ok {
		t.Skip("the store can't crash")
	}
	var orders []*order
	for round := range 9 {
		j := t.Open(t)
		for _, o := range orders {
			o.check(t, j)
			if o.open != nil {
				o.must(t, j, o.step(1))
			}
		}
		for i := range 6 {
			o := newOrder()
			o.must(t, j, o.accept(1))
			if i%2 == 0 {
				o.must(t, j, o.wait(int64(i)))
				o.must(t, j, o.end(orderv1.Status_STATUS_FAULTED))
			}
			orders = append(orders, o)
		}
		if epoch := j.epochs[orders[0].partition]; epoch != messages.Epoch(round+1) {
			t.Errorf("epoch is %d after %d claims", epoch, round+1)
		}
		crasher.Crash(t, keeps[round%len(keeps)])
	}
	j := open(t)
	for _, o := range orders {
		o.check(t, j)
	}
}

// writer runs one order and notes what was confirmed.
type writer struct {
	*order

	// sent is the last version handed over, confirmed the last that was confirmed.
	sent      messages.Version
	confirmed atomic.Uint64
}

// run appends until an error, which must not come before the crash.
func (w *writer) run(t *testing.T, j persistence.Journal, crashing *atomic.Bool, progress chan<- struct{}) {
	t.Helper()
	for {
		c := w.step(3)
		if w.version == 0 {
			c = w.accept(3)
		}
		w.sent = c.Expected + 3
		if err := commit(j, c); err != nil {
			if !crashing.Load() {
				t.Error(err)
			}
			return
		}
		w.confirmed.Store(uint64(w.sent))
		w.done(c)
		select {
		case progress <- struct{}{}:
		default:
		}
	}
}

// testCrashUnconfirmed crashes amid commits: what was confirmed is there, what was not is there whole or not at all.
func testCrashUnconfirmed(t env) {
	crasher, ok := t.store.(Crasher)
	if !ok {
		t.Skip("the store can't crash")
	}
	for round := range 12 {
		j := t.Open(t)
		writers := make([]*writer, 8)
		confirmed := make([]messages.Version, len(writers))
		var crashing atomic.Bool
		var wg sync.WaitGroup
		progress := make(chan struct{}, 1000)
		for i := range writers {
			writers[i] = &writer{order: newOrder()}
			wg.Go(func() { writers[i].run(t.T, j, &crashing, progress) })
		}
		for range 20 + 10*round {
			<-progress
		}
		crashing.Store(true)
		// What is confirmed from here on may have been confirmed by what is no more.
		for i, w := range writers {
			confirmed[i] = messages.Version(w.confirmed.Load())
		}
		crasher.Crash(t, keeps[round%len(keeps)])
		wg.Wait()
		j = t.Open(t)
		for i, w := range writers {
			checkSurvivor(t.T, j, w, confirmed[i])
		}
		closeJournal(t, j)
	}
}

func checkSurvivor(t *testing.T, j persistence.Journal, w *writer, confirmed messages.Version) {
	t.Helper()
	got := last(t, history(t, j, w.handle))
	if got < confirmed || got > w.sent || got%3 != 0 {
		t.Errorf("confirmed %d, sent %d, found %d", confirmed, w.sent, got)
	}
	_, errFind := j.Find(t.Context(), w.id)
	_, errRow := j.Row(t.Context(), w.handle)
	if exists := got > 0; exists != (errFind == nil) || exists != (errRow == nil) {
		t.Errorf("found version %d, and the rows: %v, %v", got, errFind, errRow)
	}
	if got > 0 {
		w.version = got
		w.check(t, j)
	}
}

// testUnknownOutcome appends again what may or may not have been appended: it is there once.
func testUnknownOutcome(t env) {
	breaker, ok := t.store.(Breaker)
	if !ok {
		t.Skip("the store can't be broken")
	}
	var survived, lost, unknown int
	for round := range 12 {
		j := t.Open(t)
		o := accepted(t, j)
		fresh := newOrder()
		breaker.Break(t)
		commits := []*persistence.Commit{o.step(2), fresh.accept(1)}
		for i, err := range commitAll(j, commits...) {
			switch {
			case errors.Is(err, persistence.ErrUnknown):
				unknown++
			case !errors.Is(err, persistence.ErrClosed) && !errors.Is(err, persistence.ErrUnavailable): // Which say that it was not begun.
				t.Fatalf("commit %d of a broken store: %v", i, err)
			}
		}
		if _, err := j.Find(t.Context(), fresh.id); err == nil {
			t.Error("a read returns what is not durable")
		}
		breaker.Crash(t, keeps[round%len(keeps)])
		j = t.Open(t)
		for i, err := range commitAll(j, commits...) {
			switch {
			case err == nil:
				lost++
			case errors.Is(err, persistence.ErrConflict):
				survived++
			default:
				t.Errorf("commit %d, again: %v", i, err)
			}
		}
		o.done(commits[0])
		fresh.done(commits[1])
		o.check(t, j)
		fresh.check(t, j)
		if n := len(history(t, j, o.handle)); n != 2 {
			t.Errorf("%d records", n)
		}
		closeJournal(t, j)
	}
	if lost == 0 || unknown == 0 {
		t.Errorf("%d commits were lost, the outcome of %d was unknown: the store was not broken", lost, unknown)
	}
	t.Logf("%d survived, %d were lost", survived, lost)
}
