package event

import (
	"errors"
	"fmt"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"google.golang.org/protobuf/proto"

	"github.com/holdfast-run/holdfast/actors/failure"
	"github.com/holdfast-run/holdfast/actors/order"
	"github.com/holdfast-run/holdfast/actors/runtime"
	"github.com/holdfast-run/holdfast/actors/slot"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/messages/nodev1"
)

// instance is the shell round one correlation slot. See the package's comment for its states.
type instance struct {
	*Slots

	home       order.Home
	id         messages.OrderID
	handle     messages.Handle // zero until it is known
	activation uint64
	box        *order.Box
	restarted  bool  // the actor before this one panicked
	poison     error // why nothing can be done with the slot; nil if something can

	self  *actor.PID
	root  *actor.RootContext
	state *slot.State // nil until it is loaded
	rows  order.Rows  // those in the journal

	pending  *pending // what was decided, until it is committed; nil if there is nothing
	buffered []any    // the messages that came meanwhile
	// offers are the events that listeners were asked about and have not answered for, by the numbers of the listeners.
	offers   map[uint32]uint64
	due      int64 // the due time that the partition was told
	indexed  bool  // whether it was told that the journal's index has the due time
	size     int64 // the size that it was told
	yielding bool
	leaving  bool
	woken    bool
}

// pending is what was decided and is not committed yet, and who is to be answered when it is.
type pending struct {
	events    []*journalv1.Event
	asked     []*nodev1.Envelope
	bytes     int // of the events
	publishes bool
	rows      order.Rows
	closes    bool
	underway  bool
}

// Messages of an instance to itself.
type (
	// committed tells the outcome of a commit, or of a check, of one activation.
	committed struct {
		to  *instance
		err error
	}
	// answered tells what came of an offer.
	answered struct {
		to       *instance
		listener uint32
		sequence uint64
		answer   *nodev1.Answer
	}
	// offerAgain repeats an offer that has failed.
	offerAgain struct {
		to       *instance
		listener uint32
	}
)

// unknownDue is no time: an instance that was just loaded does not know what those before it told its partition.
const unknownDue = -1

// Receive implements actor.Actor.
func (i *instance) Receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case *actor.Started:
		i.self, i.root = ctx.Self(), ctx.ActorSystem().Root
		if i.restarted {
			i.take(order.Resume{})
		}
	case *actor.Stopping, *actor.Restarting:
		i.abandon()
		i.state, i.pending, i.buffered = nil, nil, nil
		i.resize(0)
	case *committed:
		if m.to == i {
			i.committed(m.err)
		}
	case *answered:
		if m.to == i {
			i.answered(m)
		}
	case offerAgain:
		if m.to == i && i.state != nil {
			i.offer(i.state.OfferTo(m.listener))
		}
	case *nodev1.Envelope, order.Fired, order.Resume, order.Yield:
		i.box.Receive()
		i.take(m)
	case order.Leave:
		i.leaving = true
		i.leave()
	}
}

// take decides a message now, or after the commit under way.
func (i *instance) take(m any) {
	switch e, ask := m.(*nodev1.Envelope); {
	case i.leaving:
		i.refuse(m, runtime.ErrNotOwner)
	case i.pending == nil:
		_, i.yielding = m.(order.Yield)
		i.decide([]any{m})
	case ask && e.GetAsk() != 0 && len(i.buffered) >= i.Config.Mailbox:
		i.refuse(m, runtime.TooMany(i.Config.Mailbox, "correlation slot"))
	default:
		_, i.yielding = m.(order.Yield)
		i.buffered = append(i.buffered, m)
	}
}

func (i *instance) refuse(m any, err error) {
	if e, ok := m.(*nodev1.Envelope); ok {
		i.Post.Answer(e, &nodev1.Answer{Failure: failure.Of(err)})
	}
}

const (
	// shownEvery is how many messages are decided before the slot shows that its turn goes on.
	shownEvery = 16
	// mostBytes is how much comes of messages that are decided together, about.
	mostBytes = 4 << 20
)

