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
	"golang.org/x/time/rate"

	"github.com/holdfast-run/holdfast/actors/activity"
	"github.com/holdfast-run/holdfast/actors/catalog"
	"github.com/holdfast-run/holdfast/actors/event"
	"github.com/holdfast-run/holdfast/actors/failure"
	"github.com/holdfast-run/holdfast/actors/instance"
	"github.com/holdfast-run/holdfast/actors/order"
	"github.com/holdfast-run/holdfast/actors/partition"
	"github.com/holdfast-run/holdfast/actors/post"
	"github.com/holdfast-run/holdfast/actors/runtime"
	"github.com/holdfast-run/holdfast/actors/scheduler"
	"github.com/holdfast-run/holdfast/actors/view"
	"github.com/holdfast-run/holdfast/actors/workflow"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/messages/nodev1"
	"github.com/holdfast-run/holdfast/persistence"
	"github.com/holdfast-run/holdfast/supervision"
)

// Host is what a placement tells which partitions this node is to own, and what comes from other nodes.
type Host = interface {
	// Take has this node own partitions from now on, or try again at once to; Give has it give them up.
	Take(ps ...messages.Partition)
	Give(ps ...messages.Partition)
	// Receive takes the answer of another node to what was asked here. It may come twice, late or never.
	Receive(a *nodev1.Answer)
	// Lost says that messages to the node at an address, or its answers, may have got lost.
	Lost(address string)
}

// Placement is what the engine needs of the cluster.
type Placement interface {
	post.Places
	partition.Placement
	// MayDispatch tells whether this node may begin with tasks now. It must be fast.
	MayDispatch() bool
	// Ready says why this node has no part in the work now; nil if it has.
	Ready() error
	// Start joins the cluster. The host may be told what it is to own at any time from then on.
	Start(system *actor.ActorSystem, h Host) error
	// Stop leaves the cluster.
	Stop()
}

// Remote sends answers to other nodes.
type Remote = post.Remote

// Deps are the parts that an engine works with. All are needed, but for Now, Address and Remote.
type Deps struct {
	Journal   persistence.Journal
	Placement Placement
	Watchdog  *supervision.Watchdog
	Metrics   *Metrics
	Log       *slog.Logger
	// Fatal ends the process: an invariant is broken. It may return.
	Fatal func(reason error)
	// Now tells the time by which orders go, and never less than before. It must be fast. Default: that of the system.
	Now func() time.Time
	// Crowded tells whether other work than heavy work waits for a processor. Default: what the Go runtime measures.
	Crowded func(now time.Time) bool
	// Address is where other nodes reach this one, and Remote sends to them; nil: there are none.
	Address string
	Remote  Remote
}

// Engine runs the orders of one node: it puts together what is in the rooms beside it.
type Engine struct {
	config   Config
	deps     Deps
	system   *actor.ActorSystem
	workers  runtime.Workers
	pace     *runtime.Pace
	health   *health
	guardian actor.SupervisorStrategy            // of partitions
	never    actor.SupervisorStrategy            // of actors that can't be restarted
	fallout  atomic.Pointer[persistence.Fallout] // as the journal has told it last
	stopping atomic.Bool
	halt     context.CancelFunc // of the loops
	loops    sync.WaitGroup

	post       *post.Post
	catalog    *catalog.Catalog
	activities *activity.Activities
	orders     *order.Parts
	events     *event.Publisher
	acceptor   *order.Acceptor
	tokens     *rate.Limiter // one for each order that this node may accept for a partition that it does not own
	ownership  *partition.Ownership
	schedules  *scheduler.Keeper
	view       *view.View
}

