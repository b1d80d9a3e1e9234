package lease

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/holdfast-run/holdfast/messages"
)

// node is a process with a lease, and the shell round it: it refreshes, reads, watches, and asks as packages consul and remoting do.
type node struct {
	w      *world
	at     int
	agent  *agent
	offset time.Duration // of its clock
	rate   float64       // of its clock

	life   int // rises with each start
	alive  bool
	paused bool
	inbox  []func() // what came while it was paused
	busy   bool     // it was paused in the middle of work

	self                      messages.Incarnation
	lease                     *Lease
	index                     int // of the last answer about all nodes
	registered                bool
	asked                     time.Time // when it was last asked to be registered
	keeps, proves             int       // how often the two loops have turned
	keeping, proving, hurried bool
	again                     bool // it is to be read once more after this time
	retry                     time.Duration
	members                   []messages.Incarnation
	bad                       map[messages.Incarnation]time.Time // members that Consul does not have, or not as passing, since when
	vouched                   []int                              // who has answered that it has no evidence, when Consul was found to be lost for all
}

var epoch = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)

// clock is the time of the node.
func (n *node) clock() time.Time { return n.clockAt(n.w.now) }

func (n *node) clockAt(t time.Duration) time.Time {
	return epoch.Add(n.offset + time.Duration(float64(t)*n.rate))
}

// after has something happen in this life of the node, by its clock. While it is paused, it comes when that is over.
func (n *node) after(d time.Duration, do func()) {
	n.w.after(time.Duration(float64(d)/n.rate), n.hear(do))
}

func (n *node) hear(do func()) func() { return n.hearer()(do) }

// hearer makes what is heard by this life of the node only. While it is paused, it comes when that is over.
func (n *node) hearer() func(do func()) func() {
	life := n.life
	return func(do func()) (heard func()) {
		heard = func() {
			switch {
			case !n.alive || n.life != life:
			case n.paused:
				n.inbox = append(n.inbox, heard)
			default:
				do()
			}
		}
		return heard
	}
}

func (n *node) start() {
	n.life++
	n.alive, n.paused, n.inbox, n.busy = true, false, nil, false
	n.self = messages.Incarnation(fmt.Sprintf("n%d/%03d", n.at, n.life))
	n.registered, n.index, n.retry, n.members, n.vouched = false, 0, 0, nil, nil
	n.keeping, n.proving, n.hurried, n.again = false, false, false, false
	n.bad = map[messages.Incarnation]time.Time{}
	l, err := New(n.self, n.w.set)
	if err != nil {
		panic(err)
	}
	n.lease = l
	n.w.notef("%s starts", n.self)
	n.keep()
	n.after(n.w.upTo(n.w.set.TTL/4), n.prove)
	n.poll()
}

// die ends the process; it is started again after a while.
func (n *node) die(again time.Duration) {
	if n.alive {
		n.w.notef("%s ends", n.self)
		n.alive = false
		n.w.after(again, n.start)
	}
}

func (n *node) pause(d time.Duration) {
	if !n.alive || n.paused {
		return
	}
	life := n.life
	n.paused, n.busy = true, n.lease.MayDispatch(n.clock())
	n.w.after(d, func() {
		if n.life != life || !n.alive {
			return
		}
		n.paused = false
		if n.busy && n.w.taken[n.self] != nil {
			n.w.count("unprotected: paused in the middle of work")
		}
		n.check() // work may begin before the lease is asked
		inbox := n.inbox
		n.inbox = nil
		n.w.chance.Shuffle(len(inbox), func(i, j int) { inbox[i], inbox[j] = inbox[j], inbox[i] })
		for _, do := range inbox {
			do()
		}
	})
}

// step takes an input, and does what comes of it.
func (n *node) step(in Input) {
	before, lost := n.lease.State(), n.lease.inquiry.lost
	outputs := n.lease.Step(in, n.clock())
	after := n.lease.State()
	if _, answered := in.(Answered); !answered && !n.lease.inquiry.lost.Equal(lost) { // it is alone
		n.vouched = nil
	}
	if before != after {
		n.w.notef("%s %v", n.self, after)
		n.w.count("state: " + after.String())
	}
	for _, o := range outputs {
		n.w.notef("%s %T", n.self, o)
		switch o := o.(type) {
		case Ask:
			n.inquire(o)
		case Hurry:
			n.hurry()
		case Exit:
			n.w.count("exit: " + o.Reason.String())
			if !n.w.mayExit(n.at) {
				n.w.failf("%s exits: %v", n.self, o.Reason)
			}
			n.die(500 * time.Millisecond)
			return
		default:
		}
	}
	n.check()
	if next, due := n.lease.Next(); due {
		if d := next.Sub(n.clock()); d < 0 {
			n.w.failf("%s, %v: the next tick was due %v ago", n.self, after, -d)
		} else {
			n.after(d+time.Microsecond, func() {
				if again, due := n.lease.Next(); due && again.Equal(next) {
					n.step(Tick{})
				}
			})
		}
	}
}

