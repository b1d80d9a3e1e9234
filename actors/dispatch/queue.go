package dispatch

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/holdfast-run/holdfast/messages"
)

// Queue holds the tasks of one activity. It is not safe for concurrent use.
type Queue struct {
	config  Config
	items   map[string]*item  // by key
	orphans map[string]*item  // the items that are orphaned, by key
	alone   map[string]*item  // the items that are in flight and to be executed alone, by process
	classes map[string]*class // by version
	asked   map[messages.Partition]*asking
	// suspects are the items that are ready for any stream, and to be executed alone.
	suspects suspects
	waiting  int
	had      int // how many of those that wait adapters have
	streams  []*stream
	// repeats: there was ever a stream for which the activity is idempotent. journals: there was ever one for which it is not, so
	// that ledgers are journaled.
	repeats, journals bool
	turn              int
	seq               uint64
	out               []Output
	now               time.Time // of the last Tick
	popped            uint64    // how many tasks were sent in their turn
	limit             Limit
	paused            bool    // nothing is sent
	crowded           bool    // there is credit for what waits, and no space
	tokens            float64 // how many tasks the rate allows now
	under             int     // how many attempts are under way, while tasks are given to streams
}

// class is the tasks that ask for one version, or for any.
type class struct {
	ready [Priorities]fifo
	load  [Priorities]int // the size of the tasks that wait
}

// New makes an empty queue.
func New(config Config) *Queue {
	return &Queue{
		config: config, items: map[string]*item{}, orphans: map[string]*item{}, alone: map[string]*item{}, classes: map[string]*class{},
		asked: map[messages.Partition]*asking{},
	}
}

// Waiting returns how many tasks wait for an adapter's credit.
func (q *Queue) Waiting() int { return q.waiting }

// Load returns the size of the tasks that wait and ask for a version (empty: for any), by priority.
func (q *Queue) Load(version string) [Priorities]int {
	if c := q.classes[version]; c != nil {
		return c.load
	}
	return [Priorities]int{}
}

// InFlight returns how many tasks adapters have, or are about to get.
func (q *Queue) InFlight() int { return len(q.items) - q.waiting }

// Oldest returns since when the task has waited that has waited longest, among those that are next in their lists; zero if none
// waits.
func (q *Queue) Oldest() time.Time {
	var oldest time.Time
	consider := func(f *fifo) {
		if it := f.peek(); it != nil && (oldest.IsZero() || it.task.since().Before(oldest)) {
			oldest = it.task.since()
		}
	}
	for _, c := range q.classes {
		for p := range c.ready {
			consider(&c.ready[p])
		}
	}
	for _, s := range q.streams {
		consider(&s.had)
		consider(&s.bound)
	}
	for _, it := range q.suspects {
		if oldest.IsZero() || it.task.since().Before(oldest) {
			oldest = it.task.since()
		}
	}
	return oldest
}

// Offer adds a task. If there is one with its key, the one with the newer attempt stays. A newer one is sent to the adapter that
// has the key, which goes on with the work and answers under the newer number. Of one that is not newer, only what it tells of the
// attempt is taken over.
func (q *Queue) Offer(t *Task) []Output {
	it := q.items[t.Key]
	switch {
	case it == nil:
		q.add(t)
	case t.Attempt >= it.task.Attempt:
		q.replace(it, t)
	}
	return q.done()
}

func (q *Queue) add(t *Task) {
	it := &item{task: t, seq: q.seq + 1, state: nowhere}
	for _, s := range q.streams {
		if s.accuses(it) {
			q.found(it, s)
		}
	}
	if q.kills(t) {
		q.out = append(q.out, Quarantine{Task: t, Deaths: t.killed()})
		return
	}
	q.seq++
	t.Again = t.Again || t.Ledger != ""
	q.items[t.Key] = it
	q.place(it)
}

func (q *Queue) replace(it *item, t *Task) {
	old := it.task
	newer := t.Attempt > old.Attempt
	if !newer && (it.state == journaling || it.state == inFlight) {
		return
	}
	t.Suspect, t.Deaths = old.Suspect, old.Deaths
	if !newer { // the queue has followed the task since then, and knows better where it was
		t.OfferedAt, t.Ledger, t.MaybeStarted, t.Again = old.OfferedAt, old.Ledger, old.MaybeStarted, old.Again
	}
	if it.state == ready {
		q.count(it, -1)
		defer q.count(it, 1)
	}
	if it.state == inFlight && it.held { // nobody has begun with it: there is no work to go on with
		q.cancelOn(it.stream, it)
		q.again([]*item{it})
		q.count(it, -1)
		defer q.count(it, 1)
	}
	sought := it.state == orphaned && !it.asking && it.unseen()
	it.task = t
	if newer {
		it.cancelled, it.withdrawn = false, false
		it.last.maybe, it.last.taskLedger = t.MaybeStarted, t.Ledger
	}
	if newer && sought {
		q.again([]*item{it})
	}
	switch it.state {
	case journaling:
		q.out = append(q.out, JournalLedger{Task: t, Ledger: it.stream.Ledger})
	case inFlight:
		q.bind(it, it.stream, it.known)
	case orphaned:
		q.comeHome(it)
	case ready, nowhere:
	}
}

