package adapters

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"google.golang.org/grpc/credentials"

	"github.com/holdfast-run/holdfast/adapters/ledger"
	"github.com/holdfast-run/holdfast/adapters/ledger/disk"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/adapterv1"
)

// hub is the state of a running adapter: what is shared by its streams and its pools, behind one lock. Its methods never
// block and call no one else's code while they hold it.
type hub struct {
	config    Config
	name      string
	process   string
	memory    string    // the ledger's id
	disk      *disk.Log // where the ledger survives the process; nil: nowhere
	saved     uint64    // up to which number the disk was given the ledger's records
	started   time.Time
	system    *actor.ActorSystem
	base      context.Context    //nolint:containedctx // of open functions: ends when the pools stop
	rand      func() float64     // from 0 up to 1
	failed    chan error         // cap 1: the first failure that ends Run
	lost      <-chan error       // gets the failure of the disk
	quiet     chan struct{}      // cap 1: has a token when there may be nothing left to do
	links     context.Context    //nolint:containedctx // of the links: ends when Run has drained
	stop      context.CancelFunc // ends links
	transport credentials.TransportCredentials
	health    *health
	running   sync.WaitGroup // links, ticker

	mu        sync.Mutex
	ledger    *ledger.Ledger
	pools     []*pool
	byName    map[string]*pool
	streams   map[ledger.Stream]*link
	addresses map[string]*link
	announced map[string]bool // addresses of the nodes that there are
	followed  *toldNodes      // what announced is made of
	tellings  uint64          // how often any node has told which nodes there are
	last      ledger.Stream
	detached  chan struct{} // closed and made anew whenever a stream ends
	welcomed  bool          // by any node, ever
	draining  bool
	closing   bool    // the streams are being closed: no other one is opened
	taken     int     // how many jobs workers have that are not over
	alone     *job    // the job that is executed, or is to be, while nothing else is; nil: none
	wakes     wakeups // what unlock sends
	told      story   // what unlock logs
	starved   bool    // no credits are granted, because too many results are unacknowledged, or records not written
}

func newHub(a *Adapter, config Config) *hub {
	process := newProcessID()
	h := &hub{
		config: config, name: a.name, process: process, memory: process, started: time.Now(), rand: rand.Float64,
		failed: make(chan error, 1), quiet: make(chan struct{}, 1),
		ledger: ledger.New(ledger.Config{
			Keep: config.KeepResults, KeepBytes: config.KeepBytes, KeepFor: config.KeepFor.Nanoseconds(),
			Durable: config.LedgerDir != "",
		}),
		byName: map[string]*pool{}, streams: map[ledger.Stream]*link{},
		addresses: map[string]*link{}, announced: map[string]bool{}, detached: make(chan struct{}),
	}
	h.told = newStory(config, h.process)
	for _, act := range a.activities {
		p := newPool(h, act, len(h.pools))
		h.pools = append(h.pools, p)
		h.byName[act.name] = p
	}
	return h
}

// now is the time since the start, in nanoseconds: it never goes back.
func (h *hub) now() int64 { return int64(time.Since(h.started)) }

// unlock releases the lock, then sends and logs what has gathered meanwhile.
func (h *hub) unlock() {
	h.save()
	wakes, lines := h.wakes, h.told.lines
	h.wakes, h.told.lines = nil, nil
	h.mu.Unlock()
	for _, l := range lines {
		h.say(l)
	}
	for _, pid := range wakes {
		h.system.Root.Send(pid, theWake)
	}
}

// save gives the disk the ledger's records.
func (h *hub) save() {
	if h.disk == nil {
		return
	}
	if records := h.ledger.Records(); len(records) > 0 {
		h.saved = h.disk.Append(records)
	}
	if h.disk.Grown() {
		h.disk.Renew(h.ledger.Snapshot())
	}
}

// fail ends Run with an error; the first one counts.
func (h *hub) fail(err error) {
	select {
	case h.failed <- err:
	default:
	}
}

// receive handles a message from a node. An error means that the node broke the protocol: the stream must end.
func (h *hub) receive(l *link, m *adapterv1.ConnectResponse) error {
	h.mu.Lock()
	defer h.unlock()
	err := h.handle(l, m, h.now())
	for i, t := range m.GetTasks() { // in runs of the same activity
		if i > 0 && t.GetActivity() == m.GetTasks()[i-1].GetActivity() {
			continue
		}
		if p := h.byName[t.GetActivity()]; p != nil {
			p.wake()
			h.grant(p)
		}
	}
	if len(m.GetDepths())+len(m.GetReturned()) > 0 || m.GetDrain() {
		h.rebalance()
	}
	return err
}

