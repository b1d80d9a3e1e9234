package gateway_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/holdfast-run/holdfast/adapters/adaptertest"
	"github.com/holdfast-run/holdfast/messages/adapterv1"
	"github.com/holdfast-run/holdfast/messages/adminv1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/messages/problemv1"
)

// undoing has two activities, and knows how to undo both.
const undoing = `do:
  - a: {call: x.do, metadata: {holdfast: {compensate: {call: x.do}}}}
  - b: {call: x.do, metadata: {holdfast: {compensate: {call: x.do}}}}`

const (
	undoA = "/do/0/a/metadata/holdfast/compensate"
	undoB = "/do/1/b/metadata/holdfast/compensate"
)

// worker is an adapter that does one task at a time.
type worker struct {
	*adaptertest.Stream

	t   *testing.T
	seq uint64
	// came are tasks that came together with one that was wanted.
	came []*adapterv1.Task
}

// next receives the next task, which is one of this reference.
func (w *worker) next(ref string) *adapterv1.Task {
	w.t.Helper()
	if len(w.came) == 0 {
		w.came = w.Tasks(1)
	}
	task := w.came[0]
	w.came = w.came[1:]
	if task.GetTask() != ref {
		w.t.Fatalf("the next task is %s, want %s", task.GetTask(), ref)
	}
	return task
}

// tell sends what came of a task. An output is only of one that succeeded.
func (w *worker) tell(task *adapterv1.Task, outcome adapterv1.Outcome, output string) {
	w.t.Helper()
	w.seq++
	r := adaptertest.ResultOf(task, w.seq)
	r.Outcome, r.Output = outcome, []byte(output)
	if outcome == adapterv1.Outcome_OUTCOME_FAILED {
		r.Error = &problemv1.Problem{Title: "Refused", Status: 500}
	}
	w.Report(r)
	settle()
}

// do receives the next task, which has it succeed with an output.
func (w *worker) do(ref, output string) *adapterv1.Task {
	w.t.Helper()
	task := w.next(ref)
	w.tell(task, adapterv1.Outcome_OUTCOME_SUCCEEDED, output)
	return task
}

// fail receives the next task, which fails.
func (w *worker) fail(ref string) {
	w.t.Helper()
	w.tell(w.next(ref), adapterv1.Outcome_OUTCOME_FAILED, "")
}

// undo receives the next task, which undoes what had this input and output.
func (w *worker) undo(ref, input, output string) {
	w.t.Helper()
	task := w.do(ref, `"undone"`)
	var done struct {
		Input  json.RawMessage `json:"input"`
		Output json.RawMessage `json:"output"`
	}
	if err := json.Unmarshal(task.GetInput(), &done); err != nil || string(done.Input) != input || string(done.Output) != output {
		w.t.Errorf("%s gets %s, want the input %s and the output %s: %v", ref, task.GetInput(), input, output, err)
	}
}

func cancel(compensate bool) *adminv1.Action {
	return &adminv1.Action{By: "jane", Reason: "wrong", Kind: &adminv1.Action_Cancel{Cancel: &adminv1.Cancel{Compensate: compensate}}}
}

func (n *node) get(id string) *orderv1.Order {
	n.t.Helper()
	r, err := n.orders.Get(n.t.Context(), &orderv1.GetRequest{Id: id})
	if err != nil {
		n.t.Fatal(err)
	}
	return r.GetOrder()
}

func (n *node) wantStatus(id string, want orderv1.Status) {
	n.t.Helper()
	if got := n.get(id).GetStatus(); got != want {
		n.t.Errorf("%s is %v, want %v", id, got, want)
	}
}

// told is the events of an order whose types begin with one of these, as text.
func (n *node) told(id string, prefixes ...string) string {
	n.t.Helper()
	r, err := n.orders.History(n.t.Context(), &orderv1.HistoryRequest{Id: id})
	if err != nil {
		n.t.Fatal(err)
	}
	var lines []string
	for _, ev := range r.GetEvents() {
		for _, p := range prefixes {
			if strings.HasPrefix(ev.GetType(), p) {
				_, line, _ := strings.Cut(describe([]*orderv1.HistoryEvent{ev}), " ")
				lines = append(lines, line)
			}
		}
	}
	return strings.Join(lines, "\n")
}

