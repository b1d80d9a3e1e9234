package actors

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/holdfast-run/holdfast/actors/workflow"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/persistence"
)

// instance is the shell round one order. See the package's comment for its states.
type instance struct {
	engine    *Engine
	partition *slot
	id        messages.OrderID
	handle    messages.Handle // zero until it is known
	// restarted: an incarnation before this one panicked, and took with it what it had to do.
	restarted bool
	// poison is why the order can't go on; nil if it can.
	poison error

	self  *actor.PID
	state *workflow.State // nil until it is loaded
	// landmark is of the history that the state has, and kept as the state is.
	landmark landmark
	row      *journalv1.OrderRow
	open     *journalv1.OpenRow

	deciding []any    // what is being decided
	pending  *pending // what came of it, until it is committed
	buffered []any    // what came meanwhile; at most Config.Mailbox, not counting notes
	mail     *mail
	due      int64     // as the partition was told; unknownDue if it may have been told otherwise
	indexed  bool      // as it was told of that
	size     int64     // as the engine was told
	more     bool      // a decision was cut short
	yielding bool      // asked to leave memory
	woken    bool      // the partition waits for it to rest
	filled   bool      // what had overflowed has a place now
	began    time.Time // when it got its first place, if it had to wait for one
}

// pending is what was decided and is not committed yet, and who is to be answered when it is.
type pending struct {
	events []*journalv1.Event
	// effects are what is to be done, with places reserved for what is dispatched.
	effects []workflow.Effect
	asking  []asking
	lines   []line // of the log
	resume  bool   // whatever is outstanding is to be taken up
	row     *journalv1.OrderRow
	open    *journalv1.OpenRow
	closes  bool
	// underway: the journal has it, and has not answered.
	underway bool
}

// Receive implements actor.Actor.
func (i *instance) Receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case *actor.Started:
		i.self = ctx.Self()
		i.mail.loaded.Store(false)
		if i.restarted {
			i.take(resume{})
		}
	case *actor.Stopping, *actor.Restarting:
		i.abandon()
		i.resize(0)
	case *committed:
		if m.to == i {
			i.committed(m.err)
		}
	case *accept, *command, *handOver, fired, resume, yield:
		i.mail.received.Add(1)
		i.take(m)
	}
}

// take decides a message now, or after the commit under way.
func (i *instance) take(m any) {
	_, i.yielding = m.(yield)
	if i.pending == nil {
		i.decide([]any{m})
		return
	}
	if !isNote(m) && len(i.buffered) >= i.engine.config.Mailbox {
		refuse(m, tooMany(i.engine.config.Mailbox, "order"))
		return
	}
	i.buffered = append(i.buffered, m)
}

// abandon tells everybody who waits for this incarnation that it will not answer. What comes of a commit under way is
// looked after later.
func (i *instance) abandon() {
	if i.pending != nil {
		for _, m := range i.pending.asking {
			m.refuse(ErrInterrupted)
		}
		i.giveBack(i.pending)
		if i.pending.underway {
			i.later(resume{})
		}
	}
	for _, m := range append(i.deciding, i.buffered...) {
		refuse(m, ErrInterrupted)
	}
}

// decide decides messages one after the other, and commits what came of them together.
func (i *instance) decide(batch []any) {
	p := &pending{}
	i.deciding, i.pending = batch, p
	now := i.engine.now()
	for ; len(i.deciding) > 0; i.deciding = i.deciding[1:] {
		i.decideOne(now, i.deciding[0], p)
	}
	if i.more {
		i.more = false
		i.apply(now, workflow.Continue{}, nil, p)
	}
	if i.state != nil {
		i.place(now, p)
	}
	if n := messages.Version(len(p.events)); n > 0 {
		i.commit(i.state.Version()-n, p)
		return
	}
	i.settle(p)
	i.rest()
}

func (i *instance) priority() int { return int(i.state.Accepted().GetPriority()) }

