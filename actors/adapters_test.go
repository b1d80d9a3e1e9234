package actors_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-run/holdfast/actors"
	"github.com/holdfast-run/holdfast/actors/workflow"
	"github.com/holdfast-run/holdfast/messages/adapterv1"
	"github.com/holdfast-run/holdfast/messages/journalv1"
)

// ledgers returns the ledgers that a history names, in order.
func (n *node) ledgers(id string) string {
	n.t.Helper()
	var names []string
	for _, ev := range n.history(id) {
		if e := ev.GetAttemptSent(); e != nil {
			names = append(names, e.GetLedger())
		}
	}
	return strings.Join(names, " ")
}

// What is not idempotent is sent only after its ledger is journaled.
func TestLedgerFirst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t)
		w := n.worker(func(w *worker, task *adapterv1.Task) *adapterv1.Result {
			if got := w.node.ledgers(task.GetOrderId()); got != "l1" {
				t.Errorf("sent when the history names the ledgers %q", got)
			}
			return done("1")
		}, process("p1", "l1"), notIdempotent)
		n.mustSubmit(order{id: "a", def: n.deploy("one", callOne)})
		n.expect("a", completed)
		if w.one().GetMaybeStarted() {
			t.Error("a first attempt is marked as maybe started")
		}
	})
}

// A new process with the ledger of a lost one gets its tasks; another ledger gets them late, and marked.
func TestLedgerLost(t *testing.T) {
	t.Parallel()
	const grace = 20 * time.Second
	for name, kill := range map[string]bool{"stream lost": false, "and node killed": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				n := start(t, inMemory, withEngine(actors.Config{LedgerGrace: grace}))
				w := n.worker(nil, process("p1", "l1"), notIdempotent)
				def := n.deploy("one", callOne)
				n.mustSubmit(order{id: "a", def: def})
				n.mustSubmit(order{id: "b", def: def})
				if got := len(w.took()); got != 2 {
					t.Fatalf("%d tasks", got)
				}
				w.leave()
				if kill {
					n = n.crash()
				}
				other := n.worker(nil, process("p2", "l2"), notIdempotent)
				n.sleep(grace / 2)
				if got := other.took(); len(got) != 0 {
					t.Fatalf("another ledger got %v", keysOf(got))
				}
				heir := n.worker(nil, process("p3", "l1"), notIdempotent)
				for _, task := range heir.took() {
					if task.GetMaybeStarted() {
						t.Errorf("%s is marked, though its ledger knows", task.GetKey())
					}
					if task.GetOrderId() == "a" {
						heir.answer(task, done("1"))
					}
				}
				settle()
				n.expect("a", completed)
				heir.leave()
				n.sleep(grace - time.Second)
				if got := other.took(); len(got) != 0 {
					t.Fatalf("another ledger got %v early", keysOf(got))
				}
				n.sleep(2 * time.Second)
				task := other.one()
				if task.GetOrderId() != "b" || !task.GetMaybeStarted() {
					t.Errorf("the other ledger got %v", task)
				}
				if got := n.ledgers("b"); got != "l1 l2" {
					t.Errorf("the history names the ledgers %q", got)
				}
				other.answer(task, &adapterv1.Result{Outcome: adapterv1.Outcome_OUTCOME_IN_DOUBT})
				settle()
				n.expect("b", faulted)
			})
		})
	}
}

// An adapter that comes back with the key goes on, and nobody else gets the task.
func TestAdapterComesBack(t *testing.T) {
	t.Parallel()
	for name, idempotent := range map[string]bool{"idempotent": true, "not idempotent": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				n := start(t, inMemory)
				kind := func(h *adapterv1.Hello) { h.Activities[0].Idempotent = idempotent }
				w := n.worker(nil, process("p1", "l1"), kind)
				n.mustSubmit(order{id: "a", def: n.deploy("one", callOne)})
				task := w.one()
				w.leave()
				n.worker(nil, process("p2", "l2"), kind)
				n.sleep(500 * time.Millisecond)
				w = n.worker(nil, process("p1", "l1", task.GetKey()), kind)
				n.sleep(2 * time.Minute)
				for _, again := range w.took() {
					if again.GetKey() != task.GetKey() || again.GetMaybeStarted() {
						t.Errorf("the adapter got %v", again)
					}
				}
				w.answer(task, done("1"))
				settle()
				n.expect("a", completed)
				if got := len(n.history("a")); got != 7+map[bool]int{true: 0, false: 1}[idempotent] {
					t.Errorf("%d events", got)
				}
			})
		})
	}
}

