package order

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/holdfast-run/holdfast/actors/failure"
	"github.com/holdfast-run/holdfast/actors/history"
	"github.com/holdfast-run/holdfast/actors/runtime"
	"github.com/holdfast-run/holdfast/actors/workflow"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/messages/nodev1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/messages/problemv1"
)

// Activation says which order is brought to memory, and where.
type Activation struct {
	ID     messages.OrderID
	Handle messages.Handle // zero if it is not known here
	// Number tells this activation from others.
	Number uint64
	Box    *Box
	// Poison is why the order can't go on, so that it is to be faulted; nil if it can.
	Poison error
}

// Received returns how many messages reached the order through its partition.
func (b *Box) Received() uint64 { return b.received.Load() }

// Poisoned tells whether the order is in memory only to be faulted.
func (b *Box) Poisoned() bool { return b.poison }

// inline tells whether a message is handled in the partition's turn. It is if nothing has to be read for it, and it is no heavy work, so
// that the other orders are not held up. What became of a commit does not come in the partition's turn, but from a goroutine of the
// journal.
func (p *Parts) inline(b *Box, message any) bool {
	switch m := message.(type) {
	case *committed, *granted, *setAside:
		return false
	case *nodev1.Envelope:
		if a := m.GetAccept(); a != nil {
			if p.heavyToAccept(a.GetOrder()) {
				return false
			}
			_, err := p.Catalog.Pinned(a.GetOrder().GetDefinition(), a.GetOrder().GetDefinitionHash())
			return err == nil
		}
	}
	return b.loaded.Load() && !b.apart.Load()
}

// instance is the shell round one order. See the package's comment for its states.
type instance struct {
	*Parts

	home       Home
	id         messages.OrderID
	handle     messages.Handle // zero until it is known
	activation uint64
	box        *Box
	// restarted: the actor before this one panicked, and so what it had to do is lost.
	restarted bool
	// poison is why the order can't go on; nil if it can.
	poison error

	self  *actor.PID
	root  *actor.RootContext
	state *workflow.State // nil until it is loaded
	// landmark is that of the history, and rows are those in the journal. Both go with the state: they are loaded and dropped with it.
	landmark history.Landmark
	rows     Rows

	deciding []any         // the messages that are being decided
	one      [1]any        // where deciding lies if it is a single message
	asks     [1]asked      // where pending's lies if it is a single one
	pending  *pending      // what was decided, until it is committed; nil if there is nothing
	space    pending       // where pending lies
	buffered []any         // the messages that came meanwhile; at most Config.Mailbox that want an answer
	due      int64         // the due time that the partition was told; unknownDue if it may have been told another one
	indexed  bool          // whether the partition was told that the journal's index has the due time
	size     int64         // the size that the partition was told
	more     bool          // a decision was cut short, and is to go on
	yielding bool          // the partition has asked the order to leave memory
	leaving  bool          // the partition has asked the order to take no more messages, as it is given up
	woken    bool          // the partition waits to be told that the order has come to rest
	waiting  bool          // it waits until there is room for a decision
	place    runtime.Place // what the decision has of that room
	heavily  string        // the namespace for which the next decision is heavy work; empty: it is none
	pass     *runtime.Pass // lets a decision that is heavy work go on; nil if it is not, or not yet
	checks   bool          // it has that since a value was checked
	rushes   bool          // it does not give others a turn
	outside  bool          // the decision is not made in the turn of the partition: the order was read for it, or it took too long there
	refilled bool          // an attempt that had overflowed was offered since the last one overflowed
	began    time.Time     // when the first attempt that had overflowed was offered; zero if none was
}

// pending is what was decided and is not committed yet, and who is to be answered when it is.
type pending struct {
	events []*journalv1.Event
	// effects are what is to be done, with room reserved for what is dispatched.
	effects []workflow.Effect
	asked   []asked
	lines   []line // for the log
	resume  bool   // once it is committed, whatever is outstanding is to be taken up
	rows    Rows
	closes  bool
	// underway: the journal was given the commit, and has not answered.
	underway bool
}

// asked is a message whose sender is answered once what came of it is durable. first: the order was accepted by it.
type asked struct {
	*nodev1.Envelope

	first bool
	// idle: nothing came of it, and it was not refused.
	idle bool
	// refused is why nothing came of it; nil if it was not refused.
	refused error
}