// settle does what waited for the commit, and answers.
func (i *instance) settle(p *pending) {
	if i.state != nil {
		i.perform(p.effects, true)
		p.effects = nil
		if p.resume {
			i.perform(i.state.Outstanding(), false)
			i.tellKey(!i.state.QueuedSince().IsZero())
		}
	}
	for len(p.asking) > 0 {
		m := p.asking[0]
		p.asking = p.asking[1:]
		m.done(i.state)
	}
	i.pending = nil
	switch {
	case i.state != nil && i.state.Ended():
		i.engine.waiters.grown(i.id, i.state)
		if !i.began.IsZero() {
			i.engine.span(i.state.Definition().Ref).note(i.engine.now().Sub(i.began))
			i.began = time.Time{}
		}
	case len(p.events) > 0:
		i.engine.waiters.grown(i.id, nil)
	}
}

func (i *instance) decideOne(now time.Time, m any, p *pending) {
	switch m := m.(type) {
	case *accept:
		if i.state == nil && i.handle.IsZero() && m.def != nil { // nil: it is told only if it is there
			i.state = workflow.New(m.def, i.engine.config.Workflow)
			i.state.WithTurns(turns{i})
			i.mail.loaded.Store(true)
		}
		if i.loaded(m) {
			i.apply(now, workflow.Accept{Order: m.order, Queued: m.queued}, m, p)
		}
	case *command:
		if !i.loaded(m) {
			return
		}
		if _, starts := m.cmd.(workflow.Start); starts {
			i.tellKey(false)
		}
		inject("order", string(i.id))
		i.apply(now, i.withTurn(m.cmd), m, p)
	case fired:
		i.woken = true
		if !i.loaded(m) {
			return
		}
		i.due = 0
		i.apply(now, workflow.TimerFired{}, nil, p)
	case resume:
		i.woken = true
		if !i.loaded(m) {
			return
		}
		if i.poison != nil {
			i.apply(now, workflow.Fault{Error: poisonProblem(i.poison)}, nil, p)
			return
		}
		p.resume = true
	case *handOver:
		if i.loaded(m) {
			i.handOver(m)
		}
	case yield:
	}
}

// apply decides one command. On an error the state is as before.
func (i *instance) apply(now time.Time, cmd workflow.Command, from asking, p *pending) {
	entered := i.engine.story.entered(i.state, cmd)
	events, err := i.state.Decide(now, rand.Uint64(), cmd)
	if err != nil {
		if from != nil {
			from.refuse(err)
		}
		return
	}
	p.events = append(p.events, events...)
	p.lines = append(p.lines, i.engine.story.lines(i.state, entered, events, from)...)
	if from != nil {
		p.asking = append(p.asking, from)
	}
}

// loaded makes sure that the state is there. If it can't be had, the sender of m is told, or m comes again.
func (i *instance) loaded(m any) bool {
	if i.state != nil {
		return true
	}
	var err error
	i.engine.workers.blocking(func() { err = i.load() })
	if err == nil {
		i.engine.unloadable.remove(i.id)
		return true
	}
	if r, ok := m.(refusable); ok {
		r.refuse(err)
	} else if !IsGone(err) {
		i.later(m)
	}
	switch {
	case IsGone(err):
		i.engine.log.Debug("message for an order that was not accepted", "order", i.id)
	case !errors.Is(err, ErrUncompilable) && !errors.Is(err, persistence.ErrCorrupt):
		i.engine.log.Warn("order can't be loaded now", "order", i.id, "error", err)
	case i.engine.unloadable.add(i.id, i.partition.number):
		i.engine.log.Error("order can't be loaded, and waits until it can be", "order", i.id, "error", err)
	}
	return false
}

// later has a message that nobody keeps come again.
func (i *instance) later(m any) {
	d := &deliver{id: i.id, handle: i.handle, message: m}
	i.engine.later(func() { i.engine.tell(i.partition.pid, d) })
}

