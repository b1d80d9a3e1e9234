package actors

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/holdfast-run/holdfast/actors/dispatch"
)

// activity is what this node has of an activity.
type activity struct {
	name       string // adapter.activity
	dispatcher *actor.PID
	gauges     *queueGauges
	// lanes are those of its versions that were called. The slice is replaced, never changed.
	lanes atomic.Pointer[[]*lane]
}

// lane is what this node has of the calls of an activity that ask for the same version, or for any: if nobody offers that,
// they are not in the way of others.
type lane struct {
	activity *activity
	called   string // adapter.activity or adapter.activity:version
	version  string // empty: any
	room     room
	backlog  *actor.PID
	// asked: the backlog was told that there is room.
	asked atomic.Bool
}

// refill tells the backlog that there is room.
func (l *lane) refill(e *Engine) {
	if !l.asked.Swap(true) {
		e.tell(l.backlog, refill{})
	}
}

// activity returns what there is of an activity, and makes it if need be.
func (e *Engine) activity(name string) *activity {
	return findOrMake(e, &e.activities, name, func() *activity {
		a := &activity{name: name, gauges: e.metrics.queue(name)}
		a.lanes.Store(&[]*lane{})
		loop := e.watchdog.Register("dispatcher "+name, e.config.StuckAfter)
		a.dispatcher = e.spawn(inlineMailbox(e.config.PartitionMailbox, func(any) bool { return true }), func() actor.Actor {
			queue := dispatch.New(e.config.dispatch())
			queue.SetLimit(e.dispatchLimit(name), e.now())
			return &dispatcher{
				engine: e, activity: a, name: nameOf(name), loop: loop, queue: queue, streams: map[dispatch.StreamID]*Stream{},
			}
		})
		return a
	})
}

// lane returns what there is of the calls of an activity, and makes it if need be.
func (e *Engine) lane(called string) *lane {
	if l, ok := e.lanes.Load(called); ok {
		return l.(*lane) //nolint:errcheck,forcetypeassert // nothing else is stored
	}
	name, version := splitActivity(called)
	a := e.activity(name)
	return findOrMake(e, &e.lanes, called, func() *lane {
		l := &lane{activity: a, called: called, version: version}
		l.room.capacity = e.config.QueueBytes
		loop := e.watchdog.Register("backlog "+called, e.config.StuckAfter+time.Second)
		l.backlog = e.spawn(boundedMailbox(e.config.PartitionMailbox), func() actor.Actor {
			return &backlog{engine: e, lane: l, loop: loop}
		})
		lanes := append(slices.Clone(*a.lanes.Load()), l)
		a.lanes.Store(&lanes)
		return l
	})
}

// findOrMake returns what is in a map, and puts it there if need be.
func findOrMake[T any](e *Engine, in *sync.Map, name string, produce func() *T) *T {
	found, ok := in.Load(name)
	if !ok {
		e.activitiesMu.Lock()
		defer e.activitiesMu.Unlock()
		if found, ok = in.Load(name); !ok {
			found = produce()
			in.Store(name, found)
		}
	}
	return found.(*T) //nolint:errcheck,forcetypeassert // nothing else is stored
}

// spawn starts an actor whose failure ends the process.
func (e *Engine) spawn(mailbox actor.MailboxProducer, produce actor.Producer) *actor.PID {
	return e.system.Root.Spawn(actor.PropsFromProducer(produce, actor.WithMailbox(mailbox), actor.WithDispatcher(&e.workers),
		actor.WithGuardian(e.lastResort)))
}