// decide decides messages one after the other, and commits what came of them together.
func (i *instance) decide(batch []any) {
	p := &pending{}
	i.pending = p
	now := i.Now()
	for n, m := range batch {
		i.decideOne(now, m, p)
		if n%shownEvery == shownEvery-1 {
			i.box.Turned().Add(1)
			i.home.Turning(i.id)
		}
		if p.bytes >= mostBytes {
			i.buffered = append(batch[n+1:], i.buffered...)
			break
		}
	}
	switch {
	case len(p.events) > 0:
		i.commit(p)
	case len(p.asked) > 0: // what is answered must be true still
		p.underway = true
		self, root, by := i.self, i.root, i.home.Owner()
		i.Journal.Check(holding(by), func(err error) { root.Send(self, &committed{i, err}) })
	default:
		i.settle(p)
		i.rest()
	}
}

func (i *instance) decideOne(now time.Time, m any, p *pending) {
	e, asks := m.(*nodev1.Envelope)
	switch m.(type) {
	case order.Fired:
		i.woken, i.due = true, 0
	case order.Resume:
		i.woken = true
	}
	if i.poison != nil {
		i.refuse(m, fmt.Errorf("correlation slot can't be processed: %w", i.poison))
		return
	}
	_, yields := m.(order.Yield)
	if yields || !i.loaded(m) {
		return
	}
	var cmd slot.Command
	switch m := m.(type) {
	case order.Fired:
		cmd = slot.TimerFired{}
	case *answered:
		cmd = slot.Settle{Listener: m.listener, Sequence: m.sequence, Verdict: verdictOf(m.answer)}
	case *nodev1.Envelope:
		if cmd = commandOf(e); cmd == nil {
			i.refuse(e, fmt.Errorf("message %T is not for a correlation slot", e.GetMessage())) //nolint:err113 // for people
			return
		}
	}
	if cmd == nil || i.state.Opened() == nil && !opens(cmd) {
		if asks && e.GetAsk() != 0 {
			p.asked = append(p.asked, e)
		}
		return
	}
	if i.Inject != nil {
		i.Inject("slot", string(i.id))
	}
	if l, listens := cmd.(slot.Listen); listens {
		ref := slot.FilterOf(l.Listener)
		i.state.Give(ref, i.filter(ref))
	}
	events, err := i.state.Decide(now, cmd)
	if err != nil {
		i.refuse(m, err)
		return
	}
	_, publishes := cmd.(slot.Publish)
	p.publishes = p.publishes || publishes
	p.events = append(p.events, events...)
	for _, ev := range events {
		p.bytes += proto.Size(ev)
	}
	if asks && e.GetAsk() != 0 {
		p.asked = append(p.asked, e)
	}
}

// opens tells whether a command is for a slot, too, that nothing has happened to.
func opens(cmd slot.Command) bool {
	switch cmd.(type) {
	case slot.Listen, slot.Publish:
		return true
	}
	return false
}

func commandOf(e *nodev1.Envelope) slot.Command {
	switch m := e.GetMessage().(type) {
	case *nodev1.Envelope_Listen:
		return slot.Listen{Slot: m.Listen.GetSlot(), Listener: m.Listen.GetListener()}
	case *nodev1.Envelope_Unlisten:
		u := m.Unlisten
		return slot.Unlisten{Instance: u.GetInstance(), Listener: u.GetListener(), Consumed: u.GetConsumed()}
	case *nodev1.Envelope_Publish:
		return slot.Publish{Slot: m.Publish.GetSlot(), Event: m.Publish.GetEvent(), Keep: time.Duration(m.Publish.GetKeep())}
	}
	return nil
}

// verdictOf is what a listener did with an event that it was offered. One that is not there wants none.
func verdictOf(a *nodev1.Answer) journalv1.Verdict {
	if a.GetFailure() != nil {
		return journalv1.Verdict_VERDICT_OVER
	}
	return a.GetSettled().GetVerdict()
}

// answered takes what came of an offer. What has failed, and may not the next time, is offered again after a while.
func (i *instance) answered(m *answered) {
	delete(i.offers, m.listener)
	if f := m.answer.GetFailure(); f != nil && !failure.IsFinal(f) {
		self, root := i.self, i.root
		i.home.Again(func() { root.Send(self, offerAgain{i, m.listener}) })
		return
	}
	i.take(m)
}