// Receive implements actor.Actor.
func (i *instance) Receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case *actor.Started:
		i.self, i.root = ctx.Self(), ctx.ActorSystem().Root
		i.box.loaded.Store(false)
		if i.restarted {
			i.take(Resume{})
		}
	case *actor.Stopping, *actor.Restarting:
		i.abandon()
		i.giveBack()
		// The set of its parent's children goes on to point at an actor that has ended, until another one takes its place there.
		i.state, i.rows, i.space, i.deciding, i.buffered = nil, Rows{}, pending{}, nil, nil
		i.resize(0)
	case *committed:
		if m.to == i {
			i.committed(m.err)
		}
	case *granted:
		if m.to == i {
			i.waited(i.decide)
		}
	case *setAside:
		if m.to == i {
			i.waited(i.goOn)
		}
	case *nodev1.Envelope, Fired, Resume, Yield:
		i.box.received.Add(1)
		i.take(m)
	case Leave:
		i.leaving = true
		i.leave()
	}
}

// take decides a message now, or after the commit under way.
func (i *instance) take(m any) {
	if i.leaving {
		i.refuse(m, runtime.ErrNotOwner)
		return
	}
	_, i.yielding = m.(Yield)
	if i.pending == nil && !i.waiting {
		i.one[0] = m
		if !i.waits(i.one[:]) {
			i.decide(i.one[:])
		}
		return
	}
	if e, ok := m.(*nodev1.Envelope); ok && e.GetAsk() != 0 && len(i.buffered) >= i.Config.Mailbox {
		i.refuse(e, runtime.TooMany(i.Config.Mailbox, "order"))
		return
	}
	i.buffered = append(i.buffered, m)
}

func (i *instance) refuse(m any, err error) {
	if e, ok := m.(*nodev1.Envelope); ok {
		i.Post.Answer(e, &nodev1.Answer{Failure: failure.Of(err)})
	}
}

// abandon tells everybody who waits for this activation that it will not answer. What comes of a commit under way is
// looked after later.
func (i *instance) abandon() {
	if i.pending != nil {
		for _, m := range i.pending.asked {
			i.refuse(m.Envelope, runtime.ErrInterrupted)
		}
		i.release(i.pending)
		if i.pending.underway {
			i.recover()
		}
	}
	for _, m := range append(i.deciding, i.buffered...) {
		i.refuse(m, runtime.ErrInterrupted)
	}
}

// recover has the partition resume the order after a while, in whatever activation.
func (i *instance) recover() { i.home.Tell(Recover{ID: i.id, Handle: i.handle}) }

// leave tells the partition that the order has no commit under way, once that is so. Messages that wait for the end of a commit are
// left for the next owner.
func (i *instance) leave() {
	if i.pending != nil {
		return
	}
	i.giveBack()
	for _, m := range i.buffered {
		i.refuse(m, runtime.ErrNotOwner)
	}
	i.buffered = nil
	i.home.Tell(Left{ID: i.id, Activation: i.activation})
}

// takeUp takes up an order that another node has accepted, before anything else is decided about it.
func (i *instance) takeUp(now time.Time, p *pending) {
	if i.poison == nil && i.state.InIntake() {
		i.apply(now, workflow.TakeUp{}, nil, p)
	}
}

// apply decides one command. On an error the state is as before.
func (i *instance) apply(now time.Time, cmd workflow.Command, from *nodev1.Envelope, p *pending) {
	entered := i.Story.entered(i.state, cmd)
	first := i.state.Version() == 0
	events, err := i.state.Decide(now, rand.Uint64(), cmd)
	if err != nil {
		if from.GetAsk() != 0 { // somebody else may own the order, and know better
			p.asked = append(p.asked, asked{Envelope: from, refused: err})
		}
		return
	}
	if p.events == nil {
		p.events = events
	} else {
		p.events = append(p.events, events...)
	}
	p.lines = append(p.lines, i.Story.lines(i.state, entered, events, from)...)
	if from.GetAsk() != 0 {
		p.asked = append(p.asked, asked{Envelope: from, first: first, idle: len(events) == 0})
	}
}

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
	for len(p.asked) > 0 {
		m := p.asked[0]
		p.asked = p.asked[1:]
		i.answer(m)
	}
	i.pending = nil
	switch {
	case i.state != nil && i.state.Ended():
		i.grown(i.show)
		if !i.began.IsZero() {
			i.Readers.Took(i.state.Definition().Ref, i.Now().Sub(i.began))
			i.began = time.Time{}
		}
	case len(p.events) > 0, p.resume: // what is resumed may have grown by a commit whose outcome was not known
		i.grown(nil)
	}
	*p, i.asks[0] = pending{}, asked{} // so that nothing large is kept
}

// grown tells those who wait for the order that it stands at a version. ended makes what it has come to, if it has ended.
func (i *instance) grown(ended func(whole bool) *orderv1.Order) {
	i.Readers.Grown(i.home.Owner().Partition, i.id, i.state.Version(), ended)
}

