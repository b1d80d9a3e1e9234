package topology_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/holdfast-run/holdfast/cluster/topology"
	"github.com/holdfast-run/holdfast/messages"
)

const (
	self   = messages.Incarnation("a/1")
	steady = messages.Incarnation("s/1") // lives all the time, and is passing in each good answer
	margin = time.Second
	period = 4 * time.Second
)

// observer is a topology, and beside it all that it was told: what it does is checked against that, and not against its own state.
type observer struct {
	t   *rapid.T
	top *topology.Topology
	now time.Time
	// told are the inputs that say something of Consul, in order: answers that were taken, failures, freezes.
	told   []told
	links  map[messages.Incarnation]bool
	frozen bool
	taken  time.Time
}

type told struct {
	answer topology.Answer
	good   bool
	// fresh: what came before says nothing, as the index fell or Consul was frozen.
	fresh bool
}

func (o *observer) step(in topology.Input) {
	before, version := o.top.Members(), o.top.Version()
	stale := false
	switch in := in.(type) {
	case topology.Answer:
		if stale = in.Sent.Before(o.taken); stale {
			break
		}
		o.taken = in.Sent
		own := slices.ContainsFunc(in.Instances, func(i topology.Instance) bool { return i.Incarnation == self && i.State == topology.Passing })
		good := own && !in.Fell && !o.frozen && o.now.Sub(in.Received) <= margin
		o.told = append(o.told, told{answer: in, good: good, fresh: in.Fell})
	case topology.Failed:
		o.told = append(o.told, told{})
	case topology.Frozen:
		if in.Frozen != o.frozen {
			o.told = append(o.told, told{fresh: true})
		}
		o.frozen = in.Frozen
	case topology.Link:
		o.links[in.Incarnation] = in.Up
	}
	changes := o.top.Step(in, o.now)
	if after := o.top.Members(); !slices.EqualFunc(before, after, same) != (o.top.Version() > version) || (len(changes) > 0) != (o.top.Version() > version) {
		o.t.Fatalf("members were %v and are %v; the version was %d and is %d; the changes are %v",
			before, after, version, o.top.Version(), changes)
	}
	if (stale || o.frozen) && len(changes) > 0 {
		o.t.Fatalf("frozen %v, stale %v: %v", o.frozen, stale, changes)
	}
	names := map[messages.NodeID]bool{}
	for _, m := range o.top.Members() {
		if names[m.Incarnation.Node()] || o.top.Gone(m.Incarnation) {
			o.t.Fatalf("%s is a member twice, or gone", m.Incarnation)
		}
		names[m.Incarnation.Node()] = true
	}
	for _, c := range changes {
		o.justified(c)
	}
}

func same(a, b topology.Member) bool {
	return a.Incarnation == b.Incarnation && a.Announcement.Weight == b.Announcement.Weight
}

// justified checks a removal against what was told.
func (o *observer) justified(c topology.Change) {
	if slices.Contains([]topology.Reason{topology.Admitted, topology.Announced, topology.Superseded}, c.Reason) {
		if c.Reason == topology.Superseded != o.top.Gone(c.Incarnation) {
			o.t.Fatalf("%s: %s, and gone is %v", c.Incarnation, c.Reason, o.top.Gone(c.Incarnation))
		}
		return
	}
	last := o.told[len(o.told)-1]
	in := shown(last.answer, c.Incarnation)
	if c.Incarnation == self || c.Incarnation == steady || !last.good || !last.answer.MayRemove || in.State >= topology.Warning || !o.top.Gone(c.Incarnation) {
		o.t.Fatalf("%s: %s, by the answer %+v", c.Incarnation, c.Reason, last)
	}
	// since is when the first of those good answers was received after which nothing else came, returned when that was after which
	// Consul was not away.
	since, returned, unbroken := last.answer.Received, last.answer.Received, true
	for i := len(o.told) - 2; i >= 0; i-- {
		if o.told[i].fresh {
			break
		}
		if unbroken = unbroken && o.told[i].good && shown(o.told[i].answer, c.Incarnation).State < topology.Warning; unbroken {
			since = o.told[i].answer.Received
		}
		if o.told[i].good {
			if returned.Sub(o.told[i].answer.Received) > period {
				since = maxTime(since, returned)
				break
			}
			returned = o.told[i].answer.Received
		}
	}
	sent := last.answer.Sent
	atOnce := in.State == topology.Critical && (in.Leaving || !o.links[c.Incarnation])
	if sent.Sub(returned) < period || !atOnce && sent.Sub(since) < period {
		o.t.Fatalf("%s: %s, too early: out of sight for %v, Consul is back for %v", c.Incarnation, c.Reason, sent.Sub(since), sent.Sub(returned))
	}
}

