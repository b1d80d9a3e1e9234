package simulation

import (
	"maps"
	"time"

	"github.com/holdfast-run/holdfast/cluster/lease"
	"github.com/holdfast-run/holdfast/cluster/topology"
	"github.com/holdfast-run/holdfast/messages"
)

// node is a process: the step functions that decide, and a shell round them, as that of the product is.
type node struct {
	w      *world
	at     int
	agent  *agent
	offset time.Duration // of its clock
	rate   float64       // of its clock

	life    int // rises with each start
	alive   bool
	paused  bool
	halted  bool     // it was paused in this life
	inbox   []func() // what came while it was paused
	since   time.Duration
	self    messages.Incarnation
	lease   *lease.Lease
	top     *topology.Topology
	journal connection
	marks   map[messages.Incarnation]uint64 // the last confirmed batches of all nodes, as far as it knows
	owner   owner

	index                     int // of the last answer about all nodes
	registered                bool
	asked                     time.Time // when it was last asked to be registered
	retry                     time.Duration
	keeps, proves             int // how often the two loops have turned
	keeping, proving, hurried bool
	again                     bool // it is to be read once more after this time
}

var epoch = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)

// clock is the time of the node.
func (n *node) clock() time.Time { return epoch.Add(n.offset + time.Duration(float64(n.w.now)*n.rate)) }

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
	n.alive, n.paused, n.halted, n.inbox, n.since = true, false, false, nil, n.w.now
	n.self = incarnation(n.at, n.life)
	n.journal = connection{n: n, cut: n.journal.cut, proved: -1}
	n.marks = map[messages.Incarnation]uint64{}
	n.index, n.registered, n.retry, n.keeping, n.proving, n.hurried, n.again = 0, false, 0, false, false, false, false
	var err error
	if n.lease, err = lease.New(n.self, lease.Settings{TTL: ttl}); err != nil {
		panic(err)
	}
	if n.top, err = topology.New(topology.Config{Self: n.self, TTL: ttl}); err != nil {
		panic(err)
	}
	n.owner = owner{n: n}
	n.keep()
	n.after(n.w.upTo(ttl/4), n.prove)
	n.poll()
	n.after(n.w.upTo(time.Second), n.second)
}

// die ends the process; it is started again after a while.
func (n *node) die(again time.Duration) {
	if n.alive {
		n.alive = false
		n.w.after(again, n.start)
	}
}

// restarts is how long a supervisor takes.
const restarts = 500 * time.Millisecond

func (n *node) pause(d time.Duration) {
	if !n.alive || n.paused {
		return
	}
	life := n.life
	n.paused, n.halted = true, true
	midway := n.owner.midway()
	n.w.after(d, func() {
		if n.life != life || !n.alive {
			return
		}
		n.paused = false
		midway()
		inbox := n.inbox
		n.inbox = nil
		n.w.chance.Shuffle(len(inbox), func(i, j int) { inbox[i], inbox[j] = inbox[j], inbox[i] })
		for _, do := range inbox {
			do()
		}
	})
}

// linked tells whether messages go to another node.
func (n *node) linked(other *node) bool {
	return other.alive && n.w.apart[n.at][other.at] == 0 && n.w.apart[other.at][n.at] == 0
}

// step takes an input of the lease, and does what comes of it.
func (n *node) step(in lease.Input) {
	before := n.lease.State()
	for _, o := range n.lease.Step(in, n.clock()) {
		switch o := o.(type) {
		case lease.Ask:
			n.inquire(o)
		case lease.Hurry:
			n.hurry()
		case lease.Exit:
			n.exits(o.Reason)
			return
		default: // MayDispatch and State say the rest
		}
	}
	after := n.lease.State()
	n.w.report.bite(ConsulLost, after == lease.Frozen && before != lease.Frozen && n.w.consul.down > 0)
	if next, due := n.lease.Next(); due {
		n.after(next.Sub(n.clock())+time.Microsecond, func() {
			if again, due := n.lease.Next(); due && again.Equal(next) {
				n.step(lease.Tick{})
			}
		})
	}
}

func (n *node) exits(reason lease.Reason) {
	n.w.report.Exits++
	n.w.report.bite(CutOff, reason == lease.CutOff)
	n.w.report.bite(Isolated, reason == lease.NoQuorum)
	n.w.report.bite(Paused, n.halted && reason == lease.Late)
	n.die(restarts)
}

// inquire asks the peers.
func (n *node) inquire(a lease.Ask) {
	sent, open, hear := n.clock(), true, n.hearer()
	said := []lease.Testimony{}
	finish := func() {
		if open {
			open = false
			n.step(lease.Answered{Number: a.Number, Said: said})
		}
	}
	for _, peer := range n.w.nodes {
		if peer == n || !n.linked(peer) {
			continue
		}
		n.w.send(peer.hear(func() {
			dated, seen, hurry := peer.lease.Testify(peer.clock())
			if hurry {
				peer.hurry()
			}
			t := lease.Testimony{Node: peer.self, Answered: true, Seen: seen, Dated: sent.Add(dated.Sub(peer.clock()))}
			if !peer.linked(n) {
				return
			}
			n.w.send(hear(func() {
				if said = append(said, t); len(said) == len(a.Peers) {
					finish()
				}
			}))
		}))
	}
	n.after(a.Within, finish)
}

// second is what a node does each second beside all else: it looks at the journal, and tells how far its own batches are.
func (n *node) second() {
	for _, peer := range n.w.nodes {
		if peer == n {
			continue
		}
		up := n.linked(peer) && !peer.paused
		n.top.Step(topology.Link{Incarnation: peer.self, Up: up}, n.clock())
		if marks := n.marks; n.linked(peer) {
			told := maps.Clone(marks)
			n.w.send(peer.hear(func() { peer.learn(told) }))
		}
	}
	self, mark := n.self, n.marks[n.self]
	n.call(true, func() func() {
		n.w.consul.marks[self] = max(n.w.consul.marks[self], mark)
		return func() {}
	}, func() {})
	n.journal.prove()
	n.owner.look()
	n.after(time.Second, n.second)
}

// learn takes over what is known of confirmed batches.
func (n *node) learn(marks map[messages.Incarnation]uint64) {
	for by, mark := range marks {
		n.marks[by] = max(n.marks[by], mark)
	}
}

// confirm notes that the journal has confirmed a batch to this life of the node.
func (n *node) confirm(self messages.Incarnation, o outcome, batch uint64) {
	if n.alive && n.self == self && o == done {
		n.marks[n.self] = max(n.marks[n.self], batch)
	}
}

// readMarks reads what was published, and goes on if that could be done. A node that has just started hears its peers first.
func (n *node) readMarks(then func()) {
	if n.w.now-n.since < 2*time.Second {
		return
	}
	n.call(true, func() func() {
		read := maps.Clone(n.w.consul.marks)
		return func() {
			n.learn(read)
			then()
		}
	}, func() {})
}