// New makes an engine.
func New(config Config, d Deps) (*Engine, error) {
	config = config.WithDefaults()
	if err := config.Validate(); err != nil {
		return nil, fmt.Errorf("engine: %w", err)
	}
	if d.Now == nil {
		d.Now = time.Now
	}
	e := &Engine{config: config, deps: d, pace: runtime.NewPace(config.pace(), d.Crowded), health: newHealth(d.Journal)}
	escalate := func(reason any, who *actor.PID) {
		d.Fatal(fmt.Errorf("%s failed too often: %v", who.GetId(), reason)) //nolint:err113 // for people
	}
	e.guardian = config.Restarts.Strategy(d.Log, escalate)
	e.never = supervision.Policy{Within: time.Minute}.Strategy(d.Log, escalate)
	e.tokens = rate.NewLimiter(rate.Limit(config.AcceptRate), config.AcceptBurst)
	e.post = post.New(post.Config{Within: config.AskWithin, Patience: config.AcceptAfter}, d.Address, d.Placement, d.Remote)
	d.Watchdog.Watch(func(now time.Time) []supervision.Stuck { return e.workers.Stuck(now, config.StuckAfter) })
	return e, nil
}

// Start takes up the partitions of this node, and returns when new orders can be accepted. Recovery goes on behind.
func (e *Engine) Start(ctx context.Context) error {
	var err error
	if e.catalog, err = catalog.Load(ctx, e.deps.Journal, e.config.catalog(e.pace)); err != nil {
		return err
	}
	fallout, err := e.deps.Journal.Fallout(ctx)
	if err != nil && !errors.Is(err, persistence.ErrUnavailable) { // else a shard is away, and the others are counted
		return fmt.Errorf("count what has faulted: %w", err)
	}
	e.fallout.Store(&fallout)
	e.system = actor.NewActorSystemWithConfig(actor.Configure(
		actor.WithLoggerFactory(func(*actor.ActorSystem) *slog.Logger {
			return slog.New(warnings{e.deps.Log.With("lib", "protoactor").Handler()})
		}),
	))
	e.system.EventStream.Subscribe(func(event any) {
		if dead, ok := event.(*actor.DeadLetterEvent); ok {
			e.post.Refuse(dead.Message, runtime.ErrInterrupted)
		}
	})
	e.post.Start(e.system)
	e.wire() //nolint:contextcheck // the log of orders needs no context
	e.ownership.Start(e.never)
	for _, name := range e.catalog.Limited() {
		e.activities.Limited(name)
	}
	e.deps.Metrics.observe(e)
	running, halt := context.WithCancel(context.WithoutCancel(ctx)) // the loops live longer than the call
	e.halt = halt
	e.loops.Go(func() { e.clock(running) })
	for shard := range e.health.shards {
		e.loops.Go(func() { e.probe(running, shard) })
	}
	e.loops.Go(func() { e.follow(running) })
	e.loops.Go(func() { e.sweep(running) })
	e.loops.Go(func() { e.acceptor.Run(running) })
	err = e.deps.Placement.Start(e.system, e)
	if err == nil {
		err = e.ownership.AwaitClaims(ctx)
	}
	if err != nil {
		e.Stop()
		return fmt.Errorf("join the cluster: %w", err)
	}
	return nil
}

