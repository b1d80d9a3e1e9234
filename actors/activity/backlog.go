package activity

import (
	"context"
	"slices"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/holdfast-run/holdfast/actors/dispatch"
	"github.com/holdfast-run/holdfast/actors/failure"
	"github.com/holdfast-run/holdfast/actors/runtime"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/nodev1"
	"github.com/holdfast-run/holdfast/persistence"
)

// backlog refills the room of one demand from disk, when there is some: with tasks of a higher priority first, and within a
// priority with a few of each partition in turn. It reads from the journal's index which tasks wait there, and asks their
// orders to offer them.
//
// It remembers only how far it has read. Whoever may have let a task overflow says so, and says so twice rather than never:
// an order offers a task once, however often it is asked for it.
type backlog struct {
	all    *Activities
	demand *demand
	levels [dispatch.Priorities]stored
	// retries: it is to try again what could not be read.
	retries bool
}

// stored is where tasks of one priority may be, in the order of the partitions' turns.
type stored []*source

// source is a partition that may have tasks in the index behind a place there.
type source struct {
	by     runtime.Owner
	behind persistence.OverflowPlace
}

const (
	// refillPage is the most tasks of a partition that are asked for in its turn. refillTurns is how many turns it takes at the
	// least to ask for all that there are: so those that came first go first, roughly, whichever partition they are of.
	refillPage  = 32
	refillTurns = 4
	// refillMost is how many tasks are asked for before the backlog looks at its mail again.
	refillMost = 1000
)

// Messages to a backlog.
type (
	// overflowed says that tasks of a partition may be on disk, none of them older than since.
	overflowed struct {
		priority int
		by       runtime.Owner
		since    int64
	}
	// refill says that there is room, retry that what could not be read has waited long enough.
	refill struct{}
	retry  struct{}
)

// Receive implements actor.Actor.
func (b *backlog) Receive(ctx actor.Context) {
	r := &b.demand.rest
	r.wake()
	switch m := ctx.Message().(type) {
	case overflowed:
		b.note(m)
	case refill:
		b.demand.refilling.Store(false)
		b.all.parts.Workers.Blocking(b.refill)
	case retry:
		b.retries = false
		b.all.parts.Workers.Blocking(b.refill)
	case left:
		b.leave(m.partition)
	case rests:
		b.all.tell(b.demand.queue.dispatcher, rested{quiet: b.quiet()})
	case *actor.Stopping:
		r.loop.Close()
		return
	case second:
		if r.loop.Beat(); b.quiet() {
			r.begin(0)
		}
		return
	default:
		return
	}
	r.loop.Beat()
}

// quiet tells whether no tasks are on disk, nor on their way from there, as far as is known here.
func (b *backlog) quiet() bool {
	for _, l := range b.levels {
		if len(l) > 0 {
			return false
		}
	}
	return !b.retries && !b.demand.asks()
}

// note notes where tasks of a partition may be.
func (b *backlog) note(m overflowed) {
	l := &b.levels[m.priority]
	i := slices.IndexFunc(*l, func(s *source) bool { return s.by.Partition == m.by.Partition })
	switch {
	case i < 0:
		*l = append(*l, &source{by: m.by, behind: persistence.OverflowPlace{At: m.since}})
	case (*l)[i].by.Epoch > m.by.Epoch:
		return // of an owner before
	case (*l)[i].by != m.by:
		(*l)[i] = &source{by: m.by, behind: persistence.OverflowPlace{At: m.since}}
	case m.since <= (*l)[i].behind.At:
		(*l)[i].behind = persistence.OverflowPlace{At: m.since}
	}
	b.demand.room.levels[m.priority].behind.Store(true)
}

// leave forgets the tasks of a partition that this node has lost.
func (b *backlog) leave(p messages.Partition) {
	for i := range b.levels {
		l := &b.levels[i]
		if *l = slices.DeleteFunc(*l, func(s *source) bool { return s.by.Partition == p }); len(*l) == 0 {
			b.demand.room.levels[i].behind.Store(false)
		}
	}
}

