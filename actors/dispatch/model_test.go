package dispatch_test

import (
	"maps"
	"math"
	"slices"
	"strconv"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/holdfast-run/holdfast/actors/dispatch"
	"github.com/holdfast-run/holdfast/messages"
)

// TestModel lets a node with a queue work with adapters that connect, break, die and come back, and with orders that retry,
// give up and cancel. What it checks against is the truth that no node can see: which process has begun what.
func TestModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t)
		t.Repeat(map[string]func(*rapid.T){
			"":         w.check,
			"offer":    w.offer,
			"spawn":    w.spawn,
			"connect":  w.connect,
			"credit":   w.credit,
			"grant":    w.credit,
			"revoke":   w.revoke,
			"journal":  w.journal,
			"commit":   w.journal,
			"answer":   w.answer,
			"report":   w.report,
			"giveUp":   w.giveUp,
			"cancel":   w.cancel,
			"break":    w.breakOff,
			"detach":   w.detach,
			"kill":     w.kill,
			"tick":     w.tick,
			"restart":  w.restart,
			"withdraw": w.withdraw,
			"limit":    w.limit,
		})
		w.heal(t)
	})
}

// work is a key, as its order's journal has it, and as it really is.
type work struct {
	key       string
	seq       int // in the order of offering to this queue
	attempt   uint32
	ledger    string // journaled
	maybe     bool   // journaled
	offered   bool   // to this queue, and not dropped
	fresh     bool   // it was only ever offered to this queue, and never sent
	cancelled bool
	withdrawn bool // to be given up if nobody has begun with it
	had       bool // an adapter was sent it by this queue, or has said that it has it
	over      bool
	priority  int
	began     bool             // really: it is being executed, or was, and is not known to have failed
	deaths    []messages.Death // journaled
	kept      string           // the process that was lost with it last, if no other has begun since
	with      map[string]bool  // the processes that have begun the attempt, as far as this node has had it so, and that were not lost
	lostBy    map[string]bool  // the processes that were lost with it, and have not been found, nor got it, since
	blamed    int              // how often a stream was lost while its adapter executed it alone
}

// process is an adapter's; ledgers are what survives it.
type process struct {
	name, ledger string
	alive        bool
	has          map[string]uint32 // keys and attempts: executing, or with a result that is not acknowledged
	doubts       map[string]bool   // those of them that it can only answer in doubt
	notDone      map[string]bool   // those of them that it has given up before it began
	// begun: it awaits confirmations; recovers: it finds out what came of what another may have begun.
	begun, recovers bool
	waits           map[string]*handed // what it was handed, and awaits the confirmation for
	alone           string             // what it executes, and nothing else
}

// conn is a stream. When it is broken the process knows, and the node does not yet.
type conn struct {
	id                   dispatch.StreamID
	with                 *process
	broken               bool
	total, sent, revoked uint64
	given                map[string]bool // the keys that it was sent, or has been left with
	listed               map[string]bool // the keys of its hello
	alone                string          // what was confirmed on it, to be executed alone
}

type ledgerWrite struct {
	key     string
	attempt uint32
	ledger  string
}

type world struct {
	queue      *dispatch.Queue
	now        time.Time
	idempotent bool
	works      []*work
	byKey      map[string]*work
	seq        int
	processes  []*process
	ledgers    map[string]map[string]bool // what was begun, by ledger and key
	conns      []*conn
	lastConn   dispatch.StreamID
	attached   bool // any adapter ever was, to this queue
	pending    []ledgerWrite
	bound      dispatch.Limit
}

func newWorld(t *rapid.T) *world {
	w := &world{
		now: began, idempotent: rapid.Bool().Draw(t, "idempotent"), byKey: map[string]*work{},
		ledgers: map[string]map[string]bool{},
	}
	w.queue = w.newQueue()
	return w
}

func (w *world) newQueue() *dispatch.Queue {
	return dispatch.New(dispatch.Config{
		Grace: grace, LedgerGrace: time.Minute, RecoverGrace: 5 * time.Second, Deaths: deaths,
	})
}

func (w *world) offer(t *rapid.T) {
	if len(w.works) >= 8 {
		t.Skip()
	}
	o := &work{key: "k" + strconv.Itoa(len(w.works)), attempt: 1, fresh: true, lostBy: map[string]bool{}, priority: rapid.IntRange(0, 2).Draw(t, "priority")}
	w.works = append(w.works, o)
	w.byKey[o.key] = o
	w.hand(t, o, false)
}