// handle takes the parts of a message, in the order of their numbers, up to the first that is wrong.
func (h *hub) handle(l *link, m *adapterv1.ConnectResponse, now int64) error {
	for _, seq := range m.GetAcks() {
		h.ledger.Ack(seq, now)
	}
	if len(m.GetAcks()) > 0 {
		h.afterAck()
	}
	for _, seq := range m.GetAgain() {
		if w, r := h.ledger.Again(seq, now); r != nil {
			h.resend(w, r)
		}
	}
	for _, t := range m.GetTasks() {
		if err := h.offer(l, t, now); err != nil {
			return err
		}
	}
	for _, c := range m.GetCancellations() {
		if err := h.cancel(l, c, now); err != nil {
			return err
		}
	}
	for _, r := range m.GetReturned() {
		if p := h.byName[r.GetActivity()]; p == nil || !p.credits.giveBack(l.shares[p.index], r.GetCount()) {
			return fmt.Errorf("it returned %d credits of %q, more than it had", r.GetCount(), r.GetActivity())
		}
	}
	for _, d := range m.GetDepths() {
		if p := h.byName[d.GetActivity()]; p != nil {
			l.shares[p.index].waiting = d.GetWaiting()
		}
	}
	if m.GetDrain() {
		l.close()
	}
	for _, c := range m.GetConfirmations() {
		h.confirm(c, now)
	}
	if m.GetWelcome() == nil { // with the welcome they were taken already
		h.announce(l, m.GetTopology())
	}
	for _, o := range m.GetOwned() {
		if err := h.owned(l, o, now); err != nil {
			return err
		}
	}
	for _, n := range m.GetNotOwner() {
		h.notOwner(l, n, now)
	}
	return nil
}

// offer takes one task.
func (h *hub) offer(l *link, t *adapterv1.Task, now int64) error {
	switch {
	case t.GetKey() == "" || t.GetAttempt() == 0:
		return fmt.Errorf("a task of order %q has no key, or no attempt number", t.GetOrderId())
	case t.GetPartition() >= messages.Partitions:
		return fmt.Errorf("task %q is of partition %d; there are %d", t.GetKey(), t.GetPartition(), messages.Partitions)
	}
	p := h.byName[t.GetActivity()]
	if p == nil {
		return fmt.Errorf("task %q is for activity %q, which this adapter doesn't offer", t.GetKey(), t.GetActivity())
	}
	s := l.shares[p.index]
	if !p.credits.take(s) {
		return fmt.Errorf("task %q for activity %q was sent without credit", t.GetKey(), t.GetActivity())
	}
	verdict, work, result := h.ledger.Offer(t, p.act.ability(), l.stream, now)
	if verdict != ledger.Queue {
		p.credits.done(s)
		h.joined(t, verdict, work, result)
		return nil
	}
	j := &job{pool: p, task: t, share: s, link: l, work: work}
	work.Job = j
	if h.draining && h.giveUp(j, wasNotDone(), now) {
		p.credits.done(s)
		return nil
	}
	p.queue.push(j)
	return nil
}

// joined does what is to be done for a task whose key the ledger knew.
func (h *hub) joined(t *adapterv1.Task, verdict ledger.Verdict, work *ledger.Work, result *adapterv1.Result) {
	switch verdict {
	case ledger.Send:
		h.answer(work, t, result)
		return
	case ledger.Stale:
		return
	default:
	}
	j := jobOf(work)
	if j.ctx == nil {
		j.task = t // it asks for the same work, maybe with another deadline
	} else { // another process may have had the key meanwhile, under this attempt or one before
		j.marked = j.marked || t.GetMaybeStarted()
	}
	switch verdict {
	case ledger.Announce:
		h.report(j)
	case ledger.Resume:
		j.resume()
	default:
	}
}

// confirm has an attempt executed whose beginning was announced.
func (h *hub) confirm(c *adapterv1.Confirmation, now int64) {
	verdict, work, result := h.ledger.Confirm(c.GetKey(), c.GetAttempt(), c.GetMaybeStarted(), now)
	switch verdict {
	case ledger.Resume:
		jobOf(work).resume()
	case ledger.Send:
		h.answer(work, jobOf(work).task, result)
	default:
	}
}

