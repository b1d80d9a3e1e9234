package actors_test

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-run/holdfast/actors/runtime"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/adapterv1"
	"github.com/holdfast-run/holdfast/persistence"
	"github.com/holdfast-run/holdfast/persistence/flaky"
)

// flakily has the nodes of a test see their journal through what j then is.
func flakily(j **flaky.Journal) option {
	return withWrap(func(behind persistence.Journal) persistence.Journal {
		*j = flaky.Wrap(behind)
		return *j
	})
}

// takes has a worker take half a second for each task, and send its result until that is acknowledged.
func takes(w *worker, task *adapterv1.Task) *adapterv1.Result {
	time.AfterFunc(500*time.Millisecond, func() { w.answer(task, done(`"done"`)) })
	return nil
}

// insistent is such a worker.
func (n *node) insistent(changes ...func(*adapterv1.Hello)) {
	w := n.newWorker(takes, changes...)
	w.insists = true
	w.join()
	settle()
}

// load submits orders of all kinds, and returns those of them that can go on at once, whatever the others do.
func (n *node) load() (moving, others []string) {
	n.deploy("child", childDo)
	for name, tasks := range map[string]string{
		"three": callThree, "parent": parentOf, "due": "do: [{w: {wait: PT12S}}, {a: {call: x.do}}]",
		"key": callThree, "disk": "do: [{a: {call: y.do}}]",
	} {
		def := n.deploy(name, tasks)
		for i := range 10 {
			o := order{id: fmt.Sprint(name, i), def: def}
			if name == "key" {
				o.key = fmt.Sprint("k", i%3)
			}
			n.mustSubmit(o)
			if name == "disk" || name == "key" && i >= 3 {
				others = append(others, o.id)
			} else {
				moving = append(moving, o.id)
			}
		}
	}
	return moving, others
}

// While a journal does not answer, everything waits and nothing breaks: the node is alive and not ready, and refuses what is new
// with a reason. Once it answers again, all goes on within two seconds.
func TestJournalThatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		state   flaky.State
		noticed time.Duration // after which it is not ready
	}{
		"away": {flaky.Away, time.Second}, "silent": {flaky.Silent, 10 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var j *flaky.Journal
				n := start(t, narrow, flakily(&j))
				n.insistent()
				moving, others := n.load()
				n.sleep(300 * time.Millisecond)
				j.Set(test.state)
				answered := n.endure(test.noticed)
				var before []int
				for _, id := range moving {
					before = append(before, n.progress(id))
				}
				j.Set(flaky.Up)
				n.sleep(2 * time.Second)
				if err := n.Ready(); err != nil {
					t.Errorf("two seconds later it is not ready: %v", err)
				}
				for i, id := range moving {
					if n.progress(id) == before[i] {
						t.Errorf("order %s has not gone on in two seconds", id)
					}
				}
				n.drain()
				n.sleep(2 * time.Minute)
				for _, id := range append(append(moving, others...), answered...) {
					n.expect(id, completed)
				}
				n.checkNothingLeft()
				select {
				case err := <-n.broken:
					t.Errorf("it would have ended the process: %v", err)
				default:
				}
				if j.Unanswered() < 20 {
					t.Errorf("only %d commits came meanwhile", j.Unanswered())
				}
			})
		})
	}
}

// progress counts the events of an order and of its child, for which it may have to wait a second.
func (n *node) progress(id string) (events int) {
	n.t.Helper()
	events = len(n.history(id))
	child := id + "~1"
	switch _, err := n.journal.Find(n.t.Context(), messages.OrderID(child)); {
	case err == nil:
		events += len(n.history(child))
	case !errors.Is(err, persistence.ErrNotFound):
		n.t.Fatalf("find %s: %v", child, err)
	}
	return events
}

// endure looks after a node whose journal does not answer for 30 s, while orders are submitted. It returns those that were submitted,
// and submits them again until they are accepted.
func (n *node) endure(noticed time.Duration) (ids []string) {
	n.t.Helper()
	def, err := found(n.Catalog(), messages.DefinitionRef{Namespace: "test", Name: "three", Version: "1.0.0"})
	if err != nil {
		n.t.Fatal(err)
	}
	began := time.Now()
	n.insistent(func(h *adapterv1.Hello) { h.Adapter, h.Process, h.Ledger = "y", "y", "y" })
	for i := 0; time.Since(began) < 30*time.Second; i++ {
		n.sleep(100 * time.Millisecond)
		if stuck := n.dog.Stuck(time.Now()); len(stuck) > 0 {
			n.t.Fatalf("after %v it is not alive: %v", time.Since(began), stuck)
		}
		if err := n.Ready(); time.Since(began) > noticed && !errors.Is(err, persistence.ErrUnavailable) {
			n.t.Fatalf("after %v it is ready, or not for that reason: %v", time.Since(began), err)
		}
		if i%10 != 0 {
			continue
		}
		if n.Status(n.t.Context()).Open == 0 {
			n.t.Error("the status does not tell of open orders")
		}
		o := order{id: fmt.Sprint("new", i), def: def}
		ids = append(ids, o.id)
		var again func(error)
		again = func(err error) {
			if err == nil {
				return
			}
			if !errors.Is(err, persistence.ErrUnavailable) && !errors.Is(err, runtime.ErrInterrupted) {
				n.t.Errorf("order %s is refused: %v", o.id, err)
			}
			time.AfterFunc(time.Second, func() { n.hand(o.accepted(), again) })
		}
		n.hand(o.accepted(), again)
	}
	return ids
}

// readOnly is a journal that may make no commits, and answers all else.
type readOnly struct {
	persistence.Journal

	is    *atomic.Bool
	tried *atomic.Int64
}

func (r readOnly) Commit(c *persistence.Commit) {
	if !r.is.Load() {
		r.Journal.Commit(c)
		return
	}
	r.tried.Add(1)
	c.Done(fmt.Errorf("%w: as it was told", persistence.ErrUnavailable))
}

// While a journal can be read and not written, as a database that has failed over to a copy which is not promoted yet, the node is not
// ready, and does not try without a pause.
func TestJournalThatCanOnlyBeRead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var is atomic.Bool
		var tried atomic.Int64
		n := start(t, narrow, withWrap(func(j persistence.Journal) persistence.Journal { return readOnly{j, &is, &tried} }))
		n.insistent()
		n.insistent(func(h *adapterv1.Hello) { h.Adapter, h.Process, h.Ledger = "y", "y", "y" })
		moving, others := n.load()
		n.sleep(300 * time.Millisecond)
		is.Store(true)
		n.sleep(time.Second)
		tried.Store(0)
		ready, looks := 0, 0
		for range 2900 {
			n.sleep(10 * time.Millisecond)
			if looks++; n.Ready() == nil {
				ready++
			}
		}
		if ready > looks/10 {
			t.Errorf("of %d looks it was ready at %d", looks, ready)
		}
		if got := tried.Load(); got > 29*5*int64(len(moving)+len(others)) {
			t.Errorf("%d commits were tried in 29 s", got)
		}
		is.Store(false)
		n.sleep(2 * time.Second)
		n.drain()
		n.sleep(2 * time.Minute)
		for _, id := range append(moving, others...) {
			n.expect(id, completed)
		}
	})
}
