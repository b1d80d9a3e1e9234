package activity

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfast-run/holdfast/actors/dispatch"
	"github.com/holdfast-run/holdfast/actors/failure"
	"github.com/holdfast-run/holdfast/actors/runtime"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/adapterv1"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/messages/nodev1"
	"github.com/holdfast-run/holdfast/persistence"
)

// Adapter is a connected adapter, as the engine sees it. Its methods must not block.
type Adapter interface {
	// SendTask sends a task.
	SendTask(t *adapterv1.Task)
	// SendCancellation asks the adapter to give an attempt up.
	SendCancellation(c *adapterv1.Cancellation)
	// SendConfirmation lets the adapter execute an attempt that it has reported as begun.
	SendConfirmation(c *adapterv1.Confirmation)
	// SendOwned asks which tasks of a partition the adapter has.
	SendOwned(o *adapterv1.Owned)
	// SendReturned answers a revocation.
	SendReturned(r *adapterv1.Returned)
	// Slow tells whether the adapter does not read what it is sent, or not fast enough to be sent more tasks.
	Slow() bool
	// Refused is told that something was refused that the adapter has said: a result, say. It must not block.
	Refused(what, why string)
}

// Stream is an adapter's stream. What the adapter says counts only if it is about a task that the adapter was sent on this stream, or
// that its hello lists. Anything else is refused: it has no effect, and is answered so that the adapter forgets it.
type Stream struct {
	all     *Activities
	hello   *adapterv1.Hello
	adapter Adapter
	id      dispatch.StreamID
	since   time.Time
	begun   bool // the adapter reports what it is about to begin with
	lists   bool // it can be asked what it has of a partition, and knows that another node may own one
	offers  map[string]*offered
	space   space
	keys    keys

	mu sync.Mutex
	// sent are the tasks that the adapter was sent on this stream, or was left with when the stream began, by key. Credits bound them.
	sent map[string]sent
	// listed are the keys that the adapter has said it has, of which no result has come since, with their partitions.
	listed map[string]listing
	// unanswered are the partitions for which the adapter was asked under an epoch, and has not answered.
	unanswered map[messages.Partition]messages.Epoch
	// heard is the highest number that a result had.
	heard uint64
	// alone is the key of the task that the adapter executes with nothing else beside it; empty if there is none.
	alone    string
	drained  bool
	refusals refusals
}

// sent is what an adapter must repeat in a result of what it was sent.
type sent struct {
	order, activity string
	partition       uint32
	attempt         uint32
}

// refusals bounds how often it is logged that something was refused.
type refusals struct {
	loggedAt time.Time
	unlogged int
}

const (
	// refusalsEvery is how often refusals of one stream are logged.
	refusalsEvery = 10 * time.Second
	// takeoverTime is how long it may take until the dispatchers know a task that an adapter has listed.
	takeoverTime = 5 * time.Second
)

// offered is an activity that a stream's adapter offers.
type offered struct {
	*queue

	// credits is how many the adapter has granted in all. told: the dispatcher was told that there are more.
	credits atomic.Uint64
	told    atomic.Bool
	// depth is how many tasks wait, as the adapter was told last.
	depth atomic.Int64
}

// Attach connects an adapter's stream to the dispatchers of the activities that it offers. It returns ErrTooMuch, wrapped, if the
// hello is more than there may be.
func (r *Activities) Attach(hello *adapterv1.Hello, a Adapter) (*Stream, error) {
	s := &Stream{
		all: r, hello: hello, adapter: a, id: dispatch.StreamID(r.streams.Add(1)), since: r.parts.Now(),
		offers: map[string]*offered{}, sent: map[string]sent{}, listed: make(map[string]listing, len(hello.GetKeys())),
		unanswered: map[messages.Partition]messages.Epoch{},
	}
	s.space.all, s.space.adapter = &r.memory, a
	s.keys.space = &s.space
	for _, f := range hello.GetFeatures() {
		s.begun = s.begun || f == adapterv1.Feature_FEATURE_BEGUN
		s.lists = s.lists || f == adapterv1.Feature_FEATURE_OWNED
	}
	if err := s.space.tell(helloBytes(hello)); err != nil {
		return nil, err
	}
	err := s.keys.list(hello.GetKeys())
	if err == nil {
		err = r.know(s)
	}
	if err != nil {
		s.leaveMemory()
		return nil, err
	}
	for _, k := range hello.GetKeys() {
		s.listed[k] = listing{anywhere, s.since}
	}
	for _, act := range hello.GetActivities() {
		found := s.offers[act.GetName()]
		r.tell(found.dispatcher, &attach{stream: s, as: dispatch.Stream{
			ID: s.id, Process: hello.GetProcess(), Ledger: hello.GetLedger(), Version: act.GetVersion(),
			Idempotent: act.GetIdempotent(), Begun: s.begun, Recoverable: act.GetRecoverable(), Lists: s.lists,
			Keys: &s.keys, Space: &s.space,
		}})
		found.uses.leave()
	}
	if s.lists {
		r.enter(s)
	}
	return s, nil
}

