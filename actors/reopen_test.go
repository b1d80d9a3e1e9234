package actors_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-run/holdfast/actors/definition"
	orders "github.com/holdfast-run/holdfast/actors/order"
	"github.com/holdfast-run/holdfast/actors/view"
	"github.com/holdfast-run/holdfast/actors/workflow"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/adapterv1"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/persistence"
	"github.com/holdfast-run/holdfast/persistence/pebble"
)

const suspended = orderv1.Status_STATUS_SUSPENDED

// Commands of operators.
var (
	retry = workflow.Reopen{How: journalv1.Reopening_REOPENING_RETRY, By: "test", Reason: "corrected"}
	skip  = workflow.Reopen{How: journalv1.Reopening_REOPENING_SKIP, Value: []byte(`"skipped"`), By: "test"}
)

// row returns the row of an order, and checks that lists by status agree with it.
func (n *node) row(id string) *journalv1.OrderRow {
	n.t.Helper()
	e, err := n.journal.Find(n.t.Context(), messages.OrderID(id))
	if err != nil {
		n.t.Fatal(err)
	}
	row, err := n.journal.Row(n.t.Context(), e.Handle)
	if err != nil {
		n.t.Fatal(err)
	}
	for _, s := range []orderv1.Status{pending, running, waiting, completed, faulted, cancelled, suspended} {
		found, _, err := n.journal.List(n.t.Context(), persistence.Query{Statuses: []orderv1.Status{s}, Limit: 100, Scan: 1000})
		if err != nil {
			n.t.Fatal(err)
		}
		listed := 0
		for _, f := range found {
			if f.Row.GetId() == id {
				listed++
			}
		}
		if (listed == 1) != (int32(s) == row.GetStatus()) || listed > 1 {
			n.t.Errorf("%s has the row %v and is %d times among those that are %v", id, row, listed, s)
		}
	}
	return row
}

// restarts are what may happen between two steps.
var restarts = map[string]func(*node) *node{
	"running":   func(n *node) *node { return n },
	"killed":    (*node).crash,
	"restarted": (*node).verify,
}

// verify restarts the engine, and makes sure before that the histories, rows and indexes of its journal agree.
func (n *node) verify() *node {
	n.t.Helper()
	n.stop()
	refold := orders.NewRefolder(definition.Limits{})
	report, err := pebble.Verify(n.t.Context(), pebble.Check{
		Dir: n.settings.pebble.Dir, FS: n.settings.pebble.FS, Definition: refold.AddDefinition,
		Fold: func(o pebble.Order) error { return refold.Check(o.Row, o.Open, o.Records) },
	})
	if err != nil || report.ProblemCount > 0 || report.Orders == 0 {
		n.t.Errorf("the journal is not as it should be: %v: %+v", err, report)
	}
	return n.settings.start(n.t)
}

