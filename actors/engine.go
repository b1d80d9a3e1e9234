package actors

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"google.golang.org/protobuf/proto"

	"github.com/holdfast-run/holdfast/actors/workflow"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/messages/problemv1"
	"github.com/holdfast-run/holdfast/persistence"
	"github.com/holdfast-run/holdfast/supervision"
)

// Placement is what the engine needs of the cluster.
type Placement interface {
	// Start joins the cluster. own is called for each partition that becomes this node's to take up, and returns the
	// PID of the actor that is the parent of its orders.
	Start(system *actor.ActorSystem, own func(messages.Partition) (*actor.PID, error)) error
	// Order returns the PID through which an order is reached, or nil if that is not known now.
	Order(p messages.Partition, id messages.OrderID) *actor.PID
	// Stop leaves the cluster.
	Stop()
}

// Deps are the parts that an engine works with. All are needed.
type Deps struct {
	Node      messages.NodeID
	Journal   persistence.Journal
	Placement Placement
	Watchdog  *supervision.Watchdog
	Metrics   *Metrics
	Log       *slog.Logger
	// Fatal ends the process: an invariant is broken. It may return.
	Fatal func(reason error)
}

// Engine runs the orders of one node.
type Engine struct {
	config    Config
	node      messages.NodeID
	journal   persistence.Journal
	placement Placement
	watchdog  *supervision.Watchdog
	metrics   *Metrics
	log       *slog.Logger
	story     story
	fatal     func(error)
	now       func() time.Time

	system      *actor.ActorSystem
	workers     workers
	evaluating  chan struct{} // holds as many as there are evaluations that take long; at most Config.Evaluations
	definitions *definitions
	waiters     waiters
	handles     handles
	unloadable  unloadable
	streams     atomic.Uint64

	activities   sync.Map // *activity, by name
	lanes        sync.Map // *lane, by the name that is called
	activitiesMu sync.Mutex
	limits       sync.Map // *journalv1.LimitRow, by activity
	limitsMu     sync.Mutex
	spans        sync.Map // *span, by definition
	// guardian supervises partitions, lastResort what can't be restarted.
	guardian, lastResort actor.SupervisorStrategy

	// resident is about what the orders in memory take, in bytes.
	resident atomic.Int64

	slotsMu    sync.Mutex
	slots      []*slot
	unread     atomic.Int64 // partitions whose open orders were not read yet
	stopping   atomic.Bool
	stopClock  chan struct{}
	clockEnded chan struct{}
}

// New makes an engine.
func New(config Config, d Deps) (*Engine, error) {
	config = config.WithDefaults()
	if err := config.Validate(); err != nil {
		return nil, fmt.Errorf("engine: %w", err)
	}
	e := &Engine{
		config: config, node: d.Node, journal: d.Journal, placement: d.Placement, watchdog: d.Watchdog, metrics: d.Metrics,
		log: d.Log, story: newStory(d.Log, config.LogRate), fatal: d.Fatal, now: time.Now,
		evaluating: make(chan struct{}, config.Evaluations),
		stopClock:  make(chan struct{}), clockEnded: make(chan struct{}),
	}
	escalate := func(reason any, who *actor.PID) {
		e.fatal(fmt.Errorf("%s failed too often: %v", who.GetId(), reason)) //nolint:err113 // for people
	}
	e.guardian = config.Restarts.Strategy(d.Log, escalate)
	// A dispatcher that fails has lost what it knew of the adapters: the process ends, and the next one takes everything
	// up from the journal.
	never := supervision.Policy{Within: time.Minute}
	e.lastResort = never.Strategy(d.Log, escalate)
	finder := persistence.Finder(d.Journal)
	d.Metrics.fallout.Store(&finder)
	d.Watchdog.Watch(func(now time.Time) []supervision.Stuck { return e.workers.stuck(now, config.StuckAfter) })
	return e, nil
}

// Start takes up the partitions of this node, and returns when new orders can be accepted. Recovery goes on behind.
func (e *Engine) Start(ctx context.Context) error {
	var err error
	if e.definitions, err = loadDefinitions(ctx, e.journal, e.config.Definition); err != nil {
		return err
	}
	if err = e.handles.init(ctx, e.journal); err != nil {
		return err
	}
	if err = e.loadLimits(ctx); err != nil {
		return err
	}
	e.system = actor.NewActorSystemWithConfig(actor.Configure(
		actor.WithLoggerFactory(func(*actor.ActorSystem) *slog.Logger {
			return slog.New(warnings{e.log.With("lib", "protoactor").Handler()})
		}),
	))
	e.system.EventStream.Subscribe(func(event any) {
		if dead, ok := event.(*actor.DeadLetterEvent); ok {
			refuse(dead.Message, ErrInterrupted)
		}
	})
	go e.clock()
	err = e.placement.Start(e.system, func(p messages.Partition) (*actor.PID, error) { return e.own(ctx, p) })
	if err != nil {
		e.Stop()
		return fmt.Errorf("join the cluster: %w", err)
	}
	return nil
}

