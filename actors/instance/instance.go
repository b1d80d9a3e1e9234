package instance

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"google.golang.org/protobuf/proto"

	"github.com/holdfast-run/holdfast/actors/failure"
	"github.com/holdfast-run/holdfast/actors/order"
	"github.com/holdfast-run/holdfast/actors/runtime"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/messages/nodev1"
)

// instance is the shell round one machine. See the package's comment for its states.
type instance struct {
	*Instances

	home       order.Home
	id         messages.OrderID
	handle     messages.Handle // zero until it is known
	activation uint64
	box        *order.Box
	restarted  bool  // the actor before this one panicked
	poison     error // why nothing can be done with the instance; nil if something can

	self    *actor.PID
	root    *actor.RootContext
	machine Machine    // nil until its state is read
	rows    order.Rows // those in the journal

	pending  *pending // what was decided, until it is committed; nil if there is nothing
	buffered []any    // the messages that came meanwhile
	due      int64    // the due time that the partition was told
	indexed  bool     // whether it was told that the journal's index has the due time
	size     int64    // the size that it was told
	yielding bool
	leaving  bool
	woken    bool
}

// pending is what was decided and is not committed yet, and who is to be answered when it is.
type pending struct {
	events   []*journalv1.Event
	asked    []*nodev1.Envelope
	bytes    int // of the events
	rows     order.Rows
	closes   bool
	underway bool
}

// Messages of an instance to itself.
type (
	// committed tells the outcome of a commit, or of a check, of one activation.
	committed struct {
		to  *instance
		err error
	}
	// told brings something to a machine.
	told struct {
		to      Machine
		message any
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
		i.machine, i.pending, i.buffered = nil, nil, nil
		i.resize(0)
	case *committed:
		if m.to == i {
			i.committed(m.err)
		}
	case told:
		if i.machine != nil && m.to == i.machine {
			i.take(m.message)
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
		i.refuse(m, runtime.TooMany(i.Config.Mailbox, i.Kind.Name))
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
	// shownEvery is how many messages are decided before the instance shows that its turn goes on.
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
	switch m.(type) {
	case order.Fired:
		i.woken, i.due = true, 0
	case order.Resume:
		i.woken = true
	}
	if i.poison != nil {
		i.refuse(m, fmt.Errorf("%s can't be processed: %w", i.Kind.Name, i.poison))
		return
	}
	if _, yields := m.(order.Yield); yields || !i.loaded(m) {
		return
	}
	if _, resumes := m.(order.Resume); resumes { // that it was read is all
		return
	}
	if i.Inject != nil {
		i.Inject(i.Kind.Point, string(i.id))
	}
	events, err := i.machine.Decide(now, m)
	if err != nil && !errors.Is(err, ErrNothing) {
		i.refuse(m, err)
		return
	}
	p.events = append(p.events, events...)
	for _, ev := range events {
		p.bytes += proto.Size(ev)
	}
	if e, asks := m.(*nodev1.Envelope); asks && e.GetAsk() != 0 {
		p.asked = append(p.asked, e)
	}
}

// settle does what waited for the commit, and answers.
func (i *instance) settle(p *pending) {
	if i.machine != nil {
		i.machine.Perform()
	}
	for _, e := range p.asked {
		i.Post.Answer(e, i.answer(e))
	}
	i.pending = nil
}

// answer is the answer to a message that was not refused.
func (i *instance) answer(e *nodev1.Envelope) *nodev1.Answer {
	if i.machine == nil {
		return &nodev1.Answer{}
	}
	return i.machine.Answer(e)
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

// rest tells the partition when to wake the instance, and whether it may leave memory.
func (i *instance) rest() {
	leave, size := true, int64(overhead)
	if m := i.machine; m != nil {
		due := int64(0)
		if at := m.NextDue(); !at.IsZero() {
			due = at.UnixNano()
		}
		i.tellDue(due)
		far := due == 0 || time.Unix(0, due).Sub(i.Now()) >= i.Config.LongWait
		leave = !m.Exists() || !m.Busy() && (i.yielding || m.Empty() || m.Light() && far)
		size += int64(m.Size())
	}
	i.resize(size)
	if i.woken {
		i.woken = false
		i.home.Tell(order.Rested{ID: i.id})
	}
	if leave {
		i.home.Tell(order.Release{ID: i.id, Activation: i.activation, Received: i.box.Received()})
	}
}

// overhead is how many bytes of memory an instance takes beside its state, about.
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

// leave tells the partition that the instance has no commit under way, once that is so.
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

// ID implements Self.
func (i *instance) ID() messages.OrderID { return i.id }

// Owner implements Self.
func (i *instance) Owner() runtime.Owner { return i.home.Owner() }

// Ask implements Self.
func (i *instance) Ask(e *nodev1.Envelope, message func(*nodev1.Answer) any) {
	self, root, to := i.self, i.root, i.machine
	i.Post.Ask(i.Owner(), e, func(a *nodev1.Answer) { root.Send(self, told{to, message(a)}) })
}

// Again implements Self.
func (i *instance) Again(message any) {
	self, root, to := i.self, i.root, i.machine
	i.home.Again(func() { root.Send(self, told{to, message}) })
}

// Blocking implements Self.
func (i *instance) Blocking(do func(ctx context.Context)) {
	i.Workers.Blocking(func() {
		ctx, cancel := context.WithTimeout(context.Background(), i.Config.ReadTimeout)
		defer cancel()
		do(ctx)
	})
}