// place puts a new item where it belongs: with the adapter that says that it has the key, with the ledger that it was sent to,
// or with those that any adapter may get.
func (q *Queue) place(it *item) {
	it.ledger = it.task.Ledger
	for _, s := range q.streams {
		switch {
		case !s.Keys.Has(it.task.Key):
			continue
		case q.holds(it, s):
			q.keepHeld(it, s)
		default:
			q.bind(it, s, true)
		}
		return
	}
	if it.ledger != "" {
		q.bringHome(it, it.task.OfferedAt)
		return
	}
	if it.task.Again && q.asked[it.task.Partition] != nil {
		q.await(it)
		return
	}
	it.state = ready
	q.enlist(it, false)
}

// count adds an item to what waits, or takes it away.
func (q *Queue) count(it *item, n int) {
	q.waiting += n
	q.class(it.task.Version).load[it.task.Priority] += n * it.task.Size
}

// bringHome binds an item to its adapter's stream, or has it wait for one. It is not sent again if it was cancelled.
func (q *Queue) bringHome(it *item, since time.Time) {
	s := q.home(it)
	switch {
	case s == nil:
	case s.Process != it.process && !q.died(it):
		return
	case it.cancelled:
		q.cancelOn(s, it)
	default:
		q.bind(it, s, it.known && it.process == s.Process)
		return
	}
	q.orphan(it, since)
}

// orphan has an item wait for its adapter.
func (q *Queue) orphan(it *item, since time.Time) {
	it.state, it.stream, it.gone, it.journaling = orphaned, nil, since, false
	it.occupy(q.config.Away)
	q.orphans[it.task.Key] = it
}

// comeHome binds an orphaned item to its adapter's stream, where it goes on, if that adapter was only asked to give it up.
func (q *Queue) comeHome(it *item) {
	if it.state == orphaned && !it.cancelled && q.home(it) != nil {
		q.take(it)
		q.bringHome(it, it.gone)
	}
}

// again makes items ready for any stream, before those that were never sent.
func (q *Queue) again(items []*item) {
	for _, it := range slices.Backward(items) {
		q.take(it)
		it.leave()
		it.state, it.stream = ready, nil
		q.enlist(it, true)
	}
}

func (q *Queue) class(version string) *class {
	c := q.classes[version]
	if c == nil {
		c = &class{}
		q.classes[version] = c
	}
	return c
}

func (q *Queue) list(it *item) *fifo { return &q.class(it.task.Version).ready[it.task.Priority] }

// bind makes an item ready for one stream alone.
func (q *Queue) bind(it *item, s *stream, known bool) {
	q.take(it)
	if it.process != s.Process {
		it.leave()
	}
	it.state, it.known, it.journaling = ready, known, false
	if known {
		it.last = loss{} // the stream's process may have begun with it
	}
	it.assign(s)
	q.enlist(it, false)
}

// enlist puts a ready item where its turn comes.
func (q *Queue) enlist(it *item, first bool) {
	if it.had = it.known && !it.held; it.had {
		q.had++
	}
	switch s := it.stream; {
	case it.task.suspected() && s == nil:
		q.suspects.push(it)
	case it.task.suspected() && s.Begun:
		s.suspects.push(it)
	case it.had && s != nil:
		s.had.push(it)
	case s != nil:
		s.bound.push(it)
	case first:
		q.list(it).pushFront(it)
	default:
		q.list(it).push(it)
	}
	q.count(it, 1)
}

// unlist takes a ready item from where it waits for its turn.
func (q *Queue) unlist(it *item) {
	if it.among != nil {
		it.among.remove(it)
	} else {
		it.place.remove()
	}
	q.unlisted(it)
}

// unlisted notes that an item was taken from where it waited.
func (q *Queue) unlisted(it *item) {
	if it.had {
		it.had = false
		q.had--
	}
	q.count(it, -1)
}

// take takes an item out of the list that it is in, so that it can be put elsewhere. Until then it is nowhere, and taking it
// again does nothing.
func (q *Queue) take(it *item) {
	switch it.state {
	case ready:
		q.unlist(it)
	case journaling:
		it.stream.unsend()
	case orphaned:
		delete(q.orphans, it.task.Key)
		it.asking = false
	case inFlight:
		if q.alone[it.process] == it {
			delete(q.alone, it.process)
		}
	case nowhere:
	}
	it.vacate()
	it.state = nowhere
}

func (q *Queue) drop(it *item) {
	q.take(it)
	delete(q.items, it.task.Key)
}

// done assigns ready items to streams with credit, and returns what is to be done.
func (q *Queue) done() []Output {
	q.assign()
	out := q.out
	q.out = nil
	return out
}

