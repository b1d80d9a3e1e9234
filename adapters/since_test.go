package adapters_test

import (
	"context"
	"errors"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/holdfast-run/holdfast/adapters"
	"github.com/holdfast-run/holdfast/adapters/adaptertest"
)

// Who executes an attempt, and learns that others have had it since, does not know from its own failure that it was not done.
func TestFailureOfWhatOthersHadSince(t *testing.T) {
	t.Parallel()
	node := adaptertest.Start(t)
	a, begun, release := adapters.New("test"), make(chan struct{}), make(chan struct{})
	adapters.Handle(a, "work", func(context.Context, adapters.Task, string) (string, error) {
		begun <- struct{}{}
		<-release
		return "", errors.New("no answer")
	}, adapters.Idempotent(), adapters.Concurrency(1), adapters.Prefetch(2))
	node.Run(a, config(t))
	for _, attempts := range [][]uint32{{1}, {2}, {2, 2}} {
		task := node.Task("work", "")
		node.Send(within(t), task)
		<-begun
		for _, n := range attempts {
			again := proto.CloneOf(task)
			again.Attempt, again.MaybeStarted = n, true
			node.Send(within(t), again)
			node.AwaitCredits(within(t), "work", 2) // it has it
		}
		release <- struct{}{}
		if r := node.Await(within(t), task.GetKey(), attempts[0]); r.GetOutcome() != inDoubt {
			t.Errorf("again as %v: %v", attempts, r)
		}
	}
}

// Nor does who has failed before it learns that.
func TestFailureOfWhatOthersHadAfter(t *testing.T) {
	t.Parallel()
	node := adaptertest.Start(t)
	a := adapters.New("test")
	adapters.Handle(a, "work", func(context.Context, adapters.Task, string) (string, error) {
		return "", errors.New("no answer")
	}, adapters.Idempotent())
	node.Run(a, config(t))
	node.HoldAcks(true) // its node is gone
	task := node.Task("work", "")
	node.Send(within(t), task)
	node.AwaitResults(within(t), 1)
	again := proto.CloneOf(task)
	again.MaybeStarted = true
	node.Send(within(t), again)
	if r := node.AwaitResults(within(t), 2)[1]; r.GetOutcome() != inDoubt {
		t.Errorf("%v", r)
	}
}
