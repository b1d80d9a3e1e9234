package journaltest

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"google.golang.org/protobuf/proto"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/persistence"
)

func testAccept(t env) {
	j := open(t)
	o := newOrder()
	if _, err := j.Find(t.Context(), o.id); !errors.Is(err, persistence.ErrNotFound) {
		t.Errorf("find before acceptance: %v", err)
	}
	if _, err := j.Row(t.Context(), o.handle); !errors.Is(err, persistence.ErrNotFound) {
		t.Errorf("row before acceptance: %v", err)
	}
	o.must(t, j, o.accept(2))
	o.check(t, j)
	if o.version != 2 {
		t.Errorf("version is %d", o.version)
	}
	ended := newOrder()
	c := ended.accept(3)
	c.Open, c.Close = nil, true
	c.Row.Status, c.Row.EndedAt = int32(orderv1.Status_STATUS_COMPLETED), c.Row.GetAcceptedAt()
	ended.must(t, j, c)
	ended.open = nil
	ended.check(t, j)
}

func testAcceptTaken(t env) {
	j := open(t)
	first := accepted(t, j)
	check := func(what string, err error, want *order) {
		t.Helper()
		var taken *persistence.TakenError
		if !errors.As(err, &taken) || !errors.Is(err, persistence.ErrConflict) {
			t.Fatalf("%s: %v", what, err)
		}
		if e := taken.Entry; e.Handle != want.handle || e.Partition != want.partition || string(e.ContentHash) != "hash of "+string(want.id) {
			t.Errorf("%s: taken by %+v", what, e)
		}
	}
	again := newOrder()
	again.id = first.id
	check("id of a stored order", commit(j, again.accept(1)), first)
	if _, err := j.Row(t.Context(), again.handle); !errors.Is(err, persistence.ErrNotFound) {
		t.Errorf("row of the refused order: %v", err)
	}
	check("the same acceptance", commit(j, first.accept(1)), first)

	// In one batch, as far as a backend makes one: whoever is first wins.
	a, b := newOrder(), newOrder()
	b.id = a.id
	b.in(a.partition)
	errs := commitAll(j, a.accept(1), b.accept(1), first.accept(1))
	if errs[0] != nil {
		t.Fatal(errs[0])
	}
	a.version = 1
	check("id of an order in the same batch", errs[1], a)
	check("id of a stored order in a batch", errs[2], first)
	a.check(t, j)
	if h := history(t, j, b.handle); len(h) != 0 {
		t.Errorf("the refused order has %d records", len(h))
	}
}

func testCommit(t env) {
	j := open(t)
	o := accepted(t, j)
	for n := 1; n < 5; n++ {
		o.must(t, j, o.step(n))
	}
	o.check(t, j)
	if o.version != 11 {
		t.Errorf("version is %d", o.version)
	}
	// The hot commit leaves the rows alone; others replace them.
	o.must(t, j, o.wait(42))
	o.check(t, j)
	o.must(t, j, o.wait(0))
	o.check(t, j)
	o.must(t, j, o.end(orderv1.Status_STATUS_FAULTED))
	o.check(t, j)
	// Something may still happen to an ended order; and it may be opened again.
	o.must(t, j, o.step(1))
	c := o.step(1)
	c.Row = o.rowWith(orderv1.Status_STATUS_RUNNING)
	c.Row.EndedAt = 0
	c.Open = &journalv1.OpenRow{Id: string(o.id), Due: 7}
	o.must(t, j, c)
	o.check(t, j)
	o.must(t, j, o.end(orderv1.Status_STATUS_COMPLETED))
	o.check(t, j)
}

func testConflict(t env) {
	j := open(t)
	o := accepted(t, j)
	o.must(t, j, o.step(3))
	for _, expected := range []messages.Version{1, 2, 3, 5, 1000} {
		c := o.step(1)
		c.Expected = expected
		wantErr(t, fmt.Sprintf("expected version %d", expected), commit(j, c), persistence.ErrConflict)
	}
	stranger := newOrder()
	stranger.version = 1
	wantErr(t, "order that was never accepted", commit(j, stranger.step(1)), persistence.ErrConflict)
	o.check(t, j)
	// A commit that was refused does no harm to the next.
	o.must(t, j, o.step(1))
	o.check(t, j)
}

func testFenced(t env) {
	j := open(t)
	o := accepted(t, j)
	old := j.epochs[o.partition]
	j.epochs[o.partition] = claim(t, j, o.partition)
	stale := o.step(1)
	stale.Epoch = old
	wantErr(t, "old epoch", commit(j, stale), persistence.ErrFenced)
	stale = newOrder().in(o.partition).accept(1)
	stale.Epoch = old
	wantErr(t, "acceptance with an old epoch", commit(j, stale), persistence.ErrFenced)
	future := o.step(1)
	future.Epoch = j.epochs[o.partition] + 1
	wantErr(t, "epoch that nobody claimed", commit(j, future), persistence.ErrFenced)
	none := o.step(1)
	wantErr(t, "no epoch", commit(j.Journal, none), persistence.ErrFenced)
	o.check(t, j)
	o.must(t, j, o.step(1))
	o.check(t, j)
}

