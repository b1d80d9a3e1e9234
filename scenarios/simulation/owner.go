package simulation

import (
	"maps"
	"time"

	"github.com/holdfast-run/holdfast/actors/partition"
	"github.com/holdfast-run/holdfast/cluster/lease"
	"github.com/holdfast-run/holdfast/cluster/topology"
	"github.com/holdfast-run/holdfast/messages"
)

var timing = partition.Timing{
	Retry: func(failures int) time.Duration {
		return min(time.Duration(failures)*200*time.Millisecond, time.Second)
	},
	Drain: 2 * time.Second,
}

// owner is what a node has of partitions.
type owner struct {
	n      *node
	cycles [partitions]partition.Lifecycle
	works  [partitions]map[int]*work
	// idle is since when nobody has had each partition, as far as this node has seen; zero: somebody has it.
	idle [partitions]time.Time
	// again is when a partition may be wanted again that was fenced.
	again [partitions]time.Time
	// instead: this node has a partition because the desired owner did not claim it. It keeps it until the members change.
	instead [partitions]bool
	// claims are the partitions that are to be claimed.
	claims []messages.Partition
}

// work is an order in memory.
type work struct {
	order, version int
	busy           bool // a commit is under way
	record         record
	sent           time.Duration // when its task was last sent; 0: it was not
}

func (o *owner) phase(p messages.Partition) partition.Phase { return o.cycles[p].Phase }

func (o *owner) step(p messages.Partition, in partition.Input) {
	n, l := o.n, &o.cycles[p]
	if f, is := in.(partition.Fenced); is && l.Has(f.Epoch) {
		o.again[p] = n.clock().Add(time.Second)
	}
	switch l.Step(in, n.clock(), timing) {
	case partition.Nothing:
	case partition.Claim:
		if o.claims = append(o.claims, p); len(o.claims) == 1 {
			n.after(0, o.claim)
		}
	case partition.Open:
		o.works[p] = map[int]*work{}
		o.recover(p, l.Epoch)
	case partition.Drain:
		o.drained(p)
	case partition.Close:
		o.works[p] = nil
		epoch := l.Epoch
		n.after(0, func() { o.step(p, partition.Closed{Epoch: epoch}) })
	case partition.Release:
		o.release(p, l.Epoch)
	}
}

// place has partitions be wanted or not, by the placement and by who has them.
func (o *owner) place() {
	n := o.n
	if n.lease.State() != lease.Held {
		return // the placement is frozen, or nothing may be claimed
	}
	var members [nodes]bool
	for _, m := range n.top.Members() {
		for i := range members {
			members[i] = members[i] || m.Incarnation.Node() == n.w.nodes[i].self.Node()
		}
	}
	table, self := n.w.table(members), incarnation(n.at, 0)
	for p := range messages.Partition(partitions) {
		idle := time.Duration(-1)
		if !o.idle[p].IsZero() {
			idle = n.clock().Sub(o.idle[p])
		}
		mine := table.Owner(p) == self
		switch {
		case n.clock().Before(o.again[p]):
		case mine, idle >= 0 && table.MayClaim(p, self, idle):
			o.instead[p] = !mine
			o.step(p, partition.Want{})
		case !o.instead[p]:
			o.step(p, partition.Unwant{})
		}
	}
}

// look looks at who has the partitions, and takes everything on whose time has come.
func (o *owner) look() {
	n := o.n
	var owners [partitions]owned
	var dead map[messages.Incarnation]bool
	asked := o.cycles // what was claimed since the question is not in the answer
	n.journal.ask(func(db *database) outcome {
		owners, dead = db.owners, maps.Clone(db.fenced)
		return done
	}, func(got outcome) {
		if got != done {
			return
		}
		for p := range messages.Partition(partitions) {
			who := owners[p]
			l := &o.cycles[p]
			if asked[p].Phase >= partition.Recovering && asked[p].Epoch == l.Epoch && (who.epoch != l.Epoch || dead[who.by]) {
				o.step(p, partition.Fenced{Epoch: l.Epoch})
			}
			if who.by != "" && who.by != n.self {
				n.follow(n.top.Step(topology.Found{Incarnation: who.by}, n.clock()))
			}
			switch free := who.by == "" || dead[who.by] || n.top.Gone(who.by); {
			case !free:
				o.idle[p] = time.Time{}
			case o.idle[p].IsZero():
				o.idle[p] = n.clock()
			}
			o.intake(p)
		}
		o.place()
	})
	for p := range messages.Partition(partitions) {
		o.step(p, partition.Tick{})
		for _, w := range o.sorted(p) {
			o.advance(p, w)
		}
	}
}

// claim asks the journal for partitions, all at once: it reads who has them, fences those that are gone, and claims.
func (o *owner) claim() {
	n := o.n
	ps := o.claims
	o.claims = nil
	fail := func(unsure bool) {
		for _, p := range ps {
			o.step(p, partition.NotClaimed{Unsure: unsure})
		}
	}
	var owners [partitions]owned
	n.journal.ask(func(db *database) outcome {
		owners = db.owners
		return done
	}, func(got outcome) {
		if got != done || n.lease.State() != lease.Held {
			fail(true)
			return
		}
		seen, gone := map[messages.Partition]messages.Epoch{}, []messages.Incarnation{}
		for _, p := range ps {
			seen[p] = owners[p].epoch
			if by := owners[p].by; by != "" && by != n.self && n.top.Gone(by) {
				gone = append(gone, by)
			}
		}
		o.claimSeen(ps, seen, gone, fail)
	})
}

func (o *owner) claimSeen(
	ps []messages.Partition, seen map[messages.Partition]messages.Epoch, gone []messages.Incarnation, fail func(unsure bool),
) {
	n, self := o.n, o.n.self
	var claimed map[messages.Partition]messages.Epoch
	n.journal.ask(func(db *database) outcome {
		if db.fenced[self] {
			return incarnationFenced
		}
		for _, who := range gone {
			if !db.fenced[who] {
				n.w.takeOver(who)
			}
			db.fenced[who] = true
		}
		claimed = db.claim(self, seen)
		return done
	}, func(got outcome) {
		switch got {
		case incarnationFenced:
			o.fatal()
		case done:
			for _, p := range ps {
				if epoch, ok := claimed[p]; ok {
					o.step(p, partition.Claimed{Epoch: epoch})
				} else {
					o.step(p, partition.NotClaimed{})
				}
			}
		default:
			n.w.report.bite(ClaimUnsure, claimed != nil)
			fail(true)
		}
	})
}

// fatal ends the process, as it was fenced: it comes back as another incarnation.
func (o *owner) fatal() {
	o.n.die(restarts)
}

// release tells the journal that any node may have a partition.
func (o *owner) release(p messages.Partition, epoch messages.Epoch) {
	n, self := o.n, o.n.self
	n.journal.ask(func(db *database) outcome {
		if db.fenced[self] || (db.owners[p] != owned{epoch, self}) {
			return fenced
		}
		db.owners[p].by = ""
		db.batches[self]++
		return done
	}, func(got outcome) {
		if got == done || got == fenced {
			o.step(p, partition.Released{Epoch: epoch})
			return
		}
		o.step(p, partition.NotReleased{Epoch: epoch})
	})
}

// drained tells that nothing is under way in a partition that drains.
func (o *owner) drained(p messages.Partition) {
	if o.phase(p) != partition.Draining {
		return
	}
	for _, w := range o.works[p] {
		if w.busy {
			return
		}
	}
	o.step(p, partition.Drained{Epoch: o.cycles[p].Epoch})
}