// warnings lets warnings and worse through.
type warnings struct{ slog.Handler }

func (w warnings) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= slog.LevelWarn && w.Handler.Enabled(ctx, l)
}

func (w warnings) WithAttrs(attrs []slog.Attr) slog.Handler {
	return warnings{w.Handler.WithAttrs(attrs)}
}

func (w warnings) WithGroup(name string) slog.Handler { return warnings{w.Handler.WithGroup(name)} }

// own claims a partition and starts it.
func (e *Engine) own(ctx context.Context, p messages.Partition) (*actor.PID, error) {
	seen, err := e.journal.Epoch(ctx, p)
	if err != nil {
		return nil, fmt.Errorf("read epoch of partition %d: %w", p, err)
	}
	epoch, err := e.journal.Claim(ctx, p, e.node, seen)
	if err != nil {
		return nil, fmt.Errorf("claim partition %d: %w", p, err)
	}
	loop := e.watchdog.Register(fmt.Sprintf("partition %d", p), e.config.StuckAfter)
	s := &slot{number: p, epoch: epoch, ready: make(chan struct{}), loop: loop, faulted: map[messages.OrderID]time.Time{}}
	e.unread.Add(1)
	props := actor.PropsFromProducer(func() actor.Actor { return newPartition(e, s) },
		actor.WithMailbox(boundedMailbox(e.config.PartitionMailbox)), actor.WithDispatcher(&e.workers),
		actor.WithGuardian(e.guardian))
	pid, err := e.system.Root.SpawnNamed(props, fmt.Sprintf("partition-%d", p))
	if err != nil {
		return nil, fmt.Errorf("spawn partition %d: %w", p, err)
	}
	s.pid = pid
	close(s.ready)
	e.slotsMu.Lock()
	e.slots = append(e.slots, s)
	e.slotsMu.Unlock()
	return pid, nil
}

// clock wakes partitions and dispatchers every second: they look after what has waited, and show that they turn.
func (e *Engine) clock() {
	defer close(e.clockEnded)
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	sweepEvery := max(int(e.config.Idle/time.Second)/4, 1)
	for n := 1; ; n++ {
		select {
		case <-e.stopClock:
			return
		case <-ticker.C:
		}
		e.slotsMu.Lock()
		slots := e.slots
		e.slotsMu.Unlock()
		for _, s := range slots {
			if n%sweepEvery == 0 {
				e.tell(s.pid, sweep{})
			} else {
				e.tell(s.pid, probe{})
			}
		}
		e.activities.Range(func(_, a any) bool {
			e.tell(a.(*activity).dispatcher, probe{}) //nolint:errcheck,forcetypeassert // nothing else is stored
			return true
		})
		e.lanes.Range(func(_, l any) bool {
			e.tell(l.(*lane).backlog, probe{}) //nolint:errcheck,forcetypeassert // nothing else is stored
			return true
		})
	}
}

// Stop stops taking orders up. What is under way is taken up again at the next start.
func (e *Engine) Stop() {
	if e.stopping.Swap(true) {
		return
	}
	close(e.stopClock)
	<-e.clockEnded
	e.placement.Stop()
	e.slotsMu.Lock()
	slots := e.slots
	e.slotsMu.Unlock()
	for _, s := range slots {
		e.stop(s.pid)
		s.loop.Close()
	}
	e.lanes.Range(func(_, l any) bool {
		e.stop(l.(*lane).backlog) //nolint:errcheck,forcetypeassert // nothing else is stored
		return true
	})
	e.activities.Range(func(_, a any) bool {
		e.stop(a.(*activity).dispatcher) //nolint:errcheck,forcetypeassert // nothing else is stored
		return true
	})
	e.system.Shutdown()
	e.workers.close()
}

// stop stops an actor and waits until it has gone.
func (e *Engine) stop(pid *actor.PID) {
	if err := e.system.Root.StopFuture(pid).Wait(); err != nil {
		e.log.Warn("actor did not stop in time", "actor", pid.GetId(), "error", err)
	}
}

// Ready says why the node can't do its work now; nil if it can.
func (e *Engine) Ready() error {
	if e.stopping.Load() {
		return ErrStopping
	}
	if n := e.unread.Load(); n > 0 {
		return fmt.Errorf("open orders of %d partitions are still being read", n) //nolint:err113 // for people
	}
	return nil
}

func (e *Engine) tell(pid *actor.PID, m any) { e.system.Root.Send(pid, m) }

// after does something after a while, unless the engine stops. The timer needs no owner: what it does only sends.
func (e *Engine) after(d time.Duration, do func()) {
	time.AfterFunc(d, func() {
		if !e.stopping.Load() {
			do()
		}
	})
}

// later does again what failed.
func (e *Engine) later(do func()) { e.after(e.config.TryAgain, do) }

// tellOrder sends a message to an order, wherever it is.
func (e *Engine) tellOrder(p messages.Partition, id messages.OrderID, h messages.Handle, m any) {
	d := &deliver{id: id, handle: h, message: m}
	if e.stopping.Load() {
		d.refuse(ErrStopping)
		return
	}
	pid := e.placement.Order(p, id)
	if pid == nil {
		d.refuse(ErrNotOwner)
		return
	}
	e.tell(pid, d)
}

