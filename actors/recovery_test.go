package actors_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/holdfast-run/holdfast/actors"
	"github.com/holdfast-run/holdfast/actors/runtime"
	"github.com/holdfast-run/holdfast/actors/workflow"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/adapterv1"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/persistence"
)

func keysOf(tasks []*adapterv1.Task) []string {
	var keys []string
	for _, task := range tasks {
		keys = append(keys, fmt.Sprint(task.GetKey(), " ", task.GetAttempt()))
	}
	slices.Sort(keys)
	return keys
}

// What was in flight is dispatched again, once, and nothing else.
func TestRecovery(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t, inMemory)
		three, retry := n.deploy("three", callThree), n.deploy("retry", retryOnce)
		w := n.worker(func(_ *worker, task *adapterv1.Task) *adapterv1.Result {
			last := map[string]string{"second": "/a", "third": "/b", "ended": "/c"}[task.GetOrderId()]
			switch {
			case task.GetOrderId() == "retried" && task.GetAttempt() == 1:
				return failing(503)
			case task.GetKey()[len(task.GetKey())-2:] <= last:
				return done("1")
			}
			return nil
		})
		for _, id := range []string{"first", "second", "third", "ended"} {
			n.mustSubmit(order{id: id, def: three})
		}
		n.mustSubmit(order{id: "retried", def: retry})
		n.mustSubmit(order{id: "waiting", def: n.deploy("wait", waitLong)})
		n.sleep(2 * time.Second)
		n.mustSubmit(order{id: "retries", def: retry})
		w.answer(w.took()[len(w.took())-1], failing(503)) // its retry is not due yet
		settle()
		want := []string{"first:/do/0/a 1", "retried:/do/0/t/try/0/a 2", "second:/do/1/b 1", "third:/do/2/c 1"}
		for name, again := range map[string]func(*node) *node{"kill": (*node).crash, "stop": (*node).restart} {
			n = again(n)
			settle()
			if err := n.Ready(); err != nil {
				t.Error(err)
			}
			w = n.worker(nil)
			if got := keysOf(w.took()); !slices.Equal(got, want) {
				t.Errorf("after a %s the tasks are\n%v, want\n%v", name, got, want)
			}
		}
		n.sleep(time.Second) // the retry is due
		for _, task := range w.took() {
			w.answer(task, done("1"))
		}
		settle()
		for _, task := range w.took() {
			w.answer(task, done("1"))
		}
		settle()
		for _, task := range w.took() {
			w.answer(task, done("1"))
		}
		n.drain()
		for _, id := range []string{"first", "second", "third", "ended", "retried", "retries", "waiting"} {
			n.expect(id, completed)
		}
	})
}

// A kill between any two commits.
func TestKilledAgainAndAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t, inMemory)
		def := n.deploy("steps", "do: [{a: {call: x.do}}, {w: {wait: PT7S}}, {b: {call: x.do}}, {v: {wait: PT1S}}, {c: {call: x.do}}]")
		const orders, rounds = 40, 12
		work := stubborn(func() time.Duration { return 500 * time.Millisecond })
		n.worker(work)
		for i := range orders {
			n.mustSubmit(order{id: fmt.Sprint("o", i), def: def})
			if i%4 == 0 {
				n.sleep(300 * time.Millisecond)
			}
		}
		for range rounds {
			n = n.crash()
			n.worker(work)
			n.sleep(700 * time.Millisecond)
		}
		n.drain()
		for i := range orders {
			id := fmt.Sprint("o", i)
			n.expect(id, completed)
			ended := map[uint32]int{}
			for _, ev := range n.history(id) {
				if e := ev.GetAttemptEnded(); e != nil {
					ended[e.GetFrame()]++
				}
			}
			for frame, times := range ended {
				if times != 1 {
					t.Errorf("order %s: frame %d ended %d times", id, frame, times)
				}
			}
		}
	})
}

// crowded is a partition that tests give many orders.
const crowded messages.Partition = 7

// crowd makes ids of orders of one partition.
func crowd(count int) []string {
	var ids []string
	for i := 0; len(ids) < count; i++ {
		if id := fmt.Sprint("o", i); messages.PartitionOf(messages.OrderID(id), "") == crowded {
			ids = append(ids, id)
		}
	}
	return ids
}