// hand offers a task.
func (w *world) hand(t *rapid.T, o *work, again bool) {
	if !o.offered {
		w.seq++
		o.seq = w.seq
	}
	o.offered, o.fresh = true, o.fresh && !again && !o.maybe
	ledger := ""
	if again || o.maybe {
		ledger = o.ledger
	}
	w.perform(t, w.queue.Offer(&dispatch.Task{
		Key: o.key, Attempt: o.attempt, Priority: o.priority, Ledger: ledger, MaybeStarted: o.maybe, Again: again, OfferedAt: w.now,
		Size: int(o.attempt), Deaths: slices.Clone(o.deaths),
	}))
}

// giveUp leaves an attempt in doubt, and makes another.
func (w *world) giveUp(t *rapid.T) {
	o := pick(t, only(w.works, func(o *work) bool { return !o.over && !o.cancelled && o.attempt < 4 }))
	o.attempt++
	o.with, o.lostBy = nil, map[string]bool{}
	o.maybe, o.withdrawn = true, false
	w.hand(t, o, false)
}

// journal answers that a ledger was journaled: the first of an order.
func (w *world) journal(t *rapid.T) {
	r := pick(t, w.pending)
	i := slices.IndexFunc(w.pending, func(x ledgerWrite) bool { return x.key == r.key })
	r = w.pending[i]
	w.pending = slices.Delete(w.pending, i, i+1)
	o := w.byKey[r.key]
	if rapid.IntRange(0, 4).Draw(t, "refused") == 4 {
		w.queue.Refuse(r.key, r.attempt)
		return
	}
	if o.over || o.attempt != r.attempt || o.cancelled && !o.maybe {
		w.perform(t, w.queue.Stale(r.key, r.attempt))
		return
	}
	if o.ledger != "" && o.ledger != r.ledger {
		o.maybe = true
	}
	o.ledger = r.ledger
	w.perform(t, w.queue.Confirm(r.key, r.attempt, r.ledger))
}

// perform does what the queue asks for.
func (w *world) perform(t *rapid.T, outputs []dispatch.Output) {
	for _, out := range outputs {
		switch out := out.(type) {
		case dispatch.JournalLedger:
			pending := slices.ContainsFunc(w.pending, func(r ledgerWrite) bool { return r.key == out.Task.Key })
			if state, _, _ := w.queue.Where(out.Task.Key); state == "journaling" && !pending {
				w.inOrder(t, out.Task) // else its turn was before, with an older attempt, or when it was handed over
			}
			w.pending = append(w.pending, ledgerWrite{key: out.Task.Key, attempt: out.Task.Attempt, ledger: out.Ledger})
		case dispatch.Send:
			if w.idempotent || out.Await { // else its turn was when its ledger was to be journaled
				w.inOrder(t, out.Task)
			}
			w.receive(t, w.conn(t, out.Stream), out)
		case dispatch.Adopt:
			c := w.conn(t, out.Stream)
			c.given[out.Task.Key] = true
			if out.Alone {
				c.alone = out.Task.Key
			}
		case dispatch.SendConfirm:
			w.confirmed(t, w.conn(t, out.Stream), out)
		case dispatch.SendCancel: // what is under way goes on nevertheless
			w.refrain(w.conn(t, out.Stream), out.Key, out.Attempt)
		case dispatch.NotDone:
			o := w.byKey[out.Task.Key]
			if o.began || !o.cancelled && !o.withdrawn {
				t.Fatalf("%s is said to be not done, but: %+v", out.Task.Key, *o)
			}
			o.over = true
		case dispatch.InDoubt:
			o := w.byKey[out.Task.Key]
			if o.fresh || !o.withdrawn && !o.cancelled {
				t.Fatalf("%s is said to be in doubt, but: %+v", out.Task.Key, *o)
			}
			w.doubted(t, o, out.Task)
			o.over = true
		case dispatch.GoesOn:
			o := w.byKey[out.Task.Key]
			if o.fresh || !o.withdrawn {
				t.Fatalf("%s is said to go on, but: %+v", out.Task.Key, *o)
			}
			o.withdrawn = false
		case dispatch.Lost:
			w.lost(t, out)
		case dispatch.Found:
			w.found(t, out)
		case dispatch.Quarantine:
			o := w.byKey[out.Task.Key]
			if killed(o.deaths) < deaths || out.Deaths != killed(o.deaths) {
				t.Fatalf("%s is set apart after %d deaths, but %v", o.key, out.Deaths, o.deaths)
			}
			o.over = true
		}
	}
}

// inOrder checks that the limit allows this task, and that no task that was never sent waits still, though it should have
// been before this one.
func (w *world) inOrder(t *rapid.T, task *dispatch.Task) {
	o := w.byKey[task.Key]
	if !o.fresh { // an adapter may have it
		return
	}
	if n := w.queue.Under(); w.bound.Bounded && n > w.bound.Concurrency {
		t.Fatalf("%s is sent: %d are under way of %d", o.key, n, w.bound.Concurrency)
	}
	for _, other := range w.works {
		state, on, _ := w.queue.Where(other.key)
		before := other.priority > o.priority || other.priority == o.priority && other.seq < o.seq
		if other.fresh && other.offered && state == "ready" && on == 0 && before {
			t.Fatalf("%s goes before %s", o.key, other.key)
		}
	}
}

