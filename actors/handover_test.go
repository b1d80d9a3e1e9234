package actors_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-run/holdfast/actors"
	"github.com/holdfast-run/holdfast/actors/failure"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/messages/nodev1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/persistence"
	"github.com/holdfast-run/holdfast/persistence/memory"
)

var (
	handoverMoves = flag.Int64("handover.moves", 500, "how many partitions change hands in TestHandover")
	handoverWorse = flag.Bool("handover.worse", false, "whether journals are slow in TestHandover, and messages late by up to 30 s")
	handoverSeed  = flag.Uint64("handover.seed", 1, "the seed of TestHandover")
)

// disownEvery is in which of its rounds, of one to four moves each, TestHandover has nobody own anything.
const disownEvery = 40

// Partitions change hands again and again under load, nodes are fenced in the middle of commits, outcomes get lost, and so do messages
// between the nodes: nothing is lost, nothing done twice, no key is overtaken, and in the end everything is owned and nothing is left.
func TestHandover(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &town{t: t, store: memory.NewStore(), chance: rand.New(rand.NewPCG(*handoverSeed, 1))}
		if *handoverWorse {
			w.wrap = func(_ int, j persistence.Journal) persistence.Journal { return newLaggard(w, j) }
		}
		for i := range w.sides {
			w.sides[i] = &side{town: w, index: i}
		}
		for p := range w.desired {
			w.desired[p] = p % 2
		}
		for _, s := range w.sides {
			s.open()
		}
		refs := w.deploy()
		w.moving.Store(true)
		stop := make(chan struct{})
		var all, nodes sync.WaitGroup
		over := make(chan struct{})
		for _, s := range w.sides {
			nodes.Go(func() { s.comeBack(over) })
		}
		load := &clients{town: w, refs: refs, acked: map[string]accepted{}}
		for _, ref := range refs {
			if !strings.Contains(ref, "long") && !strings.Contains(ref, "wait") {
				load.quick = append(load.quick, ref)
			}
		}
		for range 160 {
			all.Go(func() { load.run(stop) })
		}
		load.fill()
		for round := 1; w.moves.Load() < *handoverMoves; round++ {
			w.move()
			if round%disownEvery == 0 {
				w.disown()
			}
			time.Sleep(time.Duration(w.roll(100)) * time.Millisecond)
			load.sample()
		}
		close(stop)
		all.Wait()
		w.moving.Store(false)
		w.settle()
		close(over)
		nodes.Wait()
		w.check(load)
		for _, s := range w.sides {
			s.close()
		}
		time.Sleep(time.Minute) // timers that are left do nothing
		w.tell(load)
	})
}

// move has a partition, or a few, owned by the other node from now on.
func (w *town) move() {
	n := 1 + w.roll(4)
	var from [2][]messages.Partition
	w.mu.Lock()
	for range n {
		p := w.chance.IntN(messages.Partitions)
		i := w.desired[p]
		w.desired[p] = 1 - i
		from[i] = append(from[i], messages.Partition(p))
	}
	w.mu.Unlock()
	w.moves.Add(int64(n))
	for i, ps := range from {
		if len(ps) == 0 {
			continue
		}
		for _, s := range w.sides {
			s.mu.Lock()
			switch {
			case s.gone.Load():
			case s.index == i:
				s.host.Give(ps...)
			default:
				s.host.Take(ps...)
			}
			s.mu.Unlock()
		}
	}
}

// disown has nobody own anything any more, as the journal has it: the nodes learn of it by their commits, and go on.
func (w *town) disown() {
	s := w.sides[0]
	s.mu.Lock()
	j := s.journal
	s.mu.Unlock()
	if _, err := j.NewGeneration(w.t.Context()); err == nil { // else it does not answer
		w.disowned.Add(1)
	}
}

// comeBack starts the node anew whenever it was fenced.
func (s *side) comeBack(stop <-chan struct{}) {
	for {
		s.mu.Lock()
		broken := s.broken
		s.mu.Unlock()
		select {
		case <-stop:
			return
		case <-broken:
			s.close()
			s.open()
			s.catchUp()
		}
	}
}

