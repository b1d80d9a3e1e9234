package actors_test

import (
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/holdfast-run/holdfast/actors/activity"
	"github.com/holdfast-run/holdfast/actors/workflow"
	"github.com/holdfast-run/holdfast/adapters/adaptertest"
	"github.com/holdfast-run/holdfast/messages/adapterv1"
	"github.com/holdfast-run/holdfast/messages/problemv1"
)

// worker is an adapter in this process.
type worker struct {
	*activity.Stream

	node  *node
	hello *adapterv1.Hello
	// work makes the result of a task; nil: the task is held until the test answers it.
	work func(*worker, *adapterv1.Task) *adapterv1.Result
	// insists: it sends a result again that was refused.
	insists bool
	// confirm is told of confirmations, if it is set.
	confirm func(*adapterv1.Confirmation)
	// cancel is told of cancellations, if it is set.
	cancel func(*adapterv1.Cancellation)

	// list is told which partitions it is asked for, if it is set.
	list func(*adapterv1.Owned)

	mu        sync.Mutex
	seq       uint64
	tasks     []*adapterv1.Task
	cancelled []*adapterv1.Cancellation
	confirmed []*adapterv1.Confirmation
	owned     []*adapterv1.Owned
	returned  uint64
	refused   []error
	acked     int
}

func succeed(output string) func(*worker, *adapterv1.Task) *adapterv1.Result {
	return func(*worker, *adapterv1.Task) *adapterv1.Result {
		return &adapterv1.Result{Outcome: adapterv1.Outcome_OUTCOME_SUCCEEDED, Output: []byte(output)}
	}
}

func done(output string) *adapterv1.Result { return succeed(output)(nil, nil) }

func failing(status int32) *adapterv1.Result {
	return &adapterv1.Result{
		Outcome: adapterv1.Outcome_OUTCOME_FAILED,
		Error:   &problemv1.Problem{Type: workflow.ErrorTypeCommunication, Title: "no", Status: status},
	}
}

// a worker offers the activity x.do, idempotent, with many credits, unless the hello says otherwise.
func (n *node) worker(work func(*worker, *adapterv1.Task) *adapterv1.Result, changes ...func(*adapterv1.Hello)) *worker {
	w := n.newWorker(work, changes...)
	w.join()
	settle()
	return w
}

// newWorker makes a worker that has no stream yet.
func (n *node) newWorker(work func(*worker, *adapterv1.Task) *adapterv1.Result, changes ...func(*adapterv1.Hello)) *worker {
	return &worker{node: n, work: work, hello: adaptertest.Hello(changes...)}
}

// attach opens its stream, without a credit: nothing is sent to it.
func (w *worker) attach() {
	var err error
	if w.Stream, err = w.node.Activities().Attach(w.hello, w); err != nil {
		w.node.t.Error(err)
	}
}

// join opens its stream, with many credits.
func (w *worker) join() {
	w.attach()
	w.credit(1_000_000)
}

func notIdempotent(h *adapterv1.Hello) { h.Activities[0].Idempotent = false }

// begins has the adapter await confirmations.
func begins(h *adapterv1.Hello) { h.Features = []adapterv1.Feature{adapterv1.Feature_FEATURE_BEGUN} }

func recovers(h *adapterv1.Hello) { h.Activities[0].Recoverable = true }

func process(process, ledger string, keys ...string) func(*adapterv1.Hello) {
	return func(h *adapterv1.Hello) { h.Process, h.Ledger, h.Keys = process, ledger, keys }
}

func (w *worker) credit(total uint64) {
	for _, a := range w.hello.GetActivities() {
		w.Credit(&adapterv1.Credit{Activity: a.GetName(), Total: total})
	}
}

// leave loses the stream: it is not known why.
func (w *worker) leave() {
	w.Detach(false, false)
	settle()
}

// die has the adapter close its stream.
func (w *worker) die() {
	w.Detach(true, false)
	settle()
}

func (w *worker) SendTask(t *adapterv1.Task) {
	if w.node.crashed.Load() {
		return
	}
	w.mu.Lock()
	w.tasks = append(w.tasks, t)
	w.mu.Unlock()
	if w.work != nil {
		if r := w.work(w, t); r != nil {
			w.answer(t, r)
		}
	}
}

func (w *worker) SendCancellation(c *adapterv1.Cancellation) {
	w.mu.Lock()
	w.cancelled = append(w.cancelled, c)
	w.mu.Unlock()
	if w.cancel != nil {
		w.cancel(c)
	}
}

func (w *worker) SendConfirmation(c *adapterv1.Confirmation) {
	w.mu.Lock()
	w.confirmed = append(w.confirmed, c)
	w.mu.Unlock()
	if w.confirm != nil {
		w.confirm(c)
	}
}

func (w *worker) SendOwned(o *adapterv1.Owned) {
	w.mu.Lock()
	w.owned = append(w.owned, o)
	w.mu.Unlock()
	if w.list != nil {
		w.list(o)
	}
}

func (w *worker) SendReturned(r *adapterv1.Returned) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.returned += r.GetCount()
}

// Slow is false: the worker takes what it is sent.
func (w *worker) Slow() bool { return false }

func (w *worker) Refused(string, string) {}

// answer sends the result of a task.
func (w *worker) answer(t *adapterv1.Task, r *adapterv1.Result) { w.answerThen(t, r, func(error) {}) }

func (w *worker) answerThen(t *adapterv1.Task, r *adapterv1.Result, then func(error)) {
	w.mu.Lock()
	w.seq++
	adaptertest.Address(r, t, w.seq)
	w.mu.Unlock()
	var send func()
	send = func() {
		w.Result(r, func(err error) {
			if errors.Is(err, activity.ErrUnlisted) {
				err = nil
			}
			w.mu.Lock()
			if err == nil {
				w.acked++
			} else {
				w.refused = append(w.refused, err)
			}
			w.mu.Unlock()
			if err != nil && w.insists {
				time.AfterFunc(time.Second, send)
			}
			then(err)
		})
	}
	send()
}

// took returns the tasks that came so far.
func (w *worker) took() []*adapterv1.Task {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.tasks)
}

// heard returns what the adapter was told to give up, how many of its results were acknowledged, and why others were not.
func (w *worker) heard() (cancelled []*adapterv1.Cancellation, acked int, refused []error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.cancelled), w.acked, slices.Clone(w.refused)
}

// one returns the only task that came.
func (w *worker) one() *adapterv1.Task {
	w.node.t.Helper()
	settle()
	tasks := w.took()
	if len(tasks) != 1 {
		w.node.t.Fatalf("the adapter got %d tasks, want one: %v", len(tasks), tasks)
	}
	return tasks[0]
}