func (n *node) show(id string) *adminv1.ShowFalloutResponse {
	n.t.Helper()
	r, err := n.admin.ShowFallout(n.t.Context(), &adminv1.ShowFalloutRequest{Id: id})
	if err != nil {
		n.t.Fatal(err)
	}
	return r
}

// wouldUndo is what a cancellation with compensation would undo, as text.
func (n *node) wouldUndo(id string) string {
	n.t.Helper()
	var out []string
	for _, c := range n.show(id).GetCompensable() {
		out = append(out, fmt.Sprintf("%s %s %t", c.GetTask(), c.GetKey(), c.GetInDoubt()))
	}
	return strings.Join(out, ", ")
}

// worked starts a node with an order that has done its first activity.
func worked(t *testing.T, id string) (*node, *worker) {
	t.Helper()
	n := start(t)
	n.deploy("undoing", "1.0.0", undoing)
	w := &worker{t: t, Stream: n.connect(100)}
	n.begin(w, id)
	return n, w
}

// begin submits an order, and has it do its first activity.
func (n *node) begin(w *worker, id string) {
	n.t.Helper()
	n.submit(&orderv1.WorkOrder{Id: id, Definition: "test/undoing:1.0.0", Input: []byte("1")}, accepted)
	w.do("/do/0/a", `"a"`)
}

func TestOpenOrderIsUndoneBeforeItIsCancelled(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n, w := worked(t, "o")
		b := w.next("/do/1/b")
		for range 2 {
			r, err := n.orders.Cancel(t.Context(), &orderv1.CancelRequest{Id: "o", Reason: "wrong", By: "jane", Compensate: true})
			if err != nil || r.GetOrder().GetStatus() != orderv1.Status_STATUS_RUNNING {
				t.Errorf("an order that is cancelled is %v: %v", r, err)
			}
		}
		h, err := n.orders.History(t.Context(), &orderv1.HistoryRequest{Id: "o"})
		if err != nil || h.GetEvents()[len(h.GetEvents())-1].GetBy() != "jane" {
			t.Errorf("who cancels it is not in the history: %v, %v", h, err)
		}
		w.tell(b, adapterv1.Outcome_OUTCOME_SUCCEEDED, `"b"`)
		w.undo(undoB, `"a"`, `"b"`)
		n.wantStatus("o", orderv1.Status_STATUS_RUNNING)
		w.undo(undoA, "1", `"a"`)
		n.wantStatus("o", orderv1.Status_STATUS_CANCELLED)
		const want = `compensation.started /do/1/b o:/do/1/b
compensation.ended /do/1/b o:/do/1/b
compensation.started /do/0/a o:/do/0/a
compensation.ended /do/0/a o:/do/0/a
order.cancelled because wrong`
		if got := n.told("o", "compensation.", "order.cancelled"); got != want {
			t.Errorf("the history is\n%s\nwant\n%s", got, want)
		}
		if got := n.told("o", "stop."); !strings.HasSuffix(got, " because wrong compensating") {
			t.Errorf("the stop is %s", got)
		}
		if got := n.wouldUndo("o"); got != "" {
			t.Errorf("a cancelled order would undo %s", got)
		}
	})
}

