package actors

import (
	"time"

	"github.com/holdfast-run/holdfast/actors/workflow"
)

// place finds places for the attempts that are to be dispatched. Those that get none overflow.
func (i *instance) place(now time.Time, p *pending) {
	p.effects = i.state.Effects(p.events)
	full := false
	for _, e := range p.effects {
		d, ok := e.(workflow.Dispatch)
		if ok && !i.engine.reserve(i.priority(), d) {
			i.apply(now, workflow.Overflow{Frame: d.Frame, Epoch: i.partition.epoch}, nil, p)
			full, i.filled = true, false
		}
	}
	if full {
		p.effects = i.state.Effects(p.events)
	}
}

// giveBack gives up the places of what will not be dispatched now. What has overflowed may be on disk.
func (i *instance) giveBack(p *pending) {
	for _, e := range p.effects {
		if d, ok := e.(workflow.Dispatch); !ok {
			continue
		} else if d.Overflow != 0 {
			i.overflowed(i.engine.lane(d.Activity), d)
		} else {
			i.engine.giveBack(i.priority(), d)
		}
	}
	p.effects = nil
}

// handOver hands over an attempt that has overflowed, if it is wanted still.
func (i *instance) handOver(m *handOver) {
	d, wanted := i.state.Refill(m.frame)
	if !wanted {
		m.answer(workflow.ErrStale)
		return
	}
	i.filled = true
	if i.began.IsZero() {
		i.began = i.engine.now()
	}
	i.dispatch(i.engine.lane(d.Activity), d, m.size)
	m.answer(nil)
}

// reserve takes a place for an attempt that is about to be scheduled; false if it has to overflow.
func (e *Engine) reserve(priority int, m workflow.Dispatch) bool {
	r := &e.lane(m.Activity).room
	return r.reserve(priority, r.size(len(m.Input)), m.Follows)
}

// giveBack gives up what was reserved.
func (e *Engine) giveBack(priority int, m workflow.Dispatch) {
	r := &e.lane(m.Activity).room
	r.giveBack(priority, r.size(len(m.Input)))
}
