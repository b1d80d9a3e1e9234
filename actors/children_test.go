package actors_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-run/holdfast/actors/workflow"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/adapterv1"
	"github.com/holdfast-run/holdfast/messages/journalv1"
)

// Definitions with a child, and with something to undo in both.
const (
	parentOf  = "do: [{a: {call: x.do}}, {c: {run: {workflow: {namespace: test, name: child, version: latest}}}}, {b: {call: x.do}}]"
	undone    = "metadata: {holdfast: {compensate: {call: x.do}}}"
	childDo   = "do: [{a: {call: x.do, " + undone + "}}, {b: {call: x.do}}]"
	undoes    = "do: [{a: {call: x.do, " + undone + "}}, {c: {run: {workflow: {namespace: test, name: child, version: latest}}, " + undone + "}}, {b: {call: x.do}}]"
	detaches  = "do: [{c: {run: {workflow: {namespace: test, name: child, version: latest}, await: false}}}, {b: {call: x.do}}]"
	childTask = "/metadata/holdfast/compensate"
)

// failAt has an adapter fail the tasks of these keys, as long as fails says so.
func failAt(fails *string) func(*worker, *adapterv1.Task) *adapterv1.Result {
	return func(_ *worker, task *adapterv1.Task) *adapterv1.Result {
		if *fails != "" && strings.HasPrefix(task.GetKey(), *fails) {
			return failing(500)
		}
		return done(`"done"`)
	}
}

// A child runs in its parent's turn, also while it waits for an operator, and over restarts.
func TestChildRunsInItsParentsTurn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t, inMemory)
		n.deploy("child", childDo)
		parent, one := n.deploy("parent", parentOf), n.deploy("one", callOne)
		fails := "p~1:/do/1/b"
		n.worker(failAt(&fails))
		n.mustSubmit(order{id: "p", def: parent, key: "k", priority: 5})
		n.mustSubmit(order{id: "next", def: one, key: "k"})
		for range 2 {
			n.expect("p", running)
			n.expect("p~1", faulted)
			n.expect("next", pending)
			if q, err := n.Key(t.Context(), "k", 0, 9); err != nil || q.GetHead() != "p" || q.GetCount() != 1 || n.state("p~1").HoldsKey() {
				t.Errorf("the queue is %+v: %v", q, err)
			}
			if child := n.state("p~1").Accepted(); child.GetPriority() != 5 || child.GetOrderKey() != "k" || n.row("p~1").GetParent() != "p" {
				t.Errorf("the child is %v, with %v", child, n.row("p~1"))
			}
			n = n.verify().crash()
			n.worker(failAt(&fails))
		}
		fails = ""
		n.mustOperate("p~1", retry)
		n.sleep(10 * time.Second)
		for _, id := range []string{"p", "p~1", "next"} {
			n.expect(id, completed)
		}
		if p, c := n.span("p"), n.span("p~1"); c.started < p.started || c.ended > p.ended {
			t.Errorf("the child ran from %d to %d, its parent from %d to %d", c.started, c.ended, p.started, p.ended)
		}
		n.checkSequence(true, "p", "next")
		if got := string(n.state("p").Output().JSON()); got != `"done"` {
			t.Errorf("the output is %s", got)
		}
		n.checkNothingLeft()
		n.verify()
	})
}

// What nobody awaits runs by itself: with its parent's key, behind it.
func TestDetachedChildQueues(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t)
		n.deploy("child", callOne)
		def := n.deploy("parent", detaches)
		w := n.worker(nil)
		n.mustSubmit(order{id: "p", def: def, key: "k"})
		n.mustSubmit(order{id: "q", def: def}) // which has no key
		n.sleep(time.Second)
		n.expect("p", running)
		n.expect("p~1", pending)
		n.expect("q~1", running)
		if got := strings.Join(keysOf(w.took()), " "); strings.Contains(got, "p~1") {
			t.Errorf("tasks are %s", got)
		}
		if err := n.cancel("q"); err != nil {
			t.Error(err)
		}
		for range 2 {
			for _, task := range w.took() {
				w.answer(task, done("1"))
			}
			n.sleep(time.Second)
		}
		n.expect("p", completed)
		n.expect("p~1", completed)
		n.expect("q~1", completed)
		n.checkSequence(true, "p", "p~1")
		n.checkNothingLeft()
		n.verify()
	})
}

// A child that can't be started raises an error in its parent; a retry starts another one.
func TestChildIsRefused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t)
		n.worker(succeed("1"))
		def := n.deploy("parent", parentOf)
		n.mustSubmit(order{id: "p", def: def})
		want := func(typ, detail string) {
			t.Helper()
			n.expect("p", faulted)
			if p := n.state("p").Error(); p.GetType() != typ || !strings.Contains(p.GetDetail(), detail) || p.GetInstance() != "/do/1/c" {
				t.Errorf("the error is %v", p)
			}
		}
		want(workflow.ErrorTypeConfiguration, "test/child:latest")
		n.deploy("child", "input: {schema: {document: {type: string}}}\ndo: [{s: {set: {a: 1}}}]")
		n.mustOperate("p", retry)
		want(workflow.ErrorTypeValidation, "string")
		n.deployDocument("document: {dsl: 1.0.3, namespace: test, name: child, version: 1.1.0}\ndo: [{s: {set: {a: 1}}}]")
		n.mustSubmit(order{id: "p~3", def: n.deploy("one", callOne)})
		n.mustOperate("p", retry)
		want(workflow.ErrorTypeConfiguration, "under the id of the child")
		n.mustOperate("p", retry)
		n.sleep(time.Second)
		n.expect("p", completed)
		n.expect("p~4", completed)
	})
}

