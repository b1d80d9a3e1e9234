package simulation

import (
	"time"

	"github.com/holdfast-run/holdfast/cluster/lease"
	"github.com/holdfast-run/holdfast/cluster/topology"
	"github.com/holdfast-run/holdfast/messages"
)

// How often a node does what, and how long it waits: as package consul does.
const (
	refreshEvery = ttl / 3
	readEvery    = ttl / 4
	pollEvery    = ttl / 4
	callFor      = ttl / 2
)

// call asks Consul, by the agent, and of it the servers if need be.
func (n *node) call(servers bool, ask func() (heard func()), failed func()) {
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
		lost := servers && !n.agent.reaches()
		switch {
		case over:
		case lost && n.w.often(2):
			n.w.send(once(failed))
		case lost: // the agent tries again
			n.w.after(n.w.upTo(400*time.Millisecond), arrive)
		default:
			n.w.send(once(ask()))
		}
	}
	n.w.send(arrive)
	n.after(callFor, once(failed))
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
	if !n.lease.MayRenew(n.clock()) {
		n.later(&n.keeps, n.sooner(refreshEvery), n.keep)
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
		n.retry = min(max(2*n.retry, 100*time.Millisecond), refreshEvery)
		n.later(&n.keeps, n.retry+n.w.upTo(n.retry/2), n.keep)
	}
	n.call(false, func() func() {
		known := n.agent.refresh(self, register)
		return func() {
			if !known {
				n.registered = false
				again()
				return
			}
			n.keeping, n.retry = false, 0
			if n.registered {
				n.later(&n.keeps, n.sooner(refreshEvery), n.keep)
			} else { // it was missed meanwhile
				n.later(&n.keeps, 0, n.keep)
			}
			hurried := n.hurried
			n.hurried = false
			n.step(lease.Renewed{Sent: sent})
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
	sent, self := n.clock(), n.self
	n.proving = true
	next := func() {
		n.proving = false
		pause := n.sooner(readEvery) - n.clock().Sub(sent)
		if n.again {
			n.again, pause = false, 0
		}
		n.later(&n.proves, pause, n.prove)
	}
	n.call(true, func() func() {
		shows := lease.Missing
		if e, known := n.w.consul.servers[self]; known {
			if shows = lease.Critical; e.passing {
				shows = lease.Passing
			}
		}
		return func() {
			if shows == lease.Missing && sent.After(n.asked) {
				n.w.report.bite(Wiped, n.registered && !n.keeping)
				n.registered = false
				if !n.keeping {
					n.keep()
				}
			}
			n.w.report.bite(AgentRestarted, shows == lease.Critical)
			next()
			n.step(lease.Read{Sent: sent, Shows: shows})
		}
	}, next)
}

// poll looks at all nodes now and then, beside what is watched.
func (n *node) poll() {
	n.watched()
	n.after(n.sooner(pollEvery), n.poll)
}

// watched has a node see what the servers know.
func (n *node) watched() {
	if !n.alive {
		return
	}
	if !n.agent.reaches() {
		n.w.send(n.hear(func() { n.top.Step(topology.Failed{}, n.clock()) }))
		return
	}
	sent, index := n.clock(), n.w.consul.index
	var seen []topology.Instance
	for _, other := range n.w.nodes {
		for life := max(1, other.life-1); life <= other.life; life++ {
			id := incarnation(other.at, life)
			if e, known := n.w.consul.servers[id]; known {
				state := topology.Critical
				if e.passing {
					state = topology.Passing
				}
				seen = append(seen, topology.Instance{Incarnation: id, State: state, Announcement: topology.Announcement{Weight: 1}})
			}
		}
	}
	n.w.send(n.hear(func() {
		a := topology.Answer{Sent: sent, Received: n.clock(), Fell: index < n.index, Instances: seen}
		a.MayRemove = n.lease.MayRemove(a.Received)
		n.index = index
		n.follow(n.top.Step(a, a.Received))
	}))
}

// follow tells the lease of the members, and has partitions go where they are to be.
func (n *node) follow(changes []topology.Change) {
	if len(changes) == 0 {
		return
	}
	var members []messages.Incarnation
	for _, m := range n.top.Members() {
		members = append(members, m.Incarnation)
	}
	n.step(lease.Topology{Members: members})
	if n.alive {
		n.owner.instead = [partitions]bool{}
		n.owner.place()
	}
}
