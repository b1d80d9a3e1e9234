package actors

import (
	"context"

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
	for _, s := range e.slots {
		if s.number == p {
			process, _ := e.system.ProcessRegistry.Get(s.pid)
			process.SendSystemMessage(s.pid, &actor.Failure{Who: s.pid}) // without its statistics
		}
	}
}