// wire puts the rooms together.
func (e *Engine) wire() {
	c, d := e.config, e.deps
	e.activities = activity.New(activity.Parts{
		Config: c.activities(), Self: d.Journal.Incarnation(), Journal: d.Journal, Limits: e.catalog, Post: e.post, Courier: e.post,
		Workers: &e.workers, System: e.system, Guardian: e.never, Watchdog: d.Watchdog, Log: d.Log, Now: d.Now,
		Refused: d.Metrics.claimRefused,
		Health:  e.health, MayDispatch: d.Placement.MayDispatch, Inject: inject, Others: d.Remote != nil,
	})
	e.view = view.New(view.Parts{
		Journal: d.Journal, Pinned: e.catalog.Finder, Limits: c.Workflow, Activities: e.activities, Keys: e, Post: e.post, Now: d.Now,
	})
	e.events = event.NewPublisher(e.catalog, e.post, c.Definition, c.EventKeep)
	e.orders = (&order.Parts{
		Config: c.orders(), Journal: d.Journal, Catalog: e.catalog, Activities: e.activities, Post: e.post, Readers: e.view, Events: e.events,
		Show: view.OrderOf, ShowEnd: view.EndOf, Workers: &e.workers, Pace: e.pace,
		Story: order.NewStory(d.Log, c.LogRate), Log: d.Log, Now: d.Now,
		Level: e.catalog.Level, Inject: inject,
	}).Ready()
	slots := e.instances(event.Slots(c.Slots, e.catalog, d.Log))
	schedules := e.instances(scheduler.Schedules(c.Schedules, e.catalog, d.Log))
	e.acceptor = order.NewAcceptor(e.orders, e.health.Note)
	e.ownership = partition.NewOwnership(&partition.Parts{
		Config: c.partitions(), Journal: d.Journal, Claims: d.Journal, Health: e.health, Backlogs: e.activities,
		Kinds: map[messages.Kind]partition.Kind{messages.KindOrder: e.orders, messages.KindSlot: slots, messages.KindSchedule: schedules},
		Post:  e.post, Courier: e.post, Placement: d.Placement, Observer: d.Metrics, Lists: e.view, Waits: e.view, Shares: e.activities,
		System: e.system, Guardian: e.guardian, Watchdog: d.Watchdog, Workers: &e.workers, Log: d.Log, Fatal: d.Fatal, Now: d.Now, Inject: inject,
	})
	e.schedules = scheduler.NewKeeper(e.catalog, e.post, e.ownership.Here, d.Log)
}

// instances are what instances of a kind work with.
func (e *Engine) instances(k instance.Kind) *instance.Instances {
	return &instance.Instances{
		Kind: k, Config: e.config.instances(), Journal: e.deps.Journal, Post: e.post, Workers: &e.workers, Log: e.deps.Log, Now: e.deps.Now,
		Level: e.catalog.Level, Observe: e.deps.Metrics.happened, Inject: inject,
	}
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

// clock wakes partitions and activities every second: they look after what has waited, and show that they turn. It waits for nobody.
func (e *Engine) clock(ctx context.Context) {
	seconds := time.NewTicker(time.Second)
	defer seconds.Stop()
	sweepEvery := max(int(e.config.Idle/time.Second)/4, 1)
	for n := 1; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-seconds.C:
		}
		e.post.Tick()
		e.ownership.Tick(n%sweepEvery == 0)
		e.activities.Tick()
		e.view.Tick()
		e.schedules.Tick()
	}
}

// probe asks a shard of the journal, while it does not answer, whether it does, and wakes the partitions when it does again.
func (e *Engine) probe(ctx context.Context, shard int) {
	probes := time.NewTicker(probeEvery)
	defer probes.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-probes.C:
			if e.health.probe(ctx, shard, e.deps.Journal) {
				e.ownership.Tick(false)
			}
		}
	}
}

// catalogEvery is how often to look whether another node has changed the catalogue.
const catalogEvery = time.Second

// follow follows what other nodes deploy, retire and limit.
func (e *Engine) follow(ctx context.Context) {
	last := ""
	e.catalog.Follow(ctx, catalog.Following{
		Every: catalogEvery, Within: e.config.readTimeout(), Limited: e.activities.Limited,
		Note: func(err error) {
			if err == nil || errors.Is(err, catalog.ErrEnded) {
				last = ""
				return
			}
			e.health.note(catalogShard, err)
			if now := err.Error(); now != last {
				last = now
				e.deps.Log.Warn("catalogue can't be read now: what is known of it stays", "error", err)
			}
		},
	})
}

const (
	// sweepEvery is how often to look for orders that other nodes have accepted for the partitions that are here: their acceptors say so,
	// too, but that may get lost.
	sweepEvery = time.Second
	// sweepPause is for how many times as long as a sweep took no other one follows: an index of the intake that is long, although the
	// intake is empty, takes a tenth of a connection at the most.
	sweepPause = 9
)

