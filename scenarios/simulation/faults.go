package simulation

import "time"

// Kind is a kind of fault.
type Kind string

// The kinds of faults.
const (
	Paused         Kind = "a node paused"
	Killed         Kind = "a node killed"
	MessagesLate   Kind = "messages late"
	AnswersLost    Kind = "answers lost"
	ClaimUnsure    Kind = "a claim's answer lost"
	ConsulLost     Kind = "Consul lost"
	Wiped          Kind = "Consul wiped"
	AgentRestarted Kind = "an agent restarted"
	CutOff         Kind = "a node cut off from Consul"
	Isolated       Kind = "a node isolated"
	JournalLost    Kind = "the journal lost"
	JournalCut     Kind = "a node cut off from the journal"
	Promoted       Kind = "a standby promoted"
	Lacking        Kind = "a standby promoted that lacks commits"
	AdapterKilled  Kind = "an adapter killed"
	AdapterCut     Kind = "an adapter cut off from a node"
)

// fault begins one, which ends after a time.
type fault struct {
	kind  Kind
	begin func(w *world, n *node, d time.Duration)
}

var faults = []fault{
	{Paused, func(_ *world, n *node, d time.Duration) { n.pause(d) }},
	{Killed, func(_ *world, n *node, d time.Duration) { n.die(d) }},
	{MessagesLate, func(w *world, _ *node, d time.Duration) { w.during(d, &w.late) }},
	{AnswersLost, func(w *world, _ *node, d time.Duration) {
		w.report.inject(ClaimUnsure)
		w.during(d, &w.lossy)
		for _, n := range w.nodes { // so that something is claimed
			if n.alive && w.often(2) {
				n.die(restarts)
				return
			}
		}
	}},
	{ConsulLost, func(w *world, _ *node, d time.Duration) { w.during(d, &w.consul.down) }},
	{Wiped, func(w *world, _ *node, _ time.Duration) { w.consul.wipe() }},
	{AgentRestarted, func(_ *world, n *node, _ time.Duration) { n.agent.restart() }},
	{CutOff, func(_ *world, n *node, d time.Duration) { n.agent.leave(d) }},
	{Isolated, func(w *world, n *node, d time.Duration) {
		n.agent.leave(d)
		for other := range nodes {
			w.during(d, &w.apart[n.at][other])
			w.during(d, &w.apart[other][n.at])
		}
	}},
	{JournalLost, func(w *world, _ *node, d time.Duration) { w.during(d, &w.journal.down) }},
	{JournalCut, func(w *world, n *node, d time.Duration) { w.during(d, &n.journal.cut) }},
	{Promoted, func(w *world, _ *node, _ time.Duration) { w.journal.promote(w.journal.db) }},
	{Lacking, func(w *world, _ *node, d time.Duration) { w.journal.lagging(d) }},
	{AdapterKilled, func(w *world, n *node, d time.Duration) { w.adapters[n.at%adapters].die(d) }},
	{AdapterCut, func(w *world, n *node, d time.Duration) {
		for _, a := range w.adapters {
			w.during(d, &a.cut[n.at])
		}
	}},
}

// during counts a fault as long as it lasts.
func (w *world) during(d time.Duration, faults *int) {
	*faults++
	w.after(d, func() { *faults-- })
}

// Bounds of what goes wrong in a world.
const (
	mostFaults = 6
	// lasts is how long a fault takes at most: long enough for others to take over.
	lasts = 4 * ttl
)

// inject has faults happen, and returns when the last one is over.
func (w *world) inject() time.Duration {
	at, end := warmUp, warmUp
	for range 1 + w.chance.IntN(mostFaults) {
		at += w.upTo(2 * ttl)
		f, n, d := faults[w.chance.IntN(len(faults))], w.nodes[w.chance.IntN(nodes)], w.upTo(lasts)
		w.after(at, func() {
			if f.kind != Lacking { // which counts itself, if it can happen
				w.report.inject(f.kind)
			}
			f.begin(w, n, d)
		})
		end = max(end, at+d+ttl)
	}
	return end
}
