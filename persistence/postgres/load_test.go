package postgres_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/persistence"
	"github.com/holdfast-run/holdfast/persistence/journaltest"
)

// pollEvery is how often a test looks whether what it waits for has come.
const pollEvery = 20 * time.Millisecond

// load has orders accepted and gone on with by many writers, whatever becomes of the database meanwhile. What is unavailable is tried
// again; what became of a commit of unknown outcome is read, and has to stay so.
type load struct {
	t      *testing.T
	j      persistence.Journal
	epochs *[messages.Partitions]messages.Epoch
	// accept makes the acceptance of a new order.
	accept func() *persistence.Commit

	ctx     context.Context // it ends the writers
	cancel  context.CancelFunc
	writers sync.WaitGroup

	confirmed, unknown, unavailable atomic.Int64
	// heldUp are the writers who were told last that the second shard is away, of all.
	heldUp atomic.Int64
	all    int64

	mu     sync.Mutex
	orders []*written
}

// written is what was confirmed of an order.
type written struct {
	id      messages.OrderID
	handle  messages.Handle
	records [][]byte // each has one event
	heldUp  bool     // its writer is
}

// stepsEach is how many commits a writer makes of an order.
const stepsEach = 4

// startLoad starts writers, which are stopped at the end of the test at the latest.
func startLoad(t *testing.T, j persistence.Journal, epochs *[messages.Partitions]messages.Epoch, writers int) *load {
	t.Helper()
	return startLoadOf(t, j, epochs, writers, func() *persistence.Commit { return journaltest.Acceptance(string(messages.NewOrderID())) })
}

// startLoadOf starts writers of orders that are accepted so.
func startLoadOf(
	t *testing.T, j persistence.Journal, epochs *[messages.Partitions]messages.Epoch, writers int, accept func() *persistence.Commit,
) *load {
	t.Helper()
	l := &load{t: t, j: j, epochs: epochs, accept: accept, all: int64(writers)}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	for range writers {
		l.writers.Go(func() {
			for l.ctx.Err() == nil {
				l.write()
			}
		})
	}
	t.Cleanup(l.stop)
	return l
}

func (l *load) stop() {
	l.cancel()
	l.writers.Wait()
}

// write has one order accepted and gone on with, and reads its history.
func (l *load) write() {
	c := l.accept()
	c.Epoch = l.epochs[c.Partition]
	w := &written{id: c.ID, handle: c.Handle}
	for n := range stepsEach {
		if n > 0 {
			c = &persistence.Commit{
				Partition: c.Partition, Epoch: c.Epoch, Handle: c.Handle, Expected: messages.Version(n), Events: 1,
				Record: recordOf(w.id, n),
			}
		}
		if !l.commit(w, c) {
			break
		}
		w.records = append(w.records, c.Record)
	}
	l.mu.Lock()
	l.orders = append(l.orders, w)
	l.mu.Unlock()
	l.check(w)
}

// recordOf makes a record of one event that is like no other.
func recordOf(id messages.OrderID, n int) []byte {
	b, err := proto.Marshal(&journalv1.Record{FeatureLevel: 1, Events: []*journalv1.Event{{At: 1, Kind: &journalv1.Event_OrderCancelled{
		OrderCancelled: &journalv1.OrderCancelled{Reason: fmt.Sprint(id, " ", n)},
	}}}})
	if err != nil {
		panic(err)
	}
	return b
}

// commit makes a commit, and tries for as long as it takes, unless the load is stopped before anything came of it: then it is false.
func (l *load) commit(w *written, c *persistence.Commit) bool {
	made := false // it was read that it was
	for {
		done := make(chan error, 1)
		c.Done = func(err error) { done <- err }
		l.j.Commit(c)
		err := <-done
		l.note(w, err)
		switch {
		case err == nil && made, errors.Is(err, persistence.ErrConflict) && !made:
			l.t.Errorf("order %s at version %d: it was read whether the commit was made (%t), and then: %v", c.Handle, c.Expected, made, err)
			return true
		case err == nil, errors.Is(err, persistence.ErrConflict):
			l.confirmed.Add(1)
			return true
		case errors.Is(err, persistence.ErrUnknown):
			l.unknown.Add(1)
			records, ok := l.read(w)
			if !ok {
				return false
			}
			made = len(records) > int(c.Expected)
		case errors.Is(err, persistence.ErrUnavailable):
			l.unavailable.Add(1)
			if !l.pause() {
				return false
			}
		default:
			l.t.Errorf("order %s at version %d: %v", c.Handle, c.Expected, err)
			return false
		}
	}
}

