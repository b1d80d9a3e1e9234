package simulation

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/holdfast-run/holdfast/cluster/placement"
	"github.com/holdfast-run/holdfast/messages"
)

// Size of a world.
const (
	nodes      = 5
	adapters   = 2
	partitions = 8 // of all, the first
	orders     = 24
	steps      = 5 // events of an order: accepted, and twice a call and its result
)

// Times of a world.
const (
	ttl    = 3 * time.Second
	warmUp = 6 * time.Second  // until the first fault
	heal   = 60 * time.Second // the longest until all is well after the last fault
	quick  = 20 * time.Millisecond
	answer = 2 * time.Second // how long an answer is waited for
)

// world is a cluster, and what is around it, on one goroutine. All chance comes from a seed.
type world struct {
	chance *rand.Rand
	now    time.Duration // since the world began, by no node's clock
	events events
	number int // of events so far

	nodes    []*node
	consul   *consul
	journal  *journal
	adapters []*adapter
	tables   map[[nodes]bool]*placement.Table

	apart [nodes][nodes]int // links that are cut, how many times
	late  int               // how many faults have messages be late
	lossy int               // how many faults have answers be lost

	report   *Report
	accepted [orders]bool
	// confirmed is what nodes were told that is in the journal, made what the journal has ever made: by order and version.
	confirmed, made [orders][steps]record
	failure         error
}

func newWorld(seed uint64) *world {
	w := &world{
		chance: rand.New(rand.NewPCG(seed, 0)), report: NewReport(),
		tables: map[[nodes]bool]*placement.Table{},
	}
	w.consul = &consul{w: w, servers: map[messages.Incarnation]entry{}, marks: map[messages.Incarnation]uint64{}}
	w.journal = &journal{w: w, db: newDatabase()}
	for i := range adapters {
		w.adapters = append(w.adapters, &adapter{w: w, at: i, alive: true, done: map[key]bool{}, runs: map[key]int{}})
	}
	for i := range nodes {
		n := &node{w: w, at: i, offset: w.upTo(time.Hour), rate: w.rate()}
		n.agent = &agent{w: w, checks: map[messages.Incarnation]*check{}, rate: w.rate()}
		w.nodes = append(w.nodes, n)
		w.after(w.upTo(time.Second), n.start)
	}
	for o := range orders {
		w.after(w.upTo(5*warmUp), func() { w.submit(o) })
	}
	return w
}

// rate is how fast a clock runs: they differ by up to four hundredths.
func (w *world) rate() float64 { return 0.98 + 0.04*w.chance.Float64() }

// event is what happens at a time.
type event struct {
	at     time.Duration
	number int
	do     func()
}

type events []event

func (e *events) Len() int { return len(*e) }
func (e *events) Less(i, j int) bool {
	return (*e)[i].at < (*e)[j].at || (*e)[i].at == (*e)[j].at && (*e)[i].number < (*e)[j].number
}
func (e *events) Swap(i, j int) { (*e)[i], (*e)[j] = (*e)[j], (*e)[i] }
func (e *events) Push(x any)    { *e = append(*e, x.(event)) } //nolint:errcheck,forcetypeassert // nothing else is pushed
func (e *events) Pop() any {
	last := len(*e) - 1
	popped := (*e)[last]
	(*e)[last] = event{}
	*e = (*e)[:last]
	return popped
}

func (w *world) after(d time.Duration, do func()) {
	w.number++
	heap.Push(&w.events, event{w.now + max(d, 0), w.number, do})
}

// run lets time pass, until something fails.
func (w *world) run(until time.Duration) {
	for len(w.events) > 0 && w.events[0].at <= until && w.failure == nil {
		e := heap.Pop(&w.events).(event) //nolint:errcheck,forcetypeassert // nothing else is pushed
		w.now = e.at
		e.do()
	}
	w.now = max(w.now, until)
}

func (w *world) upTo(d time.Duration) time.Duration {
	return time.Duration(w.chance.Int64N(int64(d) + 1))
}

// often tells whether something happens that does so once in so many times.
func (w *world) often(times int) bool { return w.chance.IntN(times) == 0 }

// delay is how long a message is on its way.
func (w *world) delay() time.Duration {
	if w.late > 0 && w.often(8) {
		return w.upTo(2 * ttl)
	}
	return w.upTo(quick)
}

// lost tells whether an answer is lost.
func (w *world) lost() bool { return w.lossy > 0 && w.often(4) }

func (w *world) send(arrive func()) { w.after(w.delay(), arrive) }

func (w *world) failf(format string, args ...any) {
	if w.failure == nil {
		w.failure = fmt.Errorf("at %v: "+format, append([]any{w.now}, args...)...)
	}
}

// submit is a client that has an order accepted: it asks one node after the other until one says that it is.
func (w *world) submit(o int) {
	if w.accepted[o] {
		return
	}
	n := w.nodes[w.chance.IntN(nodes)]
	if n.alive {
		w.send(n.hear(func() { n.accept(o) }))
	}
	w.after(time.Second, func() { w.submit(o) })
}

// table is the placement of some nodes.
func (w *world) table(members [nodes]bool) *placement.Table {
	t := w.tables[members]
	if t == nil {
		var all []placement.Member
		for i, member := range members {
			if member {
				all = append(all, placement.Member{Incarnation: incarnation(i, 0), Weight: 1, Shards: []int{0}})
			}
		}
		t = placement.Assign(all, placement.Conditions{})
		w.tables[members] = t
	}
	return t
}

// incarnation names a life of a node.
func incarnation(node, life int) messages.Incarnation {
	return messages.Incarnation(fmt.Sprintf("n%d/%04d", node, life))
}