// sweep looks for orders that other nodes have accepted.
func (e *Engine) sweep(ctx context.Context) {
	last := ""
	for {
		began := time.Now()
		err := e.ownership.Sweep(ctx)
		if ctx.Err() != nil {
			return
		}
		now := ""
		if err != nil {
			now = err.Error()
		}
		if now != last && err != nil {
			e.deps.Log.Warn("orders that other nodes have accepted can't be looked for now", "error", err)
		}
		last = now
		select {
		case <-ctx.Done():
			return
		case <-time.After(max(sweepEvery, sweepPause*time.Since(began))):
		}
	}
}

// Stop stops taking orders up. What is under way is taken up again at the next start.
func (e *Engine) Stop() {
	if e.stopping.Swap(true) {
		return
	}
	e.pace.End()
	e.halt()
	e.loops.Wait()
	e.deps.Placement.Stop()
	e.post.Stop()
	e.view.Stop()
	e.ownership.Stop()
	e.activities.Stop()
	e.system.Shutdown()
	e.workers.Close()
}

// Ready says why the node can't do its work now; nil if it can.
func (e *Engine) Ready() error {
	n, tooNew, away := e.ownership.Unready(), e.ownership.TooNew(), e.health.steady(time.Now())
	switch {
	case e.stopping.Load():
		return runtime.ErrStopping
	case away != nil:
		return away
	case tooNew > 0:
		return fmt.Errorf("%d partitions have records of a higher feature level than %d, the highest that this version reads: "+
			"run the version that wrote them", tooNew, persistence.NewestLevel) //nolint:err113 // for people
	}
	if err := e.deps.Placement.Ready(); err != nil {
		return err
	}
	switch stuck := e.deps.Watchdog.Stuck(time.Now()); {
	case len(stuck) > 0:
		return fmt.Errorf("%s is stuck", stuck[0].Name) //nolint:err113 // for people
	case n > 0:
		return fmt.Errorf("open orders of %d partitions are still being read", n) //nolint:err113 // for people
	}
	return nil
}

// Available tells whether the journal answers for a partition, as far as is known.
func (e *Engine) Available(p messages.Partition) bool { return e.health.Available(p) }

// Now tells the time by which orders go.
func (e *Engine) Now() time.Time { return e.deps.Now() }

// Catalog returns what is deployed.
func (e *Engine) Catalog() *catalog.Catalog { return e.catalog }

// Pace is what heavy work keeps to.
func (e *Engine) Pace() *runtime.Pace { return e.pace }

// Heavy tells whether a definition has evaluated or checked much lately, and NoteHeavy notes that it has.
func (e *Engine) Heavy(definition string) bool { return e.orders.Heavy(definition) }

// NoteHeavy does what Heavy says.
func (e *Engine) NoteHeavy(definition string) { e.orders.NoteHeavy(definition) }

// Activities returns the activities of the node.
func (e *Engine) Activities() *activity.Activities { return e.activities }

// View returns what can be read.
func (e *Engine) View() *view.View { return e.view }

// Tell tells an accepted order the message in an envelope, which needs no address. answer is called once, when what came of the message
// is durable.
func (e *Engine) Tell(ctx context.Context, id messages.OrderID, m *nodev1.Envelope, answer func(*nodev1.Answer)) {
	entry, err := e.deps.Journal.Find(ctx, id)
	if err != nil {
		answer(&nodev1.Answer{Failure: failure.Of(fmt.Errorf("order %s: %w", id, err))})
		return
	}
	m.Partition, m.OrderId, m.Handle = uint32(entry.Partition), string(id), entry.Handle[:]
	e.post.Ask(runtime.Owner{}, m, answer)
}

// CheckEvent says what is wrong with an event, which is JSON.
func CheckEvent(event []byte) error { return workflow.NewEvent(event).Check() }

