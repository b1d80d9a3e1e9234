package order

import (
	"time"

	"github.com/holdfast-run/holdfast/actors/workflow"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/nodev1"
)

// reserve reserves room for the attempts that are to be dispatched. Those that get none overflow.
func (i *instance) reserve(now time.Time, p *pending) {
	p.effects = i.state.Effects(p.events)
	full := false
	for _, e := range p.effects {
		d, ok := e.(workflow.Dispatch)
		if ok && !i.Activities.Reserve(d.Activity, i.priority(), len(d.Input), d.Follows) {
			i.apply(now, workflow.Overflow{Frame: d.Frame, Epoch: i.home.Owner().Epoch}, nil, p)
			full, i.refilled = true, false
		}
	}
	if full {
		p.effects = i.state.Effects(p.events)
	}
}

// release releases what was reserved for attempts that will not be dispatched now. What has overflowed may be on disk.
func (i *instance) release(p *pending) {
	for _, e := range p.effects {
		if d, ok := e.(workflow.Dispatch); !ok {
			continue
		} else if d.Overflow != 0 {
			i.overflowed(d)
		} else {
			i.Activities.Release(d.Activity, i.priority(), len(d.Input))
		}
	}
	p.effects = nil
}

// refill offers an attempt that has overflowed, if it is wanted still.
func (i *instance) refill(e *nodev1.Envelope) {
	m := e.GetHandOver()
	d, wanted := i.state.Refill(m.GetFrame())
	if !wanted {
		i.refuse(e, workflow.ErrStale)
		return
	}
	i.refilled = true
	if i.began.IsZero() {
		i.began = i.Now()
	}
	i.dispatch(d, messages.Reservation{Number: m.GetReservation()})
	i.Post.Answer(e, done)
}

// perform does what is to be done. reserved: room is reserved for what is dispatched.
func (i *instance) perform(effects []workflow.Effect, reserved bool) {
	for _, e := range effects {
		switch e := e.(type) {
		case workflow.Dispatch:
			switch {
			case e.Overflow != 0:
				i.overflowed(e)
			case reserved:
				i.dispatch(e, messages.Reservation{ByOrder: true})
			default:
				i.dispatch(e, messages.Reservation{})
			}
		case workflow.CancelAttempt:
			if e.Overflow != 0 || e.Withdraw {
				// Its dispatcher may not know of it, or have dropped it when the order was to be cancelled before.
				e.Again = e.Again || e.Overflow == 0
				i.dispatch(e.Dispatch, messages.Reservation{})
			}
			if e.Withdraw {
				i.Activities.Withdraw(e.Activity, e.Key, e.Attempt)
			} else {
				i.Activities.Cancel(e.Activity, e.Key, e.Attempt)
			}
		case workflow.StartChild:
			i.family().start(e.Order, nil)
		case workflow.CancelChild:
			i.family().start(e.Order, &nodev1.Cancel{
				Compensate: e.Compensate, Later: true, Reason: "order " + string(i.id) + " has given it up",
			})
		case workflow.PublishEvent:
			i.listening().publish(i.namespace(), e)
		case workflow.BeginListen:
			i.listening().begin(i.state.Definition(), e)
		case workflow.EndListen:
			i.listening().end(e)
		case workflow.TellParent:
			i.family().tellParent(e)
		case workflow.More:
			i.more = true
		case workflow.End:
		}
	}
}

// dispatch offers an attempt to be executed.
func (i *instance) dispatch(m workflow.Dispatch, reservation messages.Reservation) {
	by := i.home.Owner()
	i.Activities.Offer(messages.Attempt{
		Order: i.id, Partition: by.Partition, Epoch: by.Epoch, Key: m.Key, Attempt: m.Attempt, Called: m.Activity, Task: m.Task,
		Priority: i.priority(), Input: m.Input, Deadline: m.Deadline, Since: m.Since, RunWithin: m.RunWithin, Ledger: m.Ledger,
		MaybeStarted: m.MaybeStarted, Suspect: m.Suspect, Again: m.Again || m.Overflow != 0 && m.Overflow != by.Epoch,
		Deaths: m.Deaths, Reservation: reservation,
	})
}

// overflowed tells of an attempt that waits on disk.
func (i *instance) overflowed(m workflow.Dispatch) {
	i.Activities.Overflowed(m.Activity, i.priority(), i.home.Owner(), m.Since)
}
