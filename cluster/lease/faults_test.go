package lease

import (
	"slices"
	"time"

	"pgregory.net/rapid"
)

// fault is what goes wrong in a world for a time, or in a moment.
type fault struct {
	Kind string
	Node int
	At   time.Duration
	For  time.Duration // 0 for those of a moment
}

// momentary are the kinds of faults that are over as soon as they have begun.
var momentary = []string{"agent restarts", "Consul wiped"}

// faults are the kinds of faults: what begins, and what ends it.
var faults = map[string]func(w *world, n *node, d time.Duration){
	"pause": func(_ *world, n *node, d time.Duration) { n.pause(d) },
	"kill":  func(_ *world, n *node, d time.Duration) { n.die(d) },
	"cut off from its agent": func(w *world, n *node, d time.Duration) {
		n.agent.off++
		w.after(d, func() { n.agent.off-- })
	},
	"agent cut off from the servers": func(_ *world, n *node, d time.Duration) { n.agent.leave(d) },
	"agent restarts":                 func(_ *world, n *node, _ time.Duration) { n.agent.restart() },
	"Consul lost": func(w *world, _ *node, d time.Duration) {
		w.consul.down++
		w.after(d, func() { w.consul.down-- })
	},
	"Consul wiped": func(w *world, _ *node, _ time.Duration) { w.consul.wipe() },
	"Consul restarts with all critical": func(w *world, _ *node, d time.Duration) {
		w.consul.down++
		w.after(d, func() {
			w.consul.down--
			for _, n := range w.nodes {
				n.agent.restart()
			}
		})
	},
	"isolated": func(w *world, n *node, d time.Duration) {
		for _, other := range w.nodes {
			w.part(n.at, other.at, d)
		}
	},
	"parted": func(w *world, n *node, d time.Duration) { // those before the node from the rest
		for a := range n.at {
			for b := n.at; b < len(w.nodes); b++ {
				w.part(a, b, d)
			}
		}
	},
	"parted, and one part cut off": func(w *world, n *node, d time.Duration) {
		for a := range n.at {
			w.nodes[a].agent.leave(d)
			for b := n.at; b < len(w.nodes); b++ {
				w.part(a, b, d)
			}
		}
	},
	"one way": func(w *world, n *node, d time.Duration) {
		to := (n.at + 1) % len(w.nodes)
		w.apart[[2]int{n.at, to}]++
		w.after(d, func() { w.apart[[2]int{n.at, to}]-- })
	},
	"slow": func(w *world, _ *node, d time.Duration) {
		w.slow += 400 * time.Millisecond
		w.after(d, func() { w.slow -= 400 * time.Millisecond })
	},
	"lossy": func(w *world, _ *node, d time.Duration) {
		w.lossy += 0.2
		w.after(d, func() { w.lossy -= 0.2 })
	},
}

func (w *world) part(a, b int, d time.Duration) {
	for _, link := range [][2]int{{a, b}, {b, a}} {
		w.apart[link]++
		w.after(d, func() { w.apart[link]-- })
	}
}

// ttl is that of the default settings.
const ttl = 3 * time.Second

// warm is how long a world has until the first fault, so that its nodes know of each other.
const warm = 5 * time.Second

// inject has faults happen, and returns when the last one is over.
func (w *world) inject(fs []fault) time.Duration {
	end := time.Duration(0)
	for _, f := range fs {
		end = max(end, f.At+f.For)
		w.after(f.At, func() {
			w.notef("%s of %d", f.Kind, f.Node)
			w.count("fault: " + f.Kind)
			faults[f.Kind](w, w.nodes[f.Node], f.For)
		})
	}
	return end
}

func drawFaults(t *rapid.T, nodes int, kinds []string) []fault {
	var fs []fault
	last := warm
	for range rapid.IntRange(0, 7).Draw(t, "faults") {
		last += time.Duration(rapid.Int64Range(0, int64(4*ttl)).Draw(t, "after"))
		f := fault{Kind: rapid.SampledFrom(kinds).Draw(t, "kind"), Node: rapid.IntRange(0, nodes-1).Draw(t, "node"), At: last}
		if !slices.Contains(momentary, f.Kind) {
			f.For = time.Duration(rapid.SampledFrom([]float64{0.3, 0.5, 0.8, 0.9, 1, 1.1, 1.3, 2, 3, 30}).Draw(t, "TTLs") * float64(ttl))
			f.For += time.Duration(rapid.Int64Range(0, int64(ttl/4)).Draw(t, "more"))
		}
		fs = append(fs, f)
	}
	return fs
}

// healing is how long after the last fault all nodes hold their lease again.
func (w *world) healing() time.Duration { return 3 * w.set.TTL }

// evident fails the world if a node that was there from the beginning has no evidence of after a time.
func (w *world) evident(after time.Duration) {
	for _, n := range w.nodes {
		if n.alive && n.life == 1 && (n.lease.State() != Held || n.lease.dated().Before(n.clockAt(after))) {
			w.failf("%s, %v, has no evidence of after %v\n%v", n.self, n.lease.State(), after, &w.consul)
		}
	}
}

// held fails the world if not all nodes hold their lease.
func (w *world) held() {
	for _, n := range w.nodes {
		if !n.alive || n.lease.State() != Held {
			w.failf("node %d does not hold its lease: alive %v, %v\n%v", n.at, n.alive, n.lease.State(), &w.consul)
		}
	}
}