// A compensation that fails is tried again, passed over, or given up with the order.
func TestFaultedOrderIsUndone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n, w := worked(t, "o0")
		for i, act := range []*adminv1.Action{
			retry(), {By: "jane", Kind: &adminv1.Action_Skip{Skip: &adminv1.Skip{}}}, cancel(false),
		} {
			id := fmt.Sprint("o", i)
			if i > 0 {
				n.begin(w, id)
			}
			w.fail("/do/1/b")
			if got, want := n.wouldUndo(id), "/do/0/a "+id+":/do/0/a false"; got != want {
				t.Errorf("it would undo %s, want %s", got, want)
			}
			if o, err := n.operate(id, cancel(true)); err != nil || o.GetStatus() != orderv1.Status_STATUS_RUNNING || o.GetEndedAt() != nil {
				t.Errorf("an order that goes on for its cancellation is %v: %v", o, err)
			}
			w.fail(undoA)
			if r := n.show(id); r.GetTask() != undoA || r.GetOrder().GetError().GetTitle() != "Refused" {
				t.Errorf("an order with a failed compensation is shown as %v", r)
			}
			_, err := n.operate(id, cancel(true))
			wantRefusal(t, err, codes.FailedPrecondition, "COMPENSATING")
			_, err = n.orders.Cancel(t.Context(), &orderv1.CancelRequest{Id: id, Compensate: true})
			wantRefusal(t, err, codes.FailedPrecondition, "COMPENSATING")
			if _, err := n.operate(id, act); err != nil {
				t.Error(err)
			}
			if i == 0 {
				w.undo(undoA, "1", `"a"`)
			}
			n.wantStatus(id, orderv1.Status_STATUS_CANCELLED)
			if got := n.told(id, "order.cancelling"); !strings.HasSuffix(got, " because wrong compensating") {
				t.Errorf("the cancellation is %s", got)
			}
		}
	})
}

// What is in doubt is asked about again. If that tells nothing, it is undone once an operator says that it was done.
func TestAttemptInDoubtIsNotUndoneOnAGuess(t *testing.T) {
	t.Parallel()
	for name, notDone := range map[string]bool{"done": false, "not done": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				n, w := worked(t, "o")
				w.tell(w.next("/do/1/b"), adapterv1.Outcome_OUTCOME_IN_DOUBT, "")
				if got, want := n.wouldUndo("o"), "/do/1/b o:/do/1/b true, /do/0/a o:/do/0/a false"; got != want {
					t.Errorf("it would undo %s, want %s", got, want)
				}
				if o, err := n.operate("o", cancel(true)); err != nil || o.GetStatus() != orderv1.Status_STATUS_RUNNING {
					t.Errorf("an order in doubt that is to be undone is %v: %v", o, err)
				}
				again := w.next("/do/1/b")
				if again.GetKey() != "o:/do/1/b" || again.GetAttempt() != 2 || !again.GetMaybeStarted() {
					t.Errorf("it is asked about by %v", again)
				}
				w.tell(again, adapterv1.Outcome_OUTCOME_IN_DOUBT, "")
				n.wantStatus("o", orderv1.Status_STATUS_FAULTED)
				if r := n.show("o"); r.GetOrder().GetError().GetType() != "https://holdfast.run/errors/in-doubt" || r.GetTask() != undoB {
					t.Errorf("an order in doubt that is to be undone is %v", r)
				}
				act := retry()
				act.GetRetry().NotDone = notDone
				if _, err := n.operate("o", act); err != nil {
					t.Error(err)
				}
				if !notDone {
					w.do(undoB, `"undone"`)
				}
				w.undo(undoA, "1", `"a"`)
				n.wantStatus("o", orderv1.Status_STATUS_CANCELLED)
			})
		})
	}
}

// A dry run tells what would happen, and does nothing.
func TestDryRun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n, w := worked(t, "o")
		w.fail("/do/1/b")
		skip := &adminv1.Action{By: "jane", Kind: &adminv1.Action_Skip{Skip: &adminv1.Skip{Output: []byte(`7`)}}}
		r, err := n.admin.Operate(t.Context(), &adminv1.OperateRequest{Id: "o", Action: skip, DryRun: true})
		if err != nil {
			t.Fatal(err)
		}
		var told []string
		for _, ev := range r.GetEvents() {
			told = append(told, fmt.Sprint(ev.GetVersion(), " ", ev.GetType(), " ", ev.GetTask()))
		}
		if got, want := strings.Join(told, ", "), "12 order.skipped /do/1/b, 13 task.completed /do/1/b, 14 order.completed "; got != want {
			t.Errorf("it would do %q, want %q", got, want)
		}
		if r.GetOrder().GetStatus() != orderv1.Status_STATUS_COMPLETED || string(r.GetOrder().GetOutput()) != "7" {
			t.Errorf("it would be %v", r.GetOrder())
		}
		n.wantStatus("o", orderv1.Status_STATUS_FAULTED)
		suspend := &adminv1.Action{Kind: &adminv1.Action_Suspend{Suspend: &adminv1.Suspend{}}}
		_, err = n.admin.Operate(t.Context(), &adminv1.OperateRequest{Id: "o", Action: suspend, DryRun: true})
		wantRefusal(t, err, codes.FailedPrecondition, "ORDER_FAULTED")
	})
}

