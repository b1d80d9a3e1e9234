package simulation

import (
	"maps"
	"slices"
	"time"

	"github.com/holdfast-run/holdfast/actors/partition"
	"github.com/holdfast-run/holdfast/messages"
)

// sorted are the orders of a partition that are in memory, in an order that does not change.
func (o *owner) sorted(p messages.Partition) []*work {
	all := make([]*work, 0, len(o.works[p]))
	for _, order := range slices.Sorted(maps.Keys(o.works[p])) {
		all = append(all, o.works[p][order])
	}
	return all
}

// read reads how far the orders of a partition are that have not ended.
func (o *owner) read(p messages.Partition, heard func(open map[int]int)) {
	var open map[int]int
	o.n.journal.ask(func(db *database) outcome {
		open = map[int]int{}
		for order := int(p); order < orders; order += partitions {
			if version := len(db.orders[order]); version > 0 && version < steps {
				open[order] = version
			}
		}
		return done
	}, func(got outcome) {
		if got != done {
			open = nil
		}
		heard(open)
	})
}

// recover reads what is open in a partition that this node has just claimed.
func (o *owner) recover(p messages.Partition, epoch messages.Epoch) {
	o.read(p, func(open map[int]int) {
		l := &o.cycles[p]
		switch {
		case l.Epoch != epoch || l.Phase != partition.Recovering:
		case open == nil: // the journal does not answer: it is waited for
			o.n.after(200*time.Millisecond, func() { o.recover(p, epoch) })
		default:
			o.take(p, open)
			o.step(p, partition.Recovered{Epoch: epoch})
		}
	})
}

// intake takes up what was accepted since.
func (o *owner) intake(p messages.Partition) {
	epoch := o.cycles[p].Epoch
	if o.phase(p) != partition.Owning {
		return
	}
	o.read(p, func(open map[int]int) {
		if l := &o.cycles[p]; l.Epoch == epoch && l.Phase == partition.Owning {
			maps.DeleteFunc(open, func(_, version int) bool { return version > 1 }) // those are here
			o.take(p, open)
		}
	})
}

func (o *owner) take(p messages.Partition, open map[int]int) {
	for order, version := range open {
		if o.works[p][order] == nil {
			o.works[p][order] = &work{order: order, version: version}
		}
	}
}

// advance does the next thing about an order, if it is time, and the lease allows it.
func (o *owner) advance(p messages.Partition, w *work) {
	n := o.n
	if w.busy || w.version == steps || o.phase(p) != partition.Owning || !n.lease.MayDispatch(n.clock()) {
		return
	}
	if w.version%2 == 1 {
		o.commit(p, w)
		return
	}
	if w.sent > 0 && n.w.now-w.sent < time.Second {
		return
	}
	n.w.report.bite(AdapterCut, w.sent > 0 && n.w.adapterOf(w.order).cut[n.at] > 0)
	o.dispatch(p, w)
}

// midway returns what this node is in the middle of: it has asked the lease, and has not done it yet.
func (o *owner) midway() func() {
	var doing []func()
	for p := range messages.Partition(partitions) {
		for _, w := range o.sorted(p) {
			if w.busy || w.version == steps || o.phase(p) != partition.Owning || !o.n.lease.MayDispatch(o.n.clock()) {
				continue
			}
			if w.version%2 == 1 {
				doing = append(doing, func() { o.commit(p, w) })
			} else {
				doing = append(doing, func() { o.dispatch(p, w) })
			}
		}
	}
	return func() {
		for _, do := range doing {
			do()
		}
	}
}

// dispatch sends the task of an order to its adapter.
func (o *owner) dispatch(p messages.Partition, w *work) {
	w.sent = o.n.w.now
	o.n.w.adapterOf(w.order).send(o.n, task{p, o.cycles[p].Epoch, key{w.order, w.version}})
}

// commit appends the next event of an order: that a call begins, or what came of it.
func (o *owner) commit(p messages.Partition, w *work) {
	n := o.n
	if w.record.id == 0 {
		n.w.journal.record++
		w.record = record{n.w.journal.record, n.self, o.cycles[p].Epoch}
	}
	w.busy = true
	r, next := w.record, w.version+1
	n.journal.ask(func(db *database) outcome {
		again := len(db.orders[w.order]) >= next && db.orders[w.order][next-1].id == r.id
		n.w.report.bite(Promoted, again && n.w.journal.server > 0)
		got := db.append(n.w, w.order, next, r)
		if got == incarnationFenced {
			n.w.report.Fenced++
			n.w.report.bite(Paused, n.halted)
		}
		return got
	}, func(got outcome) {
		if o.works[p][w.order] != w || o.cycles[p].Epoch != r.epoch {
			return
		}
		w.busy = false
		switch got {
		case done:
			n.w.confirm(w.order, next, r)
			w.version, w.record, w.sent = next, record{}, 0
			o.advance(p, w)
		case incarnationFenced:
			o.fatal()
			return
		case conflict:
			n.w.failf("%s, which owns partition %d under epoch %d, has a conflict at version %d of order %d", n.self, p, r.epoch, next, w.order)
		default: // nobody knows, or nothing was done: the same record is committed again when it is looked at next, and the version decides
			n.w.report.bite(JournalLost, n.w.journal.down > 0)
			n.w.report.bite(JournalCut, n.journal.cut > 0)
		}
		o.drained(p)
	})
}

// result takes what came of a task.
func (n *node) result(k key) {
	p := partitionOf(k.order)
	w := n.owner.works[p][k.order]
	if n.owner.phase(p) != partition.Owning || w == nil || w.version != k.version || w.busy {
		n.w.report.bite(MessagesLate, n.w.late > 0)
		return
	}
	n.owner.commit(p, w)
}

// accept makes an order durable, as any node may, and tells the client.
func (n *node) accept(o int) {
	n.w.journal.record++
	r := record{id: n.w.journal.record, by: n.self}
	n.journal.ask(func(db *database) outcome { return db.append(n.w, o, 1, r) }, func(got outcome) {
		if got == done {
			n.w.send(func() { n.w.accepted[o] = true })
		}
	})
}

// confirm notes that a node was told that a record is in the journal.
func (w *world) confirm(o, version int, r record) {
	if was := w.confirmed[o][version-1]; was.id != 0 && was.id != r.id {
		w.failf("version %d of order %d was confirmed twice: %+v and %+v", version, o, was, r)
	}
	w.confirmed[o][version-1] = r
}

// takeOver notes that a node is fenced, because it is gone.
func (w *world) takeOver(who messages.Incarnation) {
	w.report.TakenOver++
	for _, n := range w.nodes {
		w.report.bite(Killed, n.self.Node() == who.Node() && (n.self != who || !n.alive))
	}
}
