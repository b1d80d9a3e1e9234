package actors_test

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/protobuf/proto"

	"github.com/holdfast-run/holdfast/actors"
	"github.com/holdfast-run/holdfast/actors/activity"
	"github.com/holdfast-run/holdfast/actors/failure"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/adapterv1"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/messages/nodev1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/persistence"
	"github.com/holdfast-run/holdfast/persistence/memory"
	"github.com/holdfast-run/holdfast/supervision"
)

var (
	handoverMoves = flag.Int("handover.moves", 200, "how many partitions change hands in TestHandover")
	handoverSeed  = flag.Uint64("handover.seed", 1, "the seed of TestHandover")
)

// town is where two engines live over one journal. It says which of them is to own what, and carries messages between them: encoded,
// late, twice or not at all.
type town struct {
	t     *testing.T
	store *memory.Store

	mu      sync.Mutex
	chance  *rand.Rand
	sides   [2]*side
	desired [messages.Partitions]int

	moves, fences, unknown, stale, unavailable, carried, lost atomic.Int64
	moving                                                    atomic.Bool // else nothing goes wrong any more
}

// side is one node, again and again after it was fenced. It is the engine's placement, and sends to the other one.
type side struct {
	town  *town
	index int

	mu      sync.Mutex // held while the node is replaced
	engine  *actors.Engine
	journal *memory.Journal
	dog     *supervision.Watchdog
	system  *actor.ActorSystem
	host    actors.Host
	worker  *traveller
	broken  chan struct{}

	serving [messages.Partitions]atomic.Pointer[actor.PID]
	other   atomic.Pointer[actor.PID] // of the actor that stands for the other node
	gone    atomic.Bool
}

func (w *town) roll(n int) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.chance.IntN(n)
}

// fault is what goes wrong with a commit.
func (w *town) fault(c *persistence.Commit) memory.Fault {
	if !w.moving.Load() {
		return memory.None
	}
	x := w.roll(1000)
	switch {
	case c == nil && x < 5:
		w.unavailable.Add(1)
		return memory.Unavailable
	case c == nil:
		return memory.None
	case x < 6:
		w.unavailable.Add(1)
		return memory.Unavailable
	case x < 10:
		return memory.Conflict
	case x < 30:
		w.unknown.Add(1)
		return memory.UnknownDone
	case x < 50:
		w.unknown.Add(1)
		return memory.UnknownLost
	case x < 75:
		w.fences.Add(1)
		return memory.Fence
	}
	return memory.None
}

// carry has a message arrive later: once, twice or never.
func (w *town) carry(m proto.Message, arrive func([]byte)) {
	raw, err := proto.Marshal(m)
	if err != nil {
		w.t.Error(err)
		return
	}
	w.carried.Add(1)
	times := 1
	if w.moving.Load() {
		switch w.roll(50) {
		case 0:
			w.lost.Add(1)
			times = 0
		case 1:
			times = 2
		}
	}
	for range times {
		time.AfterFunc(time.Duration(w.roll(20_000))*time.Microsecond, func() { arrive(raw) })
	}
}

func address(i int) string { return fmt.Sprint("node", i) }

// open starts the node anew.
func (s *side) open() {
	w := s.town
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	j, dog, broken := w.store.Open(memory.Config{Faults: w.fault}), supervision.NewWatchdog(time.Now, log), make(chan struct{}, 1)
	var engine *actors.Engine
	for engine == nil {
		e, err := actors.New(actors.Config{QueueBytes: 4 << 10, AskWithin: 5 * time.Second, TryAgain: 200 * time.Millisecond}, actors.Deps{
			Journal: &counting{j, w}, Placement: s, Metrics: actors.NewMetrics(prometheus.NewRegistry()), Log: log, Watchdog: dog,
			Address: address(s.index), Remote: s,
			Fatal: func(error) {
				select {
				case broken <- struct{}{}:
				default:
				}
			},
		})
		if err != nil {
			w.t.Fatal(err)
		}
		if e.Start(w.t.Context()) == nil { // else the catalogue could not be read
			engine = e
		}
	}
	worker := &traveller{town: w, done: downstream}
	worker.Stream = engine.Activities().Attach(worker.hello(), worker)
	worker.Credit(&adapterv1.Credit{Activity: "do", Total: 1 << 40})
	s.mu.Lock()
	defer s.mu.Unlock()
	s.engine, s.journal, s.dog, s.worker, s.broken = engine, j, dog, worker, broken
	s.gone.Store(false)
}

