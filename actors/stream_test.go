package actors_test

import (
	"math"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/holdfast-run/holdfast/actors/dispatch"
	"github.com/holdfast-run/holdfast/actors/workflow"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/adapterv1"
	"github.com/holdfast-run/holdfast/messages/journalv1"
)

// types returns the types of a history's events that tell of attempts.
func (n *node) attempts(id string) string {
	n.t.Helper()
	var told []string
	for _, ev := range n.history(id) {
		switch e := ev.GetKind().(type) {
		case *journalv1.Event_AttemptScheduled:
			told = append(told, "scheduled")
		case *journalv1.Event_AttemptSent:
			word := "sent " + e.AttemptSent.GetLedger()
			if e.AttemptSent.GetMaybeStarted() {
				word += " maybe"
			}
			told = append(told, word)
		case *journalv1.Event_AttemptLost:
			word := "lost " + e.AttemptLost.GetProcess()
			if e.AttemptLost.GetAlone() {
				word += " alone"
			}
			told = append(told, word)
		case *journalv1.Event_AttemptFound:
			word := "found " + e.AttemptFound.GetProcess()
			if e.AttemptFound.GetKept() {
				word += " kept"
			}
			told = append(told, word)
		case *journalv1.Event_AttemptEnded:
			told = append(told, strings.ToLower(strings.TrimPrefix(e.AttemptEnded.GetOutcome().String(), "OUTCOME_")))
		case *journalv1.Event_LateResult:
			told = append(told, "late")
		}
	}
	return strings.Join(told, ", ")
}

// begin reports that a task is about to be executed.
func (w *worker) begin(t *adapterv1.Task) {
	w.Begun(&adapterv1.Begun{Key: t.GetKey(), Attempt: t.GetAttempt()})
	settle()
}

func (w *worker) confirmations() []*adapterv1.Confirmation {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.confirmed)
}

// offers has an adapter offer another activity, under another name.
func offers(adapter, activity string) func(*adapterv1.Hello) {
	return func(h *adapterv1.Hello) {
		h.Adapter, h.Process, h.Ledger, h.Activities[0].Name = adapter, adapter, adapter, activity
	}
}

// What an adapter says of tasks that it was not sent has no effect, whatever it says: the adapter that has them goes on.
func TestForeignResults(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t)
		def := n.deploy("one", callOne)
		w := n.worker(nil)
		n.mustSubmit(order{id: "a", def: def})
		n.mustSubmit(order{id: "b", def: def})
		tasks := w.took()
		before := n.attempts("a")
		evil := n.worker(nil, offers("evil", "do"), func(h *adapterv1.Hello) { h.Keys = []string{tasks[0].GetKey()} })
		own := n.worker(nil, process("evil", "evil")) // of the same activity, but it was sent nothing
		own.Revoke(&adapterv1.Revocation{Activity: "do", Count: math.MaxUint64})
		for _, liar := range []*worker{evil, own} {
			for _, outcome := range adapterv1.Outcome_value {
				for _, task := range tasks {
					liar.answer(task, &adapterv1.Result{Outcome: adapterv1.Outcome(outcome), Output: []byte("666")})
				}
			}
			liar.begin(tasks[1])
			settle()
			if _, acked, refused := liar.heard(); acked != 2*len(adapterv1.Outcome_value) || len(refused) != 0 {
				t.Errorf("acknowledged %d, refused %v", acked, refused)
			}
		}
		evil.Credit(&adapterv1.Credit{Activity: "other", Total: 100})
		evil.Revoke(&adapterv1.Revocation{Activity: "other", Count: 100})
		evil.Drain()
		settle()
		if got := n.attempts("a"); got != before {
			t.Errorf("the attempts are %s, and were %s", got, before)
		}
		// The one that was sent them must say of them what they are.
		for _, lie := range []func(*adapterv1.Task){
			func(t *adapterv1.Task) { t.OrderId = "b" },
			func(t *adapterv1.Task) { t.Partition = (t.GetPartition() + 1) % messages.Partitions },
			func(t *adapterv1.Task) { t.Activity = "other" },
			func(t *adapterv1.Task) { t.Attempt++ },
		} {
			false1 := &adapterv1.Task{
				OrderId: tasks[0].GetOrderId(), Partition: tasks[0].GetPartition(), Key: tasks[0].GetKey(), Attempt: 1, Activity: "do",
			}
			lie(false1)
			w.answer(false1, done("666"))
		}
		settle()
		if got := n.attempts("a"); got != before {
			t.Errorf("the attempts are %s, and were %s", got, before)
		}
		for _, task := range tasks {
			w.answer(task, done("1"))
		}
		settle()
		n.expect("a", completed)
		n.expect("b", completed)
		if got := len(own.took()); got != 0 {
			t.Errorf("another adapter got %d tasks", got)
		}
	})
}

