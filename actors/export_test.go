package actors

import (
	"context"
	"strings"

	"github.com/asynkron/protoactor-go/actor"
	"google.golang.org/protobuf/proto"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/persistence"
)

// ReadEvents reads the events of a history.
func ReadEvents(ctx context.Context, j persistence.Reader, h messages.Handle) ([]*journalv1.Event, error) {
	var events []*journalv1.Event
	for stored, err := range j.Records(ctx, h, 1) {
		if err != nil {
			return nil, err
		}
		var r journalv1.Record
		if err := proto.Unmarshal(stored.Data, &r); err != nil {
			return nil, err
		}
		events = append(events, r.GetEvents()...)
	}
	return events, nil
}

// BreakPartition makes the actor of a partition panic.
func (e *Engine) BreakPartition(p messages.Partition) {
	if pid := e.deps.Placement.Owner(p); pid != nil {
		process, _ := e.system.ProcessRegistry.Get(pid)
		process.SendSystemMessage(pid, &actor.Failure{Who: pid}) // without its statistics
	}
}

// RoomUsed tells what is in the room of an activity; empty if nothing is.
func (e *Engine) RoomUsed(name string) string { return strings.Join(e.activities.Used(name), "; ") }

// Uncounted returns how many orders are to be counted yet.
func (e *Engine) Uncounted() int { return e.ownership.Uncounted() }

// Asks returns how many asks have no answer.
func (e *Engine) Asks() int { return e.post.Asks() }

// Evaluate takes the places of so many evaluations that take long, until end is called.
func (e *Engine) Evaluate(count int) (end func()) { return e.orders.Evaluating(count) }