func TestManyOrdersAreUndone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n, w := worked(t, "o0")
		w.fail("/do/1/b")
		for _, id := range []string{"o1", "o2"} {
			n.begin(w, id)
			w.fail("/do/1/b")
		}
		if _, err := n.operate("o0", cancel(true)); err != nil {
			t.Fatal(err)
		}
		w.fail(undoA)
		all := &adminv1.OperateAllRequest{Action: cancel(true), Selection: &adminv1.Selection{Definition: "test/undoing"}}
		got, _, err := n.operateAll(all)
		if want := map[string]string{"o0": "COMPENSATING", "o1": "", "o2": ""}; err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("it came out as %v: %v", got, err)
		}
		w.undo(undoA, "1", `"a"`)
		w.undo(undoA, "1", `"a"`)
		n.wantStatus("o0", orderv1.Status_STATUS_FAULTED)
		n.wantStatus("o1", orderv1.Status_STATUS_CANCELLED)
		n.wantStatus("o2", orderv1.Status_STATUS_CANCELLED)
	})
}

// An order that lost its key waits for its turn before it undoes anything.
func TestUndoingWaitsForItsTurn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t)
		def := n.deploy("undoing", "1.0.0", undoing)
		w := &worker{t: t, Stream: n.connect(100)}
		for _, id := range []string{"first", "second"} {
			n.submit(&orderv1.WorkOrder{Id: id, Definition: def, OrderKey: "k", Input: []byte("1")}, accepted)
		}
		w.do("/do/0/a", `"a"`)
		w.fail("/do/1/b")
		if _, err := n.admin.ReleaseKey(t.Context(), &adminv1.ReleaseKeyRequest{OrderKey: "k"}); err != nil {
			t.Fatal(err)
		}
		second := w.next("/do/0/a")
		if o, err := n.operate("first", cancel(true)); err != nil || o.GetStatus() != orderv1.Status_STATUS_PENDING {
			t.Errorf("an order that lost its key is %v: %v", o, err)
		}
		w.tell(second, adapterv1.Outcome_OUTCOME_SUCCEEDED, `"a"`)
		w.do("/do/1/b", `"b"`)
		n.wantStatus("second", orderv1.Status_STATUS_COMPLETED)
		w.undo(undoA, "1", `"a"`)
		n.wantStatus("first", orderv1.Status_STATUS_CANCELLED)
	})
}

// Only an operator who faults the order halts what undoes it.
func TestUndoingIsHalted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n, w := worked(t, "o")
		w.fail("/do/1/b")
		if _, err := n.operate("o", cancel(true)); err != nil {
			t.Fatal(err)
		}
		task := w.next(undoA)
		if _, err := n.operate("o", &adminv1.Action{By: "jane", Kind: &adminv1.Action_Fault{Fault: &adminv1.Fault{}}}); err != nil {
			t.Fatal(err)
		}
		w.tell(task, adapterv1.Outcome_OUTCOME_NOT_DONE, "")
		time.Sleep(time.Second)
		settle()
		if r := n.show("o"); r.GetOrder().GetStatus() != orderv1.Status_STATUS_FAULTED || r.GetTask() != undoA {
			t.Errorf("a halted order is shown as %v", r)
		}
		if _, err := n.operate("o", retry()); err != nil {
			t.Fatal(err)
		}
		w.undo(undoA, "1", `"a"`)
		n.wantStatus("o", orderv1.Status_STATUS_CANCELLED)
	})
}
