package actors_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-run/holdfast/actors/workflow"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/persistence"
)

// slowLane is a journal of which one commit is under way for as long as can be: until the next one must be behind it, or until queues of
// keys are read.
type slowLane struct {
	persistence.Journal

	mu   sync.Mutex
	slow func(*persistence.Commit) bool
	held *persistence.Commit
}

func (s *slowLane) Commit(c *persistence.Commit) {
	s.mu.Lock()
	slow := s.slow != nil && s.slow(c)
	if slow {
		s.slow, s.held = nil, c
	}
	s.mu.Unlock()
	if !slow {
		s.Journal.Commit(c)
	}
}

// goOn has the commit made that is under way, if there is one.
func (s *slowLane) goOn() {
	s.mu.Lock()
	c := s.held
	s.held = nil
	s.mu.Unlock()
	if c == nil {
		return
	}
	made, done := make(chan struct{}), c.Done
	copied := *c
	copied.Done = func(err error) {
		done(err)
		close(made)
	}
	s.Journal.Commit(&copied)
	<-made
}

func (s *slowLane) Check(h persistence.Holding, done func(error)) {
	s.goOn()
	s.Journal.Check(h, done)
}

func (s *slowLane) QueuedKeys(ctx context.Context, p messages.Partition, after string, limit int) ([]persistence.QueuedOrder, error) {
	s.goOn()
	return s.Journal.QueuedKeys(ctx, p, after, limit)
}

// A partition that fails while the start of a key's head is being committed starts no other order of the key.
func TestRestartDuringStart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		lane := &slowLane{}
		n := start(t, withWrap(func(j persistence.Journal) persistence.Journal {
			lane.Journal = j
			return lane
		}))
		def := n.deploy("one", callOne)
		w := n.worker(nil)
		for _, id := range []string{"a", "b", "c"} {
			n.mustSubmit(order{id: id, key: "k", def: def})
		}
		entry, err := n.journal.Find(t.Context(), "b")
		if err != nil {
			t.Fatal(err)
		}
		lane.mu.Lock()
		lane.slow = func(c *persistence.Commit) bool { return c.Handle == entry.Handle }
		lane.mu.Unlock()
		w.answer(w.one(), done("1"))
		settle()
		if lane.held == nil {
			t.Fatal("the start of the next order is not under way")
		}
		n.BreakPartition(messages.PartitionOf("", "k"))
		n.sleep(time.Second)
		if tasks := w.took(); len(tasks) != 2 || tasks[1].GetOrderId() != "b" {
			t.Errorf("of one key, these were begun when the first had ended: %v", tasks)
		}
	})
}

// tardy is a journal that says who owns a partition only once it is asked to, and what came of the first commit long after it was made.
type tardy struct {
	persistence.Journal

	partition     messages.Partition
	checked, told chan struct{}
	first         sync.Once
}

func (j *tardy) Check(h persistence.Holding, done func(error)) {
	if h.Partition != j.partition {
		j.Journal.Check(h, done)
		return
	}
	go func() {
		<-j.checked
		j.Journal.Check(h, done)
	}()
}

func (j *tardy) Commit(c *persistence.Commit) {
	changed := *c
	j.first.Do(func() {
		changed.Done = func(err error) {
			go func() {
				<-j.told
				c.Done(err)
			}()
		}
	})
	j.Journal.Commit(&changed)
}

// An order is counted once that is accepted before recovery reads the index, and found there, or loaded by another actor of it, before the
// outcome of the commit that accepts it is told.
func TestCountsOfAcceptedBeforeRecovery(t *testing.T) {
	t.Parallel()
	for name, breaks := range map[string]bool{"found": false, "loaded": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				j := &tardy{partition: messages.PartitionOf("", "k"), checked: make(chan struct{}), told: make(chan struct{})}
				n := start(t, withWrap(func(inner persistence.Journal) persistence.Journal { j.Journal = inner; return j }))
				n.hand(order{id: "o", key: "k", def: n.deploy("one", callOne)}.accepted(), func(error) {})
				settle()
				if breaks {
					n.BreakPartition(j.partition)
					n.sleep(100 * time.Millisecond)
					n.tell("o", workflow.Suspend{}, func(error) {})
					n.tell("o", workflow.Resume{}, func(error) {})
					settle()
				}
				close(j.checked)
				settle()
				close(j.told)
				settle()
				n.checkCounts()
				n.worker(succeed("1"))
				n.drain()
				n.expect("o", completed)
				n.checkNothingLeft()
			})
		})
	}
}
