package actors_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-run/holdfast/persistence"
)

// leisurely is a journal that takes its time to tell what waits on disk.
type leisurely struct{ persistence.Journal }

func (l leisurely) Overflowed(
	ctx context.Context, of persistence.Overflow, after persistence.OverflowPlace, limit int,
) ([]persistence.OverflowedTask, error) {
	time.Sleep(100 * time.Millisecond)
	return l.Journal.Overflowed(ctx, of, after, limit)
}

// A journal that is slow, and answers, makes no node seem dead: a backlog shows that it goes on.
func TestBacklogOnSlowJournal(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t, narrow, withWrap(func(j persistence.Journal) persistence.Journal { return leisurely{j} }))
		def := n.deploy("one", callOne)
		for i := range 400 { // of nearly all partitions
			n.mustSubmit(order{id: fmt.Sprint("o", i), def: def})
		}
		n.worker(succeed("1"))
		for range 120 {
			n.sleep(500 * time.Millisecond)
			if stuck := n.dog.Stuck(time.Now()); len(stuck) > 0 {
				t.Fatalf("it is not alive: %v", stuck)
			}
		}
		n.drain()
	})
}
