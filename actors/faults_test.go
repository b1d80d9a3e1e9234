package actors_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/holdfast-run/holdfast/actors"
	"github.com/holdfast-run/holdfast/actors/runtime"
	"github.com/holdfast-run/holdfast/actors/view"
	"github.com/holdfast-run/holdfast/actors/workflow"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/adapterv1"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/persistence"
)

// faulty is a journal whose commits go wrong as a test says.
type faulty struct {
	persistence.Journal

	// fail says what a commit answers; nil: it is made.
	fail func(c *persistence.Commit) *fault
	// read is called before what is read for the recovery of a partition.
	read func(p messages.Partition) error
}

// fault is what goes wrong with a commit.
type fault struct {
	err error
	// made: it is made all the same.
	made bool
	// until holds the answer back.
	until <-chan struct{}
}

func (f *faulty) Commit(c *persistence.Commit) {
	if f.fail == nil {
		f.Journal.Commit(c)
		return
	}
	x := f.fail(c)
	switch {
	case x == nil:
		f.Journal.Commit(c)
	case x.until != nil:
		go func() {
			<-x.until
			f.Journal.Commit(c)
		}()
	case x.made:
		changed, done := *c, c.Done
		changed.Done = func(err error) {
			if err == nil {
				err = x.err
			}
			done(err)
		}
		f.Journal.Commit(&changed)
	default:
		go c.Done(x.err)
	}
}

func (f *faulty) Open(ctx context.Context, p messages.Partition, after messages.Handle, limit int) ([]persistence.OpenOrder, error) {
	if f.read != nil {
		if err := f.read(p); err != nil {
			return nil, err
		}
	}
	return f.Journal.Open(ctx, p, after, limit)
}

// wrap has every node of a test see its journal through f.
func (f *faulty) wrap(j persistence.Journal) persistence.Journal {
	return &faulty{Journal: j, fail: f.fail, read: f.read}
}

// stubborn is a worker that sends its results again until they are acknowledged.
func stubborn(pause func() time.Duration) func(*worker, *adapterv1.Task) *adapterv1.Result {
	return func(w *worker, task *adapterv1.Task) *adapterv1.Result {
		var try func()
		try = func() {
			w.answerThen(task, done("1"), func(err error) {
				if err != nil && !errors.Is(err, workflow.ErrNotAccepted) {
					time.AfterFunc(time.Second, try)
				}
			})
		}
		time.AfterFunc(pause(), try)
		return nil
	}
}

// unreliable fails every third commit or so, with any of some errors; of those whose outcome is unknown it makes every other.
func unreliable(seed uint64, errs ...error) *faulty {
	rng := rand.New(rand.NewPCG(seed, 0))
	var mu sync.Mutex
	return &faulty{fail: func(*persistence.Commit) *fault {
		mu.Lock()
		defer mu.Unlock()
		if rng.IntN(3) > 0 {
			return nil
		}
		err := errs[rng.IntN(len(errs))]
		return &fault{err: err, made: errors.Is(err, persistence.ErrUnknown) && rng.IntN(2) == 0}
	}}
}

// Whatever the journal answers: what was acknowledged ends, and so does whatever else it took.
func TestJournalFaults(t *testing.T) {
	const orders = 150
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := unreliable(3, persistence.ErrBusy, persistence.ErrUnknown, persistence.ErrConflict, persistence.ErrFull)
		n := start(t, withWrap(f.wrap), withEngine(actors.Config{LongWait: time.Second}))
		n.worker(stubborn(func() time.Duration { return rand.N(2 * time.Second) }))
		def := n.deploy("steps", "do: [{a: {call: x.do}}, {w: {wait: PT3S}}, {b: {call: x.do}}]")
		acknowledged := make(chan string, orders)
		var clients sync.WaitGroup
		for i := range orders {
			o := order{id: fmt.Sprint("o", i), def: def}
			if i%3 == 0 {
				o.key = fmt.Sprint("k", i%7)
			}
			clients.Go(func() {
				for range 1 + i%4 { // some clients give up
					answer := make(chan error, 1)
					n.hand(o.accepted(), func(err error) { answer <- err })
					if <-answer == nil {
						acknowledged <- o.id
						return
					}
					time.Sleep(100 * time.Millisecond)
				}
			})
		}
		clients.Wait()
		n.drain()
		for range len(acknowledged) {
			n.expect(<-acknowledged, completed)
		}
		kept, _, err := n.journal.List(t.Context(), persistence.Query{Limit: orders, Scan: orders})
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range kept {
			n.expect(o.Row.GetId(), completed)
		}
		if len(kept) == orders {
			t.Error("no order was refused: the test shows nothing")
		}
	})
}

