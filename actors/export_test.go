package actors

import (
	"context"
	"fmt"
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
	for _, s := range e.slots {
		if s.number == p {
			process, _ := e.system.ProcessRegistry.Get(s.pid)
			process.SendSystemMessage(s.pid, &actor.Failure{Who: s.pid}) // without its statistics
		}
	}
}

// RoomUsed tells what is in the room of an activity; empty if nothing is.
func (e *Engine) RoomUsed(name string) string {
	var used []string
	for _, lane := range *e.activity(name).lanes.Load() {
		for p := range lane.room.levels {
			if l := &lane.room.levels[p]; l.waiting.Load() != 0 || l.reserved.Load() != 0 || l.behind.Load() {
				used = append(used, fmt.Sprintf("%s at priority %d: %d waiting, %d reserved, behind: %v",
					lane.called, p, l.waiting.Load(), l.reserved.Load(), l.behind.Load()))
			}
		}
	}
	return strings.Join(used, "; ")
}

// Uncounted returns how many orders are to be counted yet.
func (e *Engine) Uncounted() (count int) {
	for _, s := range e.slots {
		s.tally.mu.Lock()
		count += len(s.tally.known) + len(s.tally.unsure)
		s.tally.mu.Unlock()
	}
	return count
}

// Evaluate takes the places of so many evaluations that take long, until end is called.
func (e *Engine) Evaluate(count int) (end func()) {
	for range count {
		e.evaluating <- struct{}{}
	}
	return func() {
		for range count {
			<-e.evaluating
		}
	}
}
