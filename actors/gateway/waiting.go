package gateway

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/holdfast-run/holdfast/actors"
	"github.com/holdfast-run/holdfast/actors/dispatch"
	"github.com/holdfast-run/holdfast/actors/workflow"
	"github.com/holdfast-run/holdfast/messages/orderv1"
)

// attemptWaiting tells what an attempt under way waits for.
func attemptWaiting(w actors.AttemptWait) *orderv1.Waiting {
	out := &orderv1.Waiting{Task: w.Task, Reason: whyItWaits(w), Activity: w.Activity, Process: w.Process}
	since := w.Wait.Since
	if !w.Queued {
		since = time.Unix(0, w.Dispatch.Since)
	}
	if !since.IsZero() {
		out.Since = timestamppb.New(since)
	}
	if !w.Until.IsZero() {
		out.Until = timestamppb.New(w.Until)
	}
	return out
}

// turnWaiting tells whom an order awaits whose turn under its key has not come; nil if that is not so. Who has the turn is not told
// while the node is starting.
func (o orders) turnWaiting(ctx context.Context, s *workflow.State) *orderv1.Waiting {
	since := s.QueuedSince()
	if s.Key() == "" || since.IsZero() {
		return nil
	}
	why := "its turn under its order key"
	switch q, err := o.engine.Key(ctx, s.Key(), 0); {
	case err != nil, q.Head == "", string(q.Head) == s.Accepted().GetOrderId():
	case q.Held:
		why += fmt.Sprintf(": order %s has faulted, and holds the key", q.Head)
	default:
		why += fmt.Sprintf(": order %s has it", q.Head)
	}
	return &orderv1.Waiting{Reason: why, Since: timestamppb.New(since)}
}

func whyItWaits(w actors.AttemptWait) string {
	if !w.Queued {
		if w.Overflow != 0 {
			return "a place among the tasks of " + w.Activity + " in memory: it waits on disk"
		}
		return "its turn to be handed over"
	}
	why := ""
	switch w.For {
	case dispatch.ForAdapter:
		why = "an adapter that offers " + w.Activity + ": none is connected"
	case dispatch.ForCredit:
		why = "an adapter of " + w.Activity + " that has room for it"
		if w.Process != "" {
			why = "process " + w.Process + " of the adapter of " + w.Activity + " to have room for it: no other may get it"
		}
	case dispatch.ForTurn:
		why = "its turn to be executed alone: it was under way when an adapter died"
	case dispatch.ForBegin:
		why = "process " + w.Process + " of its adapter to begin with it"
	case dispatch.ForResult:
		why = "its result: process " + w.Process + " of its adapter has it"
	case dispatch.ForReturn:
		why = "process " + w.Process + " of its adapter, which is away, and may have begun with it; then another one is asked"
		if w.Process == "" {
			why = "the process with its ledger, which may have begun with it, and is away since the node started; then another one is asked"
		}
	}
	if w.Wait.Deaths > 0 {
		why += fmt.Sprintf("; %d processes died while they executed it alone", w.Wait.Deaths)
	}
	return why
}