// A full store refuses new orders; those that run may go on.
func TestFullStore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		full := false
		f := &faulty{fail: func(c *persistence.Commit) *fault {
			if full && c.Expected == 0 {
				return &fault{err: persistence.ErrFull}
			}
			return nil
		}}
		n := start(t, withWrap(f.wrap))
		w := n.worker(nil)
		def := n.deploy("one", callOne)
		n.mustSubmit(order{id: "a", def: def})
		full = true
		wantErr(t, n.submit(order{id: "b", def: def}), persistence.ErrFull)
		w.answer(w.one(), done("1"))
		settle()
		n.expect("a", completed)
		full = false
		n.mustSubmit(order{id: "b", def: def})
	})
}

// An order that gets more than it can take refuses the rest at once, and goes on with what it has.
func TestBusyOrder(t *testing.T) {
	const bound = 5
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		held := false
		f := &faulty{fail: func(c *persistence.Commit) *fault {
			if c.Expected > 0 && !held {
				held = true
				return &fault{until: release}
			}
			return nil
		}}
		n := start(t, withWrap(f.wrap), withEngine(actors.Config{Mailbox: bound}))
		w := n.worker(nil)
		n.mustSubmit(order{id: "a", def: n.deploy("three", callThree)})
		w.answer(w.one(), done("1")) // its commit hangs
		settle()
		answers := make(chan error, 100)
		for range 100 {
			n.tell("a", workflow.Cancel{}, func(err error) { answers <- err })
		}
		settle()
		if got := len(answers); got < 100-2*bound || got == 100 {
			t.Errorf("%d of 100 were refused at once; at most %d may wait", got, 2*bound)
		}
		for range len(answers) {
			wantErr(t, <-answers, runtime.ErrBusy)
		}
		close(release)
		settle()
		if len(answers) == 0 {
			t.Error("nothing came of those that waited")
		}
		for range len(answers) {
			wantErr(t, <-answers, nil)
		}
		if err := n.cancel("a"); err != nil {
			t.Errorf("later: %v", err)
		}
	})
}

// A partition that gets more than it can take refuses the rest at once.
func TestBusyPartition(t *testing.T) {
	const bound = 20
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		f := &faulty{read: func(messages.Partition) error { <-release; return nil }}
		n := start(t, withWrap(f.wrap), withEngine(actors.Config{PartitionMailbox: bound}))
		settle() // the partition reads
		if n.Ready() == nil {
			t.Error("ready before the open orders were read")
		}
		def := n.deploy("set", "do: [{a: {set: {x: 1}}}]")
		answers := make(chan error, 100)
		for i := range 100 {
			o := order{id: fmt.Sprint("o", i), def: def, key: "k"}
			n.hand(o.accepted(), func(err error) { answers <- err })
		}
		settle()
		if got := len(answers); got != 100-bound {
			t.Errorf("%d of 100 were refused at once, want %d", got, 100-bound)
		}
		for range len(answers) {
			wantErr(t, <-answers, runtime.ErrBusy)
		}
		close(release)
		settle()
		for range bound {
			wantErr(t, <-answers, nil)
		}
		if err := n.Ready(); err != nil {
			t.Error(err)
		}
		n.expect("o0", completed)
		n.mustSubmit(order{id: "o99", def: def, key: "k"})
		n.expect("o99", completed)
	})
}