// read reads the history of an order, and tries for as long as it takes; false: the load was stopped.
func (l *load) read(w *written) (records [][]byte, ok bool) {
	for {
		var err error
		records = records[:0]
		for r, e := range l.j.Records(l.t.Context(), w.handle, 0) {
			if err = e; e == nil {
				records = append(records, bytes.Clone(r.Data))
			}
		}
		l.note(w, err)
		switch {
		case err == nil, errors.Is(err, persistence.ErrNotFound):
			return records, true
		case errors.Is(err, persistence.ErrUnavailable):
			l.unavailable.Add(1)
			if !l.pause() {
				return nil, false
			}
		default:
			l.t.Errorf("read order %s: %v", w.handle, err)
			return nil, false
		}
	}
}

// pause waits before something is tried again; false: the load was stopped.
func (l *load) pause() bool {
	select {
	case <-l.ctx.Done():
		return false
	case <-time.After(pollEvery):
		return true
	}
}

// check compares the history of an order with what was confirmed of it. What was not confirmed may be there too.
func (l *load) check(w *written) {
	got, ok := l.read(w)
	if !ok {
		return
	}
	if len(got) < len(w.records) || len(got) > len(w.records)+1 || len(w.records) == stepsEach && len(got) > stepsEach {
		l.t.Errorf("order %s has %d records, %d were confirmed", w.id, len(got), len(w.records))
		return
	}
	for i, r := range w.records {
		if !bytes.Equal(r, got[i]) {
			l.t.Errorf("order %s has another record %d than was confirmed", w.id, i+1)
		}
	}
}

// note notes whether the second shard holds up the writer of an order, as the latest answer to it says.
func (l *load) note(w *written, err error) {
	away, ok := errors.AsType[*persistence.UnavailableError](err)
	switch now := ok && away.Shard == 1; {
	case now && !w.heldUp:
		l.heldUp.Add(1)
	case !now && w.heldUp:
		l.heldUp.Add(-1)
	}
	w.heldUp = ok && away.Shard == 1
}

// awaitHeldUp waits until the second shard holds up each writer: what was answered before it was away has come.
func (l *load) awaitHeldUp() {
	l.t.Helper()
	awaitThat(l.t, func() bool { return l.heldUp.Load() == l.all })
}

// failures counts what the writers were not able to do at once.
func (l *load) failures() int64 { return l.unknown.Load() + l.unavailable.Load() }

// await waits until a counter has risen by n.
func (l *load) await(counter *atomic.Int64, n int64) {
	l.t.Helper()
	want := counter.Load() + n
	awaitThat(l.t, func() bool { return counter.Load() >= want })
}

// end stops the load, and checks all orders.
func (l *load) end() {
	l.t.Helper()
	l.stop()
	if err := until(l.t, func() error { _, err := l.j.Owners(l.t.Context()); return err }); err != nil {
		l.t.Error(err)
	}
	for _, w := range l.orders {
		l.check(w)
	}
	l.t.Logf("%d orders, %d commits confirmed, %d of unknown outcome, %d times unavailable", len(l.orders), l.confirmed.Load(),
		l.unknown.Load(), l.unavailable.Load())
}

// awaitThat waits until a condition holds.
func awaitThat(tb testing.TB, holds func() bool) {
	tb.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	for tick := time.NewTicker(pollEvery); !holds(); {
		select {
		case <-tick.C:
		case <-deadline.C:
			tb.Fatal("what was waited for has not come")
		}
	}
}