func (w *world) spawn(t *rapid.T) {
	p := newProcess(len(w.processes))
	p.begun, p.recovers = rapid.Bool().Draw(t, "begun"), rapid.Bool().Draw(t, "recovers")
	if len(only(w.processes, func(p *process) bool { return p.alive })) >= 3 {
		t.Skip()
	}
	p.ledger = p.name
	// A ledger is used again only after the process that had it died.
	dead := only(w.processes, func(d *process) bool {
		return !slices.ContainsFunc(w.processes, func(p *process) bool { return p.ledger == d.ledger && p.alive })
	})
	if len(dead) > 0 && rapid.Bool().Draw(t, "takes over") {
		p.ledger = pick(t, dead).ledger
	} else {
		w.ledgers[p.ledger] = map[string]bool{}
	}
	w.processes = append(w.processes, p)
}

// connect has a process that has no stream, or gave up the one it had, make one.
func (w *world) connect(t *rapid.T) {
	p := pick(t, only(w.processes, func(p *process) bool { return p.alive }))
	for _, c := range w.conns {
		if c.with == p {
			c.broken = true
		}
	}
	w.attach(t, p)
}

func (w *world) attach(t *rapid.T, p *process) {
	w.lastConn++
	c := &conn{id: w.lastConn, with: p, given: map[string]bool{}, listed: map[string]bool{}}
	w.conns, w.attached = append(w.conns, c), true
	keys := dispatch.Set{}
	for k := range p.has {
		keys[k], c.listed[k], w.byKey[k].had = struct{}{}, true, true
	}
	for k := range p.waits {
		keys[k], c.listed[k], w.byKey[k].had = struct{}{}, true, true
	}
	w.perform(t, w.queue.Attach(dispatch.Stream{
		ID: c.id, Process: p.name, Ledger: p.ledger, Idempotent: w.idempotent, Keys: keys, Begun: p.begun, Recoverable: p.recovers,
		Space: &space{most: math.MaxInt},
	}))
}

func (w *world) conn(t *rapid.T, id dispatch.StreamID) *conn {
	for _, c := range w.conns {
		if c.id == id {
			return c
		}
	}
	t.Fatalf("stream %d is not attached", id)
	return nil
}

func (w *world) credit(t *rapid.T) {
	c := pick(t, only(w.conns, func(c *conn) bool { return !c.broken }))
	c.total += uint64(rapid.IntRange(1, 3).Draw(t, "credits"))
	w.perform(t, w.queue.Credit(c.id, c.total))
}

func (w *world) revoke(t *rapid.T) {
	c := pick(t, only(w.conns, func(c *conn) bool { return !c.broken }))
	n := w.queue.Revoke(c.id, uint64(rapid.IntRange(1, 3).Draw(t, "credits")))
	c.revoked += n
}

// receive has an adapter take a task, if its stream is whole.
func (w *world) receive(t *rapid.T, c *conn, send dispatch.Send) {
	task, p := send.Task, c.with
	o := w.byKey[task.Key]
	o.fresh, o.had = false, true
	switch {
	case o.cancelled:
		t.Fatalf("%s was cancelled, but is sent", o.key)
	case !w.idempotent && !send.Await && o.ledger != p.ledger:
		t.Fatalf("%s was sent to %s, but %q is journaled", o.key, p.ledger, o.ledger)
	case send.Await != (p.begun && (len(task.Deaths) > 0 || !w.idempotent)), send.Alone != (p.begun && len(task.Deaths) > 0):
		t.Fatalf("%s is sent to %+v so: %+v", o.key, *p, send)
	}
	if c.sent++; c.sent+c.revoked > c.total {
		t.Fatalf("%s was sent without credit", o.key)
	}
	c.given[o.key] = true
	if c.broken || !p.alive {
		return
	}
	if p.notDone[o.key] && p.has[o.key] < task.Attempt { // of no interest any more
		delete(p.has, o.key)
		delete(p.notDone, o.key)
	}
	h := p.waits[o.key]
	_, joins := p.has[o.key]
	switch {
	case joins:
		p.has[o.key] = max(p.has[o.key], task.Attempt)
	case h != nil:
		h.attempt, h.maybe, h.alone = max(h.attempt, task.Attempt), h.maybe || task.MaybeStarted, h.alone || send.Alone
	case send.Await && (!task.MaybeStarted || w.idempotent || p.recovers): // else it is in doubt at once
		p.waits[o.key] = &handed{attempt: task.Attempt, maybe: task.MaybeStarted, alone: send.Alone}
	default:
		w.execute(t, p, o, handed{attempt: task.Attempt, maybe: task.MaybeStarted})
	}
}

