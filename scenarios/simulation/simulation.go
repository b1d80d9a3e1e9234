package simulation

import (
	"fmt"
	"time"

	"github.com/holdfast-run/holdfast/actors/partition"
	"github.com/holdfast-run/holdfast/cluster/lease"
	"github.com/holdfast-run/holdfast/messages"
)

// Report is what happened in some worlds.
type Report struct {
	Worlds int
	// Injected has how many faults of each kind there were, Bit how often what such a fault can do has happened.
	Injected, Bit map[Kind]int
	// Commits are the events that the journal took, Exits the nodes that ended as their lease was over, TakenOver those that were
	// fenced as they were gone, Fenced the commits that were refused for it, Refused the tasks that adapters refused, as a newer owner
	// had come.
	Commits, Exits, TakenOver, Fenced, Refused int
	// Slowest is the longest that it took until all was well after the last fault.
	Slowest time.Duration
}

// NewReport is one of no world.
func NewReport() *Report { return &Report{Injected: map[Kind]int{}, Bit: map[Kind]int{}} }

func (r *Report) inject(k Kind) { r.Injected[k]++ }

// bite notes that something happened that a kind of fault is there for.
func (r *Report) bite(k Kind, happened bool) {
	if happened {
		r.Bit[k]++
	}
}

// Add adds another report.
func (r *Report) Add(other *Report) {
	r.Worlds += other.Worlds
	for k, n := range other.Injected {
		r.Injected[k] += n
	}
	for k, n := range other.Bit {
		r.Bit[k] += n
	}
	r.Commits, r.Exits, r.TakenOver = r.Commits+other.Commits, r.Exits+other.Exits, r.TakenOver+other.TakenOver
	r.Fenced, r.Refused = r.Fenced+other.Fenced, r.Refused+other.Refused
	r.Slowest = max(r.Slowest, other.Slowest)
}

// Idle are the kinds of faults that were not injected, or had none of the effects that they are there for.
func (r *Report) Idle() []Kind {
	var idle []Kind
	for _, k := range Kinds() {
		if r.Injected[k] == 0 || r.Bit[k] == 0 {
			idle = append(idle, k)
		}
	}
	return idle
}

// Kinds are all kinds of faults.
func Kinds() []Kind {
	kinds := []Kind{ClaimUnsure} // it comes with AnswersLost
	for _, f := range faults {
		kinds = append(kinds, f.kind)
	}
	return kinds
}

// Run runs the world of a seed. The error says what went wrong in it that must not.
func Run(seed uint64) (*Report, error) {
	w := newWorld(seed)
	w.report.Worlds = 1
	end := w.inject()
	w.run(end)
	why := "nothing was looked at"
	for w.failure == nil && why != "" {
		if w.now > end+heal {
			w.failf("%v after the last fault: %s", heal, why)
			break
		}
		w.run(w.now + 500*time.Millisecond)
		why = w.unwell()
	}
	w.report.Slowest = w.now - end
	w.proveHistory()
	if w.failure != nil {
		return w.report, fmt.Errorf("seed %d: %w", seed, w.failure)
	}
	return w.report, nil
}

// unwell says what is not as it is to be in the end; empty: all is well.
func (w *world) unwell() string {
	for _, n := range w.nodes {
		if !n.alive || n.lease.State() != lease.Held {
			return fmt.Sprintf("%s does not hold its lease", n.self)
		}
	}
	for p := range messages.Partition(partitions) {
		owner := w.journal.db.owners[p]
		owning := 0
		for _, n := range w.nodes {
			l := &n.owner.cycles[p]
			if l.Phase == partition.Owning && n.self == owner.by && l.Epoch == owner.epoch {
				owning++
			}
		}
		if owning != 1 || w.journal.db.fenced[owner.by] {
			return fmt.Sprintf("partition %d, of which %q is the owner under epoch %d, is owned by %d nodes", p, owner.by, owner.epoch, owning)
		}
	}
	for o, accepted := range w.accepted {
		if !accepted || len(w.journal.db.orders[o]) < steps {
			return fmt.Sprintf("order %d, accepted: %v, is at version %d", o, accepted, len(w.journal.db.orders[o]))
		}
	}
	return ""
}

// proveHistory checks that the journal has all that anybody was told of.
func (w *world) proveHistory() {
	for o, records := range w.journal.db.orders {
		for i, r := range records {
			if c := w.confirmed[o][i]; c.id != 0 && c.id != r.id {
				w.failf("version %d of order %d was confirmed as %+v, and is %+v", i+1, o, c, r)
			}
			if i > 0 && r.epoch < records[i-1].epoch {
				w.failf("version %d of order %d is of epoch %d, and follows one of epoch %d", i+1, o, r.epoch, records[i-1].epoch)
			}
		}
		for i := len(records); i < steps; i++ {
			if c := w.confirmed[o][i]; c.id != 0 {
				w.failf("version %d of order %d was confirmed as %+v, and is not there", i+1, o, c)
			}
		}
	}
}
