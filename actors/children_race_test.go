package actors_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-run/holdfast/actors/workflow"
	"github.com/holdfast-run/holdfast/messages/adapterv1"
	"github.com/holdfast-run/holdfast/persistence"
)

const (
	onlyChild = "do: [{c: {run: {workflow: {namespace: test, name: child, version: latest}}}}]"
	childFor  = "do: [{t: {try: [{c: {timeout: {after: %s}, run: {workflow: {namespace: test, name: child, version: latest}}}}], catch: {}}}]"
	pickier   = "document: {dsl: 1.0.3, namespace: test, name: child, version: 1.1.0}\n" +
		"input: {schema: {document: {type: string}}}\ndo: [{s: {set: {a: 1}}}]"
)

// What its definition's latest version is meanwhile is nothing to a child that is there.
func TestChildIsWhatItWas(t *testing.T) {
	t.Parallel()
	for _, cancels := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			n := start(t, inMemory)
			n.deploy("child", childDo)
			n.mustSubmit(order{id: "p", key: "k", def: n.deploy("parent", onlyChild)})
			n.mustSubmit(order{id: "next", key: "k", def: n.deploy("one", callOne)})
			n.sleep(time.Second)
			n.deployDocument(pickier)
			if cancels {
				n.mustOperate("p", workflow.Cancel{Compensate: true})
			}
			n = n.crash()
			n.sleep(10 * time.Second)
			if want := n.state("p~1").Status(); want != n.state("p").Status() || (want == cancelled) != cancels {
				t.Errorf("the child is %v, its parent %v", want, n.state("p").Status())
			}
			n.worker(succeed("1"))
			n.sleep(10 * time.Second)
			n.checkSequence(true, "p", "next")
			n.checkNothingLeft()
		})
	}
}

// losing drops commits that hook says, and never answers them.
type losing struct {
	persistence.Journal

	hook func(c *persistence.Commit) bool
}

func (l *losing) Commit(c *persistence.Commit) {
	if l.hook == nil || !l.hook(c) {
		l.Journal.Commit(c)
	}
}

// A child that was refused stays refused, though it could be run by the time at which its parent learns that: its id is used up.
func TestChildIsRefusedForGood(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := &losing{}
		n := start(t, withWrap(func(j persistence.Journal) persistence.Journal { l.Journal = j; return l }))
		def := n.deploy("parent", onlyChild)
		lost := false
		l.hook = func(c *persistence.Commit) bool {
			if c.Expected == 0 || lost || c.Row.GetStatus() != int32(faulted) {
				return false
			}
			lost = true
			go func() {
				n.deploy("child", callOne)
				n.BreakPartition(c.Partition)
			}()
			return true
		}
		n.mustSubmit(order{id: "p", key: "k", def: def})
		n.sleep(time.Minute)
		n.expect("p", faulted)
		n.expect("p~1", cancelled)
		if p := n.state("p").Error(); !strings.Contains(p.GetDetail(), "definition is not deployed") {
			t.Errorf("the error is %v", p)
		}
		n.mustOperate("p", retry)
		n.worker(succeed("1"))
		n.sleep(time.Minute)
		n.expect("p", completed)
		n.expect("p~2", completed)
		n.checkNothingLeft()
		n.verify()
		if !lost {
			t.Error("nothing was lost")
		}
	})
}

// A child that is about to fault when it is given up is cancelled all the same.
func TestChildIsGivenUpWhileItFaults(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t, inMemory)
		n.deploy("child", "timeout: {after: PT10S}\n"+childDo)
		n.worker(func(_ *worker, task *adapterv1.Task) *adapterv1.Result {
			if strings.HasSuffix(task.GetKey(), "/b") {
				return nil
			}
			return done("1")
		})
		n.mustSubmit(order{id: "p", key: "k", def: n.deploy("parent", strings.ReplaceAll(childFor, "%s", "PT20S"))})
		n.sleep(2 * time.Minute)
		n.expect("p", completed)
		n.expect("p~1", cancelled)
	})
}

// A child that is given up, but faults while it undoes something, is cancelled once an operator has mended that.
func TestChildIsGivenUpWhileItUndoes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t, inMemory)
		n.deploy("child", "do: [{t: {try: [{a: {call: x.do, "+undone+"}}, {b: {call: x.do}}], catch: {}, "+
			"metadata: {holdfast: {compensate: true}}}}, {z: {call: x.do}}]")
		var held *adapterv1.Task
		w := n.worker(func(_ *worker, task *adapterv1.Task) *adapterv1.Result {
			switch {
			case strings.HasSuffix(task.GetKey(), "compensate") && held == nil:
				held = task
				return nil
			case strings.HasSuffix(task.GetKey(), "/b"):
				return failing(500)
			}
			return done("1")
		})
		n.mustSubmit(order{id: "p", def: n.deploy("parent", strings.ReplaceAll(childFor, "%s", "PT10S"))})
		n.sleep(20 * time.Second)
		w.answer(held, failing(500))
		n.sleep(time.Hour)
		n.expect("p", running)
		n.expect("p~1", faulted)
		n.mustOperate("p~1", retry)
		n.sleep(time.Minute)
		n.expect("p", completed)
		n.expect("p~1", cancelled)
		n.checkNothingLeft()
	})
}

// What undoes something may be a child, too.
func TestChildUndoes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t, inMemory)
		n.deploy("child", callOne)
		n.worker(succeed("1"))
		n.mustSubmit(order{id: "p", def: n.deploy("parent", "do: [{a: {call: x.do, metadata: {holdfast: {compensate: "+
			"{run: {workflow: {namespace: test, name: child, version: latest}}}}}}}, {w: {wait: PT1H}}]")})
		n.sleep(time.Second)
		n.mustOperate("p", workflow.Cancel{Compensate: true})
		n.sleep(time.Second)
		n.expect("p", cancelled)
		n.expect("p~1", completed)
		n.checkNothingLeft()
	})
}

// To cancel an order with compensation is possible as long as it stops for another reason.
func TestCancelIsUpgraded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t, inMemory)
		w := n.worker(nil)
		n.mustSubmit(order{id: "o", def: n.deploy("two", childDo)})
		w.answer(w.one(), done("1"))
		n.sleep(time.Second)
		if err := n.cancel("o"); err != nil {
			t.Error(err)
		}
		n.mustOperate("o", workflow.Cancel{Compensate: true})
		wantErr(t, n.operate("o", workflow.Suspend{}), workflow.ErrStopping)
		n.sleep(time.Minute)
		n.expect("o", running)
		if got := w.took(); len(got) != 3 || !strings.HasSuffix(got[2].GetKey(), "compensate") {
			t.Errorf("tasks were %v", got)
		}
		n.mustOperate("o", workflow.Fault{})
		n.sleep(time.Minute)
		n.expect("o", faulted)
	})
}