// answer has an adapter finish something, and its result journaled and acknowledged.
func (w *world) answer(t *rapid.T) {
	c := pick(t, only(w.conns, func(c *conn) bool { return !c.broken && len(c.with.has) > 0 }))
	p := c.with
	key := pick(t, slices.Sorted(maps.Keys(p.has)))
	o, attempt, doubt, notDone := w.byKey[key], p.has[key], p.doubts[key], p.notDone[key]
	delete(p.has, key)
	delete(p.doubts, key)
	delete(p.notDone, key)
	delete(o.with, p.name)
	succeeded := !doubt && !notDone && rapid.IntRange(0, 2).Draw(t, "succeeded") > 0
	if !doubt && !succeeded && !notDone {
		o.began = false
		delete(w.ledgers[p.ledger], key)
	}
	if p.alone == key {
		p.alone = ""
	}
	if c.alone == key {
		c.alone = ""
	}
	switch {
	case !c.given[key] && !c.listed[key]:
		t.Fatalf("%s is answered by %s, which was not sent it", key, p.name)
	case succeeded:
		o.over = true
		w.perform(t, w.queue.Done(key, math.MaxUint32))
		return
	case !c.given[key] && w.queue.Elsewhere(c.id, key):
		w.perform(t, w.queue.Unheard(c.id, key))
		return
	}
	doneFirst := rapid.Bool().Draw(t, "done first")
	if doneFirst {
		w.perform(t, w.queue.Done(key, attempt))
	}
	if attempt == o.attempt && !o.over {
		switch {
		case o.cancelled:
			o.over = true
		case o.attempt >= 4:
			o.over = true // left to an operator
		default:
			o.attempt++
			o.deaths, o.with, o.lostBy = nil, nil, map[string]bool{}
			o.maybe = doubt || notDone && o.maybe
			if !o.maybe {
				o.ledger = "" // of no interest any more
			}
			if doneFirst {
				o.offered = false
			}
			w.hand(t, o, false)
		}
	}
	if !doneFirst {
		w.perform(t, w.queue.Done(key, attempt))
	}
}

func (w *world) breakOff(t *rapid.T) {
	pick(t, only(w.conns, func(c *conn) bool { return !c.broken })).broken = true
}

func (w *world) detach(t *rapid.T) {
	c := pick(t, w.conns)
	w.end(t, c, dispatch.End{Closed: rapid.Bool().Draw(t, "closed")})
}

func (w *world) kill(t *rapid.T) {
	if rapid.Bool().Draw(t, "leaves") {
		w.leave(t)
		return
	}
	p := pick(t, only(w.processes, func(p *process) bool { return p.alive }))
	p.die()
	for _, c := range w.conns {
		c.broken = c.broken || c.with == p
	}
}

func (w *world) tick(t *rapid.T) {
	w.now = w.now.Add(rapid.SampledFrom([]time.Duration{0, 500 * time.Millisecond, time.Second, time.Minute}).Draw(t, "after"))
	w.perform(t, w.queue.Tick(w.now))
}

// limit bounds what adapters get, or does not any more.
func (w *world) limit(t *rapid.T) {
	concurrency := rapid.IntRange(0, 3).Draw(t, "concurrency")
	w.bound = limitOf(rapid.SampledFrom([]float64{0, 0.5, 100}).Draw(t, "rate"), concurrency)
	w.perform(t, w.queue.SetLimit(w.bound, w.now))
}

// check compares what the queue says with what is.
func (w *world) check(t *rapid.T) {
	if err := w.queue.Check(); err != nil {
		t.Fatal(err)
	}
	for _, o := range w.works {
		state, on, cancelled := w.queue.Where(o.key)
		switch {
		case state == "gone" && o.cancelled && !o.fresh:
			o.over = true // by the end of the order's patience
		case state == "gone" && !o.over:
			t.Fatalf("%s is lost: %+v", o.key, *o)
		case state != "gone" && !o.over && cancelled && !o.cancelled:
			t.Fatalf("%s is cancelled, but nobody asked for it", o.key)
		case state == "in flight" && !o.over:
			if c := w.conn(t, on); !c.broken && c.with.alive {
				if _, has := c.with.has[o.key]; !has && c.with.waits[o.key] == nil {
					t.Fatalf("%s is in flight on %d, but %s does not have it", o.key, on, c.with.name)
				}
			}
		case state == "journaling":
			if !slices.ContainsFunc(w.pending, func(r ledgerWrite) bool { return r.key == o.key }) {
				t.Fatalf("the ledger of %s is to be journaled, but nothing is being journaled", o.key)
			}
		}
	}
}