// close ends the node.
func (s *side) close() {
	s.gone.Store(true)
	s.worker.Detach(true, false)
	s.engine.Stop()
	if err := s.journal.Close(); err != nil {
		s.town.t.Error(err)
	}
	for p := range s.serving {
		s.serving[p].Store(nil)
	}
}

// counting counts the commits that were refused because their epoch was old.
type counting struct {
	*memory.Journal

	town *town
}

func (c *counting) Commit(x *persistence.Commit) {
	done := x.Done
	x.Done = func(err error) {
		if errors.Is(err, persistence.ErrFenced) {
			c.town.stale.Add(1)
		}
		done(err)
	}
	c.Journal.Commit(x)
}

func (s *side) Start(system *actor.ActorSystem, h actors.Host) error {
	s.mu.Lock()
	s.system, s.host = system, h
	s.mu.Unlock()
	s.other.Store(system.Root.Spawn(actor.PropsFromFunc(func(ctx actor.Context) {
		if e, ok := ctx.Message().(*nodev1.Envelope); ok {
			to := s.town.sides[1-s.index]
			s.town.carry(e, to.arrive)
		}
	})))
	var mine []messages.Partition
	s.town.mu.Lock()
	for p, i := range s.town.desired {
		if i == s.index {
			mine = append(mine, messages.Partition(p))
		}
	}
	s.town.mu.Unlock()
	h.Take(mine...)
	return nil
}

func (s *side) Owner(p messages.Partition) *actor.PID {
	switch pid := s.serving[p].Load(); {
	case pid != nil:
		return pid
	case s.town.sides[1-s.index].serving[p].Load() != nil:
		return s.other.Load()
	}
	return nil
}

func (s *side) Serve(p messages.Partition, pid *actor.PID) { s.serving[p].Store(pid) }

func (s *side) Lost(p messages.Partition) {
	s.mu.Lock()
	host := s.host
	s.mu.Unlock()
	time.AfterFunc(100*time.Millisecond, func() {
		s.town.mu.Lock()
		mine := s.town.desired[p] == s.index
		s.town.mu.Unlock()
		if mine && !s.gone.Load() {
			host.Take(p)
		}
	})
}

func (*side) Stop() {}

// arrive takes a message from the other node.
func (s *side) arrive(raw []byte) {
	e := new(nodev1.Envelope)
	if err := proto.Unmarshal(raw, e); err != nil {
		s.town.t.Error(err)
		return
	}
	if s.gone.Load() {
		return
	}
	if pid := s.serving[e.GetPartition()].Load(); pid != nil {
		s.mu.Lock()
		system := s.system
		s.mu.Unlock()
		system.Root.Send(pid, e)
		return
	}
	s.Answer(e.GetAsker(), &nodev1.Answer{Ask: e.GetAsk(), Failure: &nodev1.Failure{Reason: nodev1.Reason_REASON_NOT_OWNER}})
}

// Answer sends an answer to the other node.
func (s *side) Answer(to string, a *nodev1.Answer) {
	other := s.town.sides[1-s.index]
	if to != address(other.index) || a.GetAsk() == 0 {
		return
	}
	s.town.carry(a, func(raw []byte) {
		got := new(nodev1.Answer)
		if err := proto.Unmarshal(raw, got); err != nil {
			s.town.t.Error(err)
			return
		}
		other.mu.Lock()
		e := other.engine
		other.mu.Unlock()
		if e != nil && !other.gone.Load() {
			e.Receive(got)
		}
	})
}