// Recovery reads page by page, and goes on where reading failed.
func TestRecoveryOfManyOrders(t *testing.T) {
	const orders = 1100
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		reads, failures := 0, 0
		f := &faulty{read: func(p messages.Partition) error {
			if p != crowded {
				return nil
			}
			if reads++; reads%3 == 0 && failures < 3 {
				failures++
				return errors.New("injected")
			}
			return nil
		}}
		n := start(t, withWrap(f.wrap), withEngine(actors.Config{Waking: 3}))
		def := n.deploy("one", callOne)
		ids := crowd(orders)
		answers := make(chan error, orders)
		for _, id := range ids {
			o := order{id: id, def: def}
			n.hand(o.accepted(), func(err error) { answers <- err })
		}
		for range ids {
			wantErr(t, <-answers, nil)
		}
		n = n.restart()
		settle()
		n.sleep(10 * time.Second)
		if failures == 0 {
			t.Error("no read failed: the test shows nothing")
		}
		if err := n.Ready(); err != nil {
			t.Error(err)
		}
		w := n.worker(succeed("1"))
		n.drain()
		if got := len(w.took()); got != orders {
			t.Errorf("%d tasks, want %d", got, orders)
		}
	})
}

// A partition whose actor panics is restarted; its orders go on.
func TestPartitionRestart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t)
		one, wait := n.deploy("one", callOne), n.deploy("wait", waitLong)
		ids := crowd(40)
		for i, id := range ids {
			switch i % 4 {
			case 0:
				n.mustSubmit(order{id: id, def: one})
			case 1:
				n.mustSubmit(order{id: id, def: wait})
			default: // a commit may be under way when it happens
				o := order{id: id, def: one}
				n.hand(o.accepted(), func(err error) {
					if err != nil && !errors.Is(err, runtime.ErrInterrupted) {
						t.Errorf("submit %s: %v", id, err)
					}
				})
			}
			if i%10 == 9 {
				n.BreakPartition(crowded)
				n.sleep(time.Second)
			}
		}
		n.worker(succeed("1"))
		n.drain()
		for i, id := range ids {
			if i%4 < 2 {
				n.expect(id, completed)
			}
		}
		select {
		case err := <-n.broken:
			t.Errorf("the process ended: %v", err)
		default:
		}
	})
}

// A partition that panics again and again ends the process.
func TestPartitionBreaksForGood(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t)
		for range 11 {
			n.BreakPartition(crowded)
			n.sleep(2 * time.Second)
		}
		select {
		case err := <-n.broken:
			if !strings.Contains(err.Error(), "partition-7") {
				t.Errorf("the reason is %v", err)
			}
		default:
			t.Error("the process goes on")
		}
	})
}

// poison is a journal on which a test order panics whenever an attempt of it succeeds, as a defect of the engine would.
type poison struct{ persistence.Journal }

func (p poison) Commit(c *persistence.Commit) {
	var r journalv1.Record
	if err := proto.Unmarshal(c.Record, &r); err != nil {
		panic(err)
	}
	for _, ev := range r.GetEvents() {
		if string(ev.GetAttemptEnded().GetOutput()) == `"poison"` {
			panic("injected")
		}
	}
	p.Journal.Commit(c)
}

// An order that panics is loaded again; when it does so again and again it is faulted, and others go on.
func TestPoison(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t, withWrap(func(j persistence.Journal) persistence.Journal { return poison{j} }),
			withEngine(actors.Config{Workflow: workflow.Limits{StopGrace: 10 * time.Second}}))
		w := n.worker(nil)
		def := n.deploy("one", callOne)
		ids := crowd(3)
		for _, id := range ids {
			n.mustSubmit(order{id: id, def: def})
		}
		tasks := w.took()
		slices.SortFunc(tasks, func(a, b *adapterv1.Task) int { return cmp.Compare(a.GetOrderId(), b.GetOrderId()) })
		bad := tasks[0]
		for round := range 3 {
			n.expect(bad.GetOrderId(), running)
			answer := make(chan error, 2)
			w.answerThen(bad, done(`"poison"`), func(err error) { answer <- err })
			settle()
			wantErr(t, <-answer, runtime.ErrInterrupted)
			n.sleep(time.Second)
			if round == 0 {
				w.answer(tasks[1], done("1"))
				settle()
				n.expect(tasks[1].GetOrderId(), completed)
			}
		}
		w.answer(bad, &adapterv1.Result{Outcome: adapterv1.Outcome_OUTCOME_NOT_DONE})
		settle()
		n.expect(bad.GetOrderId(), faulted)
		if e := n.state(bad.GetOrderId()).Error(); !strings.Contains(e.GetDetail(), "injected") {
			t.Errorf("faulted by %v", e)
		}
		w.answer(tasks[2], done("1"))
		settle()
		n.expect(tasks[2].GetOrderId(), completed)
		n.sleep(10 * time.Second)
		if got := n.resident(); got != 0 {
			t.Errorf("%d orders in memory", got)
		}
	})
}