// know makes the activities known that a stream offers, and uses them.
func (r *Activities) know(s *Stream) error {
	r.attaching.Lock()
	defer r.attaching.Unlock()
	n := int(r.known.Load())
	fresh := 0
	for _, act := range s.hello.GetActivities() {
		if _, known := r.queues.Load(s.hello.GetAdapter() + "." + act.GetName()); known {
			continue
		}
		if fresh++; n+fresh > r.parts.Config.Known {
			return fmt.Errorf("%w: an adapter offers %d activities that are new here, or more, %d are known, and --max-activities is %d",
				ErrTooMuch, fresh, n, r.parts.Config.Known)
		}
	}
	for _, act := range s.hello.GetActivities() {
		s.offers[act.GetName()] = &offered{queue: r.queue(s.hello.GetAdapter() + "." + act.GetName())}
	}
	return nil
}

// leaveMemory gives back what the hello and the listings took.
func (s *Stream) leaveMemory() {
	s.keys.close()
	s.space.forget(helloBytes(s.hello))
}

// Detach disconnects the stream. closed: the adapter's side has closed it; inOrder: without an error.
func (s *Stream) Detach(closed, inOrder bool) {
	s.all.exit(s)
	s.mu.Lock()
	end := dispatch.End{Closed: closed, Left: closed && inOrder && s.drained, Alone: s.alone}
	s.mu.Unlock()
	for _, a := range s.offers {
		s.all.tell(a.dispatcher, detach{stream: s.id, end: end})
	}
	s.leaveMemory()
}

// HasTasks tells whether the adapter was sent tasks on the stream of which it has told no result.
func (s *Stream) HasTasks() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.sent) > 0
}

// Credit passes on how many credits the adapter has granted.
func (s *Stream) Credit(c *adapterv1.Credit) {
	a := s.offers[c.GetActivity()]
	if a == nil {
		s.refuse("credit", c.GetActivity(), "", "its hello does not offer the activity")
		return
	}
	for {
		had := a.credits.Load()
		if c.GetTotal() <= had {
			return
		}
		if a.credits.CompareAndSwap(had, c.GetTotal()) {
			break
		}
	}
	if !a.told.Swap(true) {
		s.all.tell(a.dispatcher, credit{stream: s.id, of: a})
	}
}

// Revoke passes on that the adapter revokes credits. Adapter.SendReturned answers how many; false: it does not, as that was refused.
func (s *Stream) Revoke(r *adapterv1.Revocation) bool {
	a := s.offers[r.GetActivity()]
	if a == nil {
		s.refuse("revocation", r.GetActivity(), "", "its hello does not offer the activity")
		return false
	}
	s.all.tell(a.dispatcher, revoke{stream: s.id, count: r.GetCount()})
	return true
}

// Drain revokes all credits: the adapter wants no more tasks.
func (s *Stream) Drain() {
	s.mu.Lock()
	s.drained = true
	s.mu.Unlock()
	for name := range s.offers {
		s.Revoke(&adapterv1.Revocation{Activity: name, Count: 1 << 62})
	}
}

// Begun passes on that the adapter is about to execute an attempt.
func (s *Stream) Begun(b *adapterv1.Begun) {
	s.mu.Lock()
	known, sent := s.sent[b.GetKey()]
	had, listed := s.listed[b.GetKey()]
	early := listed && s.all.parts.Now().Sub(had.at) < takeoverTime
	s.mu.Unlock()
	switch {
	case sent && s.begun:
		s.all.tell(s.offers[known.activity].dispatcher, begun{stream: s.id, key: b.GetKey(), attempt: b.GetAttempt()})
	case early: // the dispatcher may not know yet that the adapter has it; the adapter will report it again
	default:
		s.refuse("begun", "", b.GetKey(), "it was not sent the attempt on this stream")
		if len(b.GetKey()) <= longestKey { // else it is none that a node has sent
			s.adapter.SendCancellation(&adapterv1.Cancellation{Key: b.GetKey(), Attempt: b.GetAttempt()})
		}
	}
}

