package actors_test

import (
	"context"
	"fmt"
	"iter"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/persistence"
)

// unread is a journal whose histories can't be read as long as that is so. It counts who asks for tasks on disk.
type unread struct {
	persistence.Journal

	away  *atomic.Bool
	asked *atomic.Int64
}

func (u unread) Records(ctx context.Context, h messages.Handle, from messages.Version) iter.Seq2[persistence.StoredRecord, error] {
	if u.away.Load() {
		return func(yield func(persistence.StoredRecord, error) bool) {
			yield(persistence.StoredRecord{}, persistence.ErrUnavailable)
		}
	}
	return u.Journal.Records(ctx, h, from)
}

func (u unread) Overflowed(
	ctx context.Context, of persistence.Overflow, after persistence.OverflowPlace, limit int,
) ([]persistence.OverflowedTask, error) {
	u.asked.Add(1)
	return u.Journal.Overflowed(ctx, of, after, limit)
}

// Nothing of a partition that was given up is read, asked for or held on to any more, though some of its tasks could not be handed over
// just before.
func TestBacklogOfPartitionGivenUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var away atomic.Bool
		var asked atomic.Int64
		n := start(t, narrow, withWrap(func(j persistence.Journal) persistence.Journal { return unread{j, &away, &asked} }))
		def := n.deploy("one", callOne)
		const p = messages.Partition(7)
		for i, got := 0, 0; got < 20; i++ {
			if id := fmt.Sprint("o", i); messages.PartitionOf(messages.OrderID(id), "") == p {
				n.mustSubmit(order{id: id, def: def})
				got++
			}
		}
		n.sleep(2 * time.Second)
		away.Store(true)
		w := n.slowWorker()
		w.credit(3) // makes room
		settle()
		n.Give(p)
		settle()
		away.Store(false)
		n.sleep(10 * time.Second)
		before := asked.Load()
		n.sleep(time.Minute)
		if got := asked.Load() - before; got > 0 {
			t.Errorf("the tasks of a partition that is not here were read %d times in a minute", got)
		}
		if used := n.RoomUsed("x.do"); used != "" {
			t.Errorf("room is used: %s", used)
		}
	})
}
