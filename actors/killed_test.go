package actors_test

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-run/holdfast/actors/workflow"
	"github.com/holdfast-run/holdfast/persistence"
)

// Whichever commit of a tree of orders is the last before a kill, compensation included: its journal is sound, and the tree
// comes to its end when it is taken up again.
func TestJournalIsSoundAtEachCommit(t *testing.T) {
	t.Parallel()
	const family = "do: [{a: {call: x.do, " + undone + "}}, {c: {run: {workflow: {namespace: test, name: child, version: latest}}}}, " +
		"{d: {run: {workflow: {namespace: test, name: child, version: latest}}, " + undone + "}}, " +
		"{e: {run: {workflow: {namespace: test, name: child, version: latest}}}}, {b: {call: x.do}}]"
	whole := false
	for kill := int64(1); !whole; kill++ {
		if kill > 200 {
			t.Fatal("the tree does not come to its end")
		}
		synctest.Test(t, func(t *testing.T) {
			var made atomic.Int64
			kills := func(j persistence.Journal) persistence.Journal {
				return &losing{j, func(*persistence.Commit) bool { return made.Add(1) > kill }}
			}
			n := start(t, inMemory, withWrap(kills))
			n.deploy("child", childDo)
			def := n.deploy("parent", family)
			live := func() {
				fails := "p:/do/4/b"
				n.worker(failAt(&fails))
				n.hand(order{id: "p", key: "k", def: def}.accepted(), func(error) {})
				n.sleep(time.Minute)
				n.tell("p", workflow.Cancel{Compensate: true}, func(error) {})
				n.sleep(time.Minute)
			}
			live()
			whole = made.Load() <= kill
			n.crashed.Store(true)
			n.settings.wrap = nil
			n = n.verify()
			live()
			for _, id := range []string{"p", "p~1", "p~3"} {
				if s := n.state(id).Status(); s != cancelled && s != completed {
					t.Errorf("killed at commit %d, order %s is %v", kill, id, s)
				}
			}
			n.checkNothingLeft()
			n.verify()
		})
	}
}