// check holds what the lease is for: who was removed does not work.
func (n *node) check() {
	took := n.w.taken[n.self]
	if took == nil || !n.alive || n.paused || !n.lease.MayDispatch(n.clock()) {
		return
	}
	if took.excused == "" {
		n.w.failf("%s works, and node %d has taken over from it: %v, evidence of %v ago, question of %v ago\n%v", n.self, took.by,
			n.lease.State(), n.clock().Sub(n.lease.dated()), n.clock().Sub(n.lease.inquiry.lost), &n.w.consul)
	}
	n.w.count("unprotected: " + took.excused)
	n.w.after(50*time.Millisecond, n.hear(func() { n.die(500 * time.Millisecond) })) // its next commit is refused
}

// excuse says why the lease can't prevent that the node works when another one takes over; empty: it must.
func (n *node) excuse(by int, e entry) string {
	switch {
	case n.lease.State() == Joining:
		return "it was joining, and had nothing"
	case e.reason == "restart":
		return "its agent had restarted"
	case !n.clock().Before(n.lease.dated().Add(n.w.set.TTL-n.w.set.Guard)) && !slices.Contains(n.vouched, by):
		return "frozen, and who took over could not be asked"
	}
	return ""
}

// call asks Consul, by the agent, and of it the servers if need be.
func (n *node) call(bound time.Duration, servers bool, ask func() (answer func()), failed func()) {
	over, hear := false, n.hearer()
	once := func(do func()) func() {
		return hear(func() {
			if !over {
				over = true
				do()
			}
		})
	}
	var arrive func()
	arrive = func() {
		lost := servers && (n.agent.away > 0 || n.w.consul.down > 0)
		switch {
		case over:
		case n.agent.off > 0:
			if n.w.chance.IntN(2) == 0 { // it is refused; else nothing is heard
				n.w.send(once(failed))
			}
		case lost && n.w.chance.IntN(2) == 0:
			n.w.send(once(failed))
		case lost: // the agent tries again
			n.w.after(n.w.upTo(400*time.Millisecond), arrive)
		default:
			answer := ask()
			n.w.send(func() {
				if n.agent.off == 0 {
					once(answer)()
				}
			})
		}
	}
	n.w.send(arrive)
	n.after(bound, once(failed))
}

func (n *node) sooner(d time.Duration) time.Duration {
	return d - time.Duration(float64(d)*n.w.chance.Float64()/10)
}

// later has one of the two loops turn after a time, unless it turned before.
func (n *node) later(turns *int, d time.Duration, turn func()) {
	*turns++
	this := *turns
	n.after(d, func() {
		if *turns == this {
			turn()
		}
	})
}

// keep refreshes the registration again and again.
func (n *node) keep() {
	n.keeps++
	every := n.w.set.TTL / refreshes
	if !n.lease.MayRenew(n.clock()) {
		n.later(&n.keeps, n.sooner(every), n.keep)
		return
	}
	sent, register, self := n.clock(), !n.registered, n.self
	n.keeping = true
	if register {
		n.registered, n.asked = true, sent
	}
	again := func() {
		n.keeping = false
		n.registered = n.registered && !register
		n.retry = min(max(2*n.retry, 100*time.Millisecond), every)
		n.later(&n.keeps, n.retry+n.w.upTo(n.retry/2), n.keep)
	}
	n.call(every, false, func() func() {
		known := n.agent.refresh(n.at, self, register)
		return func() {
			if !known {
				n.registered = false
				again()
				return
			}
			n.keeping, n.retry = false, 0
			if n.registered {
				n.later(&n.keeps, n.sooner(every), n.keep)
			} else { // it was missed meanwhile
				n.later(&n.keeps, 0, n.keep)
			}
			hurried := n.hurried
			n.hurried = false
			n.step(Renewed{Sent: sent})
			switch {
			case !hurried || !n.alive:
			case n.proving: // it was asked for too soon
				n.again = true
			default:
				n.prove()
			}
		}
	}, again)
}

// hurry refreshes the registration now, and reads evidence after that.
func (n *node) hurry() {
	n.hurried = true
	if !n.keeping {
		n.keep()
	}
}

// prove reads evidence again and again.
func (n *node) prove() {
	n.proves++
	every := n.w.set.TTL / reads
	sent, self := n.clock(), n.self
	n.proving = true
	next := func() {
		n.proving = false
		pause := n.sooner(every) - n.clock().Sub(sent)
		if n.again {
			n.again, pause = false, 0
		}
		n.later(&n.proves, pause, n.prove)
	}
	n.call(n.w.set.TTL/2, true, func() func() {
		shown := Missing
		if e, known := n.w.consul.servers[self]; known {
			if shown = Critical; e.passing {
				shown = Passing
			}
		}
		return func() {
			if shown == Missing && sent.After(n.asked) {
				n.registered = false
				if !n.keeping {
					n.keep()
				}
			}
			next()
			n.step(Read{Sent: sent, Shows: shown})
		}
	}, next)
}

