package actors_test

import (
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/holdfast-run/holdfast/actors"
	"github.com/holdfast-run/holdfast/actors/workflow"
	"github.com/holdfast-run/holdfast/cluster"
	"github.com/holdfast-run/holdfast/messages/adapterv1"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/persistence/memory"
	"github.com/holdfast-run/holdfast/supervision"
)

// over starts an engine on a store that others may have open, too; they are fenced.
func over(t *testing.T, store *memory.Store, others ...*memory.Journal) (*node, *memory.Journal) {
	t.Helper()
	log := slog.New(slog.NewTextHandler(testLog{t}, nil))
	j := store.Open(memory.Config{})
	for _, other := range others {
		if err := j.Fence(t.Context(), other.Incarnation()); err != nil {
			t.Fatal(err)
		}
	}
	n := &node{t: t, seen: j, dog: supervision.NewWatchdog(time.Now, log)}
	var err error
	n.Engine, err = actors.New(actors.Config{}, actors.Deps{
		Journal: j, Placement: cluster.NewSingle(), Metrics: actors.NewMetrics(prometheus.NewRegistry()), Log: log, Watchdog: n.dog,
		Fatal: func(error) {}, Crowded: never,
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		n.Stop()
		if err := j.Close(); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Second) // protoactor counts dead letters for so long
	})
	return n, j
}

// Who has lost an order refuses nothing by what it remembers of it.
func TestRefusalOfWhoOwnsNoLonger(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := memory.NewStore()
		was, j := over(t, store)
		was.mustSubmit(order{id: "a", def: was.deploy("one", callOne)})
		is, _ := over(t, store, j)
		is.worker(func(*worker, *adapterv1.Task) *adapterv1.Result { return failing(400) })
		is.sleep(time.Second)
		is.expect("a", faulted)
		reopen := workflow.Reopen{How: journalv1.Reopening_REOPENING_RETRY}
		answer := make(chan error, 1)
		was.tell("a", reopen, func(err error) { answer <- err })
		if err := <-answer; err == nil || errors.Is(err, workflow.ErrNotFaulted) {
			t.Errorf("who owns it no longer says: %v", err)
		}
	})
}
