package actors

import (
	"context"
	"slices"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/holdfast-run/holdfast/actors/dispatch"
	"github.com/holdfast-run/holdfast/persistence"
	"github.com/holdfast-run/holdfast/supervision"
)

// backlog has the tasks of one lane handed over that wait on disk, when there is room for them: those of a higher
// priority first, and within one a few of each partition in turn. It reads where they are from the journal's index, and tells
// their orders.
//
// It remembers only how far it has read. Whoever may have put a task there says so, and says so again rather than not at
// all: a task that is told twice is handed over once.
type backlog struct {
	engine *Engine
	lane   *lane
	loop   *supervision.Loop
	levels [dispatch.Priorities]stored
}

// stored is where tasks of one priority may be, in the order of the partitions' turns.
type stored []*source

// source is a partition that may have tasks behind a place.
type source struct {
	slot   *slot
	behind persistence.OverflowPlace
}

const (
	// refillPage is the most tasks of a partition that are handed over in its turn; refillTurns how many turns it takes at
	// least to hand all over that there are, so that those which came first go first, about.
	refillPage  = 32
	refillTurns = 4
	// refillMost is how many tasks are handed over before the backlog looks at its mail again.
	refillMost = 1000
)

// Messages to a backlog.
type (
	// overflowed says that tasks of a partition may be on disk, none of them older than since.
	overflowed struct {
		priority int
		slot     *slot
		since    int64
	}
	// refill says that there is room.
	refill struct{}
)

func (overflowed) isNote() {}
func (refill) isNote()     {}

// Receive implements actor.Actor.
func (b *backlog) Receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case overflowed:
		b.note(m)
	case refill:
		b.lane.asked.Store(false)
		b.engine.workers.blocking(b.refill)
	case *actor.Stopping:
		b.loop.Close()
		return
	case probe:
	default:
		return
	}
	b.loop.Beat()
}

func (b *backlog) note(m overflowed) {
	l := &b.levels[m.priority]
	i := slices.IndexFunc(*l, func(s *source) bool { return s.slot == m.slot })
	switch {
	case i < 0:
		*l = append(*l, &source{slot: m.slot, behind: persistence.OverflowPlace{At: m.since}})
	case m.since <= (*l)[i].behind.At:
		(*l)[i].behind = persistence.OverflowPlace{At: m.since}
	}
	b.lane.room.levels[m.priority].behind.Store(true)
}

// refill fills the room.
func (b *backlog) refill() {
	told := 0
	for p := dispatch.Priorities - 1; p >= 0; p-- {
		l := &b.levels[p]
		most, _ := b.lane.room.refillable(p)
		page := refillPage
		if len(*l) > 0 {
			page = min(max(int(b.lane.activity.gauges.stored[p].Load())/len(*l)/refillTurns, 1), refillPage)
		}
		for full := false; len(*l) > 0 && !full; {
			if told >= refillMost {
				b.lane.refill(b.engine)
				return
			}
			first := (*l)[0]
			n, more, err := b.refillFrom(p, first, most, page)
			if err != nil {
				b.engine.log.Error("tasks that wait on disk can't be read", "activity", b.lane.called, "error", err)
				b.engine.later(func() { b.lane.refill(b.engine) })
				return
			}
			told += n
			full = more && n < page
			if *l = slices.Delete(*l, 0, 1); more {
				*l = append(*l, first)
			}
		}
		if len(*l) == 0 {
			b.lane.room.levels[p].behind.Store(false)
		}
	}
}

// refillFrom hands up to limit tasks of one partition over, as long as they use no more than most of the room. It returns how many, and
// whether there may be more.
func (b *backlog) refillFrom(priority int, s *source, most int64, limit int) (n int, more bool, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), b.engine.config.StuckAfter)
	defer cancel()
	room := &b.lane.room
	of := persistence.Overflow{Activity: b.lane.called, Priority: priority, Partition: s.slot.number}
	page, err := b.engine.journal.Overflowed(ctx, of, s.behind, limit)
	if err != nil {
		return 0, true, err
	}
	for i, t := range page {
		size := room.size(t.Bytes)
		if !room.take(priority, size, most) {
			return i, true, nil
		}
		s.behind = t.OverflowPlace
		b.fill(priority, s, t, size)
	}
	return len(page), len(page) == limit, nil
}

// fill asks an order to hand a task over, for which there is room.
func (b *backlog) fill(priority int, s *source, t persistence.OverflowedTask, size int64) {
	again := overflowed{priority: priority, slot: s.slot, since: t.At}
	b.engine.tell(s.slot.pid, &deliver{id: t.Order, handle: t.Handle, message: &handOver{frame: t.Frame, size: size, answer: func(err error) {
		if err == nil {
			return // the dispatcher has it, or nobody wants it any more
		}
		b.lane.room.giveBack(priority, size)
		if !isFinal(err) {
			b.engine.later(func() { b.engine.tell(b.lane.backlog, again) })
		}
	}}})
}