// A faulted order waits, over any restart, until an operator has it go on.
func TestReopen(t *testing.T) {
	t.Parallel()
	for name, again := range restarts {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				n := start(t, inMemory)
				def := n.deploy("two", "do: [{a: {call: x.do}}, {b: {call: x.do}}]")
				fails := func(n *node) *worker {
					return n.worker(func(_ *worker, task *adapterv1.Task) *adapterv1.Result {
						if task.GetTask() == "/do/1/b" {
							return failing(500)
						}
						return done(`{"n":1}`)
					})
				}
				w := fails(n)
				n.mustSubmit(order{id: "a", def: def, deadline: time.Now().Add(time.Hour)})
				n.expect("a", faulted)
				row := n.row("a")
				if row.GetFaultTask() != "/do/1/b" || row.GetFaultType() != workflow.ErrorTypeCommunication || row.GetFaultTitle() != "no" ||
					row.GetEndedAt() == 0 {
					t.Errorf("the row of a faulted order is %v", row)
				}
				endedAt := row.GetEndedAt()
				w.leave()
				n = again(n)
				if got := n.gauge("holdfast_orders_running"); got != 0 {
					t.Errorf("%d orders are open, want none", got)
				}
				n.sleep(time.Minute)
				w = fails(n)
				n.mustOperate("a", retry) // faults again
				n.expect("a", faulted)
				if row := n.row("a"); row.GetEndedAt() == endedAt {
					t.Errorf("the row of an order that has faulted again is %v", row)
				}
				if tasks := w.took(); len(tasks) != 1 || tasks[0].GetKey() != "a:/do/1/b" || tasks[0].GetAttempt() != 2 {
					t.Errorf("a retry brought the tasks %v", tasks)
				}
				w.leave()
				n = again(n)
				w = n.worker(nil)
				n.mustOperate("a", retry)
				n.expect("a", running)
				if row := n.row("a"); row.GetEndedAt() != 0 || row.GetFaultTask() != "" {
					t.Errorf("the row of a reopened order is %v", row)
				}
				if got := n.gauge("holdfast_orders_running"); got != 1 {
					t.Errorf("%d orders are open, want one", got)
				}
				wantErr(t, n.operate("a", retry), workflow.ErrNotFaulted)
				w.leave()
				n = again(n)
				w = n.worker(succeed("2"))
				n.sleep(2 * time.Minute)
				n.expect("a", completed)
				if tasks := w.took(); len(tasks) != 1 || tasks[0].GetAttempt() != 3 {
					t.Errorf("after the retry there were the tasks %v", tasks)
				}
				if got := n.gauge("holdfast_orders_running"); got != 0 {
					t.Errorf("in the end %d orders are open, want none", got)
				}
				n.row("a")
			})
		})
	}
}

// Whoever waits for the end of an order waits on when it is reopened before that.
func TestReopenWakesNobody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t)
		w := n.worker(func(*worker, *adapterv1.Task) *adapterv1.Result { return failing(500) })
		n.mustSubmit(order{id: "a", def: n.deploy("one", callOne)})
		n.expect("a", faulted)
		w.leave()
		w = n.worker(nil)
		n.mustOperate("a", retry)
		ends := make(chan orderv1.Status, 2)
		defer n.await("a", &view.Waiter{Ended: func(s *orderv1.Order) { ends <- s.GetStatus() }})()
		w.answer(w.one(), done("1"))
		settle()
		if len(ends) != 1 || <-ends != completed {
			t.Error("the end was not told, or twice")
		}
	})
}

func TestOperatorsEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t, inMemory)
		def := n.deploy("one", callOne)
		fault := n.deploy("fault", "do: [{a: {raise: {error: {type: 'https://x.y/z', status: 500}}}}]")
		for _, id := range []string{"cancelled", "completed", "skipped"} {
			n.mustSubmit(order{id: id, def: fault, key: id})
			n.mustSubmit(order{id: id + "-next", def: def, key: id})
			n.expect(id+"-next", pending)
		}
		n.mustOperate("cancelled", workflow.Cancel{By: "test"})
		n.mustOperate("completed", workflow.Complete{Output: []byte("1"), By: "test"})
		n.mustOperate("skipped", skip)
		for id, want := range map[string]orderv1.Status{"cancelled": cancelled, "completed": completed, "skipped": completed} {
			n.expect(id, want)
			n.expect(id+"-next", running) // its key is free
			n.row(id)
		}
		n.mustOperate("cancelled", workflow.Cancel{By: "test"})
		wantErr(t, n.operate("completed", workflow.Cancel{By: "test"}), workflow.ErrEnded)
		n = n.crash()
		n.expect("cancelled-next", running)
		w := n.worker(nil)
		settle()
		if tasks := w.took(); len(tasks) != 3 {
			t.Fatalf("there are %d tasks, want 3", len(tasks))
		}
		n.mustOperate("cancelled-next", workflow.Complete{Output: []byte("1"), By: "test"})
		n.mustOperate("completed-next", workflow.Fault{By: "test"})
		n.expect("cancelled-next", running) // what is under way is awaited
		if heard, _, _ := w.heard(); len(heard) != 2 {
			t.Errorf("the adapter was told to give up %v", heard)
		}
		for _, task := range w.took() {
			w.answer(task, done(`"x"`))
		}
		settle()
		n.expect("cancelled-next", completed)
		n.expect("completed-next", faulted)
		n.expect("skipped-next", completed)
	})
}

