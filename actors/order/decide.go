package order

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/holdfast-run/holdfast/actors/catalog"
	"github.com/holdfast-run/holdfast/actors/failure"
	"github.com/holdfast-run/holdfast/actors/workflow"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/nodev1"
)

// decide decides messages one after the other, and commits what came of them together.
func (i *instance) decide(batch []any) {
	p := &i.space
	*p = pending{asked: i.asks[:0]}
	i.deciding, i.pending = batch, p
	commits, long := i.decideAll(i.Now(), p)
	switch {
	case long:
		i.decideApart(batch)
		return
	case commits:
		return
	}
	i.giveBack()
	if len(p.asked) > 0 {
		i.check(p)
		return
	}
	i.settle(p)
	i.rest()
}

// decideAll decides the messages, within the pace if that is heavy work. It tells whether it commits something, or whether it has taken too
// long for the partition's turn.
func (i *instance) decideAll(now time.Time, p *pending) (commits, long bool) {
	defer func() {
		i.quit()
		long = isTooLong(recover())
	}()
	if space := i.heavily; space != "" {
		i.heavily = ""
		i.enter(space)
		now = i.Now()
	}
	for ; len(i.deciding) > 0; i.deciding = i.deciding[1:] {
		i.decideOne(now, i.deciding[0], p)
	}
	i.one[0] = nil
	if i.more {
		i.more = false
		i.apply(now, workflow.Continue{}, nil, p)
	}
	if i.state != nil {
		i.reserve(now, p)
	}
	n := messages.Version(len(p.events))
	if n > 0 {
		i.commit(i.state.Version()-n, p)
	}
	return n > 0, false
}

func (i *instance) priority() int { return int(i.state.Accepted().GetPriority()) }

func (i *instance) decideOne(now time.Time, m any, p *pending) {
	switch m := m.(type) {
	case *nodev1.Envelope:
		i.decideMessage(now, m, p)
	case Fired:
		i.woken = true
		if i.loaded(m) {
			i.takeUp(now, p)
			i.due = 0
			i.apply(now, workflow.TimerFired{}, nil, p)
		}
	case Resume:
		i.woken = true
		switch {
		case !i.loaded(m):
		case i.poison != nil:
			i.apply(now, workflow.Fault{Error: poisonProblem(i.poison)}, nil, p)
		case i.state.InIntake():
			i.takeUp(now, p)
		default:
			p.resume = true
		}
	case Yield:
	}
}

// decideMessage decides a message that came from beyond the partition.
func (i *instance) decideMessage(now time.Time, e *nodev1.Envelope, p *pending) {
	if accept := e.GetAccept(); accept != nil {
		i.accept(now, e, accept, p)
		return
	}
	if e.GetRefuse() != nil {
		i.begin(workflow.NoDefinition(e.GetRefuse().GetOrder().GetDefinition()))
	}
	if !i.loaded(e) {
		return
	}
	i.takeUp(now, p)
	if e.GetHandOver() != nil {
		i.refill(e)
		return
	}
	cmd := workflow.CommandOf(e)
	if cmd == nil {
		i.refuse(e, fmt.Errorf("message %T is not for an order", e.GetMessage())) //nolint:err113 // for people
		return
	}
	if _, starts := cmd.(workflow.Start); starts {
		i.tellKey(false)
	}
	if i.Inject != nil {
		i.Inject("order", string(i.id))
	}
	i.apply(now, i.withTurn(cmd), e, p)
}

// begin makes the state of an order that may be new.
func (i *instance) begin(def *workflow.Definition) {
	if i.state == nil && i.handle.IsZero() {
		i.state = workflow.New(def, &i.Config.Workflow)
		i.state.WithTurns(turns{i})
		i.box.loaded.Store(true)
	}
}

func (i *instance) accept(now time.Time, e *nodev1.Envelope, a *nodev1.Accept, p *pending) {
	if i.state == nil && i.handle.IsZero() {
		name, hash := a.GetOrder().GetDefinition(), a.GetOrder().GetDefinitionHash()
		def, err := i.Catalog.Pinned(name, hash)
		// The node that passed the order on knows the definition; this one may have to load it.
		if errors.Is(err, catalog.ErrUnknown) || errors.Is(err, catalog.ErrNotLoaded) {
			i.Workers.Blocking(func() {
				ctx, cancel := context.WithTimeout(context.Background(), i.Config.ReadTimeout)
				defer cancel()
				def, err = i.Catalog.Finder(ctx)(name, hash)
			})
		}
		if err != nil {
			i.refuse(e, failure.Late(err))
			return
		}
		i.begin(def)
	}
	if i.loaded(e) {
		i.takeUp(now, p)
		i.apply(now, workflow.Accept{Order: a.GetOrder(), Queued: a.GetQueued()}, e, p)
	}
}
