package actors_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-run/holdfast/actors/workflow"
	"github.com/holdfast-run/holdfast/messages/adapterv1"
	"github.com/holdfast-run/holdfast/messages/problemv1"
)

const retriedLater = "do: [{t: {try: [{a: {call: x.do}}], catch: {retry: {delay: PT30S, limit: {attempt: {count: 2}}}}}}]"

func inDoubt(status int32) *adapterv1.Result {
	return &adapterv1.Result{
		Outcome: adapterv1.Outcome_OUTCOME_IN_DOUBT,
		Error:   &problemv1.Problem{Type: workflow.ErrorTypeTimeout, Title: "late", Status: status},
	}
}

// The heir of a ledger tells what came of work before the node has found the old stream lost. That counts: the heir forgets it
// when it is acknowledged.
func TestHeirTells(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t)
		p1 := n.worker(nil, process("p1", "l"), notIdempotent, begins)
		n.mustSubmit(order{id: "a", def: n.deploy("one", callOne)})
		task := p1.one()
		p1.begin(task)
		heir := n.worker(nil, process("p2", "l", task.GetKey()), notIdempotent, begins) // p1's host is down, and has told nobody
		heir.answer(task, inDoubt(408))
		settle()
		n.expect("a", faulted)
		p1.leave()
		n.sleep(2 * time.Minute)
		if tasks := heir.took(); len(tasks) != 0 {
			t.Errorf("the heir, which has forgotten the work, is sent %v", tasks)
		}
	})
}

// A process that was away does not know what another one did since: that it has failed settles nothing.
func TestFailureOfWhoWasAway(t *testing.T) {
	t.Parallel()
	for name, second := range map[string]func(*node, *worker, *adapterv1.Task){
		"told": func(_ *node, p2 *worker, task *adapterv1.Task) { p2.answer(task, inDoubt(408)) },
		"died": func(_ *node, p2 *worker, _ *adapterv1.Task) { p2.die() },
	} {
		for kind, is := range map[string]func(*adapterv1.Hello){"idempotent": func(*adapterv1.Hello) {}, "not idempotent": notIdempotent} {
			t.Run(name+", "+kind, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					n := start(t)
					p1 := n.worker(nil, process("p1", "p1"), is, begins, recovers)
					n.mustSubmit(order{id: "a", def: n.deploy("one", retriedLater)})
					task := p1.one()
					p1.begin(task)
					p1.die() // so it seems: it goes on
					p2 := n.worker(nil, process("p2", "p2"), is, begins, recovers)
					n.sleep(7 * time.Second)
					again := p2.one()
					if !again.GetMaybeStarted() {
						t.Fatal("what p1 may have done is not marked")
					}
					p2.begin(again)
					second(n, p2, again)
					settle()
					p1 = n.worker(nil, process("p1", "p1", task.GetKey()), is, begins, recovers)
					p1.answer(task, failing(503)) // of its own execution
					settle()
					p1.die()
					p3 := n.worker(nil, process("p3", "p3"), is, begins, recovers)
					n.sleep(40 * time.Second)
					for _, w := range []*worker{p2, p3} {
						for _, task := range w.took() {
							if task.GetAttempt() == 2 && !task.GetMaybeStarted() {
								t.Errorf("the next attempt is not marked, though p2 may have done it: %s", n.attempts("a"))
							}
						}
					}
				})
			})
		}
	}
}

// A cancelled order does not wait for its deadline when nobody has its attempt any more.
func TestCancelledOrphan(t *testing.T) {
	t.Parallel()
	for name, kind := range map[string]func(*adapterv1.Hello){"idempotent": func(*adapterv1.Hello) {}, "not idempotent": notIdempotent} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				n := start(t)
				w := n.worker(nil, process("p1", "p1"), kind)
				n.mustSubmit(order{id: "a", def: n.deploy("one", "do: [{a: {call: x.do, timeout: {after: P1D}}}]")})
				w.one()
				w.die()
				if err := n.cancel("a"); err != nil {
					t.Fatal(err)
				}
				n.worker(nil, process("p2", "p2"), kind)
				n.sleep(7 * time.Second)
				n.expect("a", cancelled)
			})
		})
	}
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
				breaks := func(name string) {
					w := n.worker(nil, process(name, name), is, begins, recovers)
					w.begin(w.one())
					w.die()
					n.sleep(70 * time.Second)
				}
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