// longestKey is more than idempotency keys have, in bytes.
const longestKey = 16 << 10

// verdict is what to do with a result.
type verdict int

const (
	ofSent   verdict = iota // it is of a task that was sent on this stream
	asListed                // it is of a task that the hello lists
	repeated                // it came before
	foreign                 // it is of no task that the adapter has
	early                   // whether the adapter has its task it is yet to say
)

// judge finds out what to do with a result, and, of a foreign one, why.
func (s *Stream) judge(r *adapterv1.Result) (verdict, string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	again := r.GetSeq() <= s.heard
	_, asked := s.unanswered[messages.Partition(r.GetPartition())] //nolint:gosec // the caller has compared it
	_, listed := s.listed[r.GetKey()]
	s.heard = max(s.heard, r.GetSeq())
	known, sent := s.sent[r.GetKey()]
	switch {
	case sent && (known.order != r.GetOrderId() || known.partition != r.GetPartition() || known.activity != r.GetActivity()):
		return foreign, fmt.Sprintf("it was sent the key for order %s, partition %d and activity %s",
			known.order, known.partition, known.activity)
	case sent && r.GetAttempt() > known.attempt:
		return foreign, fmt.Sprintf("it was sent attempt %d at the most", known.attempt)
	case !sent && listed && !messages.OrderID(r.GetOrderId()).HasKey(r.GetKey()):
		return foreign, "its key is of another order"
	case !sent && listed && s.offers[r.GetActivity()] != nil:
		return asListed, ""
	case !sent && asked:
		return early, ""
	case !sent && again:
		return repeated, ""
	case !sent:
		return foreign, "it was not sent the key on this stream, nor does its hello list it"
	}
	if s.alone == r.GetKey() {
		s.alone = ""
	}
	return ofSent, ""
}

// ErrUnlisted answers a result of a task that the hello lists, if it was looked up that no order waits for it.
var ErrUnlisted = errors.New("no order waits for the result of a task that the hello lists")

// Result passes on a result. answer is called once: with nil or ErrUnlisted when the result is durable, was refused, or nobody waits for
// it any more; with another error when the adapter should send it again; with runtime.ErrNotOwner when this node does not own its
// partition. That must be one that there is.
func (s *Stream) Result(r *adapterv1.Result, answer func(error)) {
	var by runtime.Owner
	if s.lists {
		by.Partition = messages.Partition(r.GetPartition()) //nolint:gosec // see above
		if by.Epoch = s.all.tenures.epoch(by.Partition); by.Epoch == 0 {
			s.forget(r)
			answer(runtime.ErrNotOwner)
			return
		}
	}
	what, why := s.judge(r)
	switch what {
	case early:
		answer(runtime.ErrInterrupted)
	case ofSent:
		p := messages.Partition(r.GetPartition()) //nolint:gosec // judge has seen that it is the partition that was sent
		s.tell(by, p, nil, r, answer)
	case asListed:
		s.tellListed(by, r, answer)
	case repeated:
		answer(nil)
	case foreign:
		s.refuseResult(r, why)
		answer(nil)
	}
}

// tell passes a result on to its order, whose handle was looked up if the hello lists its task. If the adapter knows other nodes, only
// this one may take it, as the owner that it is now.
func (s *Stream) tell(by runtime.Owner, p messages.Partition, handle []byte, r *adapterv1.Result, answer func(error)) {
	over := done{key: r.GetKey(), attempt: r.GetAttempt()}
	if r.GetOutcome() == adapterv1.Outcome_OUTCOME_SUCCEEDED {
		over.attempt = math.MaxUint32 // after a success there is no other attempt under the key
	}
	a := s.offers[r.GetActivity()]
	var letter struct { // one allocation
		nodev1.Envelope

		is     nodev1.Envelope_TaskResult
		result nodev1.TaskResult
	}
	l := &letter
	l.Partition, l.Epoch, l.OrderId, l.Handle, l.Message = uint32(p), uint64(by.Epoch), r.GetOrderId(), handle, &l.is
	l.is.TaskResult = &l.result
	l.result.Key, l.result.Attempt, l.result.Activity = r.GetKey(), r.GetAttempt(), a.name
	l.result.Outcome, l.result.Output, l.result.Error = journalv1.Outcome(r.GetOutcome()), r.GetOutput(), r.GetError()
	l.result.Process, l.result.Ledger = s.hello.GetProcess(), s.hello.GetLedger()
	s.all.parts.Post.Ask(by, &l.Envelope, func(answered *nodev1.Answer) {
		fail, unawaited := answered.GetFailure(), answered.GetUnawaited()
		switch {
		case fail == nil:
			a.counts.results.Add(1)
			s.all.tell(a.dispatcher, over)
			s.forget(r)
		case fail.GetReason() == nodev1.Reason_REASON_FOREIGN_ACTIVITY:
			s.refuseResult(r, fail.GetText())
			s.forget(r)
			fail = nil
		case failure.IsGone(fail):
			s.forget(r)
			fail, unawaited = nil, true
		}
		if unawaited && handle != nil {
			answer(ErrUnlisted)
			return
		}
		answer(failure.Err(fail))
	})
}