// An attempt that was given up without a known outcome is journaled as late when it tells at last.
func TestLateResult(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t, inMemory)
		w := n.worker(nil)
		n.mustSubmit(order{id: "a", def: n.deploy("one", callOne)})
		task := w.one()
		if err := n.cancel("a"); err != nil {
			t.Error(err)
		}
		n.sleep(time.Minute)
		n.expect("a", cancelled)
		n = n.crash()
		w = n.worker(nil, process("p", "p", task.GetKey()))
		for range 2 {
			w.answer(task, done(`"late"`))
			settle()
		}
		events := n.history("a")
		if late := events[len(events)-1].GetLateResult(); late.GetKey() != task.GetKey() || string(late.GetOutput()) != `"late"` {
			t.Errorf("the last event is %v", events[len(events)-1])
		}
		if late := events[len(events)-2].GetLateResult(); late != nil {
			t.Error("it is journaled twice")
		}
		n.expect("a", cancelled)
	})
}

// Two processes share the work as their credits allow; what is taken back is not used.
func TestCredits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t)
		def := n.deploy("one", callOne)
		few := func(h *adapterv1.Hello) { h.Activities[0].Concurrency = 0 }
		a, b := n.worker(nil, process("a", "a"), few), n.worker(nil, process("b", "b"), few)
		for _, w := range []*worker{a, b} {
			w.Revoke(&adapterv1.Revocation{Activity: "do", Count: 1_000_000 - 3})
		}
		settle()
		if a.returned != 1_000_000-3 {
			t.Errorf("%d credits returned", a.returned)
		}
		for i := range 10 {
			n.mustSubmit(order{id: string(rune('a' + i)), def: def})
		}
		if len(a.took()) != 3 || len(b.took()) != 3 {
			t.Errorf("%d and %d tasks, want 3 each", len(a.took()), len(b.took()))
		}
		if got := n.Activities().All()[0].Waiting; got != 4 {
			t.Errorf("%d wait, want 4", got)
		}
		a.Revoke(&adapterv1.Revocation{Activity: "do", Count: 5})
		a.credit(1_000_001)
		settle()
		if got := len(a.took()); got != 4 {
			t.Errorf("%d tasks after one more credit, want 4", got)
		}
	})
}

// An activity may ask for a version.
func TestVersions(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t)
		version := func(v string) func(*adapterv1.Hello) {
			return func(h *adapterv1.Hello) { h.Process, h.Ledger, h.Activities[0].Version = v, v, v }
		}
		n.mustSubmit(order{id: "a", def: n.deploy("two", "do: [{a: {call: x.do:2.0.0@default}}]")})
		first := n.worker(succeed("1"), version("1.0.0"))
		second := n.worker(succeed("2"), version("2.0.0"))
		second.one()
		if got := len(first.took()); got != 0 {
			t.Errorf("the wrong version got %d tasks", got)
		}
		n.expect("a", completed)
	})
}

// An order that is cancelled while it is about to be sent is not sent.
func TestCancelledBeforeItIsSent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t, inMemory)
		n.mustSubmit(order{id: "a", def: n.deploy("one", callOne)})
		answer := make(chan error, 1)
		w := n.worker(nil, process("p", "p"), notIdempotent, func(*adapterv1.Hello) {
			n.tell("a", workflow.Cancel{}, func(err error) { answer <- err })
		})
		if err := <-answer; err != nil {
			t.Error(err)
		}
		n.sleep(time.Second)
		for _, task := range w.took() {
			w.answer(task, &adapterv1.Result{Outcome: adapterv1.Outcome_OUTCOME_NOT_DONE})
		}
		settle()
		n.expect("a", cancelled)
		for _, ev := range n.history("a") {
			if e := ev.GetAttemptEnded(); e != nil && e.GetOutcome() != journalv1.Outcome_OUTCOME_NOT_DONE {
				t.Errorf("the attempt ended as %v", e.GetOutcome())
			}
		}
	})
}
