package lease

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-run/holdfast/messages"
)

// world is some nodes, their links, and a Consul, on one goroutine; all chance comes from a seed.
type world struct {
	chance *rand.Rand
	set    Settings
	now    time.Duration // since the world began, by no node's clock
	events []event       // those to come, in order
	number int           // of events so far
	nodes  []*node
	consul consul

	apart map[[2]int]int // links that are cut, how many times
	slow  time.Duration  // the longest that a message is on its way
	lossy float64        // the part of messages that are lost
	// mayExit tells which nodes may exit, and be removed while they live.
	mayExit func(node int) bool
	// hasty: a node that is critical is removed at once. Else that is so only if the link to it is down.
	hasty bool

	log      uint64 // a hash of all that happened
	counts   map[string]int
	failures []string
	taken    map[messages.Incarnation]*takeover
}

// takeover is that a node has removed another one.
type takeover struct {
	by      int
	excused string // why the lease could not prevent that both work: then the journal's fence does
}

func newWorld(seed uint64, nodes int) *world {
	set, err := (Settings{}).withDefaults()
	if err != nil {
		panic(err)
	}
	w := &world{
		chance: rand.New(rand.NewPCG(seed, 0)), set: set, slow: 20 * time.Millisecond,
		apart: map[[2]int]int{}, mayExit: func(int) bool { return true }, counts: map[string]int{}, taken: map[messages.Incarnation]*takeover{},
	}
	w.consul = consul{w: w, servers: map[messages.Incarnation]entry{}}
	for i := range nodes {
		n := &node{
			w: w, at: i, offset: time.Duration(w.chance.Int64N(int64(time.Hour))), rate: 0.98 + 0.04*w.chance.Float64(),
		}
		n.agent = &agent{w: w, checks: map[messages.Incarnation]*check{}, rate: 0.98 + 0.04*w.chance.Float64()}
		w.nodes = append(w.nodes, n)
		w.after(w.upTo(time.Second), n.start)
	}
	return w
}

// event is what happens at a time.
type event struct {
	at     time.Duration
	number int
	do     func()
}

func (w *world) after(d time.Duration, do func()) {
	w.number++
	e := event{w.now + max(d, 0), w.number, do}
	i, _ := slices.BinarySearchFunc(w.events, e, func(a, b event) int {
		return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.number, b.number))
	})
	w.events = slices.Insert(w.events, i, e)
}

// run lets time pass, until something fails.
func (w *world) run(until time.Duration) {
	for len(w.events) > 0 && w.events[0].at <= until && len(w.failures) == 0 {
		e := w.events[0]
		w.events = w.events[1:]
		w.now = e.at
		e.do()
	}
	w.now = max(w.now, until)
}

func (w *world) upTo(d time.Duration) time.Duration {
	return time.Duration(w.chance.Int64N(int64(d) + 1))
}

// send has something arrive a moment later, if it is not lost.
func (w *world) send(arrive func()) {
	if d := w.upTo(w.slow); w.chance.Float64() >= w.lossy {
		w.after(d, arrive)
	}
}

func (w *world) count(what string) { w.counts[what]++ }

func (w *world) notef(format string, args ...any) {
	h := fnv.New64a()
	fmt.Fprintf(h, "%d %v ", w.log, w.now)
	fmt.Fprintf(h, format, args...)
	w.log = h.Sum64()
}

func (w *world) failf(format string, args ...any) {
	w.failures = append(w.failures, fmt.Sprintf("%v: ", w.now)+fmt.Sprintf(format, args...))
}

// consul is the servers.
type consul struct {
	w       *world
	down    int // how many faults keep them from answering
	servers map[messages.Incarnation]entry
}

// entry is what the servers know of a registration.
type entry struct {
	node    int
	passing bool
	reason  string // why it is critical
}

// agent is the agent of Consul beside a node. It survives the node.
type agent struct {
	w      *world
	checks map[messages.Incarnation]*check
	rate   float64
	away   int // how many faults keep it from the servers
	off    int // how many faults keep it from its node
}

type check struct {
	node    int
	passing bool
	reason  string
	renewed int // how many times; what would end it is about one of them
	news    int // how many times there was news of it; the servers are told of the last
}

// refresh is what an agent does for its node; false: it does not know the check.
func (a *agent) refresh(n int, id messages.Incarnation, register bool) bool {
	c := a.checks[id]
	if c == nil {
		if !register {
			return false
		}
		c = &check{node: n}
		a.checks[id] = c
	}
	c.passing, c.reason = true, ""
	c.renewed++
	this := c.renewed
	a.w.after(time.Duration(float64(a.w.set.TTL)/a.rate), func() {
		if c.renewed == this && c.passing {
			c.passing, c.reason = false, "TTL"
			a.sync(id)
		}
	})
	a.sync(id)
	return true
}

// restart has an agent forget how its checks were.
func (a *agent) restart() {
	for _, id := range a.known() {
		c := a.checks[id]
		c.passing, c.reason = false, "restart"
		c.renewed++
		a.sync(id)
	}
}

// sync tells the servers of a check, again and again, until they have heard it, or there is other news of it.
func (a *agent) sync(id messages.Incarnation) {
	c := a.checks[id]
	if c == nil {
		return
	}
	c.news++
	this := c.news
	var tell func()
	tell = func() {
		switch {
		case a.checks[id] != c || c.news != this:
		case a.away > 0 || a.w.consul.down > 0:
			a.w.after(200*time.Millisecond, tell)
		default:
			a.w.consul.set(id, entry{c.node, c.passing, c.reason})
		}
	}
	a.w.after(a.w.upTo(10*time.Millisecond), tell)
}

// leave has the servers not hear of an agent for a time; they notice, but not before one TTL.
func (a *agent) leave(d time.Duration) {
	a.away++
	until := a.w.now + d
	a.w.after(a.w.set.TTL+a.w.upTo(a.w.set.TTL), func() {
		if a.w.now >= until || a.w.consul.down > 0 {
			return
		}
		for _, id := range a.known() {
			if e, known := a.w.consul.servers[id]; known {
				a.w.consul.set(id, entry{e.node, false, "agent"})
			}
		}
	})
	a.w.after(d, func() {
		a.away--
		for _, id := range a.known() {
			a.sync(id)
		}
	})
}

// known are the checks of an agent, in an order that does not change.
func (a *agent) known() []messages.Incarnation { return slices.Sorted(maps.Keys(a.checks)) }

// set has the servers know something, and tell it to all that watch.
func (c *consul) set(id messages.Incarnation, e entry) {
	if c.servers[id] == e {
		return
	}
	c.servers[id] = e
	for _, n := range c.w.nodes {
		n.watched()
	}
}

// wipe has Consul forget everything.
func (c *consul) wipe() {
	c.servers = map[messages.Incarnation]entry{}
	for _, n := range c.w.nodes {
		n.agent.checks = map[messages.Incarnation]*check{}
	}
	for _, n := range c.w.nodes {
		n.watched()
	}
}

func (c *consul) String() string {
	var b strings.Builder
	for _, n := range c.w.nodes {
		e, known := c.servers[n.self]
		fmt.Fprintf(&b, "%s known %v passing %v %s\n", n.self, known, e.passing, e.reason)
	}
	return b.String()
}
