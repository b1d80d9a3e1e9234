package lease

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// play runs a world with faults, and some time more. Who may not exit, must neither exit nor be removed.
func play(seed uint64, nodes int, fs []fault, mayExit func(int) bool) *world {
	w := newWorld(seed, nodes)
	w.mayExit, w.hasty = mayExit, mayExit(0)
	end := w.inject(fs)
	w.run(max(end, warm) + w.healing())
	if len(w.failures) == 0 {
		w.held()
	}
	return w
}

func nobody(int) bool { return false }

// totals are what many worlds have counted.
type totals struct {
	mu     sync.Mutex
	counts map[string]int
	worlds int
}

func (s *totals) add(w *world) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.counts == nil {
		s.counts = map[string]int{}
	}
	s.worlds++
	for what, n := range w.counts {
		s.counts[what] += n
	}
}

// Whatever happens, a node does not work where another may have taken over from it, but for what the lease can't know: then the journal
// refuses its commits. After the last fault all nodes hold their lease again, soon. And the same seed gives the same world.
func TestModel(t *testing.T) {
	t.Parallel()
	var sum totals
	kinds := slices.Sorted(maps.Keys(faults))
	t.Cleanup(func() {
		for _, what := range slices.Sorted(maps.Keys(sum.counts)) {
			t.Logf("%8d %s", sum.counts[what], what)
		}
		want := []string{"removed"}
		for _, kind := range kinds {
			want = append(want, "fault: "+kind)
		}
		for _, s := range []State{Held, Asking, Frozen, Stopping, Over} {
			want = append(want, "state: "+s.String())
		}
		for _, r := range []Reason{CutOff, NoQuorum, Late} {
			want = append(want, "exit: "+r.String())
		}
		for _, what := range want {
			if sum.counts[what] == 0 && sum.worlds >= 400 {
				t.Errorf("in all worlds there was not one %s", what)
			}
		}
	})
	for nodes := 1; nodes <= 5; nodes++ {
		t.Run(fmt.Sprint(nodes), func(t *testing.T) {
			t.Parallel()
			rapid.Check(t, func(t *rapid.T) {
				seed := rapid.Uint64().Draw(t, "seed")
				fs := drawFaults(t, nodes, kinds)
				mayExit := func(int) bool { return len(fs) > 0 }
				w := play(seed, nodes, fs, mayExit)
				if len(w.failures) > 0 {
					t.Fatalf("%v", w.failures)
				}
				if seed%4 == 0 && play(seed, nodes, fs, mayExit).log != w.log {
					t.Fatal("the same seed has given another world")
				}
				sum.add(w)
			})
		})
	}
}

// While Consul is lost for all, and after it has come back, however it does, nobody exits, and nobody is removed that lives. Each node has
// evidence again soon.
func TestLostForAll(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		nodes := rapid.IntRange(1, 5).Draw(t, "nodes")
		fs := drawFaults(t, nodes, []string{"Consul lost", "Consul wiped", "Consul restarts with all critical"})
		backs := apart(fs)
		if nodes > 2 && rapid.Bool().Draw(t, "one is dead") {
			fs = append(fs, fault{Kind: "kill", Node: 0, At: warm + time.Second, For: time.Minute})
		}
		w := newWorld(rapid.Uint64().Draw(t, "seed"), nodes)
		w.mayExit = nobody
		for _, b := range backs {
			w.after(b.settled, func() { w.evident(b.at) })
		}
		w.run(max(w.inject(fs), warm) + w.healing())
		if len(w.failures) == 0 {
			w.held()
		}
		if len(w.failures) > 0 {
			t.Fatalf("%v", w.failures)
		}
	})
}

// back is that Consul is back, and when each node has evidence again.
type back struct{ at, settled time.Duration }

// settling is how long it takes at most until each node has evidence of after a fault. If Consul was lost, it is refreshed and read of once
// more, each when it is due. Else a read shows first that the node is missing or critical, and another one must follow its refresh.
func settling(f fault) time.Duration {
	if f.Kind == "Consul lost" {
		return ttl / 2
	}
	return ttl
}

// apart has each fault begin while another one lasts, or once each node has evidence again, and returns when that is. If Consul were back
// for a moment only, some would have evidence of it, and others not; if theirs runs out at that time, they are cut off as far as they know.
func apart(fs []fault) []back {
	var backs []back
	var shift time.Duration
	now := back{settled: warm}
	for i := range fs {
		f := &fs[i]
		f.At += shift
		if f.At > now.at {
			wait := max(now.settled-f.At, 0)
			f.At += wait
			shift += wait
			backs = append(backs, now)
		}
		now.at = max(now.at, f.At+f.For)
		now.settled = max(now.settled, f.At+f.For+settling(*f))
	}
	return append(backs, now)
}

