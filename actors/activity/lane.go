package activity

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/holdfast-run/holdfast/actors/dispatch"
	"github.com/holdfast-run/holdfast/actors/runtime"
	"github.com/holdfast-run/holdfast/messages"
)

// queue is what this node has of an activity.
type queue struct {
	name       string // adapter.activity
	dispatcher *actor.PID
	counts     counts
	// lanes are those of its versions that were called. The slice is replaced, never changed.
	lanes atomic.Pointer[[]*lane]
}

// lane is what this node has of the calls of an activity that ask for the same version, or for any: if nobody offers that,
// they are not in the way of others.
type lane struct {
	queue   *queue
	called  string // adapter.activity or adapter.activity:version
	version string // empty: any
	room    room
	backlog *actor.PID
	// asked: the backlog was told that there is room.
	asked atomic.Bool

	mu sync.Mutex
	// kept are the places reserved for tasks on disk whose orders were asked to hand them over, by number.
	kept map[uint64]kept
	last uint64
}

type kept struct {
	priority int
	size     int64
}

// keep gives a reservation a number.
func (l *lane) keep(priority int, size int64) uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.kept == nil {
		l.kept = map[uint64]kept{}
	}
	l.last++
	l.kept[l.last] = kept{priority, size}
	return l.last
}

// giveUp gives a reservation back, unless that was done.
func (l *lane) giveUp(n uint64) {
	l.mu.Lock()
	k, there := l.kept[n]
	delete(l.kept, n)
	l.mu.Unlock()
	if there {
		l.room.giveBack(k.priority, k.size)
	}
}

// arrived ends what was reserved for a task that is in the queue now.
func (l *lane) arrived(t *dispatch.Task, p messages.Place) {
	switch {
	case p.Reserved:
		l.room.giveBack(t.Priority, int64(t.Size))
	case p.Number != 0:
		l.giveUp(p.Number)
	}
}

// used tells what is in the lane; empty if nothing is.
func (l *lane) used() (used []string) {
	for p := range l.room.levels {
		x := &l.room.levels[p]
		if waiting, reserved, behind := x.waiting.Load(), x.reserved.Load(), x.behind.Load(); waiting != 0 || reserved != 0 || behind {
			used = append(used, fmt.Sprintf("%s at priority %d: %d waiting, %d reserved, behind: %v", l.called, p, waiting, reserved, behind))
		}
	}
	return used
}

// refill tells a backlog that there is room.
func (r *Activities) refill(l *lane) {
	if !l.asked.Swap(true) {
		r.tell(l.backlog, refill{})
	}
}

// queue returns what there is of an activity, and makes it if need be.
func (r *Activities) queue(name string) *queue {
	return findOrMake(r, &r.queues, name, func() *queue {
		q := &queue{name: name}
		q.lanes.Store(&[]*lane{})
		loop := r.parts.Watchdog.Register("dispatcher "+name, r.parts.Config.StuckAfter)
		box := runtime.Mailbox{
			Bound: r.parts.Config.Mailbox, Whose: "activity", Courier: r.parts.Courier, Inline: func(any) bool { return true },
		}
		q.dispatcher = r.spawn(box, func() actor.Actor {
			d := dispatch.New(r.parts.Config.Dispatch)
			d.SetLimit(r.limit(name), r.parts.Now())
			return &dispatcher{
				all: r, activity: q, name: nameOf(name), loop: loop, queue: d, streams: map[dispatch.StreamID]*Stream{},
			}
		})
		return q
	})
}

// lane returns what there is of the calls of an activity, and makes it if need be.
func (r *Activities) lane(called string) *lane {
	if l, ok := r.lanes.Load(called); ok {
		return l.(*lane) //nolint:errcheck,forcetypeassert // nothing else is stored
	}
	name, version := messages.SplitActivity(called)
	q := r.queue(name)
	return findOrMake(r, &r.lanes, called, func() *lane {
		l := &lane{queue: q, called: called, version: version}
		l.room.capacity = r.parts.Config.QueueBytes
		loop := r.parts.Watchdog.Register("backlog "+called, r.parts.Config.StuckAfter+backlogGrace)
		box := runtime.Mailbox{Bound: r.parts.Config.Mailbox, Whose: "activity", Courier: r.parts.Courier}
		l.backlog = r.spawn(box, func() actor.Actor { return &backlog{all: r, lane: l, loop: loop} })
		lanes := append(slices.Clone(*q.lanes.Load()), l)
		q.lanes.Store(&lanes)
		return l
	})
}

// findOrMake returns what is in a map, and puts it there if need be.
func findOrMake[T any](r *Activities, in *sync.Map, name string, produce func() *T) *T {
	found, ok := in.Load(name)
	if !ok {
		r.making.Lock()
		defer r.making.Unlock()
		if found, ok = in.Load(name); !ok {
			found = produce()
			in.Store(name, found)
		}
	}
	return found.(*T) //nolint:errcheck,forcetypeassert // nothing else is stored
}

// spawn starts an actor whose failure ends the process.
func (r *Activities) spawn(box runtime.Mailbox, produce actor.Producer) *actor.PID {
	return r.parts.System.Root.Spawn(actor.PropsFromProducer(produce, actor.WithMailbox(box.New), actor.WithDispatcher(r.parts.Workers),
		actor.WithGuardian(r.parts.Guardian)))
}
