package actors_test

import (
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
