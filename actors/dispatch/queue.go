package dispatch

import (
	"cmp"
	"slices"
	"time"

	"github.com/holdfast-run/holdfast/messages"
)

// Queue holds the tasks of one activity. It is not safe for concurrent use.
type Queue struct {
	config  Config
	items   map[string]*item  // by key
	orphans map[string]*item  // those of them that are orphaned
	classes map[string]*class // by version
	waiting int
	streams []*stream
	turn    int
	seq     uint64
	out     []Output
	now     time.Time // of the last Tick
	popped  uint64    // tasks that were sent in their turn
	limit   Limit
	tokens  float64 // how many tasks the rate allows now
}

// class is the tasks that ask for one version, or for any.
type class struct {
	ready [Priorities]fifo
	load  [Priorities]int // the size of what waits
}

// New makes an empty queue.
func New(config Config) *Queue {
	return &Queue{
		config: config, items: map[string]*item{}, orphans: map[string]*item{}, classes: map[string]*class{},
	}
}

// Waiting returns how many tasks wait for an adapter's credit.
func (q *Queue) Waiting() int { return q.waiting }

// Load returns the size of the tasks of each priority that wait, of those that ask for a version; empty: for any.
func (q *Queue) Load(version string) [Priorities]int {
	if c := q.classes[version]; c != nil {
		return c.load
	}
	return [Priorities]int{}
}

// InFlight returns how many tasks adapters have, or are about to get.
func (q *Queue) InFlight() int { return len(q.items) - q.waiting }

// Oldest returns since when the oldest of those of the waiting tasks has waited that are next; zero if none waits.
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
		consider(&s.bound)
	}
	return oldest
}

// Offer adds a task. A task with a known key replaces it if its attempt is newer; it is sent again then to the adapter that
// has the key, which joins it and answers under the newer number. Else only what is known about it is added.
func (q *Queue) Offer(t *Task) []Output {
	it := q.items[t.Key]
	switch {
	case it == nil:
		q.seq++
		t.Again = t.Again || t.Ledger != ""
		it = &item{task: t, seq: q.seq}
		q.items[t.Key] = it
		q.place(it)
	case t.Attempt >= it.task.Attempt:
		q.replace(it, t)
	}
	return q.done()
}

func (q *Queue) replace(it *item, t *Task) {
	old := it.task
	newer := t.Attempt > old.Attempt
	if !newer && (it.state == reserved || it.state == inFlight) {
		return
	}
	if !newer { // the queue has followed it since: it knows better where it was
		t.OfferedAt, t.Ledger, t.MaybeStarted, t.Again = old.OfferedAt, old.Ledger, old.MaybeStarted, old.Again
	}
	if it.state == ready {
		q.count(it, -1)
		defer q.count(it, 1)
	}
	it.task = t
	it.cancelled = it.cancelled && !newer
	switch it.state {
	case reserved:
		q.out = append(q.out, Reserve{Task: t, Ledger: it.stream.Ledger})
	case inFlight:
		q.bind(it, it.stream, it.known)
	case ready, orphaned:
	}
}

// place puts a new item where it belongs: to the adapter that says that it has the key, to the ledger that it was sent to,
// or to the others.
func (q *Queue) place(it *item) {
	for _, s := range q.streams {
		if s.Keys[it.task.Key] {
			q.bind(it, s, true)
			return
		}
	}
	if it.ledger = it.task.Ledger; it.ledger != "" {
		q.bringHome(it, it.task.OfferedAt)
		return
	}
	it.state = ready
	q.list(it).push(it)
	q.count(it, 1)
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
	case it.cancelled:
		q.out = append(q.out, SendCancel{Stream: s.ID, Task: it.task})
	default:
		q.bind(it, s, it.known && it.process == s.Process)
		return
	}
	it.state, it.stream, it.gone = orphaned, nil, since
	q.orphans[it.task.Key] = it
}

