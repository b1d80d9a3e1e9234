package activity

import (
	"context"
	"fmt"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/holdfast-run/holdfast/actors/dispatch"
	"github.com/holdfast-run/holdfast/messages/orderv1"
)

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

// Waiting tells what an attempt waits for; nil if its dispatcher does not know it: then it waits on disk, or is about to be
// offered.
func (r *Activities) Waiting(ctx context.Context, called, key string) (*orderv1.Waiting, error) {
	d := r.knownDemand(called)
	if d == nil {
		return nil, nil //nolint:nilnil // see above
	}
	answer := make(chan showedTask, 1)
	r.tell(d.queue.dispatcher, &showTask{key: key, answer: answer})
	d.queue.uses.leave()
	select {
	case w := <-answer:
		if !w.queued {
			return nil, nil //nolint:nilnil // see above
		}
		return waiting(w.wait, called), nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func waiting(w dispatch.Wait, called string) *orderv1.Waiting {
	out := &orderv1.Waiting{Reason: why(w, called), Process: w.Process}
	if !w.Since.IsZero() {
		out.Since = timestamppb.New(w.Since)
	}
	if !w.Until.IsZero() {
		out.Until = timestamppb.New(w.Until)
	}
	return out
}

func why(w dispatch.Wait, called string) string {
	why := ""
	switch w.For {
	case dispatch.ForAdapter:
		why = "an adapter that offers " + called + ": none is connected"
	case dispatch.ForCredit:
		why = "an adapter of " + called + " that has room for it"
		if w.Process != "" {
			why = "process " + w.Process + " of the adapter of " + called + " to have room for it: no other may get it"
		}
	case dispatch.ForTurn:
		why = "its turn to be executed alone: it was under way when an adapter died"
	case dispatch.ForBegin:
		why = "process " + w.Process + " of its adapter to begin with it"
	case dispatch.ForResult:
		why = "its result: process " + w.Process + " of its adapter has it"
	case dispatch.ForAnswers:
		why = "the adapters of " + called + " to say which of them has it: this node has taken its partition over"
	case dispatch.ForReturn:
		why = "process " + w.Process + " of its adapter, which is away, and may have begun with it; then another one is asked"
		if w.Process == "" {
			why = "the process with its ledger, which may have begun with it, and is away since the node started; then another one is asked"
		}
	}
	if w.Deaths > 0 {
		why += fmt.Sprintf("; %d processes died while they executed it alone", w.Deaths)
	}
	return why
}
