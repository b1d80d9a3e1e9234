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
	// Durable has the ledger make records of what must survive the process: see Records.
	Durable bool
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
	// Nothing is to be done: the key is being worked on, or the input changes nothing.
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
	// Announce: report to the stream that asked that the work is about to be executed, or that it is being executed, until
	// Confirm takes the node's word.
	Announce
	// Resume: call Begin again for what was announced.
	Resume
)

type state uint8

const (
	waiting state = iota
	executing
	held
	settled
	started // by a dead process
	unknown // forgotten
)

// Ledger is the memory of one process. Make it with New. It is not safe for concurrent use.
type Ledger struct {
	config  Config
	works   map[string]*Work
	bySeq   map[uint64]*Work // held
	seq     uint64
	added   uint64
	open    list // waiting and executing
	started list // by a process that is dead
	held    list // by the time they were sent last
	settled list // by the time they were used last
	bytes   int  // of the outputs of settled
	epochs  [messages.Partitions]uint64
	records []Record
}

// Work is a key that the ledger knows.
type Work struct {
	// Job is the caller's: the ledger doesn't touch it.
	Job any
	// Hops is the caller's, too: how often the result was sent to another node since it was sent by time.
	Hops int

	key        string
	order      string
	activity   string
	partition  uint32
	attempt    uint32
	stream     Stream
	moved      bool // it was not asked for on its stream, nor did the node of that ask whether it is here
	serial     uint64
	state      state
	recorded   RecordKind // the last record about it; 0: none
	ability    Ability
	maybe      bool              // it may have been started by another process
	await      bool              // the node that asked last has yet to confirm that it is executed
	announced  bool              // waiting: its turn has come
	result     *adapterv1.Result // held and settled; never changed, because it may be being written to a stream
	at         int64             // when sent (held) or used (settled) last
	prev, next *Work
	in         *list
}

// Stream is the stream that asked for the work last.
func (w *Work) Stream() Stream { return w.stream }

// Key identifies the work.
func (w *Work) Key() string { return w.key }

// Partition is that of the work's order.
func (w *Work) Partition() uint32 { return w.partition }

// Serial is the number of the work: they rise from 1 in the order in which works were added. One that was settled is added anew when it
// is asked for again: Keys did not have it meanwhile.
func (w *Work) Serial() uint64 { return w.serial }

// MaybeStarted tells that another process may have started the work.
func (w *Work) MaybeStarted() bool { return w.maybe }

// New returns an empty ledger.
func New(config Config) *Ledger {
	l := &Ledger{config: config, works: map[string]*Work{}, bySeq: map[uint64]*Work{}}
	l.open.init()
	l.started.init()
	l.held.init()
	l.settled.init()
	return l
}

// Attempt is the number of the attempt that was asked for last.
func (w *Work) Attempt() uint32 { return w.attempt }

// Offer takes a task from a stream: it returns Queue, Send with the result to send, or Stale, and but for the last the work.
// If it joined work in progress, it returns Announce or Resume if that is due, and else Nothing. The task's partition must
// be below messages.Partitions.
func (l *Ledger) Offer(t *adapterv1.Task, can Ability, from Stream, now int64) (Verdict, *Work, *adapterv1.Result) {
	if t.GetEpoch() < l.epochs[t.GetPartition()] {
		return Stale, nil, nil
	}
	l.epochs[t.GetPartition()] = t.GetEpoch()
	w := l.works[t.GetKey()]
	if w != nil && w.state == held && !final(w.result) && t.GetAttempt() > w.attempt {
		delete(l.bySeq, w.result.GetSeq())
		l.forget(w)
		w = nil
	}
	if w == nil {
		return l.add(t, can, from, now)
	}
	repeated := w.attempt == t.GetAttempt()
	w.attempt, w.stream, w.moved, w.await = t.GetAttempt(), from, false, awaits(t)
	switch w.state {
	case waiting:
		w.maybe = w.maybe || t.GetMaybeStarted()
		if w.maybe && can == None {
			return Send, w, l.doubt(w, now)
		}
		return w.due(), w, nil
	case started:
		w.maybe, w.ability, w.activity, w.order, w.partition = true, can, t.GetActivity(), t.GetOrderId(), t.GetPartition()
		return l.queue(w, now)
	case held:
		// If others have had the work since, its own failure does not tell that the work was not done.
		doubts := t.GetMaybeStarted() && !w.maybe && !final(w.result) && w.result.GetOutcome() == adapterv1.Outcome_OUTCOME_FAILED
		if !repeated || doubts { // it was sent, and may still be being written to a stream: so a copy is changed
			delete(l.bySeq, w.result.GetSeq())
			w.result = answer(w.result)
			l.identify(w)
		}
		if doubts {
			w.result.Outcome = adapterv1.Outcome_OUTCOME_IN_DOUBT
		}
		l.held.toBack(w, now)
		return Send, w, w.result
	case settled:
		l.bytes -= len(w.result.GetOutput())
		l.added++
		w.serial = l.added
		l.hold(w, answer(w.result), now)
		return Send, w, w.result
	case executing, unknown:
	}
	return w.due(), w, nil
}

