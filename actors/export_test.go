package actors

import (
	"context"
	"strings"

	"github.com/asynkron/protoactor-go/actor"
	"google.golang.org/protobuf/proto"

	"github.com/holdfast-run/holdfast/actors/runtime"
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

// HoldHeavy has orders that do heavy work wait, until end is called.
func (e *Engine) HoldHeavy() (end func()) {
	over, left := make(chan struct{}), make(chan struct{})
	for range 2 * e.config.Evaluations { // twice as many as there may be wait for nobody
		began := make(chan struct{})
		go func() {
			defer func() { left <- struct{}{} }()
			pass := e.pace.Force(runtime.HeavyEvaluation, "held", "")
			close(began)
			<-over
			pass.Leave()
		}()
		<-began
	}
	return func() {
		close(over)
		for range 2 * e.config.Evaluations {
			<-left
		}
	}
}

// HeavyDone tells what was done of a kind of heavy work.
func (e *Engine) HeavyDone(kind runtime.Heavy) runtime.PaceDone {
	done, _ := e.pace.Done()
	return done[kind]
}
