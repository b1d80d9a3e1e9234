package actors_test

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/persistence"
)

// tardy is a journal that makes some commits of accepted orders only a while after it has said that their outcome is unknown.
type tardy struct {
	persistence.Journal

	chance *rand.Rand
	mu     *sync.Mutex
	made   *atomic.Int64
}

func (l tardy) roll(n int) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.chance.IntN(n)
}

func (l tardy) Commit(c *persistence.Commit) {
	if c.Expected == 0 || l.roll(8) > 0 {
		l.Journal.Commit(c)
		return
	}
	x := *c
	x.Record = append([]byte(nil), c.Record...)
	x.Done = func(err error) {
		if err == nil {
			l.made.Add(1)
		}
	}
	time.AfterFunc(time.Duration(l.roll(1500))*time.Millisecond, func() { l.Journal.Commit(&x) })
	c.Done(fmt.Errorf("%w: as it was told", persistence.ErrUnknown))
}

// Orders of which commits come into the journal after their outcome was unknown all end.
func TestLateCommits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var made atomic.Int64
		w := couple(t, func(i int, j persistence.Journal) persistence.Journal {
			if i == 0 {
				return tardy{j, rand.New(rand.NewPCG(2, 2)), new(sync.Mutex), &made}
			}
			return j
		})
		defer w.end()
		refs := w.deploy()
		var ids []string
		for i := range 600 {
			id, key := fmt.Sprint("o", i), ""
			if i%3 == 0 {
				key = fmt.Sprint("k", i%7)
			}
			if messages.PartitionOf(messages.OrderID(id), key) == messages.Partitions-1 {
				continue
			}
			ids = append(ids, id)
			w.accept(id, refs[i%len(refs)], key)
		}
		time.Sleep(30 * time.Minute)
		left := 0
		for _, id := range ids {
			if got := w.status(id); got != completed {
				if left++; left < 5 {
					t.Errorf("order %s is %v", id, got)
				}
			}
		}
		if left > 0 {
			t.Errorf("%d of %d orders have not ended; %d late commits were made", left, len(ids), made.Load())
		}
		t.Logf("%d late commits were made", made.Load())
		for _, s := range w.sides {
			if n, used := s.engine.Asks(), s.engine.RoomUsed("x.do"); n != 0 || used != "" {
				t.Errorf("node %d has left %d asks, and %q", s.index, n, used)
			}
		}
		if s := w.sides[0].engine.Status(t.Context()); left == 0 && (s.Open != 0 || s.KeysWaiting != 0 || s.KeysHeld != 0) {
			t.Errorf("%+v", s)
		}
	})
}
