package actors_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-run/holdfast/actors"
	"github.com/holdfast-run/holdfast/actors/workflow"
	"github.com/holdfast-run/holdfast/messages/adapterv1"
)

// narrow has room for four tasks of a priority.
func narrow(s *settings) { s.engine.QueueEach = 4500 }

// overflowed is the metric.
func (n *node) overflowed() int {
	n.t.Helper()
	return n.gauge("holdfast_queue_overflow", "x.do")
}

// Orders for which there is no room wait on disk, and nothing of them is in memory. They go on in the order of their
// priorities, and of their acceptance, whatever happens in between.
func TestOverflow(t *testing.T) {
	t.Parallel()
	for name, again := range map[string]func(*node) *node{
		"one process": func(n *node) *node { return n }, "kill": (*node).crash, "stop": (*node).restart,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				n := start(t, inMemory, narrow)
				def := n.deploy("one", callOne)
				var want []string
				const each = 30
				for i := range each {
					for _, p := range []int32{0, 9, 5} {
						n.mustSubmit(order{id: fmt.Sprintf("p%d-%02d", p, i), def: def, priority: p})
						time.Sleep(time.Millisecond)
					}
				}
				for _, p := range []int32{9, 5, 0} {
					for i := range each {
						want = append(want, fmt.Sprintf("p%d-%02d", p, i))
					}
				}
				if got := n.resident(); got > 3*4 {
					t.Errorf("%d orders are in memory", got)
				}
				if got := n.overflowed(); got != 3*each-3*4 {
					t.Errorf("%d tasks have overflowed", got)
				}
				n = again(n)
				n.sleep(2 * time.Second)
				if got := n.overflowed(); got != 3*each-3*4 {
					t.Errorf("%d tasks have overflowed in the end", got)
				}
				w := n.slowWorker()
				var got []string
				for i := range want {
					w.credit(uint64(i + 1))
					settle()
				}
				for _, task := range w.took() {
					got = append(got, task.GetOrderId())
				}
				// Within a priority partitions take turns.
				byPriority := func(a, b string) int { return int(b[1]) - int(a[1]) }
				if !slices.IsSortedFunc(got, byPriority) || len(got) != len(want) {
					t.Errorf("tasks went in the order\n%v", got)
				}
				n.drain()
				for _, id := range want {
					n.expect(id, completed)
				}
				if got := n.overflowed(); got != 0 {
					t.Errorf("%d tasks have overflowed after all", got)
				}
			})
		})
	}
}

// slowWorker gets credits only as the test says.
func (n *node) slowWorker() *worker {
	w := n.newWorker(succeed("1"), process("slow", "slow"))
	w.attach()
	settle()
	return w
}

// What has begun is brought to its end before more is begun.
func TestOverflowFollows(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t, narrow)
		def := n.deploy("three", callThree)
		const orders = 30
		for i := range orders {
			n.mustSubmit(order{id: fmt.Sprint("o", i), def: def})
		}
		w := n.slowWorker()
		begun, most := map[string]int{}, 0
		for i := range 3 * orders {
			w.credit(uint64(i + 1))
			settle()
			task := w.took()[i]
			if begun[task.GetOrderId()]++; begun[task.GetOrderId()] == 3 {
				delete(begun, task.GetOrderId())
			}
			most = max(most, len(begun))
		}
		if most > 4+1 { // those that wait, and the one that is executed
			t.Errorf("%d orders were under way at once", most)
		}
		if got := len(w.took()); got != 3*orders {
			t.Errorf("%d tasks", got)
		}
		n.drain()
	})
}

// An order whose task waits on disk can be cancelled, and its deadline strikes.
func TestOverflowLeft(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t, inMemory, narrow, func(s *settings) { s.engine.Idle = time.Second })
		def := n.deploy("one", callOne)
		for i := range 10 {
			n.mustSubmit(order{id: fmt.Sprint("full", i), def: def})
		}
		n.mustSubmit(order{id: "cancelled", def: def})
		n.mustSubmit(order{id: "late", def: def, deadline: time.Now().Add(time.Minute)})
		n.mustSubmit(order{id: "later", def: def, deadline: time.Now().Add(2 * time.Minute)})
		n.sleep(5 * time.Second)
		if err := n.cancel("cancelled"); err != nil {
			t.Error(err)
		}
		n.expect("cancelled", cancelled)
		n.sleep(time.Minute)
		n.expect("late", faulted)
		n = n.crash()
		n.expect("later", running)
		n.sleep(2 * time.Minute) // it may have been handed over before the kill: that is given some time
		n.expect("later", faulted)
		w := n.worker(succeed("1"))
		n.drain()
		for _, task := range w.took() {
			if id := task.GetOrderId(); id == "cancelled" || id == "late" || id == "later" {
				t.Errorf("%s was sent", id)
			}
		}
		if got := n.overflowed(); got != 0 {
			t.Errorf("%d tasks have overflowed after all", got)
		}
	})
}