// due returns what is to be done for work in progress that was asked for again.
func (w *Work) due() Verdict {
	switch {
	case w.await && (w.announced || w.state == executing):
		return Announce
	case w.announced:
		return Resume
	}
	return Nothing
}

// awaits tells whether a task is to be executed only once the node has confirmed that.
func awaits(t *adapterv1.Task) bool { return t.GetAwaitConfirmation() || t.GetAlone() }

func (l *Ledger) add(t *adapterv1.Task, can Ability, from Stream, now int64) (Verdict, *Work, *adapterv1.Result) {
	l.added++
	w := &Work{
		serial: l.added, key: t.GetKey(), order: t.GetOrderId(), activity: t.GetActivity(), partition: t.GetPartition(),
		attempt: t.GetAttempt(), stream: from, ability: can, maybe: t.GetMaybeStarted(), await: awaits(t),
	}
	l.works[w.key] = w
	return l.queue(w, now)
}

// queue has work done that is not under way, unless that would be on a guess.
func (l *Ledger) queue(w *Work, now int64) (Verdict, *Work, *adapterv1.Result) {
	if w.maybe && w.ability == None {
		return Send, w, l.doubt(w, now)
	}
	w.state = waiting
	l.open.toBack(w, now)
	return Queue, w, nil
}

// Begin says what to do with queued work whose turn has come: Announce it, Execute it, Recover it, or Nothing if it was given
// up meanwhile.
func (l *Ledger) Begin(w *Work) Verdict {
	if w.state != waiting {
		return Nothing
	}
	if w.announced = w.await; w.await {
		return Announce
	}
	w.state = executing
	if w.ability != Repeatable && w.recorded != Begun {
		l.record(w, Begun)
	}
	if w.maybe && w.ability == Recoverable {
		return Recover
	}
	return Execute
}

// Confirm takes a node's word that an announced attempt may be executed, or found out about, if another process may have
// started the work. It returns Resume and the work; Send, the work and a result, if it is in doubt now; or Nothing, if it is
// being executed already, or was not announced.
func (l *Ledger) Confirm(key string, attempt uint32, maybe bool, now int64) (Verdict, *Work, *adapterv1.Result) {
	w := l.works[key]
	if w == nil || w.attempt != attempt || w.due() != Announce {
		return Nothing, nil, nil
	}
	w.await = false
	if w.state == waiting && maybe {
		if w.maybe = true; w.ability == None {
			return Send, w, l.doubt(w, now)
		}
	}
	return w.due(), w, nil
}

// Unconfirmed calls f for all work that was announced and not confirmed yet.
func (l *Ledger) Unconfirmed(f func(*Work)) {
	for w := l.open.front(); w != &l.open.root; w = w.next {
		if w.due() == Announce {
			f(w)
		}
	}
}

// Lost takes the end of a stream. Work that the stream asked for on condition of a confirmation, and that was not confirmed,
// is forgotten: the node knows that it was not begun, and may have given it to another process; what a dead process has started
// is known to be no more than that again. It calls f for each.
func (l *Ledger) Lost(stream Stream, f func(*Work)) {
	l.Each(func(w *Work) {
		if w.state != waiting || !w.await || w.stream != stream {
			return
		}
		if w.recorded == Begun {
			w.state, w.announced, w.await = started, false, false
			l.started.toBack(w, 0)
		} else {
			l.forget(w)
		}
		f(w)
	})
}

// Finish takes what came of work that was begun. It fills in what identifies the result, which from then on is the
// ledger's, to be sent on the work's stream. It returns false if the work isn't being executed.
func (l *Ledger) Finish(w *Work, result *adapterv1.Result, now int64) bool {
	if w.state != executing {
		return false
	}
	l.hold(w, result, now)
	return true
}

// GiveUp ends work that was not begun, as Finish does work that was. It returns false, and the work must go on, if it
// was begun, or another process may have started it: then a result that says it was not done would be a lie.
func (l *Ledger) GiveUp(w *Work, result *adapterv1.Result, now int64) bool {
	if w.state != waiting || w.maybe {
		return false
	}
	l.hold(w, result, now)
	return true
}

// Cancel gives an attempt up, for a stream: it returns Send, the work and a result if it had not begun, Interrupt and the
// work if it is being executed, and else Nothing: it is finished, it is of another attempt, or what another process may have
// started is yet to be found out.
func (l *Ledger) Cancel(key string, attempt uint32, from Stream, now int64) (Verdict, *Work, *adapterv1.Result) {
	w := l.works[key]
	switch {
	case w != nil && w.state == started && attempt >= w.attempt: // nobody asks what came of it
		w.attempt, w.stream, w.moved = attempt, from, false
		return Send, w, l.doubt(w, now)
	case w == nil || w.attempt != attempt || w.state > executing:
		return Nothing, nil, nil
	case w.state == executing:
		return Interrupt, w, nil
	case !w.maybe:
		l.hold(w, &adapterv1.Result{Outcome: adapterv1.Outcome_OUTCOME_NOT_DONE}, now)
		return Send, w, w.result
	case w.ability == Repeatable, w.await:
		return Send, w, l.doubt(w, now)
	}
	return Nothing, nil, nil
}

