package share_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"pgregory.net/rapid"

	"github.com/holdfast-run/holdfast/actors/share"
	"github.com/holdfast-run/holdfast/messages"
)

const (
	step   = 10 * time.Millisecond
	groups = 8 // of partitions that move together; the granter is where the first one is
)

// world is a cluster with one activity that has a limit, and one adapter that executes what it is sent, whatever becomes of who sent it.
type world struct {
	granter

	t       *rapid.T
	chance  *rand.Rand
	now     time.Time
	limit   share.Limit
	config  share.Config
	nodes   []*node
	group   [groups]group
	running []*attempt
	letters []letter
	sent    int
	// level is how many more tasks were sent than the rate gives, in the time in which it is the most.
	level float64
	// faults: letters get lost and are late.
	faults bool
	longer time.Duration // what an attempt takes, about
	epoch  messages.Epoch
	// sum is how many were running in all steps since count was 0.
	sum, count int
}

type granter struct {
	*share.Granter

	at *node
}

// group is some partitions. It has no owner while it moves.
type group struct {
	owner *node
	free  time.Time // when it may be claimed
	// maybe is how many attempts its owner takes to be under way until the adapter has said what it has, though they are not.
	maybe int
}

type attempt struct {
	group int
	ends  time.Time
	// known is the node that counts it; nil: none does, as its partitions are on the move.
	known *node
}

type letter struct {
	at  time.Time
	to  *node
	say func()
}

type node struct {
	name    messages.Incarnation
	holder  *share.Holder
	dead    bool
	back    time.Time
	waiting int // tasks that never end; 0: it needs nothing
	counted [groups]time.Time
	tokens  float64
	filled  time.Time
	share   share.Share
	active  time.Time
}

func newWorld(t *rapid.T, limit share.Limit, nodes int) *world {
	w := &world{
		t: t, chance: rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1)), now: time.Unix(1_000_000, 0), limit: limit,
		config: share.Config{}.WithDefaults(), longer: 200 * time.Millisecond,
	}
	for i := range nodes {
		n := &node{name: messages.Incarnation(fmt.Sprintf("n%d/0", i))}
		w.nodes = append(w.nodes, n)
		w.start(n)
	}
	for i := range w.group {
		w.claim(i, w.nodes[i%nodes])
	}
	return w
}

// start starts a node, as another incarnation.
func (w *world) start(n *node) {
	name := messages.Incarnation(fmt.Sprintf("%s/%d", n.name.Node(), w.now.UnixNano()))
	*n = node{name: name, holder: share.NewHolder(w.config, name, w.now), waiting: n.waiting, filled: w.now}
}

func (w *world) claim(i int, n *node) {
	w.group[i] = group{owner: n, maybe: max(0, w.chance.IntN(8)-3)}
	n.counted[i] = w.now.Add(w.some(300)) // the adapter has to say what it has
	if w.epoch++; i == 0 {
		w.granter = granter{share.NewGranter(w.config, w.epoch, false, w.now), n}
	}
}

// some is a random time of up to so many milliseconds.
func (w *world) some(millis int) time.Duration {
	return time.Duration(w.chance.IntN(millis*1000)) * time.Microsecond
}

func (w *world) send(to *node, say func()) {
	times, late := 1, 3
	if w.faults {
		times, late = [...]int{0, 1, 1, 1, 1, 1, 1, 1, 1, 2}[w.chance.IntN(10)], [...]int{3, 3, 3, 3, 50, 3000}[w.chance.IntN(6)]
	}
	for range times {
		w.letters = append(w.letters, letter{w.now.Add(w.some(late)), to, say})
	}
}

func (w *world) turn() {
	w.now = w.now.Add(step)
	w.deliver()
	w.running = slices.DeleteFunc(w.running, func(a *attempt) bool { return !w.now.Before(a.ends) && (a.known != nil || w.chance.IntN(4) == 0) })
	for i := range w.group {
		if g := &w.group[i]; g.owner == nil && !w.now.Before(g.free) {
			if n := w.nodes[w.chance.IntN(len(w.nodes))]; !n.dead {
				w.claim(i, n)
			}
		}
	}
	for _, n := range w.nodes {
		switch {
		case !n.dead:
			w.work(n)
		case !w.now.Before(n.back):
			w.start(n)
		}
	}
	if w.at != nil {
		w.grants(w.Tick(w.limit, w.now))
	}
	w.check()
}

func (w *world) deliver() {
	due := w.letters
	w.letters = nil
	for _, l := range due {
		switch {
		case w.now.Before(l.at):
			w.letters = append(w.letters, l)
		case !l.to.dead:
			l.say()
		}
	}
}

