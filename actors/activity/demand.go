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
	uses       uses
	rest       rest
	// shown: it has metrics of its own.
	shown  bool
	counts counts
	// demands are those for its versions that were called. The slice is replaced, never changed.
	demands atomic.Pointer[[]*demand]
}

// demand is what this node has of the calls of an activity that ask for the same version, or for any. It has a room and a
// backlog of its own: calls of a version that nobody offers are not in the way of others.
type demand struct {
	queue   *queue
	called  string // adapter.activity or adapter.activity:version
	version string // empty: any
	room    room
	backlog *actor.PID
	rest    rest
	// refilling: the backlog was told that there is room, and has not looked yet.
	refilling atomic.Bool

	mu sync.Mutex
	// reservations are those for tasks on disk whose orders were asked to offer them, by number. Those that orders have made
	// themselves are counted in the room alone.
	reservations map[uint64]reservation
	last         uint64
}

type reservation struct {
	priority int
	size     int64
}

// number gives a reservation a number, under which it can be released once.
func (d *demand) number(priority int, size int64) uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.reservations == nil {
		d.reservations = map[uint64]reservation{}
	}
	d.last++
	d.reservations[d.last] = reservation{priority, size}
	return d.last
}

// asks tells whether orders are asked to offer tasks that were on disk.
func (d *demand) asks() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.reservations) > 0
}

// release releases the reservation of a number, unless that was done.
func (d *demand) release(number uint64) {
	d.mu.Lock()
	x, there := d.reservations[number]
	delete(d.reservations, number)
	d.mu.Unlock()
	if there {
		d.room.release(x.priority, x.size)
	}
}

// arrived releases what was reserved for a task that is in the queue now.
func (d *demand) arrived(t *dispatch.Task, r messages.Reservation) {
	switch {
	case r.ByOrder:
		d.room.release(t.Priority, int64(t.Size))
	case r.Number != 0:
		d.release(r.Number)
	}
}

// used tells what is in the room; empty if nothing is.
func (d *demand) used() (used []string) {
	for p := range d.room.levels {
		x := &d.room.levels[p]
		if waiting, reserved, behind := x.waiting.Load(), x.reserved.Load(), x.behind.Load(); waiting != 0 || reserved != 0 || behind {
			used = append(used, fmt.Sprintf("%s at priority %d: %d waiting, %d reserved, behind: %v", d.called, p, waiting, reserved, behind))
		}
	}
	return used
}

// refill tells a backlog that there is room.
func (r *Activities) refill(d *demand) {
	if !d.refilling.Swap(true) {
		r.tell(d.backlog, refill{})
	}
}

// queue returns what there is of an activity, and makes it if need be. Whoever gets it leaves its uses.
func (r *Activities) queue(name string) *queue {
	for {
		q := findOrMake(r, &r.queues, name, func() *queue { return r.newQueue(name) })
		if q.uses.enter() {
			return q
		}
		r.await() // what is gone is about to be taken out of the map
	}
}

// called notes that an order, or a limit, needs the activity.
func (q *queue) called() {
	if !q.uses.called.Load() {
		q.uses.called.Store(true)
	}
}

func (r *Activities) newQueue(name string) *queue {
	q := &queue{name: name, shown: r.shown.take()}
	q.demands.Store(&[]*demand{})
	q.uses.touched.Store(true)
	r.known.Add(1)
	q.rest.loop = r.parts.Watchdog.Register("dispatcher "+name, r.parts.Config.StuckAfter)
	box := runtime.Mailbox{
		Bound: r.parts.Config.Mailbox, Whose: "activity", Courier: r.parts.Courier, Inline: func(any) bool { return true },
	}
	q.dispatcher = r.spawn(box, func() actor.Actor {
		d := dispatch.New(r.parts.Config.Dispatch)
		made := &dispatcher{
			all: r, activity: q, name: nameOf(name), queue: d, streams: map[dispatch.StreamID]*Stream{},
			forgetting: forgetting{used: r.parts.Now()},
		}
		for p := range messages.Partition(messages.Partitions) {
			made.owned.Set(p, r.tenures.epoch(p) != 0)
		}
		for _, a := range r.asking() {
			made.has(a)
		}
		if r.parts.Limits.Limit(name) != nil {
			made.reform()
		}
		return made
	})
	return q
}

// demand returns what there is of the calls of an activity, and makes it if need be. Whoever gets it leaves the uses of its queue.
func (r *Activities) demand(called string) *demand {
	if d := r.knownDemand(called); d != nil {
		return d
	}
	name, version := messages.SplitActivity(called)
	q := r.queue(name)
	q.called()
	return findOrMake(r, &r.demands, called, func() *demand { // of q, which is not forgotten meanwhile
		d := &demand{queue: q, called: called, version: version}
		d.room.capacity, d.room.all, d.room.served = r.parts.Config.QueueEach, &r.rooms, &q.counts.adapters
		d.rest.loop = r.parts.Watchdog.Register("backlog "+called, r.parts.Config.StuckAfter)
		box := runtime.Mailbox{Bound: r.parts.Config.Mailbox, Whose: "activity", Courier: r.parts.Courier}
		d.backlog = r.spawn(box, func() actor.Actor { return &backlog{all: r, demand: d} })
		demands := append(slices.Clone(*q.demands.Load()), d)
		q.demands.Store(&demands)
		return d
	})
}

// knownDemand returns what there is of the calls of an activity, like demand; nil if there is nothing.
func (r *Activities) knownDemand(called string) *demand {
	if d, ok := r.demands.Load(called); ok {
		if d := d.(*demand); d.queue.uses.enter() { //nolint:errcheck,forcetypeassert // nothing else is stored
			return d
		}
	}
	return nil
}

// await waits until nothing is being made.
func (r *Activities) await() {
	r.making.Lock()
	defer r.making.Unlock()
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