func (i *instance) load() error {
	ctx, cancel := context.WithTimeout(context.Background(), i.engine.config.readTimeout())
	defer cancel()
	if i.handle.IsZero() {
		e, err := i.engine.journal.Find(ctx, i.id)
		if errors.Is(err, persistence.ErrNotFound) {
			i.partition.tally.anew(i.id, i.handle)
			return workflow.ErrNotAccepted
		}
		if err != nil {
			return fmt.Errorf("order %s: %w", i.id, err)
		}
		i.handle = e.Handle
	}
	state, mark, err := i.engine.fold(ctx, i.handle)
	if err != nil {
		return err
	}
	if n := messages.PartitionOf(i.id, state.Accepted().GetOrderKey()); n != i.partition.number {
		return fmt.Errorf("%w: it belongs to partition %d, not %d", workflow.ErrTaken, n, i.partition.number)
	}
	// The rows are not read: but for a short wait, which has none and is over soon, they tell what the state tells.
	i.state, i.landmark, i.due = state, mark, unknownDue
	i.state.WithTurns(turns{i})
	i.mail.loaded.Store(true)
	i.row, i.open = orderRow(state, state.Status(), i.partition.number), nil
	if isOpen(state) {
		i.open = openRow(state, state.Status())
	}
	if t := &i.partition.tally; t.anew(i.id, i.handle) || i.engine.handles.isOld(i.handle) && t.first(i.id, i.handle) {
		i.engine.countOpen(i.open, 1)
	}
	return nil
}

func (i *instance) commit(before messages.Version, p *pending) {
	c := &persistence.Commit{
		Partition: i.partition.number, Epoch: i.partition.epoch,
		Expected: before, Events: len(p.events), RowBefore: i.row, OpenBefore: i.open,
	}
	if before == 0 {
		i.handle = i.engine.handles.next()
		c.ID, c.ContentHash = i.id, i.state.Accepted().GetContentHash()
		c.Child = i.state.Accepted().GetParent() != nil
	}
	c.Handle = i.handle
	i.rows(p)
	c.Row, c.Open, c.Close = p.row, p.open, p.closes
	if p.row == nil {
		c.RowBefore = nil
	}
	if p.open == nil && !p.closes {
		c.OpenBefore = nil
	}
	c.Record = i.landmark.record(before, p.events, i.state)
	self, e, slot, id, row, open := i.self, i.engine, i.partition, i.id, i.row, i.open
	c.Done = func(err error) {
		slot.tally.count(e, id, c, row, open, err)
		e.system.Root.Send(self, &committed{to: i, err: err})
	}
	i.engine.journal.Commit(c)
	p.underway = true
}

// committed goes on after a commit: effects, answers, and what came meanwhile.
func (i *instance) committed(err error) {
	i.pending.underway = false
	if err != nil {
		i.failed(i.pending, err)
	} else {
		i.succeeded(i.pending)
	}
	if batch := i.buffered; len(batch) > 0 {
		i.buffered = nil
		i.decide(batch)
		return
	}
	if i.more {
		i.decide(nil)
		return
	}
	i.rest()
}

func (i *instance) succeeded(p *pending) {
	i.engine.story.tell(i.id, p.lines)
	before := i.open
	if p.row != nil {
		i.row = p.row
	}
	if p.open != nil {
		i.open = p.open
	}
	if p.closes {
		i.open = nil
	}
	joined := i.open.GetQueued() && !before.GetQueued()
	switch key := before.GetOrderKey(); {
	case joined && key != "": // it had the turn, and joins its queue anew
		i.engine.tell(i.partition.pid, keyEnded{id: i.id, key: key})
	case before.GetHeld() && !i.open.GetHeld():
		i.engine.tell(i.partition.pid, keyHeld{id: i.id, key: key, held: false})
	}
	i.tellKey(joined)
	i.settle(p)
}

// tellKey tells the partition that an order with a key has joined its queue, or lets the next one run, before anybody else is
// told. Telling it again does no harm.
func (i *instance) tellKey(joined bool) {
	key := i.state.Key()
	switch {
	case key == "":
	case i.state.Ended() && !i.state.HoldsKey():
		i.engine.tell(i.partition.pid, keyEnded{id: i.id, key: key})
	case joined:
		i.engine.tell(i.partition.pid, queued{id: i.id, key: key, since: i.state.QueuedSince()})
	case i.state.HoldsKey():
		i.engine.tell(i.partition.pid, keyHeld{id: i.id, key: key, held: true})
	}
}

