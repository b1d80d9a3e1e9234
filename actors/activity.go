package actors

import (
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/holdfast-run/holdfast/actors/dispatch"
)

// activity is what this node has of an activity.
type activity struct {
	name                string // adapter.activity
	room                room
	dispatcher, backlog *actor.PID
	gauges              *queueGauges
	// asked: the backlog was told that there is room.
	asked atomic.Bool
}

// refill tells the backlog that there is room.
func (a *activity) refill(e *Engine) {
	if !a.asked.Swap(true) {
		e.tell(a.backlog, refill{})
	}
}

// activity returns what there is of an activity, and makes it if need be.
func (e *Engine) activity(name string) *activity {
	if a, ok := e.activities.Load(name); ok {
		return a.(*activity) //nolint:errcheck,forcetypeassert // nothing else is stored
	}
	e.activitiesMu.Lock()
	defer e.activitiesMu.Unlock()
	if a, ok := e.activities.Load(name); ok {
		return a.(*activity) //nolint:errcheck,forcetypeassert // nothing else is stored
	}
	a := &activity{name: name, gauges: e.metrics.queue(name)}
	a.room.capacity = e.config.QueueBytes
	loop := e.watchdog.Register("dispatcher "+name, e.config.StuckAfter)
	a.dispatcher = e.spawn(inlineMailbox(e.config.PartitionMailbox, func(any) bool { return true }, ""), func() actor.Actor {
		queue := dispatch.New(e.config.dispatch())
		queue.SetLimit(e.dispatchLimit(name), e.now())
		return &dispatcher{
			engine: e, activity: a, name: nameOf(name), loop: loop, queue: queue, adapters: map[dispatch.StreamID]Adapter{},
		}
	})
	reads := e.watchdog.Register("backlog "+name, e.config.StuckAfter+time.Second)
	a.backlog = e.spawn(boundedMailbox(e.config.PartitionMailbox), func() actor.Actor {
		return &backlog{engine: e, activity: a, loop: reads}
	})
	e.activities.Store(name, a)
	return a
}

// spawn starts an actor whose failure ends the process.
func (e *Engine) spawn(mailbox actor.MailboxProducer, produce actor.Producer) *actor.PID {
	return e.system.Root.Spawn(actor.PropsFromProducer(produce, actor.WithMailbox(mailbox), actor.WithDispatcher(&e.workers),
		actor.WithGuardian(e.lastResort)))
}
