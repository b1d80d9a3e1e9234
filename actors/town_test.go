package actors_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/protobuf/proto"

	"github.com/holdfast-run/holdfast/actors"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/adapterv1"
	"github.com/holdfast-run/holdfast/messages/nodev1"
	"github.com/holdfast-run/holdfast/persistence"
	"github.com/holdfast-run/holdfast/persistence/memory"
	"github.com/holdfast-run/holdfast/supervision"
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

	moves, fences, unknown, stale, unavailable, carried, lost, overflowed, disowned, unsure atomic.Int64
	// inserted counts the orders that were accepted by who did not own their partitions.
	inserted atomic.Int64
	moving   atomic.Bool // else nothing goes wrong any more
	// loses tells which messages between the nodes get lost, though nothing goes wrong; nil: none.
	loses func(m proto.Message) bool
	// downstream is the one system that adapters work with.
	downstream results
	// tune changes the settings of a node before it starts; nil: it does not.
	tune func(*actors.Config)
	// unfenced: no node is fenced in the middle of a commit.
	unfenced bool
	// now is the clock of a node; nil: that of the system.
	now func(i int) time.Time
	// wrap is what a node sees of its journal; nil: all of it.
	wrap func(i int, j persistence.Journal) persistence.Journal
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
	worker  *worker
	broken  chan struct{}

	serving [messages.Partitions]atomic.Pointer[actor.PID]
	has     [messages.Partitions]atomic.Bool // as the placement is told
	other   atomic.Pointer[actor.PID]        // of the actor that stands for the other node
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
	case x < 75 && !w.unfenced:
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
	switch {
	case w.loses != nil && w.loses(m):
		times = 0
	case w.moving.Load():
		switch w.roll(50) {
		case 0:
			w.lost.Add(1)
			times = 0
		case 1:
			times = 2
		}
	}
	for range times {
		late := time.Duration(w.roll(20_000)) * time.Microsecond
		if *handoverWorse && w.moving.Load() && w.roll(25) == 0 {
			late = time.Duration(w.roll(30_000)) * time.Millisecond
		}
		time.AfterFunc(late, func() { arrive(raw) })
	}
}

func address(i int) string { return fmt.Sprint("node", i) }

// open starts the node anew.
func (s *side) open() {
	w := s.town
	log := slog.New(slog.DiscardHandler)
	j, dog, broken := w.store.Open(memory.Config{Faults: w.fault}), supervision.NewWatchdog(time.Now, log), make(chan struct{}, 1)
	seen := persistence.Journal(&counting{j, w})
	if w.wrap != nil {
		seen = w.wrap(s.index, seen)
	}
	config := actors.Config{QueueEach: 4 << 10, AskWithin: 5 * time.Second, TryAgain: 200 * time.Millisecond}
	if w.tune != nil {
		w.tune(&config)
	}
	now := time.Now
	if w.now != nil {
		now = func() time.Time { return w.now(s.index) }
	}
	var engine *actors.Engine
	for engine == nil {
		config.HeavyShare = 1 // how much processor time the machine gives is nothing to the clock of a bubble
		e, err := actors.New(config, actors.Deps{
			Journal: seen, Placement: s, Metrics: actors.NewMetrics(prometheus.NewRegistry()), Log: log, Watchdog: dog,
			Now: now, Crowded: never, Address: address(s.index), Remote: s,
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
	worker := w.travel(&node{Engine: engine, t: w.t})
	worker.join()
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
		s.has[p].Store(false)
	}
}

// catchUp has the node own what it is to own, should that have changed while it started. What is moved meanwhile is told after that.
func (s *side) catchUp() {
	s.mu.Lock()
	defer s.mu.Unlock()
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

// counting counts the commits that were refused because their epoch was old, and the acceptances without one.
type counting struct {
	*memory.Journal

	town *town
}

func (c *counting) Commit(x *persistence.Commit) {
	done := x.Done
	x.Done = func(err error) {
		switch {
		case errors.Is(err, persistence.ErrFenced):
			c.town.stale.Add(1)
		case err == nil && x.Epoch == 0:
			c.town.inserted.Add(1)
		}
		done(err)
	}
	c.Journal.Commit(x)
}

// Claim claims, and does not always tell that it has.
func (c *counting) Claim(ctx context.Context, seen []persistence.Holding) ([]persistence.Holding, error) {
	claimed, err := c.Journal.Claim(ctx, seen)
	if err == nil && c.town.moving.Load() && c.town.roll(10) == 0 {
		c.town.unsure.Add(1)
		return nil, persistence.ErrUnknown
	}
	return claimed, err
}

// Release releases, and does not always tell that it has.
func (c *counting) Release(h persistence.Holding, done func(error)) {
	c.Journal.Release(h, func(err error) {
		if err == nil && c.town.moving.Load() && c.town.roll(10) == 0 {
			c.town.unsure.Add(1)
			err = persistence.ErrUnknown
		}
		done(err)
	})
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

func (s *side) Serve(p messages.Partition, pid *actor.PID) {
	s.serving[p].Store(pid)
	if pid != nil {
		s.has[p].Store(true)
	}
}

func (s *side) Lost(p messages.Partition) {
	time.AfterFunc(100*time.Millisecond, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.town.mu.Lock()
		mine := s.town.desired[p] == s.index
		s.town.mu.Unlock()
		if mine && !s.gone.Load() {
			s.host.Take(p)
		}
	})
}

// Gone implements partition.Placement. A node that is fenced comes back as another one.
func (*side) Gone(messages.Incarnation) bool { return false }

func (s *side) Left(p messages.Partition) { s.has[p].Store(false) }

func (*side) Ready() error { return nil }

func (*side) MayDispatch() bool { return true }

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

// note notes that a piece of work was done.
func (r *results) note(key string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.done == nil {
		r.done = map[string]int{}
	}
	r.done[key]++
}

// travel makes the worker of an adapter process that has a stream to each node: what was done counts for the one downstream.
func (w *town) travel(n *node) *worker {
	return n.newWorker(func(x *worker, t *adapterv1.Task) *adapterv1.Result {
		time.AfterFunc(time.Duration(1+w.roll(30))*time.Millisecond, func() {
			w.downstream.note(t.GetKey())
			x.deliver(t, 0)
		})
		return nil
	})
}

// deliver sends a result until it is taken, or the node does not have the order any more: another one asks for it then.
func (w *worker) deliver(t *adapterv1.Task, tries int) {
	w.answerThen(t, done(`{"n":1}`), func(err error) {
		if err != nil && tries < 20 {
			time.AfterFunc(200*time.Millisecond, func() { w.deliver(t, tries+1) })
		}
	})
}
