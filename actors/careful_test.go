package actors_test

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/adapterv1"
	"github.com/holdfast-run/holdfast/persistence/memory"
)

// careful is an adapter of an activity that is not idempotent: it executes each key once, after it was confirmed.
type careful struct {
	*worker

	mu       sync.Mutex
	task     map[string]*adapterv1.Task
	began    map[string]int
	finished map[string]bool
}

func (n *node) careful() *careful {
	c := &careful{task: map[string]*adapterv1.Task{}, began: map[string]int{}, finished: map[string]bool{}}
	c.worker = n.newWorker(func(_ *worker, t *adapterv1.Task) *adapterv1.Result { c.got(t); return nil }, notIdempotent, begins)
	c.insists = true
	c.confirm = c.confirmed
	c.cancel = func(x *adapterv1.Cancellation) {
		c.mu.Lock()
		defer c.mu.Unlock()
		if t := c.task[x.GetKey()]; t != nil && c.began[x.GetKey()] == 0 {
			delete(c.task, x.GetKey())
			time.AfterFunc(time.Millisecond, func() {
				c.answer(t, &adapterv1.Result{Outcome: adapterv1.Outcome_OUTCOME_NOT_DONE})
			})
		}
	}
	c.join()
	return c
}

func (c *careful) got(t *adapterv1.Task) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.task[t.GetKey()] = t
	if c.finished[t.GetKey()] {
		time.AfterFunc(time.Millisecond, func() { c.answer(t, done("1")) })
		return
	}
	if c.began[t.GetKey()] == 0 {
		time.AfterFunc(100*time.Millisecond, func() { c.ask(t.GetKey()) })
	}
}

func (c *careful) ask(key string) {
	c.mu.Lock()
	t, began := c.task[key], c.began[key]
	c.mu.Unlock()
	if t == nil || began > 0 {
		return
	}
	c.Begun(&adapterv1.Begun{Key: key, Attempt: t.GetAttempt()})
	time.AfterFunc(time.Second, func() { c.ask(key) })
}

func (c *careful) confirmed(x *adapterv1.Confirmation) {
	c.mu.Lock()
	defer c.mu.Unlock()
	key := x.GetKey()
	if t := c.task[key]; t == nil || t.GetAttempt() != x.GetAttempt() || c.began[key] > 0 {
		return
	}
	c.began[key]++
	time.AfterFunc(300*time.Millisecond, func() {
		c.mu.Lock()
		c.finished[key] = true
		t := c.task[key]
		c.mu.Unlock()
		c.answer(t, done("1"))
	})
}

// Work that must be done once is, and comes to its end, whenever its partition is lost or given up and had again.
func TestCarefulWorkOverMoves(t *testing.T) {
	t.Parallel()
	for phase := range 8 {
		for name, lose := range map[string]func(*node, *memory.Journal){
			"lost": func(n *node, j *memory.Journal) { _, _ = j.NewGeneration(n.t.Context()) },
			"given up": func(n *node, _ *memory.Journal) {
				var all []messages.Partition
				for p := range messages.Partition(messages.Partitions) {
					all = append(all, p)
				}
				n.Give(all...)
				n.Take(all...)
			},
		} {
			t.Run(fmt.Sprint(name, phase), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					n, j := over(t, memory.NewStore())
					n.careful()
					def := n.deploy("three", callThree)
					for i := range 40 {
						n.mustSubmit(order{id: fmt.Sprint("o", i), def: def})
						time.Sleep(13 * time.Millisecond)
					}
					for range 3 {
						n.sleep(time.Duration(50+60*phase) * time.Millisecond)
						lose(n, j)
					}
					n.sleep(10 * time.Minute)
					for i := range 40 {
						n.expect(fmt.Sprint("o", i), completed)
					}
					if used := n.RoomUsed("x.do"); used != "" {
						t.Errorf("room is used: %s", used)
					}
					if a := n.Activities().All(); a[0].Waiting+a[0].InFlight+a[0].Overflow != 0 {
						t.Errorf("left are %+v", a)
					}
				})
			})
		}
	}
}