// A result that tells of one order under a key of another, which the hello lists, does not take the other order its task.
func TestListedKeyOfAnotherOrder(t *testing.T) {
	t.Parallel()
	for outcome := range adapterv1.Outcome_name {
		t.Run(adapterv1.Outcome(outcome).String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				n := start(t)
				def := n.deploy("one", callOne)
				w := n.worker(nil, process("p1", "l1"))
				n.mustSubmit(order{id: "a", def: def})
				n.mustSubmit(order{id: "b", def: def})
				tasks := w.took()
				liar := n.worker(nil, process("p2", "l2", tasks[1].GetKey()))
				lie, _ := proto.Clone(tasks[0]).(*adapterv1.Task)
				lie.Key = tasks[1].GetKey()
				liar.answer(lie, &adapterv1.Result{Outcome: adapterv1.Outcome(outcome), Output: []byte("666")})
				liar.leave()
				w.leave()
				n.worker(func(*worker, *adapterv1.Task) *adapterv1.Result { return done("1") }, process("p3", "l3"))
				n.sleep(time.Minute)
				n.expect("a", completed)
				n.expect("b", completed)
			})
		})
	}
}

// After a restart of the node a result counts of what the hello lists, if it is of the attempt's activity.
func TestListedResults(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t, inMemory)
		def := n.deploy("one", callOne)
		w := n.worker(nil, process("p", "p"), notIdempotent)
		n.mustSubmit(order{id: "a", def: def})
		task := w.one()
		n = n.crash()
		evil := n.worker(nil, offers("evil", "do"), func(h *adapterv1.Hello) { h.Keys = []string{task.GetKey()} })
		evil.answer(task, done("666"))
		settle()
		wrong := &adapterv1.Task{OrderId: "a", Partition: (task.GetPartition() + 1) % messages.Partitions, Key: task.GetKey(), Attempt: 1, Activity: "do"}
		w = n.worker(nil, process("p", "p", task.GetKey()), notIdempotent)
		w.answer(wrong, done("666"))
		settle()
		if got := n.attempts("a"); got != "scheduled, sent p" {
			t.Errorf("the attempts are %s", got)
		}
		w.answer(task, done("1"))
		settle()
		n.expect("a", completed)
	})
}

// What is not idempotent is executed once its ledger is journaled, after the adapter has reported it as begun.
func TestBegun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t, inMemory)
		def := n.deploy("one", callOne)
		w := n.worker(nil, process("p1", "l1"), notIdempotent, begins)
		for _, id := range []string{"a", "b"} {
			n.mustSubmit(order{id: id, def: def})
		}
		tasks := w.took()
		if len(tasks) != 2 || !tasks[0].GetAwaitConfirmation() || tasks[0].GetAlone() {
			t.Fatalf("the adapter got %v", tasks)
		}
		w.begin(tasks[0])
		w.begin(tasks[0]) // it had not heard yet
		if got := w.confirmations(); len(got) != 2 || got[0].GetKey() != tasks[0].GetKey() || got[0].GetMaybeStarted() {
			t.Errorf("confirmed is %v", got)
		}
		if got := n.attempts("a") + "; " + n.attempts("b"); got != "scheduled, sent l1; scheduled" {
			t.Errorf("the attempts are %s", got)
		}
		other := n.worker(nil, process("p2", "l2"), notIdempotent, begins)
		w.die()
		task := other.one() // what was not confirmed, at once
		other.begin(task)
		other.answer(task, done("1"))
		settle()
		n.expect("b", completed)
		if got := n.attempts("b"); got != "scheduled, sent l2, succeeded" {
			t.Errorf("the attempts of b are %s", got)
		}
		n = n.crash()
		heir := n.worker(nil, process("p3", "l1"), notIdempotent, begins)
		task = heir.one()
		heir.begin(task)
		if task.GetMaybeStarted() || len(heir.confirmations()) != 1 {
			t.Errorf("the heir of the ledger got %v, confirmed %v", task, heir.confirmations())
		}
		heir.answer(task, done("1"))
		settle()
		n.expect("a", completed)
	})
}

