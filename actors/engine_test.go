package actors_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-run/holdfast/actors"
	"github.com/holdfast-run/holdfast/actors/view"
	"github.com/holdfast-run/holdfast/actors/workflow"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/adapterv1"
	"github.com/holdfast-run/holdfast/messages/nodev1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
)

const (
	completed = orderv1.Status_STATUS_COMPLETED
	faulted   = orderv1.Status_STATUS_FAULTED
	cancelled = orderv1.Status_STATUS_CANCELLED
	running   = orderv1.Status_STATUS_RUNNING
	waiting   = orderv1.Status_STATUS_WAITING
	pending   = orderv1.Status_STATUS_PENDING
)

// Definitions.
const (
	callOne   = "do: [{a: {call: x.do}}]"
	callThree = "do: [{a: {call: x.do}}, {b: {call: x.do}}, {c: {call: x.do}}]"
	waitLong  = "do: [{a: {wait: PT30S}}]"
	retryOnce = "do: [{t: {try: [{a: {call: x.do}}], catch: {retry: {delay: PT1S, limit: {attempt: {count: 1}}}}}}]"
)

func TestRunsAnOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t)
		w := n.worker(succeed(`"done"`))
		n.mustSubmit(order{id: "a", def: n.deploy("three", callThree)})
		n.expect("a", completed)
		if got := string(n.state("a").Output().JSON()); got != `"done"` {
			t.Errorf("output is %s", got)
		}
		var keys []string
		for _, task := range w.took() {
			keys = append(keys, fmt.Sprint(task.GetKey(), " ", task.GetAttempt()))
		}
		if got := strings.Join(keys, ", "); got != "a:/do/0/a 1, a:/do/1/b 1, a:/do/2/c 1" {
			t.Errorf("tasks were %s", got)
		}
		if _, acked, _ := w.heard(); acked != 3 {
			t.Errorf("%d results acknowledged, want 3", acked)
		}
	})
}

// An order that ends without anybody's doing is accepted and ended by one commit.
func TestRunsWithoutActivities(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t)
		n.mustSubmit(order{id: "a", def: n.deploy("set", "do: [{a: {set: {x: 1}}}]")})
		n.expect("a", completed)
	})
}

func TestSubmitAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t)
		def, other := n.deploy("one", callOne), n.deploy("other", callThree)
		same := order{id: "a", def: def}
		n.worker(nil)
		again := func(when string) {
			t.Helper()
			if err := n.submit(same); err != nil {
				t.Errorf("submitted again %s: %v", when, err)
			}
			for _, o := range []order{{id: "a", def: other}, {id: "a", def: def, input: "1"}, {id: "a", def: def, key: "k"}} {
				if err := n.submit(o); !errors.Is(err, workflow.ErrTaken) {
					t.Errorf("another order under the id %s: %v, want ErrTaken", when, err)
				}
			}
		}
		n.mustSubmit(same)
		again("while it runs")
		n = n.restart()
		again("after a restart")
		n.sleep(time.Minute)
		again("after it left memory")
		n.worker(succeed("1")).one()
		n.expect("a", completed)
		again("after it ended")
		n = n.restart()
		again("after it ended, and a restart")
		if got := len(n.history("a")); got != int(n.state("a").Version()) {
			t.Errorf("%d events, and version %d", got, n.state("a").Version())
		}
	})
}

// Whoever submits an order again learns of its end, and sees the order as it was accepted.
func TestSubmitAgainTellsOfTheOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t)
		o := order{id: "a", def: n.deploy("one", callOne)}
		n.worker(succeed("1"))
		n.mustSubmit(o)
		for _, restart := range []bool{false, true} {
			if restart {
				n = n.restart()
			}
			var told []string
			n.await("a", &view.Waiter{Ended: func(s *orderv1.Order) { told = append(told, "ended "+s.GetStatus().String()) }})
			n.Submit(o.accepted(), nodev1.Wanted_WANTED_ORDER, func(a *nodev1.Answer) {
				told = append(told, fmt.Sprint("accepted ", a.GetOrder().GetStatus(), " ", a.GetFailure().GetText()))
			})
			settle()
			if got := strings.Join(told, ", "); got != "accepted STATUS_COMPLETED , ended STATUS_COMPLETED" {
				t.Errorf("restarted %v: told %q", restart, got)
			}
		}
	})
}

