package ledger

import (
	"fmt"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/adapterv1"
	"github.com/holdfast-run/holdfast/messages/problemv1"
)

// ErrorTypeInDoubt is the type of the error of a result whose outcome is in doubt.
const ErrorTypeInDoubt = "https://holdfast.run/errors/in-doubt"

// Config bounds the memory of settled results.
type Config struct {
	// Keep is how many settled results are kept. 0 keeps none.
	Keep int
	// KeepBytes bounds the sum of their outputs, in bytes.
	KeepBytes int
	// KeepFor is how long one is kept after its last use, in nanoseconds.
	KeepFor int64
}

// Stream names the stream that a key was asked for on last: the one its result is for.
type Stream uint32

// Ability says what an activity can do about work that may have been started by another process.
type Ability uint8

// The abilities.
const (
	// None: such work is in doubt.
	None Ability = iota
	// Repeatable: it is idempotent, so it is executed again.
	Repeatable
	// Recoverable: it can find out what came of it.
	Recoverable
)

// Verdict says what the caller must do.
type Verdict uint8

// The verdicts.
const (
	// Nothing is to be done: the key is being worked on, or the input is of no interest.
	Nothing Verdict = iota
	// Queue the work, then call Begin for it.
	Queue
	// Send the result, on the stream that asked.
	Send
	// Stale: the task is from a node that lost its partition, and is ignored.
	Stale
	// Execute the activity, then call Finish.
	Execute
	// Recover: find out what came of the work, then call Finish.
	Recover
	// Interrupt the execution; its Finish is still due.
	Interrupt
)

type state uint8

const (
	waiting state = iota
	executing
	held
	settled
)

// Ledger is the memory of one process. Make it with New. It is not safe for concurrent use.
type Ledger struct {
	config  Config
	entries map[string]*entry
	bySeq   map[uint64]*entry
	seq     uint64
	held    list // by the time they were sent last
	settled list // by the time they were used last
	bytes   int  // of the outputs of settled
	epochs  [messages.Partitions]uint64
}

type entry struct {
	key        string
	order      string
	activity   string
	partition  uint32
	attempt    uint32
	stream     Stream
	state      state
	ability    Ability
	maybe      bool              // it may have been started by another process
	result     *adapterv1.Result // held and settled; never changed, because it may be being written to a stream
	at         int64             // when sent (held) or used (settled) last
	prev, next *entry
}

// New returns an empty ledger.
func New(config Config) *Ledger {
	l := &Ledger{config: config, entries: map[string]*entry{}, bySeq: map[uint64]*entry{}}
	l.held.init()
	l.settled.init()
	return l
}

// Offer takes a task from a stream: it returns Queue, Send with the result to send, Nothing if it joined work in
// progress, or Stale. The task's partition must be below messages.Partitions.
func (l *Ledger) Offer(t *adapterv1.Task, can Ability, from Stream, now int64) (Verdict, *adapterv1.Result) {
	if t.GetEpoch() < l.epochs[t.GetPartition()] {
		return Stale, nil
	}
	l.epochs[t.GetPartition()] = t.GetEpoch()
	e := l.entries[t.GetKey()]
	if e != nil && e.state == held && !final(e.result) && t.GetAttempt() > e.attempt {
		l.forget(e)
		e = nil
	}
	if e == nil {
		e = &entry{
			key: t.GetKey(), order: t.GetOrderId(), activity: t.GetActivity(), partition: t.GetPartition(),
			attempt: t.GetAttempt(), stream: from, ability: can, maybe: t.GetMaybeStarted(),
		}
		l.entries[e.key] = e
		if e.maybe && can == None {
			return Send, l.doubt(e, now)
		}
		return Queue, nil
	}
	repeated := e.attempt == t.GetAttempt()
	e.attempt, e.stream = t.GetAttempt(), from
	switch e.state {
	case waiting:
		e.maybe = e.maybe || t.GetMaybeStarted()
		if e.maybe && can == None {
			return Send, l.doubt(e, now)
		}
	case held:
		if !repeated {
			delete(l.bySeq, e.result.GetSeq())
			l.number(e)
		}
		l.held.toBack(e, now)
		return Send, e.result
	case settled:
		l.bytes -= len(e.result.GetOutput())
		l.settled.remove(e)
		l.hold(e, e.result, now)
		return Send, e.result
	case executing:
	}
	return Nothing, nil
}

// Begin says whether queued work is to be done: Execute, Recover, or Nothing if it was given up meanwhile.
func (l *Ledger) Begin(key string) Verdict {
	e := l.entries[key]
	if e == nil || e.state != waiting {
		return Nothing
	}
	e.state = executing
	if e.maybe && e.ability == Recoverable {
		return Recover
	}
	return Execute
}

// Finish takes what came of work that was begun. It fills in what identifies the result, which from then on is the
// ledger's, and returns the stream to send it on; false if the key isn't being executed.
func (l *Ledger) Finish(key string, result *adapterv1.Result, now int64) (Stream, bool) {
	e := l.entries[key]
	if e == nil || e.state != executing {
		return 0, false
	}
	l.hold(e, result, now)
	return e.stream, true
}

// GiveUp ends work that was not begun, as Finish does work that was. It returns false, and the work must go on, if it
// was begun, or another process may have started it: then a result that says it was not done would be a lie.
func (l *Ledger) GiveUp(key string, result *adapterv1.Result, now int64) (Stream, bool) {
	e := l.entries[key]
	if e == nil || e.state != waiting || e.maybe {
		return 0, false
	}
	l.hold(e, result, now)
	return e.stream, true
}