// failed drops the state: whatever came meanwhile is decided on a fresh one.
func (i *instance) failed(p *pending, err error) {
	i.giveBack(p)
	first := i.row == nil
	i.state, i.landmark, i.row, i.open, i.more, i.pending = nil, landmark{}, nil, nil, false, nil
	i.mail.loaded.Store(false)
	if first {
		i.handle = messages.Handle{}
	}
	taken, isTaken := errors.AsType[*persistence.TakenError](err)
	if isTaken {
		// The order is there: what was decided on a new one is decided again on this one.
		i.handle = taken.Entry.Handle
		again := make([]any, 0, len(p.asking)+1+len(i.buffered))
		for _, m := range p.asking {
			again = append(again, m)
		}
		i.buffered = append(append(again, resume{}), i.buffered...)
		return
	}
	switch {
	case errors.Is(err, persistence.ErrFenced):
		err = ErrNotOwner
	case errors.Is(err, persistence.ErrConflict), errors.Is(err, persistence.ErrUnknown), errors.Is(err, persistence.ErrClosed):
		err = fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	for _, m := range p.asking {
		m.refuse(err)
	}
	if !first || errors.Is(err, persistence.ErrUnknown) {
		i.later(resume{}) // what the lost events called for may be wanted still
	}
}

// perform does what is to be done; placed says that places are reserved for what is dispatched.
func (i *instance) perform(effects []workflow.Effect, placed bool) {
	for _, e := range effects {
		switch e := e.(type) {
		case workflow.Dispatch:
			lane := i.engine.lane(e.Activity)
			switch {
			case e.Overflow != 0:
				i.overflowed(lane, e)
			case placed:
				i.dispatch(lane, e, lane.room.size(len(e.Input)))
			default:
				i.dispatch(lane, e, 0)
			}
		case workflow.CancelAttempt:
			if e.Overflow != 0 || e.Withdraw {
				// Its dispatcher may not know of it, or have dropped it when the order was to be cancelled before.
				e.Again = e.Again || e.Overflow == 0
				i.dispatch(i.engine.lane(e.Activity), e.Dispatch, 0)
			}
			i.engine.cancelAttempt(e)
		case workflow.StartChild:
			i.engine.startChild(i.partition.number, e.Order, nil)
		case workflow.CancelChild:
			i.engine.startChild(i.partition.number, e.Order, &workflow.Cancel{
				Compensate: e.Compensate, Later: true, Reason: "order " + string(i.id) + " has given it up",
			})
		case workflow.TellParent:
			i.engine.tellParent(i.partition.number, e)
		case workflow.More:
			i.more = true
		case workflow.End:
		}
	}
}

// rest tells the partition when to wake the order, and whether it may leave memory.
func (i *instance) rest() {
	if i.more {
		i.decide(nil)
		return
	}
	leave := i.yielding || i.state == nil || i.state.Ended() && !i.state.Untold() || i.state.Parked() && !i.filled
	if i.state != nil {
		at := i.state.NextDue()
		i.tellDue(nano(at))
		switch i.state.Status() { //nolint:exhaustive // the others have something to do
		case orderv1.Status_STATUS_WAITING:
			leave = leave || at.Sub(i.engine.now()) >= i.engine.config.LongWait
		case orderv1.Status_STATUS_PENDING:
			leave = true
		case orderv1.Status_STATUS_SUSPENDED:
			leave = leave || isHalted(i.state)
		}
	}
	i.resize(sizeOf(i.state))
	if i.woken {
		i.woken = false
		i.engine.tell(i.partition.pid, rested{i.id})
	}
	if leave {
		i.engine.tell(i.partition.pid, release{id: i.id, mail: i.mail, received: i.mail.received.Load()})
	}
}