// offer asks a listener whether it takes an event, unless it was asked already.
func (i *instance) offer(o slot.Offer, is bool) {
	if !is {
		return
	}
	l, sequence := o.Listener, o.Event.GetSequence()
	if i.offers[l.GetNumber()] == sequence {
		return
	}
	i.offers[l.GetNumber()] = sequence
	self, root := i.self, i.root
	i.Post.Ask(i.home.Owner(), &nodev1.Envelope{
		Partition: l.GetPartition(), OrderId: l.GetInstance(), Message: &nodev1.Envelope_Offer{Offer: &nodev1.Offer{
			Listener: l.GetListener(), Sequence: sequence, Event: o.Event.GetEvent(),
		}},
	}, func(a *nodev1.Answer) { root.Send(self, &answered{i, l.GetNumber(), sequence, a}) })
}

// settle does what waited for the commit, and answers.
func (i *instance) settle(p *pending) {
	if i.state != nil {
		for _, o := range i.state.Offers() {
			i.offer(o, true)
		}
	}
	for _, e := range p.asked {
		i.Post.Answer(e, &nodev1.Answer{})
	}
	i.pending = nil
}

// committed goes on after a commit.
func (i *instance) committed(err error) {
	if err != nil {
		i.failed(i.pending, err)
	} else {
		i.succeeded(i.pending)
	}
	if i.leaving {
		i.leave()
		return
	}
	if batch := i.buffered; len(batch) > 0 {
		i.buffered = nil
		i.decide(batch)
		return
	}
	i.rest()
}

// rest tells the partition when to wake the slot, and whether it may leave memory. While somebody is asked it stays.
func (i *instance) rest() {
	leave := i.state == nil
	if i.state != nil {
		due := int64(0)
		if at := i.state.NextDue(); !at.IsZero() {
			due = at.UnixNano()
		}
		i.tellDue(due)
		leave = i.state.Opened() == nil || i.state.Waiting() == 0 && (i.yielding || i.state.Empty() || i.sleeps(due))
		i.resize(overhead + int64(i.state.Size()))
	} else {
		i.resize(overhead)
	}
	if i.woken {
		i.woken = false
		i.home.Tell(order.Rested{ID: i.id})
	}
	if leave {
		i.home.Tell(order.Release{ID: i.id, Activation: i.activation, Received: i.box.Received()})
	}
}

// sleeps tells whether nobody listens and what is kept expires much later: most slots have the one event that somebody will wait for. It
// may be brought back for that then, as long as little has to be read.
func (i *instance) sleeps(due int64) bool {
	return i.state.Listeners() == 0 && i.state.Version() <= soonRead && time.Unix(0, due).Sub(i.Now()) >= i.Config.LongWait
}

// soonRead is how many events of a history are read in no time.
const soonRead = 10

// overhead is how many bytes of memory a slot takes beside what it holds, about.
const overhead = 4 << 10

func (i *instance) resize(size int64) {
	if size != i.size {
		i.home.Resized(size - i.size)
		i.size = size
	}
}

func (i *instance) tellDue(due int64) {
	indexed := due != 0 && i.rows.Open.GetDue() == due && time.Unix(0, due).Sub(i.Now()) >= i.Config.LongWait
	if due != i.due || indexed != i.indexed {
		i.due, i.indexed = due, indexed
		i.home.Tell(order.Due{ID: i.id, Handle: i.handle, At: due, Indexed: indexed})
	}
}

// abandon tells everybody who waits for this activation that it will not answer.
func (i *instance) abandon() {
	if i.pending != nil {
		for _, e := range i.pending.asked {
			i.refuse(e, runtime.ErrInterrupted)
		}
		if i.pending.underway {
			i.recover()
		}
	}
	for _, m := range i.buffered {
		i.refuse(m, runtime.ErrInterrupted)
	}
}

func (i *instance) recover() { i.home.Tell(order.Recover{ID: i.id, Handle: i.handle}) }

// leave tells the partition that the slot has no commit under way, once that is so.
func (i *instance) leave() {
	if i.pending != nil {
		return
	}
	for _, m := range i.buffered {
		i.refuse(m, runtime.ErrNotOwner)
	}
	i.buffered = nil
	i.home.Tell(order.Left{ID: i.id, Activation: i.activation})
}

var errNoFilter = errors.New("the definition has no such filter")