// A node that is killed knows afterwards that nobody has begun with what it had only handed over.
func TestNotBegunAfterRestart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t, inMemory)
		w := n.worker(nil, process("p1", "l1"), notIdempotent, begins)
		n.mustSubmit(order{id: "a", def: n.deploy("one", callOne)})
		w.one()
		n = n.crash()
		other := n.worker(nil, process("p2", "l2"), notIdempotent, begins)
		if task := other.one(); task.GetMaybeStarted() {
			t.Errorf("the other adapter got %v", task)
		}
		if err := n.cancel("a"); err != nil {
			t.Error(err)
		}
		other.leave()
		n.sleep(time.Second)
		n.expect("a", cancelled)
		if got := n.attempts("a"); got != "scheduled, not_done" {
			t.Errorf("the attempts are %s", got)
		}
	})
}

// A task that kills its adapter again and again is set apart; the others that were under way with it are executed.
func TestQuarantine(t *testing.T) {
	t.Parallel()
	for name, restart := range map[string]bool{"": false, "with restarts of the node": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				n := start(t, inMemory)
				def := n.deploy("one", callOne)
				for _, id := range []string{"a", "poison", "c"} {
					n.mustSubmit(order{id: id, def: def})
				}
				deaths := 0
				for ; deaths < 20 && n.state("poison").Status() != faulted; deaths++ {
					w := n.worker(nil, process("p"+string(rune('a'+deaths)), "l"), begins)
					n.work(w, "poison")
					w.die()
					n.sleep(4 * time.Second)
					if restart {
						n = n.crash()
					}
				}
				n.work(n.worker(nil, process("last", "l"), begins), "poison")
				if deaths != 4 { // once with the others, and three times alone
					t.Errorf("%d adapters died", deaths)
				}
				n.expect("a", completed)
				n.expect("c", completed)
				n.expect("poison", faulted)
				if p := n.state("poison").Error(); p.GetType() != workflow.ErrorTypeQuarantined {
					t.Errorf("the error is %v", p)
				}
				if got := n.attempts("poison"); got != "scheduled, lost pa, lost pb alone, lost pc alone, lost pd alone, in_doubt" {
					t.Errorf("the attempts are %s", got)
				}
			})
		})
	}
}

// work has an adapter answer what it gets, until it has begun with what is poison.
func (n *node) work(w *worker, poison string) {
	n.t.Helper()
	for next := 0; ; next++ {
		tasks := w.took()
		if next == len(tasks) {
			return
		}
		task := tasks[next]
		if task.GetAwaitConfirmation() {
			if !task.GetAlone() {
				n.t.Errorf("%s is not sent alone", task.GetOrderId())
			}
			w.begin(task)
		} else if len(tasks) > 1 {
			continue // all at once, until it dies
		}
		if task.GetOrderId() == poison {
			return
		}
		w.answer(task, done("1"))
		settle()
	}
}

// What may have been begun by an adapter that has closed its stream is soon asked of another one that can find out.
func TestRecoverGrace(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		closed, recovers bool
		after            time.Duration
	}{
		"closed, and it can find out": {true, true, 5 * time.Second},
		"silent, and it can find out": {false, true, time.Minute},
		"closed, and it can't":        {true, false, time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				n := start(t)
				w := n.worker(nil, process("p1", "p1"), notIdempotent, begins)
				n.mustSubmit(order{id: "a", def: n.deploy("one", callOne)})
				w.begin(w.one())
				changes := []func(*adapterv1.Hello){process("p2", "p2"), notIdempotent, begins}
				if tt.recovers {
					changes = append(changes, recovers)
				}
				other := n.worker(nil, changes...)
				w.Detach(tt.closed, false)
				lostAt := time.Now()
				n.sleep(tt.after - 2*time.Second)
				if got := other.took(); len(got) != 0 {
					t.Fatalf("it got %v early", got)
				}
				wait := n.waits("a")
				if wait.For != dispatch.ForReturn || wait.Process != "p1" || !wait.Until.Equal(lostAt.Add(tt.after)) || wait.Until.Sub(wait.Since) != tt.after {
					t.Errorf("it waits for %+v", wait)
				}
				n.sleep(3 * time.Second)
				task := other.one()
				other.begin(task)
				if !task.GetMaybeStarted() || !task.GetAlone() {
					t.Errorf("it got %v", task)
				}
				if got := n.attempts("a"); got != "scheduled, sent p1, lost p1, sent p2 maybe" {
					t.Errorf("the attempts are %s", got)
				}
				if wait := n.waits("a"); wait.For != dispatch.ForResult || wait.Process != "p2" {
					t.Errorf("it waits for %+v", wait)
				}
			})
		})
	}
}