func (w *world) grants(all []share.Grant) {
	from := w.granter
	for _, g := range all {
		for _, n := range w.nodes {
			if n.name != g.To {
				continue
			}
			w.send(n, func() {
				if n.name != g.To || from.at.dead && !w.faults {
					return
				}
				if saved, ok := n.holder.Granted(g, w.now); ok {
					w.fill(n)
					n.share = n.holder.Share(w.limit)
					n.tokens = min(n.tokens+saved, n.share.Burst)
				}
			})
		}
	}
}

// fill adds what the rate allows for the time since the last time.
func (w *world) fill(n *node) {
	if until := n.share.Until; until.Before(w.now) {
		n.tokens = 0
	} else {
		n.tokens = min(n.tokens+n.share.Rate*w.now.Sub(n.filled).Seconds(), n.share.Burst)
	}
	n.filled = w.now
}

// under counts what is under way of a group at a node.
func (w *world) under(n *node, of func(int) bool) (count int) {
	for _, a := range w.running {
		if of(a.group) && a.known == n {
			count++
		}
	}
	return count
}

func (w *world) work(n *node) {
	w.fill(n)
	var s share.Status
	maybe := 0
	for i := range w.group {
		switch {
		case w.group[i].owner != n:
			continue
		case w.now.Before(n.counted[i]):
			maybe += w.group[i].maybe
			continue
		}
		for _, a := range w.running {
			if a.group == i {
				a.known = n
			}
		}
		for b := range s.Counted {
			s.Counted[b] |= 1 << i // partition p is of group p % groups
		}
	}
	s.Under = maybe + w.under(n, func(int) bool { return true })
	if w.owns(n) {
		s.Waiting = n.waiting
	}
	for s.Waiting > 0 && w.begins(n, &s) {
		continue
	}
	s.Starved = s.Waiting > 0
	s.Active = w.now.Sub(n.active) < time.Second
	if r, ok := n.holder.Look(s, w.now); ok {
		epoch := w.epoch
		if at := w.at; at != nil && !at.dead {
			w.send(at, func() {
				if w.at == at && epoch <= w.epoch {
					w.grants(w.Report(r, w.limit, w.now))
				}
			})
		}
	}
}

func (w *world) owns(n *node) bool {
	return slices.ContainsFunc(w.group[:], func(g group) bool { return g.owner == n })
}

// begins sends a task, if that is allowed.
func (w *world) begins(n *node, s *share.Status) bool {
	sh := n.share
	if !w.now.Before(sh.Until) || sh.Bounded && s.Under+n.holder.Lost() >= sh.Concurrency || sh.Rated && n.tokens < 1 {
		return false
	}
	var mine []int
	for i := range w.group {
		if w.group[i].owner == n {
			mine = append(mine, i)
		}
	}
	w.running = append(w.running, &attempt{mine[w.chance.IntN(len(mine))], w.now.Add(w.some(int(w.longer.Milliseconds())) + w.longer/2), n})
	w.sent++
	w.level++
	n.active = w.now
	n.tokens--
	s.Under++
	return true
}

// check finds more than the limit allows.
func (w *world) check() {
	w.sum, w.count = w.sum+len(w.running), w.count+1
	if c := w.limit.Concurrency; c > 0 && len(w.running) > c {
		w.t.Fatalf("%d are running, of %d", len(w.running), c)
	}
	if most := 1 + w.limit.Rate/10 + 1e-6; w.limit.Rate > 0 && w.level > most {
		w.t.Fatalf("%.2f more were sent in some time than the rate gives, of %.2f", w.level, most)
	}
	w.level = max(w.level-w.limit.Rate*step.Seconds(), 0)
}

// move gives a group up.
func (w *world) move(i int) {
	n := w.group[i].owner
	if n == nil {
		return
	}
	lost := w.under(n, func(g int) bool { return g == i })
	if w.now.Before(n.counted[i]) {
		lost += w.group[i].maybe
	}
	n.holder.Lose(lost)
	w.release(i, w.some(100))
}

func (w *world) release(i int, after time.Duration) {
	for _, a := range w.running {
		if a.group == i {
			a.known = nil
		}
	}
	w.group[i] = group{free: w.now.Add(after)}
	if i == 0 {
		w.granter = granter{}
	}
}

// kill ends a node. What it has is claimed after a while.
func (w *world) kill(n *node) {
	n.dead, n.back = true, w.now.Add(w.some(6000))
	for i := range w.group {
		if w.group[i].owner == n {
			w.release(i, time.Second+w.some(3000))
		}
	}
}

func (w *world) run(d time.Duration) {
	for until := w.now.Add(d); w.now.Before(until); {
		w.turn()
	}
}