// results are those of the one downstream, by key: how often each piece of work was done.
type results struct {
	mu   sync.Mutex
	done map[string]int
}

var downstream = &results{} //nolint:gochecknoglobals // replaced by each test

// traveller is an adapter process that has a stream to each node. It answers what it has done before.
type traveller struct {
	*activity.Stream

	town *town
	done *results
	seq  atomic.Uint64
}

func (*traveller) hello() *adapterv1.Hello {
	return &adapterv1.Hello{
		Adapter: "x", Process: "p", Ledger: "p", Protocol: 1,
		Activities: []*adapterv1.Activity{{Name: "do", Version: "1.0.0", Idempotent: true, Concurrency: 1}},
	}
}

func (w *traveller) SendTask(t *adapterv1.Task) {
	time.AfterFunc(time.Duration(1+w.town.roll(30))*time.Millisecond, func() {
		w.done.mu.Lock()
		w.done.done[t.GetKey()]++
		w.done.mu.Unlock()
		r := &adapterv1.Result{
			Seq: w.seq.Add(1), OrderId: t.GetOrderId(), Partition: t.GetPartition(), Key: t.GetKey(), Attempt: t.GetAttempt(),
			Activity: t.GetActivity(), Outcome: adapterv1.Outcome_OUTCOME_SUCCEEDED, Output: []byte(`{"n":1}`),
		}
		w.send(r, 0)
	})
}

// send sends a result until it is taken, or the node does not have the order any more: another one asks for it then.
func (w *traveller) send(r *adapterv1.Result, tries int) {
	w.Result(r, func(err error) {
		if err != nil && tries < 20 {
			time.AfterFunc(200*time.Millisecond, func() { w.send(r, tries+1) })
		}
	})
}

func (*traveller) SendCancellation(*adapterv1.Cancellation) {}
func (*traveller) SendConfirmation(*adapterv1.Confirmation) {}
func (*traveller) SendReturned(*adapterv1.Returned)         {}