// An order that holds its key keeps its turn when it is reopened; one whose key was released waits behind the others, as
// they came, also after a restart.
func TestReopenWithKey(t *testing.T) {
	t.Parallel()
	for name, again := range restarts {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				n := start(t, inMemory)
				w := n.worker(func(*worker, *adapterv1.Task) *adapterv1.Result { return failing(500) })
				def := n.deploy("one", callOne)
				n.mustSubmit(order{id: "a", def: def, key: "k"})
				n.mustSubmit(order{id: "b", def: def, key: "k"})
				n.mustSubmit(order{id: "c", def: def, key: "k"})
				n.wantQueue("a", "b", "c")
				w.leave()
				n = again(n)
				settle()
				n.mustOperate("a", retry)
				n.expect("a", running)
				n.wantQueue("a", "b", "c")
				n.sleep(time.Second)
				if got := n.gauge("holdfast_keys_held"); got != 0 {
					t.Errorf("%d keys are held, want none", got)
				}
				n.mustOperate("a", workflow.Fault{By: "test"})
				n.sleep(time.Minute) // nobody answers
				n.expect("a", faulted)
				if err := n.release("a"); err != nil {
					t.Fatal(err)
				}
				n.expect("b", running)
				n = again(n)
				settle()
				n.sleep(time.Second)
				n.mustOperate("a", retry)
				n.expect("a", pending)
				n.sleep(time.Second)
				n.mustSubmit(order{id: "d", def: def, key: "k"})
				n.wantQueue("b", "c", "a", "d")
				n.row("a")
				n = again(n)
				n.sleep(time.Second)
				n.wantQueue("b", "c", "a", "d")
				if got := n.gauge("holdfast_key_orders_waiting"); got != 3 {
					t.Errorf("%d orders wait, want 3", got)
				}
				n.worker(succeed("1"))
				n.sleep(2 * time.Minute)
				for _, id := range []string{"a", "b", "c", "d"} {
					n.expect(id, completed)
				}
				n.checkSequence(true, "b", "c")
				if !slices.IsSorted([]int64{n.span("c").ended, n.span("a").ended, n.span("d").ended}) {
					t.Error("the reopened order did not run between the others")
				}
				n.wantQueue()
			})
		})
	}
}

// Nothing begins in a suspended order, whatever happens; and it takes no memory and no timer.
func TestSuspend(t *testing.T) {
	t.Parallel()
	for name, again := range restarts {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				n := start(t, inMemory)
				w := n.worker(nil)
				two := n.deploy("two", "do: [{a: {call: x.do}}, {w: {wait: PT30S}}, {b: {call: x.do}}]")
				n.mustSubmit(order{id: "a", def: two, key: "k", deadline: time.Now().Add(10 * time.Minute)})
				n.mustSubmit(order{id: "b", def: two, key: "k"})
				n.mustSubmit(order{id: "waits", def: n.deploy("wait", waitLong)})
				for _, id := range []string{"a", "b", "waits"} {
					n.mustOperate(id, workflow.Suspend{By: "test"})
					n.expect(id, suspended)
					n.row(id)
				}
				w.leave()
				n = again(n)
				w = n.worker(succeed("1")) // what was under way ends
				n.sleep(2 * time.Minute)
				for _, id := range []string{"a", "b", "waits"} {
					n.expect(id, suspended)
				}
				w.leave()
				n = again(n)
				n.sleep(time.Second)
				if r, timers := n.resident(), n.gauge("holdfast_timers"); r != 0 || timers != 0 {
					t.Errorf("suspended orders take %d places in memory and %d timers", r, timers)
				}
				w = n.worker(succeed("1"))
				n.mustOperate("waits", workflow.Resume{By: "test"})
				n.expect("waits", completed) // its time has come meanwhile
				n.wantQueue("a", "b")
				n.mustOperate("a", workflow.Resume{By: "test"})
				n.sleep(time.Minute)
				n.expect("a", completed)
				n.wantQueue("b") // it has its turn, and nobody else
				n.expect("b", suspended)
				w.leave()
				n = again(n)
				w = n.worker(succeed("1"))
				n.mustOperate("b", workflow.Resume{By: "test"})
				n.sleep(time.Minute)
				n.expect("b", completed)
				if tasks := w.took(); len(tasks) != 2 {
					t.Errorf("b had the tasks %v", tasks)
				}
			})
		})
	}
}