// testMalformed hands over what no caller should.
func testMalformed(t env) {
	j := open(t)
	o := accepted(t, j)
	tests := map[string]func(accept, step, end *persistence.Commit) *persistence.Commit{
		"no handle":             func(c, _, _ *persistence.Commit) *persistence.Commit { c.Handle = messages.Handle{}; return c },
		"no events":             func(_, c, _ *persistence.Commit) *persistence.Commit { c.Events = 0; return c },
		"acceptance, no id":     func(c, _, _ *persistence.Commit) *persistence.Commit { c.ID = ""; return c },
		"acceptance, no row":    func(c, _, _ *persistence.Commit) *persistence.Commit { c.Row = nil; return c },
		"acceptance, not open":  func(c, _, _ *persistence.Commit) *persistence.Commit { c.Open = nil; return c },
		"id without acceptance": func(_, c, _ *persistence.Commit) *persistence.Commit { c.ID = "some"; return c },
		"open and close":        func(_, _, c *persistence.Commit) *persistence.Commit { c.Open = o.open; return c },
		"no such partition": func(_, c, _ *persistence.Commit) *persistence.Commit {
			c.Partition = messages.Partitions
			return c
		},
		"more than an acceptance, no epoch": func(c, _, _ *persistence.Commit) *persistence.Commit { c.Events = 2; return c },
		"position": func(c, _, _ *persistence.Commit) *persistence.Commit {
			c.Open = proto.CloneOf(c.Open)
			c.Open.Position = 1
			return c
		},
		"another partition": func(c, _, _ *persistence.Commit) *persistence.Commit { c.Partition = (c.Partition + 1) % 256; return c },
		"bad UTF-8": func(c, _, _ *persistence.Commit) *persistence.Commit {
			c.Row = proto.CloneOf(c.Row)
			c.Row.OrderKey = "\xff"
			return c
		},
	}
	for name, spoil := range tests {
		stranger := newOrder()
		c := spoil(stranger.accept(1), o.step(1), o.end(orderv1.Status_STATUS_COMPLETED))
		to := persistence.Journal(j)
		if c.Events == 2 {
			to = j.Journal // which gives it no epoch
		}
		err := commit(to, c)
		if err == nil || errors.Is(err, persistence.ErrConflict) || errors.Is(err, persistence.ErrUnknown) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := j.Find(t.Context(), stranger.id); !errors.Is(err, persistence.ErrNotFound) {
			t.Errorf("%s: find: %v", name, err)
		}
	}
	o.check(t, j)
}

func testEachFailsAlone(t env) {
	j := open(t)
	const n = 40
	var commits []*persistence.Commit
	var orders []*order
	taken := accepted(t, j)
	for i := range n {
		o := newOrder()
		switch i % 4 {
		case 0:
			commits = append(commits, o.accept(1))
		case 1:
			o = accepted(t, j)
			commits = append(commits, o.step(2))
		case 2:
			o.id = taken.id
			commits = append(commits, o.accept(1))
		case 3:
			o = accepted(t, j)
			c := o.step(1)
			c.Epoch = 1 << 30
			commits = append(commits, c)
		}
		orders = append(orders, o)
	}
	for i, err := range commitAll(j, commits...) {
		switch i % 4 {
		case 0, 1:
			if err != nil {
				t.Errorf("commit %d: %v", i, err)
			}
			orders[i].done(commits[i])
		case 2:
			wantErr(t, fmt.Sprintf("commit %d", i), err, persistence.ErrConflict)
		case 3:
			wantErr(t, fmt.Sprintf("commit %d", i), err, persistence.ErrFenced)
		}
	}
	for i, o := range orders {
		if i%4 != 2 {
			o.check(t, j)
		}
	}
}

// testSameOrderInOneBatch has two owners who don't know of each other; only one can win, also against an end.
func testSameOrderInOneBatch(t env) {
	j := open(t)
	for range 20 {
		o := accepted(t, j)
		commits := []*persistence.Commit{o.end(orderv1.Status_STATUS_CANCELLED), o.step(2), o.step(1)}
		errs := commitAll(j, commits...)
		if errs[0] != nil {
			t.Fatal(errs[0])
		}
		wantErr(t, "second commit", errs[1], persistence.ErrConflict)
		wantErr(t, "third commit", errs[2], persistence.ErrConflict)
		o.done(commits[0])
		o.check(t, j)
	}
}

