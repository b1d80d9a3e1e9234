package gateway_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-run/holdfast/messages/adapterv1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
)

// runKid runs a child order.
const runKid = `do: [{k: {run: {workflow: {namespace: test, name: kid, version: '1.0.0', input: {n: 1}}}}}]`

// family starts a node with a parent p whose child has begun its activity, and returns that.
func family(t *testing.T, tasks string) (*node, *worker, *adapterv1.Task) {
	t.Helper()
	n := start(t)
	n.deploy("kid", "1.0.0", callOne)
	def := n.deploy("parent", "1.0.0", tasks)
	w := &worker{t: t, Stream: n.connect(100)}
	n.submit(&orderv1.WorkOrder{Id: "p", Definition: def}, accepted)
	task := w.next("/do/0/a")
	if task.GetOrderId() == "p" || string(task.GetInput()) != `{"n":1}` {
		t.Errorf("the child's task is %v", task)
	}
	return n, w, task
}

// pass lets what one order tells another arrive.
func pass() {
	time.Sleep(time.Second)
	settle()
}

func TestParentGoesOnWhenItsChildEndsWell(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n, w, task := family(t, runKid)
		kid := task.GetOrderId()
		if o := n.get(kid); o.GetParentId() != "p" || o.GetDefinition() != "test/kid:1.0.0" || string(o.GetInput()) != `{"n":1}` {
			t.Errorf("the child is %v", o)
		}
		if o := n.get("p"); o.GetParentId() != "" || o.GetStatus() != orderv1.Status_STATUS_RUNNING {
			t.Errorf("the parent is %v", o)
		}
		list, err := n.orders.List(t.Context(), &orderv1.ListRequest{Definition: "test/kid"})
		if err != nil || len(list.GetOrders()) != 1 || list.GetOrders()[0].GetId() != kid || list.GetOrders()[0].GetParentId() != "p" {
			t.Errorf("listed %v: %v", list, err)
		}
		w.tell(task, adapterv1.Outcome_OUTCOME_SUCCEEDED, `"done"`)
		pass()
		if o := n.get("p"); o.GetStatus() != orderv1.Status_STATUS_COMPLETED || string(o.GetOutput()) != `"done"` {
			t.Errorf("after its child the parent is %v", o)
		}
		want := "child.scheduled /do/0/k child " + kid + ` {"n":1}` + "\nchild.ended /do/0/k child " + kid + ` "done"`
		if got := n.told("p", "child."); got != want {
			t.Errorf("the parent's history is\n%s\nwant\n%s", got, want)
		}
		if got := n.told(kid, "order.completed", "parent."); !strings.HasSuffix(got, "\nparent.told") {
			t.Errorf("the child's history is\n%s", got)
		}
	})
}

// A child that faults waits on the desk, and its parent waits for what is done to it.
func TestChildWaitsOnTheDesk(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n, w, task := family(t, runKid)
		kid := task.GetOrderId()
		for range 2 {
			w.tell(task, adapterv1.Outcome_OUTCOME_FAILED, "")
			pass()
			if r := n.show(kid); r.GetOrder().GetStatus() != orderv1.Status_STATUS_FAULTED || r.GetTask() != "/do/0/a" || r.GetOrder().GetParentId() != "p" {
				t.Errorf("the child is shown as %v", r)
			}
			if p := n.get("p"); p.GetStatus() != orderv1.Status_STATUS_RUNNING || fmt.Sprint(p.GetAwaitedIds()) != fmt.Sprint([]string{kid}) {
				t.Errorf("the parent is %v", p)
			}
			if got, want := n.told("p", "child.faulted"), "child.faulted /do/0/k child "+kid+" error Refused"; !strings.HasSuffix(got, want) {
				t.Errorf("the parent's history is\n%s\nwant\n%s", got, want)
			}
			if _, err := n.operate(kid, retry()); err != nil {
				t.Fatal(err)
			}
			task = w.next("/do/0/a")
		}
		w.tell(task, adapterv1.Outcome_OUTCOME_SUCCEEDED, `"done"`)
		pass()
		n.wantStatus("p", orderv1.Status_STATUS_COMPLETED)
	})
}

func TestCancelledChildFaultsItsParent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n, w, task := family(t, runKid)
		w.tell(task, adapterv1.Outcome_OUTCOME_FAILED, "")
		pass()
		if _, err := n.operate(task.GetOrderId(), cancel(false)); err != nil {
			t.Fatal(err)
		}
		pass()
		if o := n.get("p"); o.GetStatus() != orderv1.Status_STATUS_FAULTED || o.GetError().GetType() != "https://holdfast.run/errors/cancelled" {
			t.Errorf("the parent of a cancelled child is %v", o)
		}
		if got := n.told("p", "child.ended"); !strings.HasPrefix(got, "child.ended /do/0/k child "+task.GetOrderId()+" error ") {
			t.Errorf("the parent's history is\n%s", got)
		}
	})
}

func TestCancelledParentCancelsItsChild(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n, w, task := family(t, runKid)
		if _, err := n.orders.Cancel(t.Context(), &orderv1.CancelRequest{Id: "p", Reason: "wrong"}); err != nil {
			t.Fatal(err)
		}
		pass()
		w.tell(task, adapterv1.Outcome_OUTCOME_NOT_DONE, "")
		pass()
		n.wantStatus(task.GetOrderId(), orderv1.Status_STATUS_CANCELLED)
		n.wantStatus("p", orderv1.Status_STATUS_CANCELLED)
	})
}

func TestParentDoesNotAwaitItsChild(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n, w, task := family(t, strings.Replace(runKid, "input: {n: 1}}", "input: {n: 1}}, await: false", 1))
		pass()
		n.wantStatus("p", orderv1.Status_STATUS_COMPLETED)
		n.wantStatus(task.GetOrderId(), orderv1.Status_STATUS_RUNNING)
		if got, want := n.told("p", "child.ended"), "child.ended /do/0/k child "+task.GetOrderId(); got != want {
			t.Errorf("the parent's history is\n%s\nwant\n%s", got, want)
		}
		w.tell(task, adapterv1.Outcome_OUTCOME_SUCCEEDED, `"done"`)
		pass()
		n.wantStatus(task.GetOrderId(), orderv1.Status_STATUS_COMPLETED)
	})
}