// Of many who submit different orders under one id at once, one wins, and each gets an answer that stays true.
func TestSubmitRace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t)
		n.worker(nil)
		def := n.deploy("one", callOne)
		const each = 20
		results := make(chan string, 3*each)
		for i := range 3 * each {
			o := order{id: "a", def: def, input: fmt.Sprint(i % 3)}
			go n.Submit(o.accepted(), nodev1.Wanted_WANTED_ORDER, func(a *nodev1.Answer) {
				switch f := a.GetFailure(); {
				case f.GetReason() == nodev1.Reason_REASON_ORDER_ID_TAKEN:
					results <- "taken"
				case f != nil:
					results <- f.GetText()
				default:
					results <- string(a.GetOrder().GetInput())
				}
			})
		}
		settle()
		count := map[string]int{}
		for range 3 * each {
			count[<-results]++
		}
		won := string(n.state("a").Accepted().GetInput())
		if count["taken"] != 2*each || count[won] != each {
			t.Errorf("%s won, and the answers were %v", won, count)
		}
	})
}

func TestResults(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t)
		w := n.worker(nil)
		n.mustSubmit(order{id: "a", def: n.deploy("three", callThree)})
		first := w.one()
		for range 3 { // it is told again and again
			w.answer(first, done("1"))
			settle()
		}
		if got := len(w.took()); got != 2 {
			t.Fatalf("%d tasks after the first result, want 2", got)
		}
		second := w.took()[1]
		w.answer(second, done("2"))
		w.answer(second, done("3"))
		settle()
		w.answer(w.took()[2], done("4"))
		settle()
		n.expect("a", completed)
		w.answer(first, failing(500)) // long after the end
		settle()
		n.expect("a", completed)
		if got := string(n.state("a").Output().JSON()); got != "4" {
			t.Errorf("output is %s", got)
		}
		// Of an order that nobody accepted, or that is of another partition: it was not sent those.
		w.answer(&adapterv1.Task{OrderId: "nobody", Key: "nobody:/do/0/a", Attempt: 1, Activity: "do"}, done("1"))
		settle()
		if _, acked, refused := w.heard(); acked != 8 || len(refused) != 0 {
			t.Errorf("acknowledged %d, refused %v; want 8 and none", acked, refused)
		}
		w.answer(&adapterv1.Task{
			OrderId: "a", Partition: uint32(messages.PartitionOf("a", "")+1) % messages.Partitions, Key: first.GetKey(), Attempt: 1, Activity: "do",
		}, done("1"))
		settle()
		if _, acked, refused := w.heard(); acked != 9 || len(refused) != 0 {
			t.Errorf("a result for the wrong partition: acknowledged %d, refused %v", acked, refused)
		}
	})
}

// The result of an attempt that another has replaced does not take the other's place.
func TestStaleResult(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t)
		w := n.worker(nil)
		n.mustSubmit(order{id: "a", def: n.deploy("retry", retryOnce)})
		first := w.one()
		w.leave()
		w.answer(first, failing(503))
		n.sleep(2 * time.Second)      // the second attempt waits for an adapter
		w.answer(first, failing(503)) // the acknowledgement was lost
		settle()
		w2 := n.worker(nil, process("p2", "p2"))
		tasks := w2.took()
		if len(tasks) == 0 {
			t.Fatal("the second attempt was not dispatched")
		}
		last := tasks[len(tasks)-1]
		if last.GetAttempt() != 2 || last.GetKey() != first.GetKey() {
			t.Fatalf("dispatched attempt %d of %s", last.GetAttempt(), last.GetKey())
		}
		w2.answer(last, done("1"))
		settle()
		n.expect("a", completed)
	})
}

func TestCancel(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t)
		one, wait := n.deploy("one", callOne), n.deploy("wait", waitLong)
		if err := n.cancel("nobody"); !errors.Is(err, workflow.ErrNotAccepted) {
			t.Errorf("cancel an unknown order: %v", err)
		}

		n.mustSubmit(order{id: "waits", def: wait})
		n.mustSubmit(order{id: "queued", def: one})
		for _, id := range []string{"waits", "queued"} {
			for range 2 {
				if err := n.cancel(id); err != nil {
					t.Errorf("cancel %s: %v", id, err)
				}
			}
			n.expect(id, cancelled)
			if got := n.state(id).Reason(); got != "test" {
				t.Errorf("reason of %s is %q", id, got)
			}
		}

		w := n.worker(nil)
		n.mustSubmit(order{id: "flies", def: one})
		task := w.one()
		if err := n.cancel("flies"); err != nil {
			t.Error(err)
		}
		n.expect("flies", running)
		if told, _, _ := w.heard(); len(told) != 1 || told[0].GetKey() != task.GetKey() {
			t.Errorf("the adapter was told to give up %v", told)
		}
		w.answer(task, &adapterv1.Result{Outcome: adapterv1.Outcome_OUTCOME_NOT_DONE})
		settle()
		n.expect("flies", cancelled)

		n.mustSubmit(order{id: "silent", def: one})
		if err := n.cancel("silent"); err != nil {
			t.Error(err)
		}
		n.sleep(29 * time.Second)
		n.expect("silent", running)
		n.sleep(2 * time.Second)
		n.expect("silent", cancelled)

		n.mustSubmit(order{id: "ended", def: n.deploy("set", "do: [{a: {set: {x: 1}}}]")})
		if err := n.cancel("ended"); !errors.Is(err, workflow.ErrEnded) {
			t.Errorf("cancel an order that ended: %v", err)
		}
	})
}