// show tells how the order has ended.
func (i *instance) show(whole bool) *orderv1.Order {
	if whole {
		return i.Show(i.state)
	}
	return i.ShowEnd(i.state)
}

// done is the answer to a message whose sender needs to know no more than that it is durable.
var done = &nodev1.Answer{} //nolint:gochecknoglobals // a constant

// unawaited is the answer to a result that the order does not wait for.
var unawaited = &nodev1.Answer{Unawaited: true} //nolint:gochecknoglobals // the same

// answer tells that what was asked for is durable.
func (i *instance) answer(m asked) {
	if m.refused != nil {
		i.refuse(m.Envelope, m.refused)
		return
	}
	if m.idle && m.GetTaskResult() != nil {
		i.Post.Answer(m.Envelope, unawaited)
		return
	}
	if o := m.GetOffer(); o != nil {
		i.Post.Answer(m.Envelope, &nodev1.Answer{Message: &nodev1.Answer_Settled{Settled: &nodev1.Settled{
			Verdict: i.state.Verdict(o.GetListener(), o.GetSequence()),
		}}})
		return
	}
	if k := m.GetKnown(); k != nil && !i.state.HasListener(k.GetListener()) {
		i.Post.Answer(m.Envelope, &nodev1.Answer{Unawaited: true, Message: &nodev1.Answer_Settled{Settled: &nodev1.Settled{
			Verdict: journalv1.Verdict_VERDICT_OVER, Consumed: i.state.Heard(k.GetListener()),
		}}})
		return
	}
	wanted := m.GetAccept().GetWanted()
	if m.GetRefuse() != nil {
		wanted = nodev1.Wanted_WANTED_CHILD
	}
	i.Post.Answer(m.Envelope, i.answerOf(i.state, wanted, m.first))
}

// answerOf tells what was wanted of an order that stands so. first: it was accepted just now.
func (p *Parts) answerOf(s *workflow.State, wanted nodev1.Wanted, first bool) *nodev1.Answer {
	switch wanted {
	case nodev1.Wanted_WANTED_ACCEPTED:
		var answer struct { // one allocation
			nodev1.Answer

			is       nodev1.Answer_Accepted
			accepted nodev1.Accepted
		}
		answer.Message, answer.is.Accepted = &answer.is, &answer.accepted
		answer.accepted.Definition, answer.accepted.Repeated = s.Accepted().GetDefinition(), !first
		return &answer.Answer
	case nodev1.Wanted_WANTED_ORDER:
		return &nodev1.Answer{Message: &nodev1.Answer_Order{Order: p.Show(s)}}
	case nodev1.Wanted_WANTED_CHILD:
		if s.Ended() {
			return &nodev1.Answer{Message: &nodev1.Answer_Child{Child: s.Result().Message()}}
		}
	case nodev1.Wanted_WANTED_UNSPECIFIED:
	}
	return done
}

// rest tells the partition when to wake the order, and whether it may leave memory.
func (i *instance) rest() {
	if i.more {
		i.goOn(nil)
		return
	}
	leave := i.yielding || i.state == nil || i.state.Ended() && !i.state.Untold() || i.state.Parked() && !i.refilled
	if i.state != nil {
		at := i.state.NextDue()
		i.tellDue(nano(at))
		switch i.state.Status() { //nolint:exhaustive // in any other status the order has something to do
		case orderv1.Status_STATUS_WAITING:
			leave = leave || at.Sub(i.Now()) >= i.Config.LongWait
		case orderv1.Status_STATUS_PENDING:
			leave = true
		case orderv1.Status_STATUS_SUSPENDED:
			leave = leave || isHalted(i.state)
		}
	}
	i.resize(sizeOf(i.state))
	if i.state != nil && i.box.apart.Load() != i.isHeavy() {
		i.box.apart.Store(i.isHeavy())
	}
	if i.woken {
		i.woken = false
		i.home.Tell(Rested{i.id})
	}
	if leave {
		i.home.Tell(Release{ID: i.id, Activation: i.activation, Received: i.box.received.Load()})
	}
}

// overhead is how many bytes of memory an order takes beside its payloads, as was measured, about.
const overhead = 4 << 10

func sizeOf(s *workflow.State) int64 {
	if s == nil {
		return overhead
	}
	return overhead + int64(s.Size())
}

// resize tells how much memory the order takes.
func (i *instance) resize(size int64) {
	if size != i.size {
		i.home.Resized(size - i.size)
		i.size = size
	}
}

func poisonProblem(err error) *problemv1.Problem {
	return &problemv1.Problem{
		Type: workflow.ErrorTypeRuntime, Title: "Order can't be processed", Status: 500,
		Detail: fmt.Sprintf("processing it failed again and again: %v", err),
	}
}
