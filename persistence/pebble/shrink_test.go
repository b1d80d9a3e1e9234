package pebble

import (
	"runtime"
	"testing"

	"github.com/holdfast-run/holdfast/persistence/journaltest"
)

// A journal with nothing to do keeps no memory of large batches.
func TestShrink(t *testing.T) {
	t.Parallel()
	turns := make(chan func(), 1)
	j := mustOpen(t, Config{Dir: t.TempDir(), LowWaterBytes: -1, Turn: func() {
		select {
		case do := <-turns:
			do()
		default:
		}
	}})
	defer j.Close() //nolint:errcheck // nothing is read any more
	durable := make(chan error)
	commit := func(id string) {
		t.Helper()
		c := journaltest.Acceptance(id)
		c.Record, c.Done = append(c.Record, make([]byte, 2<<20)...), func(err error) { durable <- err }
		j.Commit(c)
		if err := <-durable; err != nil {
			t.Fatal(err)
		}
	}
	commit("before")
	gone := make(chan struct{}, 2)
	forgotten := func(struct{}) { gone <- struct{}{} }
	turns <- func() { // in a second, when there is nothing to do
		runtime.AddCleanup(&j.commits.batch.Repr()[0], forgotten, struct{}{})
		runtime.AddCleanup(&j.commits.writes.bytes[:1][0], forgotten, struct{}{})
		j.shrink()
	}
	for range cap(gone) {
		for waits := true; waits; {
			runtime.GC()
			select {
			case <-gone:
				waits = false
			default:
			}
		}
	}
	for j.db.Metrics().WAL.Size >= muchLog { // until the tables are written
		runtime.Gosched()
	}
	commit("after")
}