func TestDeadlineAndTimeouts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t)
		w := n.worker(nil)
		n.mustSubmit(order{id: "deadline", def: n.deploy("one", callOne), deadline: time.Now().Add(10 * time.Second)})
		n.mustSubmit(order{id: "waits", def: n.deploy("wait", waitLong), deadline: time.Now().Add(10 * time.Second)})
		n.mustSubmit(order{id: "task", def: n.deploy("task", "do: [{a: {call: x.do, timeout: {after: PT10S}}}]")})
		n.mustSubmit(order{id: "whole", def: n.deploy("whole", "timeout: {after: PT10S}\n"+callOne)})
		ids := []string{"deadline", "waits", "task", "whole"}
		n.sleep(10*time.Second - time.Millisecond)
		for _, id := range ids {
			if n.state(id).Ended() {
				t.Errorf("%s ended early", id)
			}
		}
		if told, _, _ := w.heard(); len(told) != 0 {
			t.Errorf("told early to give up %v", told)
		}
		n.sleep(time.Millisecond)
		if told, _, _ := w.heard(); len(told) != 3 {
			t.Errorf("the adapter was told to give up %v", told)
		}
		for _, task := range w.took() {
			w.answer(task, &adapterv1.Result{Outcome: adapterv1.Outcome_OUTCOME_NOT_DONE})
		}
		settle()
		for _, id := range ids {
			n.expect(id, faulted)
			if got := n.state(id).Error().GetType(); got != workflow.ErrorTypeTimeout {
				t.Errorf("%s faulted by %s", id, got)
			}
		}
	})
}

func TestPriority(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t)
		def := n.deploy("one", callOne)
		for _, p := range []int32{0, 5, 9, 5, 1} {
			n.mustSubmit(order{id: fmt.Sprintf("p%d-%d", p, time.Now().UnixNano()), def: def, priority: p})
			n.sleep(time.Millisecond)
		}
		w := n.worker(succeed("1"))
		var got []string
		for _, task := range w.took() {
			got = append(got, task.GetOrderId()[:2])
		}
		if s := strings.Join(got, ","); s != "p9,p5,p5,p1,p0" {
			t.Errorf("dispatched %s", s)
		}
	})
}

// What takes long to evaluate is left to further decisions, so that no turn takes long.
func TestLongEvaluations(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t, withEngine(actors.Config{Workflow: workflow.Limits{Evaluation: 10_000}}))
		var tasks []string
		for i := range 20 {
			tasks = append(tasks, fmt.Sprintf("{t%d: {set: {n: '${ [range(1000)] | length }'}}}", i))
		}
		n.mustSubmit(order{id: "a", def: n.deploy("long", "do: ["+strings.Join(tasks, ", ")+"]")})
		n.expect("a", completed)
		entry, err := n.journal.Find(t.Context(), "a")
		wantErr(t, err, nil)
		commits := 0
		for _, err := range n.journal.Records(t.Context(), entry.Handle, 1) {
			wantErr(t, err, nil)
			commits++
		}
		if commits < 6 { // three tasks take more than 10,000 steps
			t.Errorf("%d decisions", commits)
		}
	})
}

// An order that takes longer than one decision may take goes on by itself.
func TestLongDecision(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t, withEngine(actors.Config{Workflow: workflow.Limits{Steps: 3}}))
		var tasks []string
		for i := range 50 {
			tasks = append(tasks, fmt.Sprintf("{t%d: {set: {n: %d}}}", i, i))
		}
		n.mustSubmit(order{id: "a", def: n.deploy("long", "do: ["+strings.Join(tasks, ", ")+"]")})
		n.expect("a", completed)
	})
}