// An order that panics whenever it is told to start is faulted, though it leaves memory in between.
func TestPanicWhenWoken(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		panics := 0
		f := &faulty{fail: func(c *persistence.Commit) *fault {
			var r journalv1.Record
			if err := proto.Unmarshal(c.Record, &r); err != nil {
				t.Error(err)
			}
			if r.GetEvents()[0].GetOrderStarted() != nil {
				panics++
				panic("injected")
			}
			return nil
		}}
		n := start(t, withWrap(f.wrap))
		def := n.deploy("set", "do: [{a: {set: {x: 1}}}]")
		n.mustSubmit(order{id: "a", def: def, key: "k"})
		n.sleep(30 * time.Second)
		n.expect("a", faulted)
		if panics != 3 {
			t.Errorf("it panicked %d times, want 3", panics)
		}
		n.sleep(2 * time.Minute)
		if got := n.resident(); got != 0 {
			t.Errorf("%d orders are in memory", got)
		}
	})
}

// That a task was never begun reaches its order even if the journal is in trouble just then.
func TestNotDoneIsKept(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		commits := 0
		f := &faulty{fail: func(*persistence.Commit) *fault {
			if commits++; commits == 3 {
				return &fault{err: persistence.ErrBusy}
			}
			return nil
		}}
		n := start(t, withWrap(f.wrap))
		n.mustSubmit(order{id: "a", def: n.deploy("one", callOne)})
		if err := n.cancel("a"); err != nil {
			t.Fatal(err)
		}
		n.expect("a", running)
		n.sleep(6 * time.Second)
		n.expect("a", cancelled)
	})
}

// stuck is a journal that takes its time to read histories.
type stuck struct {
	persistence.Journal

	release *chan struct{} // nil: it does not
}

func (s stuck) Records(ctx context.Context, h messages.Handle, from messages.Version) iter.Seq2[persistence.StoredRecord, error] {
	if *s.release != nil {
		<-*s.release
	}
	return s.Journal.Records(ctx, h, from)
}

// An order that is being loaded holds up no other, not even of its own partition.
func TestSlowLoad(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var release chan struct{}
		n := start(t, withWrap(func(j persistence.Journal) persistence.Journal { return stuck{j, &release} }))
		wait, set := n.deploy("wait", waitLong), n.deploy("set", "do: [{a: {set: {x: 1}}}]")
		ids := crowd(3)
		n.mustSubmit(order{id: ids[0], def: wait})
		n.mustSubmit(order{id: ids[1], def: wait})
		n.sleep(28 * time.Second)
		release = make(chan struct{})
		cancelled := make(chan error, 1)
		n.tell(messages.OrderID(ids[0]), workflow.Cancel{}, func(err error) { cancelled <- err })
		n.sleep(2 * time.Second) // the timer of the other
		n.mustSubmit(order{id: ids[2], def: set})
		if len(cancelled) > 0 {
			t.Error("the order was not held up: the test shows nothing")
		}
		close(release)
		wantErr(t, <-cancelled, nil)
		settle()
		for id, want := range map[string]orderv1.Status{ids[0]: orderv1.Status_STATUS_CANCELLED, ids[1]: completed, ids[2]: completed} {
			n.expect(id, want)
		}
	})
}

// Whoever watches an order is told that it has grown by a commit whose outcome was not known, though nothing happens to it after that.
func TestGrownByAnUnknownCommit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var armed atomic.Bool
		f := &faulty{fail: func(*persistence.Commit) *fault {
			if armed.CompareAndSwap(true, false) {
				return &fault{err: persistence.ErrUnknown, made: true}
			}
			return nil
		}}
		n := start(t, withWrap(f.wrap))
		n.worker(stubborn(func() time.Duration { return time.Second }))
		told := 0
		defer n.await("o", &view.Waiter{Grown: func(messages.Version) { told = len(n.history("o")) }})()
		n.mustSubmit(order{id: "o", def: n.deploy("quiet", "do: [{a: {call: x.do}}, {w: {wait: PT1H}}]")})
		armed.Store(true)
		n.sleep(time.Minute)
		if all := len(n.history("o")); told != all || armed.Load() {
			t.Errorf("%d of %d events were told", told, all)
		}
	})
}
