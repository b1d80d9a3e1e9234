package actors

import (
	"context"
	"fmt"

	"github.com/holdfast-run/holdfast/actors/dispatch"
	"github.com/holdfast-run/holdfast/actors/workflow"
)

// AttemptWait is what an attempt under way waits for.
type AttemptWait struct {
	workflow.Dispatch
	dispatch.Wait

	// Queued tells whether its dispatcher knows it: else it waits on disk, or is about to be handed over.
	Queued bool
}

// showTask asks a dispatcher what a task waits for.
type showTask struct {
	key    string
	answer chan<- showedTask // of capacity 1
}

type showedTask struct {
	wait   dispatch.Wait
	queued bool
}

func (m *showTask) show(q *dispatch.Queue) {
	w, queued := q.Wait(m.key)
	m.answer <- showedTask{wait: w, queued: queued}
}

func (*showTask) isNote() {}

// AttemptWaits tells what the attempts of an order that are under way wait for.
func (e *Engine) AttemptWaits(ctx context.Context, s *workflow.State) ([]AttemptWait, error) {
	if s.Ended() {
		return nil, nil
	}
	var out []AttemptWait
	for _, a := range s.Attempts() {
		name, _ := splitActivity(a.Activity)
		answer := make(chan showedTask, 1)
		e.tell(e.activity(name).dispatcher, &showTask{key: a.Key, answer: answer})
		select {
		case w := <-answer:
			out = append(out, AttemptWait{Dispatch: a, Queued: w.queued, Wait: w.wait})
		case <-ctx.Done():
			return nil, fmt.Errorf("ask what %s waits for: %w", a.Task, context.Cause(ctx))
		}
	}
	return out, nil
}