// tellListed passes on a result of a task that the hello lists. The adapter is not believed where the order lives: that is looked up.
// If the task was given to another process since, only a success counts.
func (s *Stream) tellListed(by runtime.Owner, r *adapterv1.Result, answer func(error)) {
	ctx, cancel := context.WithTimeout(context.Background(), s.all.parts.Config.ReadTimeout)
	defer cancel()
	entry, err := s.all.parts.Journal.Find(ctx, messages.OrderID(r.GetOrderId()))
	switch {
	case errors.Is(err, persistence.ErrNotFound):
		s.forget(r)
		answer(ErrUnlisted)
		return
	case err != nil:
		answer(fmt.Errorf("find order %s: %w", r.GetOrderId(), err))
		return
	case uint32(entry.Partition) != r.GetPartition():
		s.refuseResult(r, fmt.Sprintf("the order is in partition %d", entry.Partition))
		answer(nil)
		return
	}
	goOn := func() { s.tell(by, entry.Partition, entry.Handle[:], r, answer) }
	if r.GetOutcome() == adapterv1.Outcome_OUTCOME_SUCCEEDED {
		goOn()
		return
	}
	s.all.tell(s.offers[r.GetActivity()].dispatcher, &listedResult{stream: s.id, key: r.GetKey(), tell: goOn, elsewhere: func() {
		s.forget(r)
		answer(nil)
	}})
}

// forget forgets the attempt of a result, and those before it: the adapter does not have them any more.
func (s *Stream) forget(r *adapterv1.Result) {
	s.mu.Lock()
	_, listed := s.listed[r.GetKey()]
	delete(s.listed, r.GetKey())
	if s.sent[r.GetKey()].attempt <= r.GetAttempt() {
		delete(s.sent, r.GetKey())
	}
	s.mu.Unlock()
	if a := s.offers[r.GetActivity()]; listed && a != nil {
		s.all.tell(a.dispatcher, forgotten{s.id, r.GetKey()})
	}
}

func (s *Stream) refuseResult(r *adapterv1.Result, why string) {
	s.refuse("result", r.GetActivity(), r.GetKey(), why)
}

// refuse counts and logs that what an adapter said was refused.
func (s *Stream) refuse(what, activity, key, why string) {
	s.all.parts.Refused(what)
	s.adapter.Refused(what, why)
	now := s.all.parts.Now()
	s.mu.Lock()
	quiet := now.Sub(s.refusals.loggedAt) < refusalsEvery
	unlogged := s.refusals.unlogged
	if quiet {
		s.refusals.unlogged++
	} else {
		s.refusals = refusals{loggedAt: now}
	}
	s.mu.Unlock()
	if !quiet {
		s.all.parts.Log.Warn("what an adapter said was refused", "adapter", s.hello.GetAdapter(), "process", s.hello.GetProcess(),
			"what", what, "activity", messages.Clip(activity, mostTold), "key", messages.Clip(key, mostTold), "reason", why, "unlogged", unlogged)
	}
}

// mostTold is how many bytes are logged of a text that an adapter has chosen.
const mostTold = 200

// give notes that the adapter has a task.
func (s *Stream) give(t *adapterv1.Task, attempt uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sent[t.GetKey()] = sent{order: t.GetOrderId(), activity: t.GetActivity(), partition: t.GetPartition(), attempt: attempt}
}

// confirm lets the adapter execute a task.
func (s *Stream) confirm(t *dispatch.Task, alone bool) {
	if alone {
		s.mu.Lock()
		s.alone = t.Key
		s.mu.Unlock()
	}
	s.adapter.SendConfirmation(&adapterv1.Confirmation{Key: t.Key, Attempt: t.Attempt, MaybeStarted: t.MaybeStarted})
}

// executesAlone notes that the adapter executes a task with nothing else beside it, as was confirmed on another stream.
func (s *Stream) executesAlone(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.alone = key
}