// Many orders are reopened by an operator who tries until it is done, while commits fail and the node is killed: each goes
// on once.
func TestReopenUnderFaults(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		count := 0
		f := &faulty{fail: func(*persistence.Commit) *fault {
			if count++; count%5 == 0 {
				return &fault{err: persistence.ErrUnknown, made: count%10 == 0}
			}
			return nil
		}}
		n := start(t, inMemory, withWrap(f.wrap))
		w := n.worker(func(*worker, *adapterv1.Task) *adapterv1.Result { return failing(500) })
		def := n.deploy("one", callOne)
		const orders = 30
		for i := range orders {
			for n.submit(order{id: fmt.Sprint("o", i), def: def}) != nil {
				n.sleep(time.Second)
			}
		}
		n.sleep(10 * time.Second)
		w.leave()
		n = n.crash()
		n.worker(succeed("1")).insists = true
		for i := range orders {
			id := fmt.Sprint("o", i)
			for n.state(id).Status() == faulted {
				if err := n.operate(id, retry); err != nil && errors.Is(err, workflow.ErrNotFaulted) {
					break
				}
				n.sleep(time.Second)
			}
			if i == orders/2 {
				n = n.crash()
				n.worker(succeed("1")).insists = true
			}
		}
		n.drain()
		for i := range orders {
			id := fmt.Sprint("o", i)
			n.expect(id, completed)
			reopened := 0
			for _, ev := range n.history(id) {
				if ev.GetOrderReopened() != nil {
					reopened++
				}
			}
			if reopened != 1 {
				t.Errorf("%s was reopened %d times", id, reopened)
			}
		}
	})
}

// An order that loses its key and is reopened in one commit gives up its turn all the same.
func TestReopenInOneCommit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var hold chan struct{}
		f := &faulty{fail: func(*persistence.Commit) *fault {
			if hold == nil {
				return nil
			}
			until := hold
			hold = nil
			return &fault{until: until}
		}}
		n := start(t, withWrap(f.wrap))
		def := n.deploy("wait", waitLong)
		n.mustSubmit(order{id: "a", def: def, key: "k"})
		n.mustSubmit(order{id: "b", def: def, key: "k"})
		release := make(chan struct{})
		hold = release
		var failed []error
		for _, cmd := range []workflow.Command{
			workflow.Suspend{By: "test"}, workflow.Fault{By: "test"}, workflow.ReleaseKey{By: "test"}, retry,
		} {
			n.tell("a", cmd, func(err error) { failed = append(failed, err) })
		}
		settle()
		close(release)
		settle()
		if err := errors.Join(failed...); len(failed) != 4 || err != nil {
			t.Errorf("%d commands were answered: %v", len(failed), err)
		}
		n.wantQueue("b", "a")
		n.expect("a", pending)
		n.sleep(time.Minute)
		n.expect("b", completed)
		n.expect("a", completed)
	})
}
