package post

import (
	"math"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/holdfast-run/holdfast/actors/failure"
	"github.com/holdfast-run/holdfast/actors/runtime"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/nodev1"
	"github.com/holdfast-run/holdfast/supervision"
)

// Places tells where partitions are.
type Places interface {
	// Owner returns the actor through which a partition's orders are reached; nil if nobody is known to own it now.
	Owner(p messages.Partition) *actor.PID
}

// Remote sends answers to other nodes.
type Remote interface {
	// Answer sends an answer to the node at an address. It may get lost.
	Answer(address string, a *nodev1.Answer)
}

// Config says how long asks last.
type Config struct {
	// Within is how long an ask may wait for its answer, to about a second, unless its sender says otherwise. Default 30 s.
	Within time.Duration
	// Again is the delays after which an ask is sent again whose partition nobody owns, or has moved. Default: 20 ms at first, then up
	// to 1 s.
	Again supervision.Backoff
	// Patience is after how long without an answer a Waiter is told so, to about a second. Default 1 s.
	Patience time.Duration
}

// WithDefaults fills what is zero.
func (c Config) WithDefaults() Config {
	if c.Within == 0 {
		c.Within = 30 * time.Second
	}
	if c.Again == (supervision.Backoff{}) {
		c.Again = supervision.Backoff{Initial: 20 * time.Millisecond, Max: time.Second, Jitter: 0.2}
	}
	if c.Patience == 0 {
		c.Patience = time.Second
	}
	return c
}

// Waiter waits for the answer to an ask, and may get what it needs in another way meanwhile. Its methods must not block.
type Waiter interface {
	// Answered is called with the answer, once, unless the waiter is over.
	Answered(a *nodev1.Answer)
	// Missed is called when the message is with nobody who owns the partition, and waits to be sent again; and, late, every second as
	// long as there has been no answer for Config.Patience.
	Missed(late bool)
	// Over tells whether the answer is not wanted any more. The message is not sent again then.
	Over() bool
}

// Post is the post of one node.
type Post struct {
	config  Config
	address string
	places  Places
	remote  Remote
	send    func(to *actor.PID, message any)
	// seconds counts the ticks. The deadlines of asks are told in it.
	seconds  atomic.Int64
	asks     *runtime.Asks[*question]
	stopping atomic.Bool
}

// New makes the post of the node at an address. Remote may be nil: then there are no others.
func New(config Config, address string, places Places, remote Remote) *Post {
	return &Post{
		config: config.WithDefaults(), address: address, places: places, remote: remote,
		asks: runtime.NewAsks[*question](rand.Uint64() >> 1),
	}
}

// Start gives it the actor system by which it sends. Nothing may be sent before.
func (p *Post) Start(system *actor.ActorSystem) { p.send = system.Root.Send }

// Tell sends a message that wants no answer. It may get lost.
func (p *Post) Tell(e *nodev1.Envelope) {
	if to := p.places.Owner(partitionOf(e)); to != nil && !p.stopping.Load() {
		p.send(to, e)
	}
}

// Ask sends a message on behalf of an owner of a partition, and has done called with the answer, once. The message must not be
// changed afterwards, and may be sent again. done is called by whoever brings the answer, perhaps before Ask returns, and must not block.
func (p *Post) Ask(by runtime.Owner, e *nodev1.Envelope, done func(*nodev1.Answer)) {
	p.AskWithin(p.config.Within, by, e, done)
}

// AskWithin is Ask with another deadline.
func (p *Post) AskWithin(within time.Duration, by runtime.Owner, e *nodev1.Envelope, done func(*nodev1.Answer)) {
	if e.GetAsk() != 0 {
		e = copyOf(e)
	}
	p.ask(&question{Envelope: e, by: by, until: p.seconds.Load() + seconds(within) + 1, late: math.MaxInt64, waiter: answered(done)})
}

// answered is a Waiter that wants the answer, whatever it is and whenever it comes.
type answered func(*nodev1.Answer)

// Answered implements Waiter.
func (f answered) Answered(a *nodev1.Answer) { f(a) }

// Missed implements Waiter.
func (answered) Missed(bool) {}

// Over implements Waiter.
func (answered) Over() bool { return false }

// AskMeanwhile is Ask for somebody who may not need the answer any more when it comes, and belongs to no partition.
func (p *Post) AskMeanwhile(e *nodev1.Envelope, w Waiter) {
	now := p.seconds.Load()
	p.ask(&question{Envelope: e, until: now + seconds(p.config.Within) + 1, late: now + seconds(p.config.Patience) + 1, waiter: w})
}

// question is what is asked, as its asker keeps it.
type question struct {
	*nodev1.Envelope

	by    runtime.Owner
	until int64 // the tick that ends it
	// From the tick late on, the waiter is told that there is no answer.
	late   int64
	waiter Waiter
	tries  int
	// to is where it was sent; nil: it waits to be sent.
	to atomic.Pointer[actor.PID]
}

func (q *question) answer(a *nodev1.Answer) {
	if !q.waiter.Over() {
		q.waiter.Answered(a)
	}
}

// seconds returns how many seconds a while has, rounded up.
func seconds(d time.Duration) int64 { return int64((d + time.Second - 1) / time.Second) }

func (p *Post) ask(q *question) {
	p.keep(q)
	p.bring(q)
}

