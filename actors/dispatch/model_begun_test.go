package dispatch_test

import (
	"maps"
	"slices"
	"strconv"

	"pgregory.net/rapid"

	"github.com/holdfast-run/holdfast/actors/dispatch"
	"github.com/holdfast-run/holdfast/messages"
)

// deaths is how many set a task apart.
const deaths = 2

// handed is a task that an adapter was handed, and has not begun with.
type handed struct {
	attempt      uint32
	maybe, alone bool
}

func newProcess(n int) *process {
	return &process{
		name: "P" + strconv.Itoa(n), alive: true,
		has: map[string]uint32{}, doubts: map[string]bool{}, notDone: map[string]bool{}, waits: map[string]*handed{},
	}
}

func (p *process) die() {
	p.alive, p.alone = false, ""
	clear(p.has)
	clear(p.doubts)
	clear(p.notDone)
	clear(p.waits)
}

// may tells whether a process may begin with something that it was handed.
func (p *process) may(h *handed) bool { return p.alone == "" && (!h.alone || len(p.has) == 0) }

// ripe returns what a process could report as begun.
func (p *process) ripe() []string {
	return only(slices.Sorted(maps.Keys(p.waits)), func(key string) bool { return p.may(p.waits[key]) })
}

// report has an adapter say that it is about to begin.
func (w *world) report(t *rapid.T) {
	c := pick(t, only(w.conns, func(c *conn) bool { return !c.broken && len(c.with.ripe()) > 0 }))
	w.reportOne(t, c, pick(t, c.with.ripe()))
}

func (w *world) reportOne(t *rapid.T, c *conn, key string) {
	attempt := c.with.waits[key].attempt
	if !c.given[key] { // the node does not take it on
		w.refrain(c, key, attempt)
		return
	}
	w.perform(t, w.queue.Begun(c.id, key, attempt))
}

// reportAll has all adapters report all that they can.
func (w *world) reportAll(t *rapid.T) {
	for _, c := range w.conns {
		for _, key := range c.with.ripe() {
			if h := c.with.waits[key]; !c.broken && h != nil && c.with.may(h) {
				w.reportOne(t, c, key)
			}
		}
	}
}

// confirmed has an adapter begin with what it has reported, if its stream is whole.
func (w *world) confirmed(t *rapid.T, c *conn, out dispatch.SendConfirm) {
	p, o := c.with, w.byKey[out.Task.Key]
	if !w.idempotent && o.ledger != p.ledger {
		t.Fatalf("%s is confirmed to %s, but %q is journaled", o.key, p.ledger, o.ledger)
	}
	if out.Alone {
		c.alone = o.key
	}
	h := p.waits[o.key]
	if c.broken || !p.alive || h == nil || h.attempt != out.Task.Attempt || !p.may(h) {
		return
	}
	if out.Alone && !h.alone { // the other way round, a node has started since, and it is no suspect any more
		t.Fatalf("%s is confirmed to be alone: %t, but was handed over so: %t", o.key, out.Alone, h.alone)
	}
	delete(p.waits, o.key)
	h.maybe = h.maybe || out.Task.MaybeStarted
	if h.alone {
		p.alone = o.key
	}
	w.execute(t, p, o, *h)
}

// execute has a process begin with something.
func (w *world) execute(t *rapid.T, p *process, o *work, h handed) {
	p.has[o.key] = h.attempt
	delete(o.lostBy, p.name)
	if o.kept != p.name {
		o.kept = ""
	}
	switch maybe := h.maybe || w.ledgers[p.ledger][o.key]; {
	case w.idempotent, maybe && p.recovers: // it finds out, or does no harm
	case maybe:
		p.doubts[o.key] = true // nothing is begun
		return
	case o.began:
		t.Fatalf("%s is begun a second time, by %s", o.key, p.name)
	}
	o.began = true
	w.begins(t, p, o)
	w.ledgers[p.ledger][o.key] = true
}

// begins checks that who begins with something is the only one, or that the others were lost.
func (w *world) begins(t *rapid.T, p *process, o *work) {
	for other := range o.with {
		if other != p.name {
			t.Fatalf("%s begins with %s, but %s was not lost\n%s", p.name, o.key, other, w.queue.Dump())
		}
	}
	o.with = map[string]bool{p.name: true}
}

// refrain has an adapter give up what it has not begun with. It may not be able to say that nobody has.
func (w *world) refrain(c *conn, key string, attempt uint32) {
	h := c.with.waits[key]
	if c.broken || !c.with.alive || h == nil || h.attempt != attempt {
		return
	}
	delete(c.with.waits, key)
	c.with.has[key] = attempt
	if h.maybe {
		c.with.doubts[key] = true
	} else {
		c.with.notDone[key] = true
	}
}

// lost journals that a process is gone that may have executed a task.
func (w *world) lost(t *rapid.T, out dispatch.Lost) {
	o := w.byKey[out.Task.Key]
	for _, c := range w.conns {
		if c.with.name == out.Process && !c.broken {
			t.Fatalf("%s is said to be lost with %s, which is here", o.key, out.Process)
		}
	}
	if o.lostBy[out.Process] {
		t.Fatalf("%s is said to be lost with %s twice", o.key, out.Process)
	}
	o.kept = out.Process
	o.lostBy[out.Process] = true
	delete(o.with, out.Process)
	if out.Suspect {
		o.deaths = append(o.deaths, messages.Death{Process: out.Process, Alone: out.Alone})
	}
	if killed(o.deaths) > o.blamed {
		t.Fatalf("%d processes are said to have died of %s alone: %d", killed(o.deaths), o.key, o.blamed)
	}
}

func killed(of []messages.Death) int {
	return len(only(of, func(d messages.Death) bool { return d.Alone }))
}

// found journals that a process is back that was said to be gone.
func (w *world) found(t *rapid.T, out dispatch.Found) {
	o := w.byKey[out.Task.Key]
	if out.Kept && o.kept != out.Process {
		t.Fatalf("%s is said to be kept by %s, but %q has", o.key, out.Process, o.kept)
	}
	delete(o.lostBy, out.Process)
	if out.Kept {
		o.with = map[string]bool{out.Process: true}
	}
	o.deaths = only(o.deaths, func(d messages.Death) bool { return d.Process != out.Process })
}

// end has the node find a stream lost.
func (w *world) end(t *rapid.T, c *conn, end dispatch.End) {
	c.broken = true
	w.conns = slices.DeleteFunc(w.conns, func(x *conn) bool { return x == c })
	if end.Alone = c.alone; end.Alone != "" {
		w.byKey[c.alone].blamed++
	}
	w.perform(t, w.queue.Detach(c.id, end, w.now))
}

// leave has a process with nothing to do end in good order.
func (w *world) leave(t *rapid.T) {
	c := pick(t, only(w.conns, func(c *conn) bool { return !c.broken && len(c.with.has)+len(c.with.waits) == 0 }))
	c.with.die()
	w.end(t, c, dispatch.End{Closed: true, Left: true})
}