// Of what the definition of a child says, only the labels count: its key and its priority are those of its parent.
func TestChildHasLabels(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t)
		n.deployDocument("document: {dsl: 1.0.3, namespace: test, name: child, version: 1.0.0, metadata: {holdfast: " +
			"{orderKey: '${ .k | ascii_downcase }', priority: 9, labels: {n: '${ .n }', kind: child}}}}\ndo: [{a: {set: {b: 1}}}]")
		def := n.deploy("parent", "do: [{c: {run: {workflow: {namespace: test, name: child, version: latest}}}}]")
		n.mustSubmit(order{id: "p", def: def, key: "k", priority: 5, input: `{"n":"one"}`})
		n.sleep(time.Second)
		n.expect("p", completed)
		a := n.state("p~1").Accepted()
		if a.GetOrderKey() != "k" || a.GetPriority() != 5 || len(a.GetLabels()) != 2 || a.GetLabels()[1].GetValue() != "one" {
			t.Errorf("the child was accepted as %v", a)
		}
		n.mustSubmit(order{id: "q", def: def, input: `{"n":1}`})
		n.sleep(time.Second)
		n.expect("q", faulted)
		if p := n.state("q").Error(); p.GetType() != workflow.ErrorTypeValidation || p.GetInstance() != "/do/0/c" ||
			!strings.Contains(p.GetDetail(), `"metadata.holdfast.labels.n" must yield a string`) {
			t.Errorf("the error is %v", p)
		}
		if child := n.state("q~1"); !child.Refused() {
			t.Errorf("the child is %v", child.Status())
		}
	})
}

// What was done is undone in the whole tree: by the child as long as it is open, by its parent when it has completed.
func TestTreeIsUndone(t *testing.T) {
	t.Parallel()
	for at, want := range map[string]string{
		"p~1:/do/1/b": "p:/do/0/a p~1:/do/0/a p~1:/do/1/b p~1:/do/0/a" + childTask + " p:/do/0/a" + childTask,
		"p:/do/2/b":   "p:/do/0/a p~1:/do/0/a p~1:/do/1/b p:/do/2/b p:/do/1/c" + childTask + " p:/do/0/a" + childTask,
	} {
		synctest.Test(t, func(t *testing.T) {
			n := start(t, inMemory)
			n.deploy("child", childDo)
			w := n.worker(func(_ *worker, task *adapterv1.Task) *adapterv1.Result {
				if task.GetKey() == at {
					return nil
				}
				return done("1")
			})
			n.mustSubmit(order{id: "p", def: n.deploy("parent", undoes), key: "k"})
			n.sleep(time.Second)
			n.mustOperate("p", workflow.Cancel{Compensate: true})
			n.sleep(time.Second)
			n.expect("p", running)
			for _, task := range w.took() {
				if task.GetKey() == at {
					w.answer(task, &adapterv1.Result{Outcome: adapterv1.Outcome_OUTCOME_NOT_DONE})
				}
			}
			n.sleep(time.Second)
			n.expect("p", cancelled)
			var keys []string
			for _, task := range w.took() {
				keys = append(keys, task.GetKey())
			}
			if got := strings.Join(keys, " "); got != want {
				t.Errorf("tasks were\n%s, not\n%s", got, want)
			}
			if is := n.state("p~1").Status(); is != cancelled && is != completed {
				t.Errorf("the child is %v", is)
			}
			n.checkNothingLeft()
			n.verify()
		})
	}
}

// The parent learns how its child has ended, whatever is lost: the child keeps it until then.
func TestChildTellsItsParentUntilItKnows(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t, inMemory)
		n.deploy("child", childDo)
		w := n.worker(nil)
		n.mustSubmit(order{id: "p", def: n.deploy("parent", undoes)})
		w.answer(w.one(), done("1"))
		n.sleep(time.Second)
		n.BreakPartition(messages.PartitionOf("p", ""))
		for _, task := range w.took()[1:] {
			w.answer(task, done("1"))
		}
		n = n.crash()
		n.worker(succeed("1"))
		n.sleep(time.Minute)
		n.expect("p", completed)
		told := 0
		for _, ev := range n.history("p~1") {
			if _, is := ev.GetKind().(*journalv1.Event_ParentTold); is {
				told++
			}
		}
		if told != 1 {
			t.Errorf("the child noted %d times that its parent knows", told)
		}
		n.checkNothingLeft()
		n.verify()
	})
}
