package simulation

import (
	"maps"
	"slices"
	"time"

	"github.com/holdfast-run/holdfast/messages"
)

// record is an event of an order, with a name of its own: two of one version are two commits.
type record struct {
	id    uint64
	by    messages.Incarnation
	epoch messages.Epoch
}

// owned is who owns a partition; empty: nobody.
type owned struct {
	epoch messages.Epoch
	by    messages.Incarnation
}

// database is what a journal stores, and what it decides.
type database struct {
	owners [partitions]owned
	fenced map[messages.Incarnation]bool
	orders [orders][]record
	// batches is the number of the last batch of each incarnation: a watermark.
	batches map[messages.Incarnation]uint64
}

func newDatabase() *database {
	return &database{fenced: map[messages.Incarnation]bool{}, batches: map[messages.Incarnation]uint64{}}
}

// copied is a standby that hears of nothing from now on.
func (d *database) copied() *database {
	c := &database{owners: d.owners, fenced: maps.Clone(d.fenced), batches: maps.Clone(d.batches)}
	for o, records := range d.orders {
		c.orders[o] = slices.Clone(records)
	}
	return c
}

// lacks tells whether batches are missing that were confirmed.
func (d *database) lacks(marks map[messages.Incarnation]uint64) bool {
	for by, mark := range marks {
		if d.batches[by] < mark {
			return true
		}
	}
	return false
}

// outcome is what a database answers to a write.
type outcome int

const (
	done    outcome = iota + 1
	unknown         // nobody can say
	refused         // nothing was done, as the journal was not asked
	conflict
	fenced            // the partition belongs to somebody else
	incarnationFenced // the node will never own anything again
)

// partitionOf is the partition of an order.
func partitionOf(o int) messages.Partition { return messages.Partition(o % partitions) } //nolint:gosec // there are few

// append commits an event of an order. Version 1, the acceptance, needs no right to. Of others only the fence of the incarnation is looked
// at, as PostgreSQL does: what a node has released it does not commit to, as all that it sends arrives in order.
func (d *database) append(w *world, o, version int, r record) outcome {
	records := d.orders[o]
	switch {
	case version > 1 && d.fenced[r.by]:
		return incarnationFenced
	case len(records) >= version && (records[version-1].id == r.id || version == 1): // an acceptance of the same content is one
		return done
	case len(records) != version-1:
		return conflict
	}
	d.orders[o] = append(records, r)
	d.batches[r.by]++
	if was := w.made[o][version-1]; was.id != 0 && was.id != r.id {
		w.failf("version %d of order %d was committed twice: %+v and %+v", version, o, was, r)
	}
	w.made[o][version-1] = r
	w.report.Commits++
	return done
}

// claim makes an incarnation the owner of those partitions that are free and have the epoch that was seen. Those of whom is fenced are.
func (d *database) claim(by messages.Incarnation, seen map[messages.Partition]messages.Epoch) map[messages.Partition]messages.Epoch {
	claimed := map[messages.Partition]messages.Epoch{}
	for p, epoch := range seen {
		if o := &d.owners[p]; o.epoch == epoch && (o.by == "" || o.by == by || d.fenced[o.by]) {
			o.epoch++
			o.by = by
			claimed[p] = o.epoch
		}
	}
	d.batches[by]++
	return claimed
}

// journal is the servers of a database.
type journal struct {
	w  *world
	db *database // that of the primary
	// server rises when another server is the primary: what was under way is done before, or never.
	server int
	down   int // how many faults keep it from answering
	record uint64
	// lacking: a standby was set apart that is to be promoted, or is the primary.
	lacking bool
}

// promote makes another server the primary.
func (j *journal) promote(db *database) {
	j.server++
	j.db = db
}

// lagging promotes a standby that lacks commits, and later the right one. Only if all nodes can know better: else it lacks nothing
// that anybody was told.
func (j *journal) lagging(d time.Duration) {
	if j.lacking {
		return
	}
	standby := j.db.copied()
	j.lacking = true
	j.w.after(ttl, func() {
		known := standby.lacks(j.w.consul.marks)
		for _, n := range j.w.nodes {
			known = known && (!n.alive || standby.lacks(n.marks))
		}
		if !known {
			j.lacking = false
			return
		}
		right := j.db
		j.w.report.inject(Lacking)
		j.promote(standby)
		j.w.after(d, func() {
			j.lacking = false
			j.promote(right)
		})
	})
}

// connection is a node's way to the journal. What it sends arrives in order.
type connection struct {
	n      *node
	cut    int           // how many faults cut it off
	last   time.Duration // when what was sent last arrives
	proved int           // the server that has been proved to lack nothing
}

// usable tells whether the server may be used.
func (c *connection) usable() bool { return c.proved == c.n.w.journal.server }

// ask has something done by the database. What it answers is heard, or after a while that nobody knows.
func (c *connection) ask(do func(db *database) outcome, heard func(outcome)) {
	n, w := c.n, c.n.w
	if !c.usable() {
		w.after(quick, n.hear(func() { heard(refused) }))
		return
	}
	over, server, self, hear := false, w.journal.server, n.self, n.hearer()
	once := func(o outcome) func() {
		return hear(func() {
			if !over {
				over = true
				heard(o)
			}
		})
	}
	c.last = max(c.last, w.now+w.delay())
	w.after(c.last-w.now, func() {
		if c.cut > 0 || w.journal.down > 0 || w.journal.server != server {
			return
		}
		o := do(w.journal.db)
		if batch := w.journal.db.batches[self]; !w.lost() {
			w.send(func() {
				if c.cut == 0 && w.journal.server == server {
					once(o)()
					n.confirm(self, o, batch)
				}
			})
			return
		}
		w.report.bite(AnswersLost, o == done)
	})
	w.after(answer, once(unknown))
}

// prove finds out whether the server that answers now has all that was confirmed, by what this node, its peers, and Consul know.
func (c *connection) prove() {
	n, j := c.n, c.n.w.journal
	if c.usable() || c.cut > 0 || j.down > 0 {
		return
	}
	server := j.server
	n.readMarks(func() {
		switch {
		case c.cut > 0 || j.down > 0 || j.server != server:
		case j.db.lacks(n.marks):
			n.w.report.bite(Lacking, true)
		default:
			c.proved = server
		}
	})
}