// deploy deploys the definitions of all kinds of orders.
func (w *town) deploy() []string {
	var refs []string
	for name, tasks := range map[string]string{
		"one": "do: [{a: {call: x.do}}]", "three": "do: [{a: {call: x.do}}, {b: {call: x.do}}, {c: {call: x.do}}]",
		"wait":  "do: [{a: {wait: PT2S}}, {b: {call: x.do}}]",
		"child": "do: [{a: {call: x.do}}]", "long": "do: [{a: {wait: PT20S}}]",
		"parent": "do: [{a: {call: x.do}}, {c: {run: {workflow: {namespace: test, name: child, version: 1.0.0}}}}]",
	} {
		doc := fmt.Sprintf("document: {dsl: 1.0.3, namespace: test, name: %s, version: 1.0.0}\n%s", name, tasks)
		for _, s := range w.sides {
			x, wrong, _, err := s.engine.Catalog().Check(w.t.Context(), []byte(doc))
			if len(wrong) > 0 || err != nil {
				w.t.Fatal(wrong, err)
			}
			hash := []byte(fmt.Sprintf("%-32s", name))
			for {
				_, err := s.engine.Catalog().Deploy(w.t.Context(), &journalv1.DefinitionRow{
					Namespace: x.Ref.Namespace, Name: x.Ref.Name, Version: x.Ref.Version, Hash: hash, Document: []byte(doc),
				})
				if err == nil {
					break
				}
				time.Sleep(100 * time.Millisecond)
			}
		}
		if name != "child" {
			refs = append(refs, "test/"+name+":1.0.0")
		}
	}
	slices.Sort(refs)
	return refs
}

// tell prints what was done, for scenarios/verify.
func (w *town) tell(load *clients) {
	figures := load.kinds()
	figures["in_flight_least"] = int64(load.least)
	for name, n := range map[string]*atomic.Int64{
		"moves": &w.moves, "fences": &w.fences, "stale_commits": &w.stale, "unknown_outcomes": &w.unknown, "unavailable": &w.unavailable,
		"messages": &w.carried, "messages_lost": &w.lost, "overflowed": &w.overflowed,
		"disowned": &w.disowned, "unknown_claims": &w.unsure, "inserted": &w.inserted,
	} {
		figures[name] = n.Load()
	}
	figures["stale_commits"] -= figures["fences"] // those in whose middle the fence came
	line, err := json.Marshal(figures)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Logf("figures: %s", line)
}

// accepted is an order that was acknowledged. Of two orders, the one that was acknowledged before the other was submitted has an until
// below the other's from.
type accepted struct {
	ref, key    string
	from, until int
}

// keyedSpan is an order with a key, as it was submitted and as it ran.
type keyedSpan struct {
	span
	accepted
}

// kinds counts the orders that were acknowledged, by what they do.
func (c *clients) kinds() map[string]int64 {
	out := map[string]int64{"orders": int64(len(c.acked))}
	for _, o := range c.acked {
		switch o.ref {
		case "test/parent:1.0.0":
			out["children"]++
		case "test/wait:1.0.0", "test/long:1.0.0":
			out["timers"]++
		}
		if o.key != "" {
			out["keyed"]++
		}
	}
	return out
}

// fill waits until many orders have not ended, and as many end as are accepted.
func (c *clients) fill() {
	const inFlight, longest = 250, 20 * time.Second
	time.Sleep(longest)
	for c.least < inFlight {
		time.Sleep(100 * time.Millisecond)
		if open, err := c.town.open(); err == nil { // else the journal does not answer, or the node is replaced
			c.least = len(open)
		}
	}
}

// sample looks at how many orders have not ended, now and then.
func (c *clients) sample() {
	const every = 20
	if c.samples++; c.samples%every != 0 {
		return
	}
	if open, err := c.town.open(); err == nil {
		c.least = min(c.least, len(open))
	}
}

