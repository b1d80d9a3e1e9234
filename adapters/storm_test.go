package adapters_test

import (
	"context"
	"sync"
	"testing"

	"github.com/holdfast-run/holdfast/adapters"
	"github.com/holdfast-run/holdfast/adapters/adaptertest"
	"github.com/holdfast-run/holdfast/messages/adapterv1"
)

// TestBrokenStreamsNeitherLoseNorRepeatWork breaks the streams over and over while many tasks are under way, and asks
// again for those without a result, as a node does: each key is executed once, and each is answered.
func TestBrokenStreamsNeitherLoseNorRepeatWork(t *testing.T) {
	t.Parallel()
	const tasks, rounds = 400, 8
	node := adaptertest.Start(t)
	var (
		mu       sync.Mutex
		executed = map[string]int{}
	)
	a := adapters.New("test")
	adapters.Handle(a, "work", func(_ context.Context, task adapters.Task, in int) (int, error) {
		mu.Lock()
		defer mu.Unlock()
		executed[task.Key]++
		return in, nil
	}, adapters.Concurrency(8), adapters.Prefetch(32))
	p := node.Run(a, config(t))
	open := make([]*adapterv1.Task, tasks)
	for i := range open {
		open[i] = node.Task("work", i)
	}
	for round := range uint32(rounds) {
		if round > 0 {
			node.AwaitHellos(within(t), int(round)+1)
		}
		for i, task := range open {
			if i == (int(round)+1)*tasks/rounds/2 && round < rounds-1 {
				node.Break() // with tasks, results and acknowledgements on their way
				break
			}
			open[i] = adaptertest.Attempt(task, round+1)
			node.Send(within(t), open[i])
		}
	}
	for i, task := range open {
		r := node.Await(within(t), task.GetKey(), task.GetAttempt())
		if r.GetOutcome() != succeeded {
			t.Errorf("task %d: %v", i, r)
		}
	}
	if err := p.Stop(); err != nil {
		t.Errorf("stop: %v", err)
	}
	for _, task := range open {
		if n := executed[task.GetKey()]; n != 1 {
			t.Errorf("%s was executed %d times", task.GetKey(), n)
		}
	}
}