// What waits for an adapter says so.
func TestAttemptWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t)
		n.mustSubmit(order{id: "a", def: n.deploy("one", callOne)})
		if w := n.waits("a"); w.For != dispatch.ForAdapter || w.Since.IsZero() {
			t.Errorf("without an adapter it waits for %+v", w)
		}
		w := n.slowWorker()
		if w := n.waits("a"); w.For != dispatch.ForCredit {
			t.Errorf("without credit it waits for %+v", w)
		}
		w.work = nil
		w.credit(1)
		settle()
		if w := n.waits("a"); w.For != dispatch.ForResult || w.Process != "slow" {
			t.Errorf("handed over it waits for %+v", w)
		}
		other := n.worker(nil, process("p", "p"), notIdempotent, begins)
		n.mustSubmit(order{id: "b", def: n.deploy("one", callOne)})
		if w := n.waits("b"); w.For != dispatch.ForBegin || w.Process != "p" {
			t.Errorf("before it was begun it waits for %+v", w)
		}
		other.begin(other.one())
		if w := n.waits("b"); w.For != dispatch.ForResult {
			t.Errorf("begun it waits for %+v", w)
		}
	})
}

// An attempt that no adapter has got in time is given up; one that an adapter has got goes on.
func TestStartWithin(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t)
		def := n.deploy("soon", "do: [{a: {call: x.do, metadata: {holdfast: {startWithin: PT10S, runWithin: PT3S}}}}]")
		n.mustSubmit(order{id: "late", def: def})
		n.sleep(11 * time.Second)
		n.expect("late", faulted)
		if got := n.attempts("late"); got != "scheduled, not_done" {
			t.Errorf("the attempts are %s", got)
		}
		w := n.worker(nil)
		n.mustSubmit(order{id: "soon", def: def})
		task := w.one()
		n.sleep(time.Minute)
		n.expect("soon", running)
		if task.GetRunWithinMs() != 3000 {
			t.Errorf("it may run for %d ms", task.GetRunWithinMs())
		}
		w.answer(task, done("1"))
		settle()
		n.expect("soon", completed)
	})
}

// What an order gave up when it was cancelled is found out all the same, if what it has done is to be undone after all: also if
// the adapter was lost in between, and another process has its ledger.
func TestCancelledThenUndone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t)
		w := n.worker(nil, process("p1", "l1"), notIdempotent)
		n.mustSubmit(order{id: "a", def: n.deploy("undoes", undoes)})
		w.one()
		w.die()
		if err := n.cancel("a"); err != nil {
			t.Fatal(err)
		}
		answer := make(chan error, 1)
		n.tell("a", workflow.Cancel{Compensate: true}, func(err error) { answer <- err })
		if err := <-answer; err != nil {
			t.Fatal(err)
		}
		heir := n.worker(nil, process("p2", "l1"), notIdempotent)
		heir.answer(heir.one(), done("1"))
		settle()
		for _, task := range heir.took()[1:] {
			heir.answer(task, done("2"))
		}
		n.sleep(time.Minute)
		n.expect("a", cancelled)
	})
}

// waits tells what the only attempt of an order waits for.
func (n *node) waits(id string) attemptWait {
	n.t.Helper()
	o, err := n.View().Order(n.t.Context(), messages.OrderID(id))
	if err != nil || len(o.GetWaiting()) != 1 {
		n.t.Fatalf("%s waits for %v: %v", id, o.GetWaiting(), err)
	}
	w := o.GetWaiting()[0]
	out := attemptWait{For: -1, Process: w.GetProcess(), Since: w.GetSince().AsTime(), Until: w.GetUntil().AsTime()}
	for _, x := range []struct {
		is   dispatch.For
		text string
	}{
		{dispatch.ForAdapter, "none is connected"},
		{dispatch.ForCredit, "room for it"},
		{dispatch.ForTurn, "executed alone"},
		{dispatch.ForBegin, "to begin with it"},
		{dispatch.ForResult, "its result"},
		{dispatch.ForReturn, "is away"},
	} {
		if strings.Contains(w.GetReason(), x.text) {
			out.For = x.is
		}
	}
	return out
}

// attemptWait is what an attempt waits for.
type attemptWait struct {
	For          dispatch.For
	Process      string
	Since, Until time.Time
}