// again makes items ready for any stream, before those that were never sent.
func (q *Queue) again(items []*item) {
	for _, it := range slices.Backward(items) {
		it.leave()
		it.state, it.stream = ready, nil
		q.list(it).pushFront(it)
		q.count(it, 1)
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
	if it.process != s.Process {
		it.leave()
	}
	it.state, it.known = ready, known
	it.assign(s)
	s.bound.push(it)
	q.count(it, 1)
}

// take takes an item out of wherever it is, to be put elsewhere.
func (q *Queue) take(it *item) {
	switch it.state {
	case ready:
		it.place.remove()
		q.count(it, -1)
	case reserved:
		it.stream.giveBack()
	case orphaned:
		delete(q.orphans, it.task.Key)
	case inFlight:
	}
}

func (q *Queue) drop(it *item) {
	q.take(it)
	delete(q.items, it.task.Key)
}

// done assigns what can be, and returns what is to be done.
func (q *Queue) done() []Output {
	q.assign()
	out := q.out
	q.out = nil
	return out
}

// Done says that a result for an attempt has come, or that nobody waits for it and those before it any more. What settles
// the key for good, as a success does, is told with the highest number there is.
func (q *Queue) Done(key string, attempt uint32) []Output {
	for _, s := range q.streams {
		delete(s.Keys, key)
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
	it.known = false
	if it.asked > attempt {
		return // it may have the newer one
	}
	it.first, it.asked = 0, 0
	switch {
	case it.state == inFlight: // to be cancelled: that is done with what it had
		q.giveUp(it)
	case it.bound(), it.state == reserved, it.state == ready && it.stream == nil:
	default:
		q.take(it)
		q.again([]*item{it})
	}
}

// giveUp drops a cancelled item that no adapter has.
func (q *Queue) giveUp(it *item) {
	q.drop(it)
	if it.untouched() {
		q.out = append(q.out, NotDone{Task: it.task})
	}
}

// Confirm says that the ledger of a reserved task is journaled.
func (q *Queue) Confirm(key string, attempt uint32, ledger string) []Output {
	it := q.items[key]
	if it != nil && it.state == reserved && it.task.Attempt == attempt && it.stream.Ledger == ledger {
		it.task.Ledger = ledger
		q.fly(it)
	}
	return q.done()
}

// Refuse says that the ledger of a reserved task could not be journaled now. The task is reserved again soon.
func (q *Queue) Refuse(key string, attempt uint32) {
	it := q.items[key]
	switch {
	case it == nil || it.state != reserved || it.task.Attempt != attempt:
	case it.bound():
		q.take(it)
		q.bind(it, it.stream, it.known)
	default:
		q.take(it)
		q.again([]*item{it})
	}
}

// Cancel gives an attempt up: at once if nobody has it, else by asking the adapter, as soon as it is there.
func (q *Queue) Cancel(key string, attempt uint32) []Output {
	it := q.items[key]
	if it == nil || it.task.Attempt != attempt {
		return nil
	}
	it.cancelled = true
	switch {
	case it.state == orphaned:
	case it.state == inFlight:
		q.out = append(q.out, SendCancel{Stream: it.stream.ID, Task: it.task})
	case it.state == ready && it.known:
		q.take(it)
		it.state, it.asked = inFlight, it.first // it may answer under this number
		q.out = append(q.out, SendCancel{Stream: it.stream.ID, Task: it.task})
	default:
		q.giveUp(it)
	}
	return q.done()
}

// Withdraw gives an attempt up if certainly nobody has begun with it. Any other goes on to its end.
func (q *Queue) Withdraw(key string, attempt uint32) []Output {
	if it := q.items[key]; it != nil && it.task.Attempt == attempt && it.untouched() {
		q.giveUp(it)
	}
	return q.done()
}

// DropPartition forgets the tasks of a partition that this node has lost.
func (q *Queue) DropPartition(p messages.Partition) []Output {
	for _, it := range q.items {
		if it.task.Partition == p {
			q.drop(it)
		}
	}
	return q.done()
}

// Tick sends elsewhere what has waited long enough for a lost adapter, and what the limits allow now. Call it every second
// or so; while Throttled, more often.
func (q *Queue) Tick(now time.Time) []Output {
	q.refill(now)
	var over []*item
	for _, it := range q.orphans {
		wait := q.config.LedgerGrace
		if it.idempotent {
			wait = q.config.Grace
		}
		if now.Sub(it.gone) >= wait {
			over = append(over, it)
		}
	}
	sortItems(over)
	over = slices.DeleteFunc(over, func(it *item) bool {
		if it.cancelled {
			q.drop(it)
			return true
		}
		q.take(it)
		if !it.idempotent && !it.untouched() {
			it.task.MaybeStarted = true
		}
		it.task.Ledger = ""
		return false
	})
	q.again(over)
	return q.done()
}

func sortItems(items []*item) {
	slices.SortFunc(items, func(a, b *item) int { return cmp.Compare(a.seq, b.seq) })
}
