package simulation

import (
	"maps"
	"slices"
	"time"

	"github.com/holdfast-run/holdfast/messages"
)

// consul is the servers, and what nodes have published there.
type consul struct {
	w       *world
	down    int // how many faults keep them from answering
	index   int
	servers map[messages.Incarnation]entry
	marks   map[messages.Incarnation]uint64
}

// entry is what the servers know of a registration.
type entry struct{ passing bool }

// agent is the agent of Consul beside a node. It survives the node.
type agent struct {
	w      *world
	checks map[messages.Incarnation]*check
	rate   float64
	away   int // how many faults keep it from the servers
}

type check struct {
	passing bool
	renewed int // how many times; what would end it is about one of them
}

// reaches tells whether the servers answer an agent.
func (a *agent) reaches() bool { return a.away == 0 && a.w.consul.down == 0 }

// refresh is what an agent does for its node; false: it does not know the check.
func (a *agent) refresh(id messages.Incarnation, register bool) bool {
	c := a.checks[id]
	if c == nil {
		if !register {
			return false
		}
		c = &check{}
		a.checks[id] = c
	}
	c.renewed++
	this, news := c.renewed, !c.passing
	c.passing = true
	a.w.after(time.Duration(float64(ttl)/a.rate), func() {
		if c.renewed == this && c.passing {
			c.passing = false
			a.sync(id)
		}
	})
	if _, known := a.w.consul.servers[id]; news || !known {
		a.sync(id)
	}
	return true
}

// restart has an agent forget how its checks were.
func (a *agent) restart() {
	for _, id := range slices.Sorted(maps.Keys(a.checks)) {
		c := a.checks[id]
		c.passing = false
		c.renewed++
		a.sync(id)
	}
}

// sync tells the servers of a check, again and again, until they have heard it.
func (a *agent) sync(id messages.Incarnation) {
	a.w.after(a.w.upTo(10*time.Millisecond), func() {
		c := a.checks[id]
		switch {
		case c == nil:
		case !a.reaches():
			a.w.after(200*time.Millisecond, func() { a.sync(id) })
		default:
			a.w.consul.set(id, entry{c.passing})
		}
	})
}

// leave has the servers not hear of an agent for a time; they notice, but not before one TTL.
func (a *agent) leave(d time.Duration) {
	a.away++
	until := a.w.now + d
	a.w.after(ttl+a.w.upTo(ttl), func() {
		if a.w.now >= until || a.w.consul.down > 0 {
			return
		}
		for _, id := range slices.Sorted(maps.Keys(a.checks)) {
			if _, known := a.w.consul.servers[id]; known {
				a.w.consul.set(id, entry{})
			}
		}
	})
	a.w.after(d, func() {
		a.away--
		for _, id := range slices.Sorted(maps.Keys(a.checks)) {
			a.sync(id)
		}
	})
}

// set has the servers know something, and tell it to all that watch.
func (c *consul) set(id messages.Incarnation, e entry) {
	if was, known := c.servers[id]; !known || was != e {
		c.servers[id] = e
		c.changed()
	}
}

func (c *consul) changed() {
	c.index++
	for _, n := range c.w.nodes {
		n.watched()
	}
}

// wipe has Consul forget everything.
func (c *consul) wipe() {
	clear(c.servers)
	clear(c.marks)
	for _, n := range c.w.nodes {
		clear(n.agent.checks)
	}
	c.index = 0
	c.changed()
}