// Publish publishes an event in a namespace: a CloudEvent in the JSON format, which is known to be right. It is kept for so long for those
// who come later; 0: as long as events are kept. done is called once: with the number of correlation slots that the event went to, when it
// is durable there, or with why it may not be. It must not block.
func (e *Engine) Publish(namespace string, event []byte, keep time.Duration, done func(slots int, f *nodev1.Failure)) {
	e.events.Publish(runtime.Owner{}, namespace, event, keep, done)
}

// Schedule tells the schedule of the definitions of a name the message in an envelope, which needs no address, and returns how it stands
// then.
func (e *Engine) Schedule(ctx context.Context, namespace, name string, m *nodev1.Envelope) (*nodev1.ScheduleState, error) {
	id := messages.OrderID(messages.ScheduleOf(namespace, name).GetId())
	m.Partition, m.OrderId = uint32(messages.PartitionOf(id, "")), string(id)
	a, err := e.ask(ctx, "a schedule", m)
	return a.GetSchedule(), err
}

// ask sends a message, and waits for the answer. What says for people whom, or for what, is asked.
func (e *Engine) ask(ctx context.Context, what string, m *nodev1.Envelope) (*nodev1.Answer, error) {
	answers := make(chan *nodev1.Answer, 1)
	e.post.Ask(runtime.Owner{}, m, func(a *nodev1.Answer) { answers <- a })
	select {
	case a := <-answers:
		return a, failure.Err(a.GetFailure())
	case <-ctx.Done():
		return nil, fmt.Errorf("ask %s: %w", what, context.Cause(ctx))
	}
}

// Answers tells whether a shard of the journal does now, as far as is known.
func (e *Engine) Answers(shard int) bool { return e.health.answers(shard) }

// Take implements Host.
func (e *Engine) Take(ps ...messages.Partition) { e.ownership.Take(ps...) }

// Give implements Host.
func (e *Engine) Give(ps ...messages.Partition) { e.ownership.Give(ps...) }

// Receive implements Host.
func (e *Engine) Receive(a *nodev1.Answer) { e.post.Receive(a) }

// Lost implements Host.
func (e *Engine) Lost(address string) { e.post.Lost(address) }

// Key tells the head of an order key, and at most so many of those who wait, behind a position; 0: from the first. From the first on,
// the head is not among those who wait; behind a position it may be.
func (e *Engine) Key(ctx context.Context, key string, after uint64, most int) (*nodev1.KeyQueue, error) {
	a, err := e.ask(ctx, "for an order key", &nodev1.Envelope{
		Partition: uint32(messages.PartitionOf("", key)),
		Message: &nodev1.Envelope_ShowKey{ShowKey: &nodev1.ShowKey{
			Key: key, Most: int32(most), After: after, //nolint:gosec // the caller bounds it
		}},
	})
	return a.GetKeyQueue(), err
}

// SetLimit bounds what adapters get of an activity from now on, also after a restart; a limit that bounds nothing ends that.
func (e *Engine) SetLimit(ctx context.Context, row *journalv1.LimitRow) error {
	if err := e.catalog.SetLimit(ctx, row); err != nil {
		return err
	}
	e.activities.Limited(row.GetActivity())
	return nil
}

// Status is how things stand with a node.
type Status struct {
	partition.Status

	// Faulted is how many orders have faulted and wait for an operator, InDoubt how many of them have an attempt in doubt.
	Faulted, InDoubt int64
	// Unloadable are the first orders that could not be loaded when there was something for them, by their ids, and
	// UnloadableCount is how many there are.
	Unloadable      []messages.OrderID
	UnloadableCount int
}

// mostNamed is how many orders that can't be loaded are named.
const mostNamed = 10

// Status tells how the node is.
func (e *Engine) Status(ctx context.Context) Status {
	fallout := e.countFallout(ctx)
	s := Status{Status: e.ownership.Status(), Faulted: fallout.Faulted, InDoubt: fallout.InDoubt}
	s.Unloadable, s.UnloadableCount = e.ownership.Unloadable(mostNamed)
	return s
}