// If Consul is back for a moment only, some have evidence of it, and others not. If it is lost again before anybody's evidence has run out,
// nobody takes the others for cut off, and nobody exits.
func TestBackForAMoment(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		nodes := rapid.IntRange(1, 5).Draw(t, "nodes")
		first := fault{Kind: rapid.SampledFrom([]string{"Consul lost", "Consul wiped"}).Draw(t, "kind"), At: 2 * warm}
		if first.Kind == "Consul lost" {
			first.For = ttl / 4
		}
		again := fault{Kind: "Consul lost", At: first.At + first.For, For: 4 * ttl}
		again.At += time.Duration(rapid.IntRange(1, 10).Draw(t, "back for")) * ttl / 60
		if w := play(rapid.Uint64().Draw(t, "seed"), nodes, []fault{first, again}, nobody); len(w.failures) > 0 {
			t.Fatalf("%v", w.failures)
		}
	})
}

// A node that alone is cut off from Consul exits before others may take over; the others go on.
func TestCutOff(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		nodes := rapid.IntRange(2, 5).Draw(t, "nodes")
		f := fault{Node: rapid.IntRange(0, nodes-1).Draw(t, "node"), For: time.Minute}
		f.At = warm + time.Duration(rapid.Int64Range(0, int64(ttl)).Draw(t, "at"))
		f.Kind = rapid.SampledFrom([]string{"cut off from its agent", "agent cut off from the servers"}).Draw(t, "kind")
		w := newWorld(rapid.Uint64().Draw(t, "seed"), nodes)
		w.mayExit = func(n int) bool { return n == f.Node }
		end := w.inject([]fault{f})
		w.after(f.At+w.set.TTL, func() {
			if n := w.nodes[f.Node]; n.alive && n.life == 1 {
				w.failf("%s, which is cut off, still is there, and %v", n.self, n.lease.State())
			}
		})
		w.run(end - time.Second)
		if removed := w.counts["removed"]; len(w.failures) == 0 && removed != nodes-1 {
			w.failf("it was removed by %d nodes", removed)
		}
		w.run(end + w.healing())
		if w.held(); len(w.failures) > 0 {
			t.Fatalf("%v", w.failures)
		}
	})
}

// A pause of half a TTL is no harm; one of a TTL may be, or not; after a longer one the node comes back as a new member.
func TestPause(t *testing.T) {
	t.Parallel()
	for ttls, exits := range map[float64][]bool{0.5: {false}, 1: {false, true}, 3: {true}, 30: {true}} {
		t.Run(fmt.Sprint(ttls), func(t *testing.T) {
			t.Parallel()
			rapid.Check(t, func(t *rapid.T) {
				nodes := rapid.IntRange(1, 5).Draw(t, "nodes")
				f := fault{Kind: "pause", Node: rapid.IntRange(0, nodes-1).Draw(t, "node")}
				f.At = warm + time.Duration(rapid.Int64Range(0, int64(ttl)).Draw(t, "at"))
				f.For = time.Duration(ttls * float64(ttl))
				mayExit := func(n int) bool { return n == f.Node && slices.Contains(exits, true) }
				w := play(rapid.Uint64().Draw(t, "seed"), nodes, []fault{f}, mayExit)
				if exited := w.nodes[f.Node].life > 1; len(w.failures) > 0 || !slices.Contains(exits, exited) {
					t.Fatalf("exited: %v; %v", exited, w.failures)
				}
			})
		})
	}
}

// What the lease can't know, it does not keep from happening; the model has these cases, so that the others are told from them.
func TestUnprotected(t *testing.T) {
	t.Parallel()
	for what, f := range map[string]fault{
		"paused in the middle of work":                 {Kind: "pause", Node: 1, For: 30 * time.Second},
		"frozen, and who took over could not be asked": {Kind: "parted, and one part cut off", Node: 3, For: 30 * time.Second},
		"its agent had restarted":                      {Kind: "agent restarts", Node: 2},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			f.At = 2 * warm
			w := play(1, 5, []fault{f}, func(int) bool { return true })
			if len(w.failures) > 0 || w.counts["unprotected: "+what] == 0 {
				t.Errorf("%v; counted: %v", w.failures, w.counts)
			}
		})
	}
}
