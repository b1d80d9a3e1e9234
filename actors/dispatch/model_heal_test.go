package dispatch_test

import (
	"slices"
	"time"

	"pgregory.net/rapid"

	"github.com/holdfast-run/holdfast/actors/dispatch"
)

// heal ends all trouble: every task must come to its end then.
func (w *world) heal(t *rapid.T) {
	w.spawnHealthy()
	w.bound = dispatch.Limit{}
	w.perform(t, w.queue.SetLimit(w.bound, w.now))
	for range 30 {
		for _, c := range slices.Clone(w.conns) {
			if c.broken {
				w.end(t, c, dispatch.End{})
			}
		}
		for _, p := range w.processes {
			if p.alive && !slices.ContainsFunc(w.conns, func(c *conn) bool { return c.with == p }) {
				w.attach(t, p)
			}
		}
		for _, c := range w.conns {
			c.total += 20
			w.perform(t, w.queue.Credit(c.id, c.total))
		}
		for range 3 {
			w.reportAll(t)
			for len(w.pending) > 0 {
				w.journal(t)
			}
			for slices.ContainsFunc(w.conns, func(c *conn) bool { return len(c.with.has) > 0 }) {
				w.answer(t)
			}
		}
		w.now = w.now.Add(time.Minute)
		w.perform(t, w.queue.Tick(w.now))
		w.check(t)
	}
	for _, o := range w.works {
		if state, _, _ := w.queue.Where(o.key); !o.over && !o.cancelled || state != "gone" && !o.over {
			t.Fatalf("%s has not come to its end: %+v\n%s", o.key, *o, w.queue.Dump())
		}
	}
}

// restart loses the node's memory: its orders offer again what is outstanding.
func (w *world) restart(t *rapid.T) {
	w.queue, w.pending, w.conns, w.seq, w.bound = w.newQueue(), nil, nil, 0, dispatch.Limit{}
	w.attached = false
	for _, o := range w.works {
		o.with, o.lostBy, o.had = nil, map[string]bool{}, false // nobody knows
		if o.offered = false; !o.over {
			w.hand(t, o, true)
			switch {
			case o.withdrawn:
				w.withdrawIt(t, o)
			case o.cancelled:
				w.perform(t, w.queue.Cancel(o.key, o.attempt))
			}
			if state, _, _ := w.queue.Where(o.key); state == "gone" {
				o.over = true
			}
		}
	}
}

func (w *world) spawnHealthy() {
	p := newProcess(len(w.processes))
	p.ledger, p.begun = p.name, len(w.works)%2 == 0
	w.ledgers[p.ledger] = map[string]bool{}
	w.processes = append(w.processes, p)
}

func pick[T any](t *rapid.T, from []T) T {
	if len(from) == 0 {
		t.Skip()
	}
	return rapid.SampledFrom(from).Draw(t, "pick")
}

func only[T any](from []T, fits func(T) bool) []T {
	return slices.DeleteFunc(slices.Clone(from), func(x T) bool { return !fits(x) })
}
