package actors_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-run/holdfast/actors"
	"github.com/holdfast-run/holdfast/actors/view"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/persistence"
)

// looker is somebody who watches a list.
type looker struct {
	*view.Listing

	n     *node
	query view.Query

	mu     sync.Mutex
	orders map[string]*journalv1.OrderRow
	told   int
}

func (n *node) look(q view.Query) *looker {
	q.Scan = 10
	return &looker{Listing: n.View().WatchList(q), n: n, query: q, orders: map[string]*journalv1.OrderRow{}}
}

// once takes in what is news.
func (l *looker) once() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for again := true; again; again = !l.Whole() {
		if err := l.Look(l.n.t.Context()); err != nil {
			l.n.t.Error(err)
			return
		}
	}
	_, err := l.Tell(l.n.t.Context(), func(c view.Change) bool {
		if l.told++; c.Row == nil {
			delete(l.orders, c.ID)
		} else {
			l.orders[c.ID] = c.Row
		}
		return true
	})
	if err != nil {
		l.n.t.Error(err)
	}
}

// follow takes in what is news as soon as there is any, until ctx ends.
func (l *looker) follow(ctx context.Context) {
	for {
		select {
		case <-l.Changed():
			l.once()
		case <-ctx.Done():
			return
		}
	}
}

// expect compares with what the journal has.
func (l *looker) expect() {
	l.n.t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	q := l.query
	q.Scan = 1 << 20
	found, _, err := l.n.journal.List(l.n.t.Context(), q)
	if err != nil {
		l.n.t.Fatal(err)
	}
	if len(found) != len(l.orders) {
		l.n.t.Errorf("%d orders were told, there are %d", len(l.orders), len(found))
	}
	for _, f := range found {
		if told := l.orders[f.Row.GetId()]; told.GetStatus() != f.Row.GetStatus() || told.GetEndedAt() != f.Row.GetEndedAt() {
			l.n.t.Errorf("%s was told as %v, and is %v", f.Row.GetId(), told, f.Row)
		}
	}
}

// Whatever the journal answers: a list that is watched is in the end what there is.
func TestWatchedListUnderFaults(t *testing.T) {
	t.Parallel()
	const orders = 100
	synctest.Test(t, func(t *testing.T) {
		f := unreliable(5, persistence.ErrBusy, persistence.ErrUnknown, persistence.ErrConflict)
		n := start(t, withWrap(f.wrap), withEngine(actors.Config{LongWait: time.Second}))
		n.worker(stubborn(func() time.Duration { return rand.N(2 * time.Second) }))
		def := n.deploy("steps", "do: [{a: {call: x.do}}, {w: {wait: PT3S}}, {b: {call: x.do}}]")
		lookers := []*looker{
			n.look(view.Query{Limit: 30}),
			n.look(view.Query{Limit: 30, Statuses: []orderv1.Status{running, waiting}}),
			n.look(view.Query{Limit: 2 * orders, Statuses: []orderv1.Status{completed}}),
		}
		ctx, cancel := context.WithCancel(t.Context())
		var following sync.WaitGroup
		for _, l := range lookers {
			following.Go(func() { l.follow(ctx) })
		}
		for i := range orders {
			n.hand(order{id: fmt.Sprint("o", i), def: def}.accepted(), func(error) {})
			if i%10 == 0 {
				n.sleep(300 * time.Millisecond)
			}
		}
		for range 20 {
			n.sleep(time.Second)
			for _, l := range lookers {
				l.expect()
			}
		}
		n.drain()
		for _, l := range lookers {
			l.expect()
			if l.told < orders/2 {
				t.Errorf("only %d changes were told: the test shows nothing", l.told)
			}
		}
		cancel()
		following.Wait()
		for _, l := range lookers {
			l.Close()
		}
	})
}

// A partition that is given up does not end the watching: what others do with its orders is found.
func TestWatchedListGoesOnWithoutAPartition(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t)
		n.worker(succeed("1"))
		l := n.look(view.Query{Limit: 10})
		defer l.Close()
		l.once()
		waits := l.Changed()
		n.Give(messages.Partition(7))
		select {
		case <-waits:
		case <-time.After(time.Minute):
			t.Error("nothing is said")
		}
		n.mustSubmit(order{id: elsewhere(7, false), def: n.deploy("one", callOne)})
		n.sleep(2 * time.Second)
		l.once()
		l.expect()
		n.Take(messages.Partition(7))
		n.sleep(2 * time.Second)
		n.mustSubmit(order{id: elsewhere(7, true), def: n.deploy("one", callOne)})
		n.sleep(time.Second)
		l.once()
		l.expect()
	})
}

// elsewhere returns the id of an order that is in a partition, or is not.
func elsewhere(p messages.Partition, in bool) string {
	for i := 0; ; i++ {
		if id := fmt.Sprint("o", i); (messages.PartitionOf(messages.OrderID(id), "") == p) == in {
			return id
		}
	}
}
