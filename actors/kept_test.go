package actors_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-run/holdfast/messages/adapterv1"
)

// bare has a worker attached without a credit: all its places are taken.
func (n *node) bare(changes ...func(*adapterv1.Hello)) *worker {
	w := n.newWorker(nil, changes...)
	w.attach()
	settle()
	return w
}

// breaks has a worker begin with the task that it gets, and go away for longer than anybody waits for it.
func (n *node) breaks(name string, changes ...func(*adapterv1.Hello)) *adapterv1.Task {
	w := n.worker(nil, append(changes, process(name, name), begins)...)
	task := w.one()
	w.begin(task)
	w.die()
	n.sleep(70 * time.Second)
	return task
}

// Who is back with it is not the only one who has it: another process has said so before.
func TestKeptByTwo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t)
		q := n.worker(nil, process("q", "q"))
		n.mustSubmit(order{id: "a", def: n.deploy("one", callOne)})
		task := q.one() // in its queue
		n = n.restart()
		p := n.worker(nil, process("p", "p"))
		again := p.one()
		if !again.GetMaybeStarted() {
			t.Fatal("not marked")
		}
		p.die()
		q = n.bare(process("q", "q", task.GetKey()))
		n.bare(process("p", "p", task.GetKey())) // executing
		if err := n.cancel("a"); err != nil {
			t.Fatal(err)
		}
		settle()
		q.answer(task, &adapterv1.Result{Outcome: adapterv1.Outcome_OUTCOME_NOT_DONE}) // it was not marked, and it has not begun
		settle()
		if got := n.attempts("a"); !strings.HasSuffix(got, "in_doubt") {
			t.Errorf("p is executing it: %s", got)
		}
	})
}

// Who has it since before the node was started does not know what another one has done with it since.
func TestFailureFromBefore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t)
		q := n.worker(nil, process("q", "q"))
		n.mustSubmit(order{id: "a", def: n.deploy("one", callOne)})
		task := q.one()
		n = n.restart()
		p := n.worker(nil, process("p", "p"))
		p.one()
		p.die()
		n.sleep(10 * time.Second)
		q = n.bare(process("q", "q", task.GetKey()))
		q.answer(task, failing(422))
		settle()
		if got := n.attempts("a"); got != "scheduled, lost p" {
			t.Errorf("p may have done it: %s", got)
		}
		q.credit(9)
		settle()
		if again := q.one(); !again.GetMaybeStarted() {
			t.Error("what p may have done is not marked")
		}
	})
}

// Two processes have it since before the node was started: that one failed settles nothing.
func TestFailureOfOneOfTwoFromBefore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t)
		n.worker(nil, process("p1", "p1"), begins)
		n.mustSubmit(order{id: "a", def: n.deploy("one", retriedLater)})
		n = n.restart()
		p2 := n.worker(nil, process("p2", "p2"), begins)
		n.sleep(time.Second)
		task := p2.one()
		n = n.restart()
		p1 := n.bare(process("p1", "p1", task.GetKey()), begins)
		n.bare(process("p2", "p2", task.GetKey()), begins)
		p1.answer(task, failing(503))
		settle()
		if got := n.attempts("a"); got != "scheduled" {
			t.Errorf("p2 executes it: %s", got)
		}
	})
}

// Who executed it alone, was away and is back, has begun with it.
func TestKeptAlone(t *testing.T) {
	t.Parallel()
	for _, flaps := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			n := start(t)
			n.mustSubmit(order{id: "a", def: n.deploy("one", retriedLater)})
			n.breaks("p")
			for _, name := range []string{"q0", "q1", "q2"} {
				task := n.breaks(name)
				if flaps {
					q := n.bare(process(name, name, task.GetKey()), begins) // it still executes it
					q.die()                                                 // of it
					n.sleep(70 * time.Second)
				}
			}
			r := n.worker(nil, process("r", "r"), begins)
			if got := r.took(); len(got) != 0 {
				t.Errorf("flaps %v: three have died of it, and it is handed over still: %s", flaps, n.attempts("a"))
			}
		})
	}
}

// Who executed it, was away and is back, was away again when another one got it: that it failed settles nothing.
func TestKeptAloneFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t)
		n.mustSubmit(order{id: "a", def: n.deploy("one", retriedLater)})
		n.breaks("p")
		task := n.breaks("q")
		q := n.bare(process("q", "q", task.GetKey()), begins) // it still executes it
		q.die()                                               // away again
		n.sleep(70 * time.Second)
		n.breaks("r")
		q = n.bare(process("q", "q", task.GetKey()), begins)
		q.answer(task, failing(422))
		settle()
		if got := n.attempts("a"); strings.HasSuffix(got, "failed") {
			t.Errorf("r may have done it: %s", got)
		}
	})
}

// Who comes back with what it was lost with knows what became of it, if nobody else was sent it.
func TestKept(t *testing.T) {
	t.Parallel()
	for kind, is := range map[string]func(*adapterv1.Hello){"idempotent": func(*adapterv1.Hello) {}, "not idempotent": notIdempotent} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				n := start(t)
				p1 := n.worker(nil, process("p1", "p1"), is, begins)
				n.mustSubmit(order{id: "a", def: n.deploy("one", retriedLater)})
				task := p1.one()
				p1.begin(task)
				for range 4 {
					p1.die()
					n.sleep(70 * time.Second)
					p1 = n.worker(nil, process("p1", "p1", task.GetKey()), is, begins)
					settle()
				}
				p1.answer(task, failing(422))
				settle()
				if got := n.attempts("a"); !strings.HasSuffix(got, "failed") || strings.Count(got, "found p1 kept") != 4 {
					t.Error(got)
				}
			})
		})
	}
}

// Who comes back has not died, also if another process has the task by then, or the node was started since.
func TestDeathsAreTakenBack(t *testing.T) {
	t.Parallel()
	for kind, is := range map[string]func(*adapterv1.Hello){"idempotent": func(*adapterv1.Hello) {}, "not idempotent": notIdempotent} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				n := start(t)
				n.mustSubmit(order{id: "a", def: n.deploy("one", callOne)})
				breaks := func(name string) { n.breaks(name, is, recovers) }
				back := func(name string) { n.worker(nil, process(name, name), is, begins, recovers).die() }
				breaks("p0") // so that it is executed alone from now on
				for i := range 2 {
					breaks(fmt.Sprint("p1", i))
					breaks(fmt.Sprint("p2", i))
					back(fmt.Sprint("p1", i)) // while nobody has it, and it does not have it any more
					n = n.restart()
					back(fmt.Sprint("p2", i))
					n.sleep(70 * time.Second)
				}
				n = n.restart()
				n.worker(succeed("1"), process("p3", "p3"), is, begins, recovers)
				n.sleep(70 * time.Second)
				n.expect("a", completed)
				if got := n.attempts("a"); strings.Count(got, "alone") != 4 || strings.Count(got, "found p") != 4 {
					t.Error(got)
				}
			})
		})
	}
}