// testOneWinner has many owners race for every version of an order.
func testOneWinner(t env) {
	j := open(t)
	o := accepted(t, j)
	for range 20 {
		const owners = 8
		var won atomic.Int32
		var wg sync.WaitGroup
		for range owners {
			c := o.step(1)
			wg.Go(func() {
				switch err := commit(j, c); {
				case err == nil:
					won.Add(1)
				case !errors.Is(err, persistence.ErrConflict):
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if won.Load() != 1 {
			t.Fatalf("%d of %d won", won.Load(), owners)
		}
		o.version++
	}
	o.check(t, j)
}

// testConcurrent runs many orders at once and reads them at any time.
func testConcurrent(t env) {
	j := open(t)
	const workers, each, steps = 16, 5, 6
	var mu sync.Mutex
	var all []*order
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for range each {
				o := newOrder()
				for i := range steps {
					c := o.step(i%3 + 1)
					switch i {
					case 0:
						c = o.accept(1)
					case steps - 1:
						c = o.end(orderv1.Status_STATUS_COMPLETED)
					}
					if err := commit(j, c); err != nil {
						t.Error(err)
						return
					}
					o.done(c)
					// What was confirmed is seen.
					if v := last(t, history(t, j, o.handle)); v != o.version {
						t.Errorf("version %d was confirmed, %d is there", o.version, v)
					}
				}
				mu.Lock()
				all = append(all, o)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	for _, o := range all {
		o.check(t, j)
	}
	if len(all) != workers*each {
		t.Errorf("%d orders were finished", len(all))
	}
}

func testClose(t env) {
	j := t.Open(t)
	o := accepted(t, j)
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	wantErr(t, "commit after Close", commit(j, o.step(1)), persistence.ErrClosed)
	_, err := j.Find(t.Context(), o.id)
	wantErr(t, "find after Close", err, persistence.ErrClosed)
	_, _, err = j.List(t.Context(), persistence.Query{Limit: 1, Scan: 1})
	wantErr(t, "list after Close", err, persistence.ErrClosed)
	_, err = j.Claim(t.Context(), []persistence.Holding{j.holding(0)})
	wantErr(t, "claim after Close", err, persistence.ErrClosed)
	wantErr(t, "check after Close", check(j, j.holding(0)), persistence.ErrClosed)
	for _, err := range j.Records(t.Context(), o.handle, 0) {
		wantErr(t, "records after Close", err, persistence.ErrClosed)
	}
	if err := j.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
	o.check(t, open(t))
}

// testCloseUnderLoad closes while commits come in: each is answered once, and what is confirmed stays.
func testCloseUnderLoad(t env) {
	j := t.Open(t)
	const n = 200
	orders := make([]*order, n)
	answers := make([]atomic.Int32, n)
	results := make([]error, n)
	var answered, handed sync.WaitGroup
	answered.Add(n)
	started := make(chan struct{}, n)
	for i := range n {
		orders[i] = newOrder()
		c := orders[i].accept(1)
		c.Done = func(err error) {
			if answers[i].Add(1) == 1 {
				results[i] = err
				answered.Done()
			}
		}
		handed.Go(func() {
			j.Commit(c)
			started <- struct{}{}
		})
	}
	for range n / 4 {
		<-started
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	handed.Wait()
	answered.Wait()
	j = open(t)
	for i, o := range orders {
		_, err := j.Find(t.Context(), o.id)
		switch {
		case answers[i].Load() != 1:
			t.Errorf("Done was called %d times", answers[i].Load())
		case results[i] == nil && err != nil:
			t.Errorf("a confirmed order is lost: %v", err)
		case errors.Is(results[i], persistence.ErrClosed) && !errors.Is(err, persistence.ErrNotFound):
			t.Errorf("an order that was answered ErrClosed is there: %v", err)
		case results[i] != nil && !errors.Is(results[i], persistence.ErrClosed):
			t.Error(results[i])
		}
	}
}

func testReopen(t env) {
	var orders []*order
	for round := range 4 {
		j := t.Open(t)
		for _, o := range orders {
			o.check(t, j)
			if o.open != nil {
				// The version is checked by a journal that has not seen the order yet, too.
				wrong := o.step(1)
				wrong.Expected++
				wantErr(t, "version too high", commit(j, wrong), persistence.ErrConflict)
				o.must(t, j, o.step(2))
			}
		}
		if epoch := claim(t, j, 3); epoch != messages.Epoch(2*round+2) {
			t.Errorf("epoch is %d after %d claims", epoch, 2*round+1)
		}
		for i := range 5 {
			o := newOrder()
			for o.partition == 3 {
				o = newOrder()
			}
			o.must(t, j, o.accept(1))
			if i == 0 {
				o.must(t, j, o.end(orderv1.Status_STATUS_COMPLETED))
			}
			orders = append(orders, o)
		}
		closeJournal(t, j)
	}
}

func testCanceled(t env) {
	j := open(t)
	o := accepted(t, j)
	ctx := canceled()
	_, errFind := j.Find(ctx, o.id)
	_, errRow := j.Row(ctx, o.handle)
	_, errOpen := j.Open(ctx, o.partition, messages.Handle{}, 1)
	_, _, errList := j.List(ctx, persistence.Query{Limit: 1, Scan: 1})
	errs := []error{errFind, errRow, errOpen, errList}
	for _, err := range j.Records(ctx, o.handle, 0) {
		errs = append(errs, err)
	}
	if slices.Contains(errs, nil) || len(errs) != 5 {
		t.Errorf("reads with a canceled context: %v", errs)
	}
}