// open lists the orders that have not ended.
func (w *town) open() ([]persistence.FoundOrder, error) {
	s := w.sides[0]
	s.mu.Lock()
	j := s.journal
	s.mu.Unlock()
	found, _, err := j.List(w.t.Context(), persistence.Query{
		Statuses: []orderv1.Status{pending, running, waiting, suspended}, Limit: 1 << 20, Scan: 1 << 20,
	})
	return found, err
}

// clients submit orders, each until it is accepted.
type clients struct {
	town *town
	// refs are the definitions, quick those of orders that are soon over.
	refs, quick []string

	mu    sync.Mutex
	count int
	turns int                 // of submitting and acknowledging
	acked map[string]accepted // by id

	// least is how many orders were in flight at least, of so many samples.
	least, samples int
}

func (c *clients) run(stop <-chan struct{}) {
	for {
		select {
		case <-stop:
			return
		default:
		}
		c.mu.Lock()
		c.count++
		c.turns++
		id, from := fmt.Sprintf("o%06d", c.count), c.turns
		c.mu.Unlock()
		ref, key := c.refs[c.town.roll(len(c.refs))], ""
		if c.town.roll(3) == 0 {
			ref, key = c.quick[c.town.roll(len(c.quick))], fmt.Sprint("k", c.town.roll(40))
		}
		for !c.submit(id, ref, key) {
			time.Sleep(time.Duration(50+c.town.roll(200)) * time.Millisecond)
		}
		c.mu.Lock()
		c.turns++
		c.acked[id] = accepted{ref, key, from, c.turns}
		c.mu.Unlock()
		time.Sleep(time.Duration(c.town.roll(1000)) * time.Millisecond)
	}
}

func (c *clients) submit(id, ref, key string) bool {
	s := c.town.sides[c.town.roll(2)]
	s.mu.Lock()
	engine := s.engine
	s.mu.Unlock()
	pin, err := pinOf(c.town.t, engine, ref)
	if passing(err) {
		return false
	}
	if err != nil {
		c.town.t.Errorf("pin %s: %v", ref, err)
		return true
	}
	answer := make(chan *nodev1.Answer, 1)
	engine.Submit(&journalv1.OrderAccepted{
		OrderId: id, Definition: ref, DefinitionHash: pin.Hash, Input: []byte("{}"), OrderKey: key, ContentHash: []byte(id),
	}, nodev1.Wanted_WANTED_ACCEPTED, func(a *nodev1.Answer) { answer <- a })
	a := <-answer
	if f := a.GetFailure(); f != nil {
		if f.GetReason() == nodev1.Reason_REASON_ORDER_ID_TAKEN {
			c.town.t.Errorf("order %s: %v", id, failure.Err(f))
		}
		return false
	}
	return true
}

// settle waits until all orders have ended.
func (w *town) settle() {
	for range 600 {
		if found, err := w.open(); err == nil && len(found) == 0 {
			return
		}
		time.Sleep(time.Second)
	}
	w.t.Error("there are orders that do not end")
}

