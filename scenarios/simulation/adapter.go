package simulation

import (
	"time"

	"github.com/holdfast-run/holdfast/messages"
)

// key is the idempotency key of a task: an order, and the version that has it scheduled.
type key struct{ order, version int }

// task is what a node gives an adapter.
type task struct {
	partition messages.Partition
	epoch     messages.Epoch
	key       key
}

// adapter executes tasks. Its ledger and what it did downstream survive it.
type adapter struct {
	w     *world
	at    int
	alive bool
	life  int
	cut   [nodes]int // how many faults cut it off from each node
	// highest is the highest epoch of each partition that it has seen.
	highest [partitions]messages.Epoch
	done    map[key]bool
	runs    map[key]int // which of its lives has begun it
	applied [orders][steps]int
}

// adapterOf is the one whose ledger has an order: a task goes to the same again.
func (w *world) adapterOf(order int) *adapter { return w.adapters[order/partitions%adapters] }

// send brings a task.
func (a *adapter) send(from *node, t task) {
	life := from.life
	a.w.send(func() {
		if a.alive && a.cut[from.at] == 0 {
			a.take(from, life, t)
		}
	})
}

// take executes a task, unless somebody else owns its partition, or it was executed before.
func (a *adapter) take(from *node, life int, t task) {
	if t.epoch < a.highest[t.partition] {
		a.w.report.bite(MessagesLate, a.w.late > 0)
		a.w.report.Refused++
		return
	}
	a.highest[t.partition] = t.epoch
	began, known := a.runs[t.key]
	switch {
	case a.done[t.key]:
		a.answer(from, life, t.key)
		return
	case known && began == a.life:
		return // it runs
	case known: // by a process that died: what it did is asked for downstream
		a.w.report.bite(AdapterKilled, true)
	}
	a.runs[t.key] = a.life
	this := a.life
	a.w.after(10*time.Millisecond+a.w.upTo(ttl), func() {
		if !a.alive || a.life != this {
			return
		}
		if !known || a.applied[t.key.order][t.key.version-1] == 0 {
			a.applied[t.key.order][t.key.version-1]++
		}
		if a.applied[t.key.order][t.key.version-1] > 1 {
			a.w.failf("the task %+v was executed twice", t)
		}
		a.done[t.key] = true
		a.answer(from, life, t.key)
	})
}

func (a *adapter) answer(to *node, life int, k key) {
	if a.w.lost() {
		return
	}
	a.w.send(func() {
		if to.life == life && a.cut[to.at] == 0 {
			to.hear(func() { to.result(k) })()
		}
	})
}

// die ends the process, and starts it again.
func (a *adapter) die(again time.Duration) {
	if !a.alive {
		return
	}
	a.alive = false
	a.w.after(again, func() {
		a.alive = true
		a.life++
	})
}