// When many orders panic, it is not the orders that are at fault: none is faulted any more, and in the end the process
// ends.
func TestPoisonOfMany(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t, withWrap(func(j persistence.Journal) persistence.Journal { return poison{j} }),
			withEngine(actors.Config{PoisonFaults: 2, Workflow: workflow.Limits{StopGrace: time.Second}}))
		n.worker(func(w *worker, task *adapterv1.Task) *adapterv1.Result {
			var try func()
			try = func() {
				w.answerThen(task, done(`"poison"`), func(err error) {
					if err != nil {
						time.AfterFunc(100*time.Millisecond, try)
					}
				})
			}
			try()
			return nil
		})
		def := n.deploy("one", callOne)
		ids := crowd(20)
		for _, id := range ids {
			n.mustSubmit(order{id: id, def: def})
		}
		n.sleep(time.Minute - time.Second)
		ended := 0
		for _, id := range ids {
			if n.state(id).Ended() {
				ended++
			}
		}
		if ended > 2 {
			t.Errorf("%d orders were faulted, want 2 at most", ended)
		}
		select {
		case err := <-n.broken:
			t.Log(err)
		default:
			t.Error("the process goes on")
		}
	})
}

// A panic now and then is forgiven.
func TestPanicOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t, withWrap(func(j persistence.Journal) persistence.Journal { return poison{j} }))
		w := n.worker(nil)
		n.mustSubmit(order{id: "a", def: n.deploy("one", callOne)})
		task := w.one()
		for range 2 {
			w.answer(task, done(`"poison"`))
			n.sleep(time.Second)
		}
		w.answer(task, done("1"))
		settle()
		n.expect("a", completed)
	})
}

// unreadable is a journal in which the history of one order can't be folded.
type unreadable struct {
	persistence.Journal

	which *messages.Handle
}

func (u unreadable) Records(ctx context.Context, h messages.Handle, from messages.Version) iter.Seq2[persistence.StoredRecord, error] {
	if h == *u.which {
		panic("injected")
	}
	return u.Journal.Records(ctx, h, from)
}

// An order that can neither run nor be faulted is left alone, whatever it is that asks for it. The others go on, though no more
// than one is woken at a time.
func TestUnreadableOrder(t *testing.T) {
	t.Parallel()
	ids := crowd(8)
	for name, bad := range map[string]string{"at an adapter": ids[0], "waiting": ids[1], "on disk": ids[6], "of a key": "keyed"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var which messages.Handle
				n := start(t, narrow, withWrap(func(j persistence.Journal) persistence.Journal { return unreadable{j, &which} }),
					func(s *settings) { s.engine.Waking = 1 })
				one, wait := n.deploy("one", callOne), n.deploy("wait", waitLong)
				n.mustSubmit(order{id: "keyed", def: one, key: "k"})
				n.mustSubmit(order{id: "keyed later", def: one, key: "k"})
				for i, id := range ids {
					def := one
					if name == "waiting" && (i == 1 || i == 2) {
						def = wait
					}
					n.mustSubmit(order{id: id, def: def})
					n.sleep(time.Millisecond)
				}
				entry, err := n.journal.Find(t.Context(), messages.OrderID(bad))
				if err != nil {
					t.Fatal(err)
				}
				n.stop()
				which = entry.Handle
				n = n.settings.start(t)
				w := n.worker(stubborn(func() time.Duration { return 0 }))
				n.sleep(5 * time.Minute)
				w.leave()
				n.worker(stubborn(func() time.Duration { return 0 }))
				n.sleep(5 * time.Minute)
				if err := n.Ready(); err != nil {
					t.Error(err)
				}
				for _, id := range ids {
					if id != bad {
						n.expect(id, completed)
					}
				}
				select {
				case err := <-n.broken:
					t.Errorf("the process ended: %v", err)
				default:
				}
			})
		})
	}
}

// slow is a journal that takes its time to read open orders, and counts how many read at once.
type slow struct {
	persistence.Journal

	now, most *atomic.Int64
}

func (s slow) Open(ctx context.Context, p messages.Partition, after messages.Handle, limit int) ([]persistence.OpenOrder, error) {
	now := s.now.Add(1)
	defer s.now.Add(-1)
	for {
		if most := s.most.Load(); now <= most || s.most.CompareAndSwap(most, now) {
			break
		}
	}
	time.Sleep(3 * time.Second)
	return s.Journal.Open(ctx, p, after, limit)
}

// A few partitions read their open orders at once, so that none gives a read up because it waits for the others. Those whose turn
// takes long to come are no sign that the node is stuck.
func TestFewReadAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var now, most atomic.Int64
		began := time.Now()
		n := start(t, withWrap(func(j persistence.Journal) persistence.Journal { return slow{j, &now, &most} }))
		for n.Ready() != nil {
			if stuck := n.dog.Stuck(time.Now()); len(stuck) > 0 {
				t.Fatalf("%v", stuck)
			}
			n.sleep(time.Second)
		}
		// 256 partitions, 16 at once, for 3 s each.
		if took := time.Since(began); most.Load() != 16 || took < 48*time.Second || took > 55*time.Second {
			t.Errorf("%d read at once, in %v", most.Load(), took)
		}
	})
}