// check compares what there is with what should be.
func (w *town) check(load *clients) {
	j := w.sides[0].journal
	keyed := map[string][]keyedSpan{}
	for id, o := range load.acked {
		e, err := j.Find(w.t.Context(), messages.OrderID(id))
		if err != nil {
			w.t.Errorf("order %s was accepted: %v", id, err)
			continue
		}
		events, err := actors.ReadEvents(w.t.Context(), j, e.Handle)
		if err != nil {
			w.t.Error(err)
			continue
		}
		s := keyedSpan{span{id: id}, o}
		for _, ev := range events {
			switch {
			case ev.GetOrderStarted() != nil:
				s.started = ev.GetAt()
			case ev.GetOrderCompleted() != nil:
				s.ended = ev.GetAt()
			case ev.GetOrderFaulted() != nil, ev.GetOrderCancelled() != nil:
				w.t.Errorf("order %s ended with %v", id, ev)
			case ev.GetAttemptOverflowed() != nil:
				w.overflowed.Add(1)
			}
		}
		w.checkOnce(id, o, events)
		if o.key != "" {
			keyed[o.key] = append(keyed[o.key], s)
		}
	}
	for key, spans := range keyed {
		slices.SortFunc(spans, func(a, b keyedSpan) int { return int(a.started - b.started) })
		for i := range spans[1:] {
			if spans[i].ended > spans[i+1].started {
				w.t.Errorf("of key %s, %s started before %s had ended", key, spans[i+1].id, spans[i].id)
			}
			for _, before := range spans[:i+1] {
				if spans[i+1].until < before.from {
					w.t.Errorf("of key %s, %s was acknowledged before %s was submitted, and started after it", key, spans[i+1].id, before.id)
				}
			}
		}
	}
	time.Sleep(2 * time.Minute)
	w.checkIntake()
	for p := range w.desired {
		if w.sides[w.desired[p]].serving[p].Load() == nil || w.sides[1-w.desired[p]].serving[p].Load() != nil {
			w.t.Errorf("partition %d is not owned by who should own it", p)
		}
	}
	for _, s := range w.sides {
		s.checkLoops()
		if n := s.engine.Asks(); n != 0 {
			w.t.Errorf("node %d has %d asks left", s.index, n)
		}
		if used := s.engine.RoomUsed("x.do"); used != "" {
			w.t.Errorf("node %d has left in its room: %s", s.index, used)
		}
		status := s.engine.Status(w.t.Context())
		if status.Open != 0 || status.Suspended != 0 || status.KeysWaiting != 0 || status.KeysHeld != 0 {
			w.t.Errorf("node %d: %+v", s.index, status)
		}
		if err := s.engine.Ready(); err != nil {
			w.t.Errorf("node %d is not ready: %v", s.index, err)
		}
		if a := s.engine.Activities().All(); len(a) != 1 || a[0].Waiting+a[0].InFlight+a[0].Overflow != 0 {
			w.t.Errorf("node %d has left %+v", s.index, a)
		}
	}
	var again []string
	w.downstream.mu.Lock()
	defer w.downstream.mu.Unlock()
	for key, n := range w.downstream.done {
		if n > 5 {
			again = append(again, fmt.Sprint(key, " ", n))
		}
	}
	if len(again) > 0 {
		w.t.Logf("asked for more than five times: %s", strings.Join(again, ", "))
	}
}

// checkIntake checks that nobody waits to be taken up.
func (w *town) checkIntake() {
	w.t.Helper()
	var all []messages.Partition
	for p := range messages.Partition(messages.Partitions) {
		all = append(all, p)
	}
	if left, err := w.sides[0].journal.Intake(w.t.Context(), all, messages.Handle{}, 1); err != nil || len(left) > 0 {
		w.t.Errorf("in the intake is %v, %v", left, err)
	}
}

// checkOnce checks that an order has ended once, and had each result once.
func (w *town) checkOnce(id string, o accepted, events []*journalv1.Event) {
	ends, results, of := 0, 0, map[uint32]bool{}
	for _, ev := range events {
		switch e := ev.GetAttemptEnded(); {
		case ev.GetOrderCompleted() != nil:
			ends++
		case e.GetOutcome() == journalv1.Outcome_OUTCOME_SUCCEEDED:
			results++
			of[e.GetFrame()] = true
		}
	}
	want := map[string]int{"test/three:1.0.0": 3, "test/long:1.0.0": 0, "test/one:1.0.0": 1, "test/wait:1.0.0": 1, "test/parent:1.0.0": 1}
	if ends != 1 || results != want[o.ref] || len(of) != results {
		w.t.Errorf("order %s of %s has ended %d times, with %d results of %d tasks", id, o.ref, ends, results, len(of))
	}
}

// checkLoops checks that the watchdog looks after the partitions that the node owns, and after no other.
func (s *side) checkLoops() {
	var got, want []string
	for _, loop := range s.dog.Stuck(time.Now().Add(24 * time.Hour)) { // nothing has turned since then
		if strings.HasPrefix(loop.Name, "partition ") {
			got = append(got, loop.Name)
		}
	}
	for p, i := range s.town.desired {
		if i == s.index {
			want = append(want, fmt.Sprint("partition ", p))
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		s.town.t.Errorf("node %d owns %d partitions, and its watchdog has %d loops of some: %v", s.index, len(want), len(got), got)
	}
}