// Orders leave memory, also while adapters have their tasks, when there is too much in it; large ones count more.
func TestResidentBytes(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		input string
		most  int
	}{"small": {"{}", 13}, "large": {`"` + strings.Repeat("x", 40<<10) + `"`, 2}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				n := start(t, withEngine(actors.Config{ResidentBytes: 50 << 10}))
				w := n.worker(nil)
				def := n.deploy("three", callThree)
				const orders = 300
				for i := range orders {
					n.mustSubmit(order{id: fmt.Sprint("o", i), def: def, input: test.input})
				}
				if got := len(w.took()); got != orders {
					t.Errorf("%d tasks", got)
				}
				for i := range 3 * orders {
					if got := n.resident(); got > test.most {
						t.Fatalf("%d orders are in memory", got)
					}
					w.answer(w.took()[i], done("1"))
					settle()
				}
				n.drain()
			})
		})
	}
}

// What waits for one activity is not in the way of others.
func TestOverflowOfOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t, narrow)
		away, here := n.deploy("away", "do: [{a: {call: away.do}}]"), n.deploy("one", callOne)
		n.worker(succeed("1"))
		for i := range 50 {
			n.mustSubmit(order{id: fmt.Sprint("away", i), def: away, priority: 9})
			n.mustSubmit(order{id: fmt.Sprint("here", i), def: here})
			n.expect(fmt.Sprint("here", i), completed)
		}
		n.sleep(time.Minute)
		if got := n.resident(); got > 4 {
			t.Errorf("%d orders are in memory", got)
		}
		if got := n.overflowed(); got != 0 {
			t.Errorf("%d tasks have overflowed", got)
		}
	})
}

// What waits for a version that nobody offers is not in the way of calls of another version, or of any; on disk neither.
func TestOverflowOfVersions(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t, inMemory, narrow)
		gone := n.deploy("gone", "do: [{a: {call: x.do:2.0.0@default}}]")
		defs := []*workflow.Definition{n.deploy("one", callOne), n.deploy("this", "do: [{a: {call: x.do:1.0.0@default}}]")}
		for i := range 20 {
			n.mustSubmit(order{id: fmt.Sprint("gone", i), def: gone, priority: 9})
			n.mustSubmit(order{id: fmt.Sprint("here", i), def: defs[i%2]})
		}
		n = n.crash()
		n.worker(succeed("1"))
		n.sleep(5 * time.Second)
		for i := range 20 {
			n.expect(fmt.Sprint("here", i), completed)
			n.expect(fmt.Sprint("gone", i), running)
		}
		n.checkCounts()
		n.worker(succeed("1"), func(h *adapterv1.Hello) { h.Process, h.Activities[0].Version = "new", "2.0.0" })
		n.drain()
		n.checkNothingLeft()
	})
}

// An order that waited on disk still has its deadline when it does no longer, though others are due before.
func TestOverflowAndDeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t, narrow, func(s *settings) { s.engine.Dues = 1 })
		pause, two := n.deploy("pause", "do: [{a: {wait: PT1M}}]"), n.deploy("two", "do: [{a: {call: x.do}}, {b: {call: x.do}}]")
		for i := range 300 {
			n.mustSubmit(order{id: fmt.Sprint("early-", i), def: pause})
		}
		const orders = 40
		deadline := time.Now().Add(2 * time.Minute)
		for i := range orders {
			n.mustSubmit(order{id: fmt.Sprint("o", i), def: two, deadline: deadline})
		}
		if n.overflowed() < orders/2 {
			t.Fatalf("%d tasks have overflowed: the test shows nothing", n.overflowed())
		}
		n.worker(func(_ *worker, task *adapterv1.Task) *adapterv1.Result {
			if strings.HasPrefix(task.GetTask(), "/do/1") {
				return nil // it takes for ever
			}
			return done("1")
		})
		n.sleep(2*time.Minute + 40*time.Second) // adapters have some time to stop
		for i := range orders {
			n.expect(fmt.Sprint("o", i), faulted)
		}
	})
}