// Partitions change hands again and again under load, nodes are fenced in the middle of commits, outcomes get lost, and so do messages
// between the nodes: nothing is lost, nothing done twice, no key is overtaken, and in the end everything is owned and nothing is left.
func TestHandover(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		downstream = &results{done: map[string]int{}}
		w := &town{t: t, store: memory.NewStore(), chance: rand.New(rand.NewPCG(*handoverSeed, 1))}
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
		load := &clients{town: w, refs: refs, acked: map[string]string{}}
		for _, ref := range refs {
			if !strings.Contains(ref, "long") && !strings.Contains(ref, "wait") {
				load.quick = append(load.quick, ref)
			}
		}
		for range 40 {
			all.Go(func() { load.run(stop) })
		}
		for range *handoverMoves {
			w.move()
			time.Sleep(time.Duration(w.roll(100)) * time.Millisecond)
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
		t.Logf("%d moves, %d fences, %d stale commits refused, %d unknown outcomes, %d unavailable, %d messages carried, %d lost, %d orders",
			w.moves.Load(), w.fences.Load(), w.stale.Load(), w.unknown.Load(), w.unavailable.Load(), w.carried.Load(), w.lost.Load(),
			len(load.acked))
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

// catchUp has the node own what it is to own, should that have changed while it started.
func (s *side) catchUp() {
	var take, give []messages.Partition
	s.town.mu.Lock()
	for p, i := range s.town.desired {
		if i == s.index {
			take = append(take, messages.Partition(p))
		} else {
			give = append(give, messages.Partition(p))
		}
	}
	s.town.mu.Unlock()
	s.host.Take(take...)
	s.host.Give(give...)
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
			x, wrong, _ := s.engine.Catalog().Check([]byte(doc))
			if len(wrong) > 0 {
				w.t.Fatal(wrong)
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

// clients submit orders, each until it is accepted.
type clients struct {
	town *town
	// refs are the definitions, quick those of orders that are soon over.
	refs, quick []string

	mu    sync.Mutex
	count int
	acked map[string]string // the key of each order that was accepted
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
		id := fmt.Sprintf("o%06d", c.count)
		c.mu.Unlock()
		ref, key := c.refs[c.town.roll(len(c.refs))], ""
		if c.town.roll(3) == 0 {
			ref, key = c.quick[c.town.roll(len(c.quick))], fmt.Sprint("k", c.town.roll(40))
		}
		for !c.submit(id, ref, key) {
			time.Sleep(time.Duration(50+c.town.roll(200)) * time.Millisecond)
		}
		c.mu.Lock()
		c.acked[id] = key
		c.mu.Unlock()
		time.Sleep(time.Duration(c.town.roll(1000)) * time.Millisecond)
	}
}

func (c *clients) submit(id, ref, key string) bool {
	s := c.town.sides[c.town.roll(2)]
	s.mu.Lock()
	engine := s.engine
	s.mu.Unlock()
	r, _ := messages.ParseDefinitionRef(ref)
	pin, err := engine.Catalog().Pin(r, []byte("{}"))
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
		s := w.sides[0]
		s.mu.Lock()
		j := s.journal
		s.mu.Unlock()
		found, _, err := j.List(w.t.Context(), persistence.Query{
			Statuses: []orderv1.Status{pending, running, waiting, suspended}, Limit: 1 << 20, Scan: 1 << 20,
		})
		if err == nil && len(found) == 0 {
			return
		}
		time.Sleep(time.Second)
	}
	w.t.Error("there are orders that do not end")
}

// check compares what there is with what should be.
func (w *town) check(load *clients) {
	j := w.sides[0].journal
	keyed := map[string][]span{}
	for id, key := range load.acked {
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
		s := span{id: id}
		for _, ev := range events {
			switch {
			case ev.GetOrderStarted() != nil:
				s.started = ev.GetAt()
			case ev.GetOrderCompleted() != nil:
				s.ended = ev.GetAt()
			case ev.GetOrderFaulted() != nil, ev.GetOrderCancelled() != nil:
				w.t.Errorf("order %s ended with %v", id, ev)
			}
		}
		if key != "" {
			keyed[key] = append(keyed[key], s)
		}
	}
	for key, spans := range keyed {
		slices.SortFunc(spans, func(a, b span) int { return int(a.started - b.started) })
		for i := range spans[1:] {
			if spans[i].ended > spans[i+1].started {
				w.t.Errorf("of key %s, %s started before %s had ended", key, spans[i+1].id, spans[i].id)
			}
		}
	}
	time.Sleep(2 * time.Minute)
	for p := range w.desired {
		if w.sides[w.desired[p]].serving[p].Load() == nil || w.sides[1-w.desired[p]].serving[p].Load() != nil {
			w.t.Errorf("partition %d is not owned by who should own it", p)
		}
	}
	for _, s := range w.sides {
		if n := s.engine.Asks(); n != 0 {
			w.t.Errorf("node %d has %d asks left", s.index, n)
		}
		if used := s.engine.RoomUsed("x.do"); used != "" {
			w.t.Errorf("node %d has left in its room: %s", s.index, used)
		}
		status, err := s.engine.Status(w.t.Context())
		if err != nil || status.Open != 0 || status.Suspended != 0 || status.KeysWaiting != 0 || status.KeysHeld != 0 {
			w.t.Errorf("node %d: %+v, %v", s.index, status, err)
		}
		if err := s.engine.Ready(); err != nil {
			w.t.Errorf("node %d is not ready: %v", s.index, err)
		}
		if a := s.engine.Activities().All(); len(a) != 1 || a[0].Waiting+a[0].InFlight+a[0].Overflow != 0 {
			w.t.Errorf("node %d has left %+v", s.index, a)
		}
	}
	var again []string
	for key, n := range downstream.done {
		if n > 5 {
			again = append(again, fmt.Sprint(key, " ", n))
		}
	}
	if len(again) > 0 {
		w.t.Logf("asked for more than five times: %s", strings.Join(again, ", "))
	}
}