// insist tells an order something that nobody else keeps, again and again until it is durable or refused for good.
func (e *Engine) insist(p messages.Partition, id messages.OrderID, cmd workflow.Command) {
	e.tellOrder(p, id, messages.Handle{}, &command{cmd: cmd, answer: func(err error) {
		if err != nil && !isFinal(err) {
			e.later(func() { e.insist(p, id, cmd) })
		}
	}})
}

// Submit hands an order over. answer is called once: with the order as it stands when it is durable, or with why it was
// refused. It must not block, nor keep the state.
func (e *Engine) Submit(order *journalv1.OrderAccepted, def *workflow.Definition, answer func(*workflow.State, error)) {
	id := messages.OrderID(order.GetOrderId())
	e.tellOrder(messages.PartitionOf(id, order.GetOrderKey()), id, messages.Handle{}, &accept{
		order: order, def: def, queued: workflow.Queues(order), answer: answer,
	})
}

// Command tells an accepted order something. answer is called once, when what came of it is durable.
func (e *Engine) Command(ctx context.Context, id messages.OrderID, cmd workflow.Command, answer func(error)) {
	entry, err := e.journal.Find(ctx, id)
	if err != nil {
		answer(fmt.Errorf("order %s: %w", id, err))
		return
	}
	e.tellOrder(entry.Partition, id, entry.Handle, &command{cmd: cmd, answer: answer})
}

// Wait has a waiter told of an order until forget is called.
func (e *Engine) Wait(id messages.OrderID, w *Waiter) (forget func()) {
	e.waiters.add(id, w)
	return func() { e.waiters.remove(id, w) }
}

// Waiting returns how many waiters there are.
func (e *Engine) Waiting() int { return e.waiters.count() }

// Definition returns the definition of a new order; its version may be latest. With ErrRetired it is returned all the same, for
// an order that was accepted before.
func (e *Engine) Definition(ref messages.DefinitionRef) (*workflow.Definition, error) {
	d, err := e.definitions.entry(ref)
	if err != nil {
		return nil, err
	}
	def, err := e.definitions.compiled(d)
	if err != nil {
		return nil, err
	}
	return def, checkRetired(ref, d.row.Load())
}

// Has tells whether an order was accepted.
func (e *Engine) Has(ctx context.Context, id messages.OrderID) (bool, error) {
	_, err := e.journal.Find(ctx, id)
	if errors.Is(err, persistence.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// Load folds the history of an order, as it is in the journal.
func (e *Engine) Load(ctx context.Context, id messages.OrderID) (*workflow.State, messages.Handle, error) {
	entry, err := e.journal.Find(ctx, id)
	if err != nil {
		return nil, messages.Handle{}, fmt.Errorf("order %s: %w", id, err)
	}
	s, _, err := e.fold(ctx, entry.Handle)
	return s, entry.Handle, err
}

// fold folds a history, and tells its landmark.
func (e *Engine) fold(ctx context.Context, h messages.Handle) (*workflow.State, landmark, error) {
	var state *workflow.State
	var mark landmark
	for stored, err := range e.journal.Records(ctx, h, 1) {
		if err != nil {
			return nil, mark, fmt.Errorf("read history %s: %w", h, err)
		}
		var r journalv1.Record
		if err := proto.Unmarshal(stored.Data, &r); err != nil {
			return nil, mark, persistence.DecodeError(fmt.Sprintf("record %s/%d", h, stored.First), err)
		}
		mark.pass(stored.First, r.GetEntered(), len(stored.Data))
		for _, ev := range r.GetEvents() {
			if state == nil {
				a := ev.GetOrderAccepted()
				def, err := e.definitions.pinned(a.GetDefinition(), a.GetDefinitionHash())
				if err != nil {
					return nil, mark, err
				}
				state = workflow.New(def, e.config.Workflow)
			}
			state.Evolve(ev)
		}
	}
	if state == nil {
		return nil, mark, fmt.Errorf("history %s: %w", h, persistence.ErrNotFound)
	}
	return state, mark, nil
}

// Journal returns the journal, for reading.
func (e *Engine) Journal() persistence.Journal { return e.journal }

func poisonProblem(err error) *problemv1.Problem {
	return &problemv1.Problem{
		Type: workflow.ErrorTypeRuntime, Title: "Order can't be processed", Status: 500,
		Detail: fmt.Sprintf("processing it failed again and again: %v", err),
	}
}

// isFinal tells whether saying the same again would be refused again.
func isFinal(err error) bool {
	return IsGone(err) || errors.Is(err, workflow.ErrStale) || errors.Is(err, workflow.ErrEnded) || errors.Is(err, workflow.ErrTaken)
}

// IsGone tells whether an error means that there is no such order.
func IsGone(err error) bool {
	return errors.Is(err, persistence.ErrNotFound) || errors.Is(err, workflow.ErrNotAccepted)
}