// keep gives an ask a number, under which its answer comes.
func (p *Post) keep(q *question) {
	q.Asker, q.Ask = p.address, p.asks.Number()
	p.asks.Add(q.GetAsk(), q)
}

// bring sends the message of an ask that is kept.
func (p *Post) bring(q *question) {
	to := p.places.Owner(partitionOf(q.Envelope))
	switch {
	case q.waiter.Over():
		p.asks.Take(q.GetAsk())
	case p.stopping.Load():
		p.settle(q.GetAsk(), refusal(runtime.ErrStopping))
	case to == nil:
		p.settle(q.GetAsk(), refusal(runtime.ErrNotOwner))
	default:
		q.to.Store(to)
		p.send(to, q.Envelope)
	}
}

// settle ends an ask with its answer, unless the message came to where the order is not: then it is sent again.
func (p *Post) settle(ask uint64, a *nodev1.Answer) {
	q, open := p.asks.Take(ask)
	if !open {
		return
	}
	if a.GetFailure().GetReason() != nodev1.Reason_REASON_NOT_OWNER || q.GetEpoch() != 0 || p.stopping.Load() {
		q.answer(a)
		return
	}
	wait := p.config.Again.Next(q.tries+1, rand.Float64)
	if p.seconds.Load()+seconds(wait) > q.until {
		q.answer(a)
		return
	}
	again := &question{
		Envelope: copyOf(q.Envelope), by: q.by, until: q.until, late: q.late, waiter: q.waiter, tries: q.tries + 1,
	}
	p.keep(again) // so that it can end while it waits to be sent again
	again.waiter.Missed(false)
	time.AfterFunc(wait, func() {
		if p.asks.Has(again.GetAsk()) {
			p.bring(again)
		}
	})
}

// copyOf returns a message with the same content that was not sent yet.
func copyOf(e *nodev1.Envelope) *nodev1.Envelope {
	return &nodev1.Envelope{
		Partition: e.GetPartition(), OrderId: e.GetOrderId(), Handle: e.GetHandle(), Epoch: e.GetEpoch(), Message: e.Message,
	}
}

// Answer answers a message, if its sender waits for an answer. The answer is not changed, and may be given to others, too.
func (p *Post) Answer(e *nodev1.Envelope, a *nodev1.Answer) {
	switch {
	case e.GetAsk() == 0:
	case e.GetAsker() == p.address:
		p.settle(e.GetAsk(), a)
	case p.remote != nil:
		p.remote.Answer(e.GetAsker(), &nodev1.Answer{
			Ask: e.GetAsk(), Failure: a.GetFailure(), Unawaited: a.GetUnawaited(), Message: a.Message,
		})
	}
}

// Receive takes an answer from another node.
func (p *Post) Receive(a *nodev1.Answer) { p.settle(a.GetAsk(), a) }

// Refuse implements runtime.Courier.
func (p *Post) Refuse(message any, err error) {
	if e, ok := message.(*nodev1.Envelope); ok && e.GetAsk() != 0 {
		p.Answer(e, refusal(err))
	}
}

// Counts implements runtime.Courier: only messages that want an answer count.
func (*Post) Counts(message any) bool {
	e, ok := message.(*nodev1.Envelope)
	return ok && e.GetAsk() != 0
}

// Tick ends the asks whose deadline has passed, and those that were sent to who has the partition no longer: whether they were heard there
// nobody knows. It is to be called every second.
func (p *Post) Tick() {
	now := p.seconds.Add(1)
	p.end(func(q *question) bool { return now > q.until || p.moved(q) || q.waiter.Over() }, runtime.ErrInterrupted)
	for _, q := range p.asks.Those(func(q *question) bool { return now >= q.late }) {
		q.waiter.Missed(true)
	}
}

// moved tells whether another one has a partition by now than the one that was asked.
func (p *Post) moved(q *question) bool {
	to := q.to.Load()
	if to == nil {
		return false
	}
	owner := p.places.Owner(partitionOf(q.Envelope))
	return owner != to && owner != nil && !owner.Equal(to)
}

// Lost ends the asks that were sent to the node at an address: whether they were heard there, or what was answered, may be lost.
func (p *Post) Lost(address string) {
	p.end(func(q *question) bool {
		to := q.to.Load()
		return to != nil && to.GetAddress() == address
	}, runtime.ErrInterrupted)
}

// End ends the asks of an owner that has lost its partition.
func (p *Post) End(by runtime.Owner) {
	p.end(func(q *question) bool { return q.by == by }, runtime.ErrNotOwner)
}

// Stop ends all asks, also those to come.
func (p *Post) Stop() {
	p.stopping.Store(true)
	p.end(func(*question) bool { return true }, runtime.ErrStopping)
}

func (p *Post) end(over func(*question) bool, err error) {
	for _, q := range p.asks.TakeAll(over) {
		q.answer(refusal(err))
	}
}

// Asks returns how many asks have no answer yet.
func (p *Post) Asks() int { return p.asks.Len() }

func refusal(err error) *nodev1.Answer { return &nodev1.Answer{Failure: failure.Of(err)} }

func partitionOf(e *nodev1.Envelope) messages.Partition {
	return messages.Partition(e.GetPartition()) //nolint:gosec // it was made of one
}