// Cancel gives an attempt up: it returns Send, a result and its stream if it had not begun, Interrupt if it is being
// executed, and else Nothing: it is finished, it is of another attempt, or what another process may have started is yet
// to be found out.
func (l *Ledger) Cancel(key string, attempt uint32, now int64) (Verdict, Stream, *adapterv1.Result) {
	e := l.entries[key]
	switch {
	case e == nil || e.attempt != attempt || e.state > executing:
		return Nothing, 0, nil
	case e.state == executing:
		return Interrupt, 0, nil
	case !e.maybe:
		l.hold(e, &adapterv1.Result{Outcome: adapterv1.Outcome_OUTCOME_NOT_DONE}, now)
		return Send, e.stream, e.result
	case e.ability == Repeatable:
		return Send, e.stream, l.doubt(e, now)
	}
	return Nothing, 0, nil
}

// Ack takes a node's word that it needs a result no more. It returns false if no result is held under that number.
func (l *Ledger) Ack(seq uint64, now int64) bool {
	e := l.bySeq[seq]
	if e == nil {
		return false
	}
	delete(l.bySeq, seq)
	l.held.remove(e)
	if !final(e.result) || l.config.Keep <= 0 {
		delete(l.entries, e.key)
		return true
	}
	e.state = settled
	l.bytes += len(e.result.GetOutput())
	l.settled.toBack(e, now)
	l.Expire(now)
	return true
}

// Expire forgets settled results beyond the bounds. Ack does so too, so it is only needed when nothing else happens.
func (l *Ledger) Expire(now int64) {
	for l.settled.len > 0 {
		oldest := l.settled.front()
		if l.settled.len <= l.config.Keep && l.bytes <= l.config.KeepBytes && oldest.at >= now-l.config.KeepFor {
			return
		}
		l.bytes -= len(oldest.result.GetOutput())
		l.settled.remove(oldest)
		delete(l.entries, oldest.key)
	}
}

// Due calls send for each held result that was sent before a time, oldest first, and counts it as sent now.
func (l *Ledger) Due(before, now int64, send func(Stream, *adapterv1.Result)) {
	for n := l.held.len; n > 0 && l.held.front().at < before; n-- {
		e := l.held.front()
		l.held.toBack(e, now)
		send(e.stream, e.result)
	}
}

// Resend calls send for each held result whose stream is picked, and counts it as sent now.
func (l *Ledger) Resend(pick func(Stream) bool, now int64, send func(*adapterv1.Result)) {
	e := l.held.front()
	for range l.held.len {
		next := e.next
		if pick(e.stream) {
			l.held.toBack(e, now)
			send(e.result)
		}
		e = next
	}
}

// Keys returns the keys in progress and of held results, in no order.
func (l *Ledger) Keys() []string {
	keys := make([]string, 0, len(l.entries)-l.settled.len)
	for key, e := range l.entries {
		if e.state != settled {
			keys = append(keys, key)
		}
	}
	return keys
}

// Held is the number of results that wait for an acknowledgement.
func (l *Ledger) Held() int { return l.held.len }

// Settled is the number of results that are remembered beyond their acknowledgement.
func (l *Ledger) Settled() int { return l.settled.len }

// hold gives a result its identity and keeps it until it is acknowledged.
func (l *Ledger) hold(e *entry, result *adapterv1.Result, now int64) {
	e.result = result
	if e.state == settled { // it was sent under another number, and may be being written
		e.result = answer(result)
	}
	e.state = held
	l.identify(e)
	l.held.toBack(e, now)
}

// number makes a held result a new one, under the attempt asked for last.
func (l *Ledger) number(e *entry) {
	e.result = answer(e.result)
	l.identify(e)
}

func (l *Ledger) identify(e *entry) {
	l.seq++
	r := e.result
	r.Seq, r.OrderId, r.Partition, r.Key, r.Attempt, r.Activity = l.seq, e.order, e.partition, e.key, e.attempt, e.activity
	l.bySeq[r.GetSeq()] = e
}

func (l *Ledger) doubt(e *entry, now int64) *adapterv1.Result {
	l.hold(e, &adapterv1.Result{
		Outcome: adapterv1.Outcome_OUTCOME_IN_DOUBT,
		Error: &problemv1.Problem{
			Type: ErrorTypeInDoubt, Title: "Outcome in doubt", Status: 500,
			Detail: fmt.Sprintf("another process may have started this work before attempt %d, "+
				"and what came of it is not known", e.attempt),
		},
	}, now)
	return e.result
}

func (l *Ledger) forget(e *entry) {
	delete(l.bySeq, e.result.GetSeq())
	delete(l.entries, e.key)
	l.held.remove(e)
}

// answer copies what came of the work, without what identifies the result.
func answer(r *adapterv1.Result) *adapterv1.Result {
	return &adapterv1.Result{Outcome: r.GetOutcome(), Output: r.GetOutput(), Error: r.GetError(), Permanent: r.GetPermanent()}
}

// final tells whether trying again can't change the result.
func final(r *adapterv1.Result) bool {
	return r.GetOutcome() == adapterv1.Outcome_OUTCOME_SUCCEEDED ||
		r.GetOutcome() == adapterv1.Outcome_OUTCOME_FAILED && r.GetPermanent()
}