// Ack takes a node's word that it needs a result no more. It returns false if no result is held under that number.
func (l *Ledger) Ack(seq uint64, now int64) bool {
	w := l.bySeq[seq]
	if w == nil {
		return false
	}
	delete(l.bySeq, seq)
	if !final(w.result) {
		l.forget(w)
		return true
	}
	w.state = settled
	if w.recorded != Settled {
		l.record(w, Settled)
	}
	l.bytes += len(w.result.GetOutput())
	l.settled.toBack(w, now)
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
		l.forget(oldest)
	}
}

// Due calls send for each held result that was sent before a time, oldest first, and counts it as sent now.
func (l *Ledger) Due(before, now int64, send func(*Work, *adapterv1.Result)) {
	for n := l.held.len; n > 0 && l.held.front().at < before; n-- {
		w := l.held.front()
		l.held.toBack(w, now)
		send(w, w.result)
	}
}

// Again returns the result that is held under a number, with its work, and counts it as sent now; nil if there is none.
func (l *Ledger) Again(seq uint64, now int64) (*Work, *adapterv1.Result) {
	w := l.bySeq[seq]
	if w == nil {
		return nil, nil
	}
	l.held.toBack(w, now)
	return w, w.result
}

// Resend calls send for the held result of each work that is picked, and counts it as sent now.
func (l *Ledger) Resend(pick func(*Work) bool, now int64, send func(*Work, *adapterv1.Result)) {
	w := l.held.front()
	for range l.held.len {
		next := w.next
		if pick(w) {
			l.held.toBack(w, now)
			send(w, w.result)
		}
		w = next
	}
}

// Each calls f for all work in progress, in the order in which it was offered. It may end the work.
func (l *Ledger) Each(f func(*Work)) {
	w := l.open.front()
	for range l.open.len {
		next := w.next
		f(w)
		w = next
	}
}

// Keys returns the keys in progress, those that a dead process has started, and those of held results.
func (l *Ledger) Keys() []string {
	keys := make([]string, 0, l.open.len+l.started.len+l.held.len)
	for _, list := range [...]*list{&l.open, &l.started, &l.held} {
		for w := list.front(); w != &list.root; w = w.next {
			keys = append(keys, w.key)
		}
	}
	return keys
}

// Added is how many works were added so far: those with a higher Serial are not in the Keys of now.
func (l *Ledger) Added() uint64 { return l.added }

// Open is the number of keys in progress.
func (l *Ledger) Open() int { return l.open.len }

// Held is the number of results that wait for an acknowledgement.
func (l *Ledger) Held() int { return l.held.len }

// Settled is the number of results that are remembered beyond their acknowledgement.
func (l *Ledger) Settled() int { return l.settled.len }

// Started is the number of keys that a dead process has started, and that nobody has asked for since.
func (l *Ledger) Started() int { return l.started.len }

// hold gives a result its identity and keeps it until it is acknowledged.
func (l *Ledger) hold(w *Work, result *adapterv1.Result, now int64) {
	w.result, w.state, w.announced, w.await = result, held, false, false
	l.identify(w)
	l.held.toBack(w, now)
	if w.recorded != Settled {
		l.record(w, Ended)
	}
}

// identify makes the work's result a new one, under the attempt asked for last.
func (l *Ledger) identify(w *Work) {
	l.seq++
	w.result.Seq = l.seq
	w.sign()
	l.bySeq[l.seq] = w
}

// sign says in the work's result what it is the result of.
func (w *Work) sign() {
	r := w.result
	r.OrderId, r.Partition, r.Key, r.Attempt, r.Activity = w.order, w.partition, w.key, w.attempt, w.activity
}

func (l *Ledger) doubt(w *Work, now int64) *adapterv1.Result {
	l.hold(w, &adapterv1.Result{
		Outcome: adapterv1.Outcome_OUTCOME_IN_DOUBT,
		Error: &problemv1.Problem{
			Type: ErrorTypeInDoubt, Title: "Outcome in doubt", Status: 500,
			Detail: fmt.Sprintf("another process may have started this work before attempt %d, "+
				"and what came of it is not known", w.attempt),
		},
	}, now)
	return w.result
}

func (l *Ledger) forget(w *Work) {
	delete(l.works, w.key)
	w.state = unknown
	w.leave()
	if w.recorded != 0 {
		l.record(w, Forgotten)
	}
}

// answer copies what came of the work, without what identifies the result.
func answer(r *adapterv1.Result) *adapterv1.Result {
	return &adapterv1.Result{Outcome: r.GetOutcome(), Output: r.GetOutput(), Error: r.GetError(), Permanent: r.GetPermanent()}
}

// final tells whether a result is one that trying again can't change.
func final(r *adapterv1.Result) bool {
	return r.GetOutcome() == adapterv1.Outcome_OUTCOME_SUCCEEDED ||
		r.GetOutcome() == adapterv1.Outcome_OUTCOME_FAILED && r.GetPermanent()
}