// Done says that a result of an attempt has come, or that nobody waits any more for that attempt and those before it. For a result
// after which there is no other attempt under the key, such as a success, the attempt is the highest number that there is.
func (q *Queue) Done(key string, attempt uint32) []Output {
	for _, s := range q.streams {
		s.forget(key)
	}
	switch it := q.items[key]; {
	case it == nil:
	case attempt >= it.task.Attempt:
		q.drop(it)
	default:
		q.answered(it, attempt)
	}
	return q.done()
}

// answered notes that an adapter is done with an attempt that another has replaced.
func (q *Queue) answered(it *item, attempt uint32) {
	if it.known = false; it.state == ready {
		q.unlist(it)
		q.enlist(it, false)
	}
	if it.asked > attempt {
		return // the adapter may have the newer attempt
	}
	q.acquit(it)
	it.first, it.asked, it.held = 0, 0, false
	switch {
	case it.state == inFlight && it.cancelled: // the adapter has ended what it had
		q.giveUp(it)
	case it.bound() && it.state != inFlight, it.state == journaling, it.state == ready && it.stream == nil:
	case it.cancelled, it.withdrawn: // it waits for whoever has it
	default:
		q.again([]*item{it})
	}
}

// Confirm says that the ledger of a task is journaled.
func (q *Queue) Confirm(key string, attempt uint32, ledger string) []Output {
	it := q.items[key]
	switch {
	case it == nil || it.stream == nil || it.task.Attempt != attempt || it.stream.Ledger != ledger:
	case it.state == journaling:
		it.task.Ledger = ledger
		q.fly(it)
	case it.journaling && it.refrains():
		it.journaling = false // the adapter was asked to give it up
	case it.journaling:
		it.task.Ledger = ledger
		q.letBegin(it)
	}
	return q.done()
}

// Refuse says that the ledger of a task could not be journaled now. That is asked for again soon; for a task that an adapter has
// reported as begun, when it reports that again.
func (q *Queue) Refuse(key string, attempt uint32) {
	it := q.items[key]
	switch {
	case it == nil || it.task.Attempt != attempt:
	case it.journaling:
		it.journaling = false
	case it.state != journaling:
	case it.bound():
		q.bind(it, it.stream, it.known)
	default:
		q.again([]*item{it})
	}
}

// DropPartition forgets the tasks of a partition that this node has lost. An adapter that has one goes on with it, and is asked for it,
// if it lists, should the partition come back.
func (q *Queue) DropPartition(p messages.Partition) []Output {
	delete(q.asked, p)
	for _, s := range q.streams {
		maps.DeleteFunc(s.listed, func(_ string, of messages.Partition) bool { return of == p })
	}
	for _, it := range q.items {
		if it.task.Partition != p {
			continue
		}
		if s := it.stream; it.state == inFlight && !s.Lists {
			s.Keys.Add(it.task.Key)
		}
		q.drop(it)
	}
	return q.done()
}

// Tick lets go to other adapters the tasks that have waited long enough for an adapter that is away, and sends what the limits
// allow now. Call it every second or so; while Throttled, more often.
func (q *Queue) Tick(now time.Time) []Output {
	q.Advance(now)
	q.overdue(now)
	var over []*item
	for _, it := range q.orphans {
		if !it.asking && !now.Before(it.gone.Add(q.patience(it))) {
			over = append(over, it)
		}
	}
	sortItems(over)
	over = slices.DeleteFunc(over, func(it *item) bool {
		if it.cancelled || it.withdrawn {
			q.giveUp(it)
			return true
		}
		if !q.died(it) {
			return true
		}
		if !it.idempotent && !q.untouched(it) {
			it.task.MaybeStarted = true
		}
		it.task.Ledger = ""
		if i := q.finder(it); i >= 0 {
			q.turn = i
			q.bind(it, q.streams[i], false)
			return true
		}
		return false
	})
	q.again(over)
	return q.done()
}

// patience is how long an orphaned item waits for its adapter.
func (q *Queue) patience(it *item) time.Duration {
	switch {
	case it.idempotent && !it.cancelled, it.unseen():
		return q.config.Grace
	case it.end.Closed && (it.cancelled || q.finder(it) >= 0):
		return min(q.config.RecoverGrace, q.config.LedgerGrace)
	}
	return q.config.LedgerGrace
}

// finder returns the index of the next stream in turn whose adapter can find out what came of an item with which somebody may have
// begun; negative if there is none, or if nothing needs to be found out.
func (q *Queue) finder(it *item) int {
	if it.idempotent || q.untouched(it) {
		return -1
	}
	for n := range q.streams {
		i := (q.turn + 1 + n) % len(q.streams)
		if s := q.streams[i]; s.Recoverable && s.serves(it) {
			return i
		}
	}
	return -1
}

func sortItems(items []*item) {
	slices.SortFunc(items, func(a, b *item) int { return cmp.Compare(a.seq, b.seq) })
}