// cancel gives an attempt up, as far as that is possible.
func (h *hub) cancel(l *link, c *adapterv1.Cancellation, now int64) error {
	if c.GetPartition() >= messages.Partitions {
		return fmt.Errorf("cancellation of %q is of partition %d; there are %d", c.GetKey(), c.GetPartition(), messages.Partitions)
	}
	if h.ledger.Outdated(c.GetPartition(), c.GetEpoch()) {
		return nil
	}
	verdict, work, result := h.ledger.Cancel(c.GetKey(), c.GetAttempt(), l.stream, now)
	switch verdict {
	case ledger.Send:
		t := &adapterv1.Task{} // nothing is known of the task if a dead process had it
		if j := jobOf(work); j != nil {
			t = j.task
		}
		h.answer(work, t, result)
	case ledger.Interrupt:
		jobOf(work).interrupt()
	default:
	}
	return nil
}

// answer sends the result of a work to whoever asked with the task. The work's job, if there is one, is over.
func (h *hub) answer(w *ledger.Work, t *adapterv1.Task, r *adapterv1.Result) {
	h.told.tell(t, r)
	if j := jobOf(w); j != nil {
		w.Job = nil
		h.over(j)
	}
	h.send(w, r)
}

// giveUp answers for a job that was not begun; false if it must go on.
func (h *hub) giveUp(j *job, r *adapterv1.Result, now int64) bool {
	if !h.ledger.GiveUp(j.work, r, now) {
		return false
	}
	h.answer(j.work, j.task, r)
	return true
}

// grant gives an activity's free credits to the streams, unless too many results wait to be acknowledged.
func (h *hub) grant(p *pool) {
	if h.draining {
		return
	}
	h.starved = h.ledger.Held() >= h.config.MaxUnacked || h.disk != nil && h.disk.Pending() > h.config.MaxUnacked
	if h.starved {
		return
	}
	if !p.credits.grant() {
		return
	}
	for _, l := range h.streams {
		if l.live && l.shares[p.index].dirty {
			l.poke()
		}
	}
}

// rebalance shares all credits out anew: it grants what is free, and asks streams for credits that others need more.
func (h *hub) rebalance() {
	for _, p := range h.pools {
		h.grant(p)
	}
	for _, l := range h.streams {
		if !l.live || h.draining {
			continue
		}
		for _, p := range h.pools {
			if n := p.credits.revoke(l.shares[p.index]); n > 0 {
				l.revocations = append(l.revocations, &adapterv1.Revocation{Activity: p.act.name, Count: n})
				l.poke()
			}
		}
	}
}

func (h *hub) afterAck() {
	if h.starved {
		h.rebalance()
	}
	h.checkQuiet()
}

// checkQuiet wakes Run if the adapter is to leave and nothing is left to do.
func (h *hub) checkQuiet() {
	if h.draining && h.ledger.Open() == 0 && h.ledger.Held() == 0 {
		select {
		case h.quiet <- struct{}{}:
		default:
		}
	}
}

// progress notes that a job goes on.
func (h *hub) progress(j *job, note string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if l := j.home(); l.live && !j.over {
		if !j.noted {
			j.noted = true
			l.progress = append(l.progress, j)
		}
		j.note = note
	}
}

// announceAgain is how long it takes until a job that is about to be executed is reported again, if no node has confirmed it.
const announceAgain = int64(time.Second)

// tick does what only time makes necessary: it sends results again, ends tasks whose deadline passed before they were begun,
// forgets old results, and asks again for confirmations.
func (h *hub) tick() {
	now := h.now()
	patience := float64(h.config.ResendAfter) * (0.8 + 0.4*h.rand())
	h.mu.Lock()
	defer h.unlock()
	h.ledger.Due(now-int64(patience), now, h.resend)
	h.ledger.Expire(now)
	if h.starved {
		h.rebalance()
	}
	wall := time.Now()
	h.ledger.Each(func(w *ledger.Work) {
		if j := jobOf(w); j.expired(wall) {
			h.giveUp(j, j.late(), now)
		}
	})
	h.ledger.Unconfirmed(func(w *ledger.Work) {
		if j := jobOf(w); now-j.announced >= announceAgain {
			h.report(j)
		}
	})
}

// drain begins to leave: the nodes are told, and what was not begun is given up.
func (h *hub) drain() {
	now := h.now()
	h.mu.Lock()
	defer h.unlock()
	h.draining = true
	h.ledger.Each(func(w *ledger.Work) { h.giveUp(jobOf(w), wasNotDone(), now) })
	for _, l := range h.streams {
		l.close()
		l.leaving = true
		l.poke()
	}
	h.checkQuiet()
}

// abort interrupts everything that is being executed, and returns how much that is.
func (h *hub) abort() (executing, unacknowledged int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, p := range h.pools {
		p.stopped = true // no other job begins when one is interrupted
	}
	h.ledger.Each(func(w *ledger.Work) {
		jobOf(w).interrupt()
	})
	return h.ledger.Open(), h.ledger.Held()
}