// poll looks at all nodes now and then, beside what is watched.
func (n *node) poll() {
	n.watched()
	n.after(n.sooner(n.w.set.TTL/8), n.poll)
}

// watched has a node see what the servers know.
func (n *node) watched() {
	if !n.alive || n.agent.off > 0 || n.agent.away > 0 || n.w.consul.down > 0 {
		return
	}
	seen := maps.Clone(n.w.consul.servers)
	index := n.w.number // it rises, as an index does
	n.w.send(n.hear(func() {
		if index > n.index {
			n.index = index
			n.observe(seen)
		}
	}))
}

// observe acts upon what the servers know, at once where that is allowed at all.
func (n *node) observe(seen map[messages.Incarnation]entry) {
	if !seen[n.self].passing || n.lease.State() != Held {
		clear(n.bad)
		return
	}
	changed := false
	for _, other := range n.w.nodes {
		for life := 1; life <= other.life; life++ {
			id := messages.Incarnation(fmt.Sprintf("n%d/%03d", other.at, life))
			if !slices.Contains(n.members, id) && seen[id].passing && life == other.life {
				n.members = slices.DeleteFunc(n.members, func(m messages.Incarnation) bool { return m.Node() == id.Node() })
				n.members = append(n.members, id)
				changed = true
			}
		}
	}
	for _, m := range slices.Clone(n.members) {
		e, known := seen[m]
		if e.passing {
			delete(n.bad, m)
		} else if n.bad[m].IsZero() {
			n.bad[m] = n.clock()
		}
		gone := known && !e.passing && (n.w.hasty || !n.linked(m)) ||
			!e.passing && n.clock().Sub(n.bad[m]) > n.w.set.TTL+n.w.set.Margin
		if gone && n.lease.MayRemove(n.clock()) {
			n.remove(m, e)
			changed = true
		}
	}
	if changed {
		n.step(Topology{Members: n.members})
	}
}

// linked tells whether there is a link to another node, as far as the node can know.
func (n *node) linked(m messages.Incarnation) bool {
	return slices.ContainsFunc(n.w.nodes, func(other *node) bool {
		return other.self == m && other.alive && !other.paused && n.w.apart[[2]int{n.at, other.at}] == 0
	})
}

// remove takes over from another node.
func (n *node) remove(m messages.Incarnation, e entry) {
	n.members = slices.DeleteFunc(n.members, func(o messages.Incarnation) bool { return o == m })
	delete(n.bad, m)
	n.w.notef("%s removes %s", n.self, m)
	n.w.count("removed")
	if n.w.taken[m] != nil {
		return
	}
	for _, other := range n.w.nodes {
		if other.self != m {
			continue
		}
		if other.alive && !n.w.mayExit(other.at) {
			n.w.failf("%s removes %s, which lives", n.self, m)
		}
		n.w.taken[m] = &takeover{by: n.at, excused: other.excuse(n.at, e)}
		other.check()
	}
}

// inquire asks the peers.
func (n *node) inquire(a Ask) {
	answers := map[int]Testimony{}
	sent, open, hear := n.clock(), true, n.hearer()
	finish := func() {
		if !open {
			return
		}
		open = false
		said, vouched := []Testimony{}, []int{}
		for _, peer := range n.w.nodes { // in an order that does not change
			if t, ok := answers[peer.at]; ok {
				said, vouched = append(said, t), append(vouched, peer.at)
			}
		}
		answered := Answered{Number: a.Number, Said: said}
		would := *n.lease
		would.Step(answered, n.clock())
		if !would.inquiry.lost.Equal(n.lease.inquiry.lost) {
			n.vouched = vouched
		}
		n.step(answered)
	}
	waits := len(a.Peers)
	for _, peer := range n.w.nodes {
		if !slices.Contains(a.Peers, peer.self) || n.w.apart[[2]int{n.at, peer.at}] > 0 {
			continue
		}
		n.w.send(peer.hear(func() {
			dated, seen, hurry := peer.lease.Testify(peer.clock())
			if hurry {
				peer.hurry()
			}
			age := peer.clock().Sub(dated)
			if n.w.apart[[2]int{peer.at, n.at}] > 0 {
				return
			}
			n.w.send(hear(func() {
				t := Testimony{Node: peer.self, Answered: true, Seen: seen}
				if seen {
					t.Dated = sent.Add(-age)
				}
				answers[peer.at] = t
				if len(answers) == waits {
					finish()
				}
			}))
		}))
	}
	n.after(a.Within, finish)
}