// refill refills the room until there is no more of it, or no more on disk. What can't be read now is left for later, and is in nobody's
// way meanwhile: neither of what other partitions have on disk, nor of new tasks.
func (b *backlog) refill() {
	asked := 0
	for p := dispatch.Priorities - 1; p >= 0 && asked < refillMost; p-- {
		l := &b.levels[p]
		most, _ := b.demand.room.refillable(p)
		page := refillPage
		if len(*l) > 0 {
			page = min(max(int(b.demand.queue.counts.stored[p].Load())/len(*l)/refillTurns, 1), refillPage)
		}
		var unread stored
		for full := false; len(*l) > 0 && !full && asked < refillMost; {
			first := (*l)[0]
			*l = slices.Delete(*l, 0, 1)
			n, more, err := b.refillFrom(p, first, most, page)
			if err != nil {
				unread = append(unread, first)
				continue
			}
			asked += n
			full = more && n < page
			if more {
				*l = append(*l, first)
			}
		}
		b.demand.room.levels[p].behind.Store(len(*l) > 0)
		if *l = append(*l, unread...); len(unread) > 0 {
			b.retryLater()
		}
	}
	if asked >= refillMost {
		b.all.refill(b.demand)
	}
}

// retryLater has what could not be read tried again after a while.
func (b *backlog) retryLater() {
	if b.retries {
		return
	}
	b.retries = true
	all, to := b.all, b.demand.backlog
	all.later(func() { all.tell(to, retry{}) })
}

// refillFrom asks for up to limit tasks of one partition, as long as no more than most of the room is used. It returns how many
// they are, and whether there may be more.
func (b *backlog) refillFrom(priority int, s *source, most int64, limit int) (n int, more bool, err error) {
	b.demand.rest.loop.Beat() // there may be many pages
	parts := &b.all.parts
	if !parts.Health.Available(s.by.Partition) {
		return 0, true, persistence.ErrUnavailable
	}
	ctx, cancel := context.WithTimeout(context.Background(), parts.Config.ReadTimeout)
	defer cancel()
	room := &b.demand.room
	of := persistence.Overflow{Activity: b.demand.called, Priority: priority, Partition: s.by.Partition}
	page, err := parts.Journal.Overflowed(ctx, of, s.behind, limit)
	if err != nil {
		parts.Health.Note(s.by.Partition, err)
		parts.Log.Error("tasks that wait on disk can't be read", "activity", b.demand.called, "partition", s.by.Partition, "error", err)
		return 0, true, err
	}
	for i, t := range page {
		size := room.size(t.Bytes)
		if !room.reserveWithin(most, priority, size) {
			return i, true, nil
		}
		s.behind = t.OverflowPlace
		b.ask(priority, s, t, size)
	}
	return len(page), len(page) == limit, nil
}

// ask asks an order to offer a task for which room is reserved. The reservation ends with that ask, or when the task has come.
func (b *backlog) ask(priority int, s *source, t persistence.OverflowedTask, size int64) {
	from, all := b.demand, b.all
	again := overflowed{priority: priority, by: s.by, since: t.At}
	n := from.number(priority, size)
	e := &nodev1.Envelope{
		Partition: uint32(s.by.Partition), OrderId: string(t.Order), Handle: t.Handle[:], Epoch: uint64(s.by.Epoch),
		Message: &nodev1.Envelope_HandOver{HandOver: &nodev1.HandOver{Frame: t.Frame, Reservation: n}},
	}
	all.parts.Post.Ask(s.by, e, func(a *nodev1.Answer) {
		f := a.GetFailure()
		if f == nil {
			return // the dispatcher gets the task, and releases the reservation
		}
		from.release(n)
		// If the partition is lost, its next owner finds the task in the journal.
		if !failure.IsFinal(f) && f.GetReason() != nodev1.Reason_REASON_NOT_OWNER {
			all.later(func() { all.tell(from.backlog, again) })
		}
	})
}