func maxTime(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func shown(a topology.Answer, in messages.Incarnation) topology.Instance {
	for _, i := range a.Instances {
		if i.Incarnation == in {
			return i
		}
	}
	return topology.Instance{}
}

var others = []messages.Incarnation{"b/1", "b/2", "c/1", "c/2", "d/1"}

// draw makes an answer. Those that are good have the steady node as passing; others show anything.
func (o *observer) draw() topology.Answer {
	t := o.t
	a := topology.Answer{Received: o.now.Add(-time.Duration(rapid.SampledFrom([]int{0, 0, 0, 900, 1100}).Draw(t, "lay")) * time.Millisecond)}
	a.Sent = a.Received.Add(-time.Duration(rapid.IntRange(0, 2000).Draw(t, "took")) * time.Millisecond)
	a.MayRemove = rapid.IntRange(0, 7).Draw(t, "may remove") > 0
	a.Fell = rapid.IntRange(0, 15).Draw(t, "fell") == 0
	own := rapid.SampledFrom([]topology.State{3, 3, 3, 3, 3, 3, 3, 2, 1, 0}).Draw(t, "own")
	sees := topology.Passing
	if own != topology.Passing {
		sees = topology.State(rapid.IntRange(0, 3).Draw(t, "steady"))
	}
	add := func(in messages.Incarnation, state topology.State) {
		if state != topology.Absent {
			leaving := state == topology.Critical && rapid.IntRange(0, 3).Draw(t, "leaving") == 0
			weight := uint32(rapid.IntRange(0, 1).Draw(t, "weight") + 1)
			a.Instances = append(a.Instances, topology.Instance{
				Incarnation: in, State: state, Leaving: leaving, Announcement: topology.Announcement{Weight: weight},
			})
		}
	}
	add(self, own)
	add(steady, sees)
	for _, in := range others {
		add(in, rapid.SampledFrom([]topology.State{0, 0, 1, 1, 2, 3}).Draw(t, string(in)))
	}
	a.Instances = rapid.Permutation(a.Instances).Draw(t, "order")
	return a
}

// TestModel drives two observers with whatever may come, each with its own, and checks each change. Then Consul is quiet, and says the
// same to both: they come to agree.
func TestModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var observers []*observer
		for range 2 {
			top, err := topology.New(topology.Config{Self: self, TTL: period - margin, Margin: margin})
			if err != nil {
				t.Fatal(err)
			}
			o := &observer{t: t, top: top, now: time.Unix(1000, 0), links: map[messages.Incarnation]bool{}}
			observers = append(observers, o)
			t.Repeat(map[string]func(*rapid.T){
				"answer": func(*rapid.T) { o.step(o.draw()) },
				"calm": func(*rapid.T) { // the same for longer, as periods are
					a := o.draw()
					for range rapid.IntRange(1, 6).Draw(t, "times") {
						o.now = o.now.Add(time.Second)
						a.Sent, a.Received = o.now, o.now
						o.step(a)
					}
				},
				"failed": func(*rapid.T) { o.step(topology.Failed{}) },
				"found":  func(*rapid.T) { o.step(topology.Found{Incarnation: rapid.SampledFrom(others).Draw(t, "found")}) },
				"frozen": func(*rapid.T) { o.step(topology.Frozen{Frozen: rapid.IntRange(0, 2).Draw(t, "frozen") == 0}) },
				"link": func(*rapid.T) {
					in := rapid.SampledFrom(append(others, steady)).Draw(t, "link")
					// A connection to an older incarnation does not come after one to a newer.
					if newer := messages.Incarnation(string(in.Node()) + "/2"); in < newer && o.links[newer] {
						return
					}
					if older := messages.Incarnation(string(in.Node()) + "/1"); older < in {
						delete(o.links, older)
					}
					o.step(topology.Link{Incarnation: in, Up: rapid.Bool().Draw(t, "up")})
				},
				"time": func(*rapid.T) {
					o.now = o.now.Add(time.Duration(rapid.IntRange(1, 5000).Draw(t, "ms")) * time.Millisecond)
				},
			})
		}
		agree(t, observers)
	})
}

// agree lets all hear the same for two periods, and compares.
func agree(t *rapid.T, observers []*observer) {
	// Who is passing with a newer incarnation of its name than any was before, and who is not.
	last := map[string]topology.State{"a/1": topology.Passing, "s/1": topology.Passing}
	for _, in := range []string{"b/3", "c/3", "d/3"} {
		last[in] = topology.State(rapid.SampledFrom([]int{0, 1, 3}).Draw(t, in))
	}
	var want []string
	for in, state := range last {
		if state == topology.Passing {
			want = append(want, in)
		}
	}
	slices.Sort(want)
	for _, o := range observers {
		o.step(topology.Frozen{})
		for range 10 {
			o.now = o.now.Add(time.Second)
			a := topology.Answer{Sent: o.now, Received: o.now, MayRemove: true}
			for in, state := range last {
				if state != topology.Absent {
					a.Instances = append(a.Instances, topology.Instance{Incarnation: messages.Incarnation(in), State: state})
				}
			}
			o.step(a)
		}
		var got []string
		for _, m := range o.top.Members() {
			got = append(got, string(m.Incarnation))
		}
		if !slices.Equal(got, want) {
			t.Fatalf("members are %v, not %v", got, want)
		}
		for _, n := range o.top.Nodes() {
			if !n.Member && !n.Gone {
				t.Fatalf("%s is neither member nor gone", n.Incarnation)
			}
		}
	}
}

// TestMemory has many nodes come and go under names of their own: no more are kept than there is room for, and those the last.
func TestMemory(t *testing.T) {
	t.Parallel()
	top, err := topology.New(topology.Config{Self: self})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Unix(1000, 0)
	const many = 4 * topology.Remembered
	name := func(i int) messages.Incarnation { return messages.Incarnation(fmt.Sprintf("n%04d/1", i)) }
	for i := range many {
		now = now.Add(time.Second)
		a := topology.Answer{Sent: now, Received: now, MayRemove: true, Instances: []topology.Instance{
			{Incarnation: self, State: topology.Passing}, {Incarnation: name(i), State: topology.Passing},
		}}
		top.Step(a, now)
		if n := len(top.Nodes()); n > topology.Remembered+10 {
			t.Fatalf("%d nodes are kept", n)
		}
	}
	if top.Gone(name(0)) || !top.Gone(name(many-100)) || top.Gone(name(many-1)) {
		t.Error("the wrong ones are kept")
	}
}

// TestConfig shows that all mistakes are reported at once, and that the least that is needed is enough.
func TestConfig(t *testing.T) {
	t.Parallel()
	_, err := topology.New(topology.Config{Self: "a", TTL: time.Hour, Margin: -1})
	if err == nil || strings.Count(err.Error(), "topology: ") != 3 {
		t.Errorf("got %v", err)
	}
}
