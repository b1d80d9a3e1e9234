package actors

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	stdruntime "runtime"
	"time"

	"github.com/holdfast-run/holdfast/actors/activity"
	"github.com/holdfast-run/holdfast/actors/catalog"
	"github.com/holdfast-run/holdfast/actors/definition"
	"github.com/holdfast-run/holdfast/actors/dispatch"
	"github.com/holdfast-run/holdfast/actors/instance"
	"github.com/holdfast-run/holdfast/actors/order"
	"github.com/holdfast-run/holdfast/actors/partition"
	"github.com/holdfast-run/holdfast/actors/runtime"
	"github.com/holdfast-run/holdfast/actors/schedule"
	"github.com/holdfast-run/holdfast/actors/share"
	"github.com/holdfast-run/holdfast/actors/slot"
	"github.com/holdfast-run/holdfast/actors/workflow"
	"github.com/holdfast-run/holdfast/supervision"
)

// Config bounds an engine. Zero fields get their defaults.
type Config struct {
	// Workflow bounds single orders; Definition documents and expressions.
	Workflow   workflow.Limits
	Definition definition.Limits
	// Definitions is the memory for compiled definitions, about; those that were not asked for lately leave it, and are read and
	// compiled again when they are. Orders in memory keep theirs. Default 64 MiB.
	Definitions int64
	// MaxDefinitions is how many definitions may be deployed; further ones are refused. Default 10,000.
	MaxDefinitions int
	// Mailbox is the most messages that may wait for one order; further ones are answered with ErrBusy. Default 1000.
	Mailbox int
	// PartitionMailbox is the same for a partition. Default 20,000.
	PartitionMailbox int
	// QueueBytes is the memory for the tasks that wait for adapters; a task counts its input and 1 KiB. Further ones wait on disk, as do
	// those of an activity that would have as much as is left. Beyond it may be one task of each priority of an activity that adapters
	// offer, and what comes back from adapters that died. Default 64 MiB.
	QueueBytes int64
	// QueueEach is the same for one activity, for each priority, and for each version that is called. Default a sixteenth of QueueBytes.
	QueueEach int64
	// AdapterBytes is the memory for what adapters have: their tasks, 1 KiB and the input for each; the activities that they offer, 1 KiB
	// each; the keys that they list, their length and 160 bytes; 32 KiB for each stream. One stream may have a quarter of it; at the bound
	// adapters get no further tasks, and new ones are refused. Default 256 MiB.
	AdapterBytes int64
	// Activities is the most activities that are known at once; an adapter that offers more is refused. Those that orders call, or that
	// have a limit, are always known. Default 10,000.
	Activities int
	// ForgetAfter is how long an activity is remembered that no adapter offers, no order waits for and that has no limit: its rate and
	// its metrics. Of those that no order has called it is a minute at the most. Default 10 min.
	ForgetAfter time.Duration
	// AgeAfter is how long a task waits for an adapter before it gets a share of what is sent, whatever its priority. Default
	// 5 min.
	AgeAfter time.Duration
	// ResidentBytes is the memory for orders; beyond it those that had nothing to do for longest leave it. It is estimated:
	// 4 KiB for an order, and its payloads. Default 256 MiB.
	ResidentBytes int64
	// Idle is how long an order stays in memory with nothing to do. Default 30 s.
	Idle time.Duration
	// LongWait: an order that waits for a time at least this far away leaves memory at once. Default 5 s.
	LongWait time.Duration
	// Waking is the most orders of one partition that are woken at once by recovery, and the most that are woken because they are
	// due. Default 16.
	Waking int
	// Dues is how many due times of one partition that the journal has are held in memory: those that come next. It may be twice as
	// many for a while; the others are read from the journal later. Default 2048.
	Dues int
	// Poison is how many times an order may panic in a row before it is faulted. Default 3.
	Poison int
	// PoisonFaults is how many orders of a partition are faulted for that within a minute. If more panic, the defect is not
	// theirs: the partition is restarted in place of faulting them, and in the end the process. Default 5.
	PoisonFaults int
	// Grace is how long tasks of a lost adapter wait for it to come back before another may get them; LedgerGrace the
	// same for activities that are not idempotent. Defaults 3 s, 60 s.
	Grace, LedgerGrace time.Duration
	// RecoverGrace is the same for an activity that is not idempotent and whose adapters can find out what came of work that was
	// begun elsewhere, if the adapter's side has closed the stream: an adapter that lives is back within 2 s. Default 5 s.
	RecoverGrace time.Duration
	// TakeOver is how long, after this node has taken a partition over, tasks that were sent before wait until the connected adapters have
	// said which of them they have. If it is too short, a task may be started that another adapter still executes; as long as it is, an
	// adapter that does not answer may hold tasks up. So long after a node has begun, adapters may be about to connect to it, and it waits
	// in any case. Default 2 s.
	TakeOver time.Duration
	// Deaths is how many adapter processes may die while they execute a task, and nothing else, before it is set apart. Default 3.
	Deaths int
	// TryAgain is how long the engine waits before it tries something again by itself that failed, such as a commit. Default 1 s.
	TryAgain time.Duration
	// AskWithin is how long a message to an order may wait for its answer; then it counts as lost, and whoever sent it says it
	// again. Default 30 s.
	AskWithin time.Duration
	// AcceptAfter is how long, to about a second, the owner of a new order's partition may take to accept it before this node does
	// that itself. It does so at once if nobody owns the partition. Default 1 s.
	AcceptAfter time.Duration
	// AcceptRate is the most orders a second that this node accepts itself for partitions that it does not own, AcceptBurst the most
	// at once: so an owner that is slow, perhaps as its database is, does not get the orders of all nodes there on top. Further orders
	// wait for their owners, until AskWithin is over. Defaults 500, 500.
	AcceptRate  float64
	AcceptBurst int
	// Drain is how long commits under way in a partition may take to end when another node is to own it. Default 5 s.
	Drain time.Duration
	// HeavyShare is the part of the processors' time that heavy work gets while other work waits for a processor: the evaluation of
	// expressions that take more than a millisecond, what is large, compiling, and reading for clients. Those of different namespaces and
	// clients take turns. Default 0.02.
	HeavyShare float64
	// Evaluations is how many orders at once decide what is heavy work, and how many large requests are checked at once. Default: as many
	// as there are processors, but one.
	Evaluations int
	// EvaluationBytes is the memory for what is evaluated at once, where that is much, and for what comes of it until it is durable.
	// Beyond it, orders of definitions that evaluate much wait, those of different namespaces in turn. Each takes as much as an expression
	// may, 32 MiB if Definition does not say otherwise, while it evaluates. Default 128 MiB.
	EvaluationBytes int64
	// EventKeep is how long an event is kept that nobody waits for, for those who come later, unless it is said of the event. Default 1 h.
	EventKeep time.Duration
	// Slots bound correlation slots.
	Slots slot.Limits
	// Schedules bound schedules; their orders are bounded by Workflow.
	Schedules schedule.Limits
	// LogRate is the most lines a second that the log gets about orders. How many were left out is told when the second is over.
	// Default 200; negative: any number.
	LogRate int
	// Restarts is when and how often partitions and dispatchers are restarted before the process gives up.
	Restarts supervision.Policy
	// StuckAfter is how long a loop, or an order with one message, may take for a turn before the process counts as stuck.
	// A supervisor that looks every second, and ends what failed three times in a row, needs some 3 s more. Default 8 s.
	StuckAfter time.Duration
}

// WithDefaults returns the settings with defaults in place of zeros.
func (c Config) WithDefaults() Config {
	c.Workflow = c.Workflow.WithDefaults()
	known := c.catalog(nil).WithDefaults()
	c.Definitions, c.MaxDefinitions = known.Bytes, known.Most
	c.Mailbox = cmp.Or(c.Mailbox, 1000)
	c.PartitionMailbox = cmp.Or(c.PartitionMailbox, 20_000)
	c.QueueBytes = cmp.Or(c.QueueBytes, 64<<20)
	c.QueueEach = cmp.Or(c.QueueEach, max(c.QueueBytes/16, 1))
	c.AdapterBytes = cmp.Or(c.AdapterBytes, 256<<20)
	c.Activities = cmp.Or(c.Activities, 10_000)
	c.ForgetAfter = cmp.Or(c.ForgetAfter, 10*time.Minute)
	c.AgeAfter = cmp.Or(c.AgeAfter, 5*time.Minute)
	c.ResidentBytes = cmp.Or(c.ResidentBytes, 256<<20)
	c.Idle = cmp.Or(c.Idle, 30*time.Second)
	c.LongWait = cmp.Or(c.LongWait, 5*time.Second)
	c.Waking = cmp.Or(c.Waking, 16)
	c.Dues = cmp.Or(c.Dues, 2048)
	c.Poison = cmp.Or(c.Poison, 3)
	c.PoisonFaults = cmp.Or(c.PoisonFaults, 5)
	c.Grace = cmp.Or(c.Grace, 3*time.Second)
	c.LedgerGrace = cmp.Or(c.LedgerGrace, time.Minute)
	c.RecoverGrace = cmp.Or(c.RecoverGrace, 5*time.Second)
	c.TakeOver = cmp.Or(c.TakeOver, 2*time.Second)
	c.Deaths = cmp.Or(c.Deaths, 3)
	c.TryAgain = cmp.Or(c.TryAgain, time.Second)
	c.AskWithin = cmp.Or(c.AskWithin, 30*time.Second)
	c.AcceptAfter = cmp.Or(c.AcceptAfter, time.Second)
	c.AcceptRate = cmp.Or(c.AcceptRate, 500)
	c.AcceptBurst = cmp.Or(c.AcceptBurst, 500)
	c.Drain = cmp.Or(c.Drain, 5*time.Second)
	c.StuckAfter = cmp.Or(c.StuckAfter, 8*time.Second)
	c.HeavyShare = cmp.Or(c.HeavyShare, 0.02)
	c.Evaluations = cmp.Or(c.Evaluations, max(1, stdruntime.GOMAXPROCS(0)-1))
	c.EvaluationBytes = cmp.Or(c.EvaluationBytes, 128<<20)
	c.EventKeep = cmp.Or(c.EventKeep, time.Hour)
	c.Slots, c.Schedules = c.Slots.WithDefaults(), c.Schedules.WithDefaults()
	c.Schedules.Terms = c.Workflow.Terms()
	c.LogRate = cmp.Or(c.LogRate, 200)
	c.Restarts = cmp.Or(c.Restarts, supervision.Policy{
		MaxRestarts: 10, Within: time.Minute,
		Backoff: supervision.Backoff{Initial: 10 * time.Millisecond, Max: time.Second, Jitter: 0.2},
	})
	return c
}

// leastAdapterBytes is enough for a few adapters that offer as many activities as one may.
const leastAdapterBytes = 8 << 20

// Longest is the longest time that can be set. The present and a longer one may add up to a time that can't be represented.
const Longest = 10 * 365 * 24 * time.Hour

// Validate reports every mistake.
func (c Config) Validate() error {
	var errs []error
	positive := func(name string, v int64) {
		if v <= 0 {
			errs = append(errs, fmt.Errorf("setting %s is %d, and must be positive", name, v))
		}
	}
	lasting := func(name string, d time.Duration) {
		if d <= 0 || d > Longest {
			errs = append(errs, fmt.Errorf("setting %s is %v, and must be longer than 0 and at most %v", name, d, Longest))
		}
	}
	positive("Workflow.Steps", int64(c.Workflow.Steps))
	positive("Workflow.Bytes", int64(c.Workflow.Bytes))
	positive("Workflow.Evaluation", int64(c.Workflow.Evaluation))
	positive("Workflow.Depth", int64(c.Workflow.Depth))
	positive("Workflow.Deeds", int64(c.Workflow.Deeds))
	positive("Workflow.Behind", int64(c.Workflow.Behind))
	positive("Workflow.Consumed", int64(c.Workflow.Consumed))
	lasting("Workflow.RetryPause", c.Workflow.RetryPause)
	positive("Workflow.Loops", int64(c.Workflow.Loops))
	lasting("Workflow.LoopPause", c.Workflow.LoopPause)
	if most := workflow.LongestLoops; c.Workflow.Loops > 0 && c.Workflow.LoopPause > most/time.Duration(c.Workflow.Loops) {
		errs = append(errs, fmt.Errorf("settings Workflow.Loops and Workflow.LoopPause are %d times %v, and must not be more than %v",
			c.Workflow.Loops, c.Workflow.LoopPause, most))
	}
	positive("Definitions", c.Definitions)
	positive("MaxDefinitions", int64(c.MaxDefinitions))
	positive("Mailbox", int64(c.Mailbox))
	positive("PartitionMailbox", int64(c.PartitionMailbox))
	positive("QueueBytes", c.QueueBytes)
	positive("QueueEach", c.QueueEach)
	if c.AdapterBytes < leastAdapterBytes {
		errs = append(errs, fmt.Errorf("setting AdapterBytes is %d, and must be at least %d", c.AdapterBytes, leastAdapterBytes))
	}
	positive("Activities", int64(c.Activities))
	lasting("ForgetAfter", c.ForgetAfter)
	lasting("AgeAfter", c.AgeAfter)
	positive("ResidentBytes", c.ResidentBytes)
	lasting("Idle", c.Idle)
	lasting("LongWait", c.LongWait)
	positive("Waking", int64(c.Waking))
	positive("Dues", int64(c.Dues))
	if !(c.HeavyShare > 0 && c.HeavyShare <= 1) { // nor NaN
		errs = append(errs, fmt.Errorf("setting HeavyShare is %v, and must be more than 0 and at most 1", c.HeavyShare))
	}
	positive("Evaluations", int64(c.Evaluations))
	positive("EvaluationBytes", c.EvaluationBytes)
	c.checkInstances(positive, lasting)
	positive("Poison", int64(c.Poison))
	positive("PoisonFaults", int64(c.PoisonFaults))
	lasting("Grace", c.Grace)
	lasting("LedgerGrace", c.LedgerGrace)
	lasting("RecoverGrace", c.RecoverGrace)
	lasting("TakeOver", c.TakeOver)
	positive("Deaths", int64(c.Deaths))
	lasting("TryAgain", c.TryAgain)
	lasting("AskWithin", c.AskWithin)
	lasting("AcceptAfter", c.AcceptAfter)
	if !(c.AcceptRate > 0) { // nor NaN
		errs = append(errs, fmt.Errorf("setting AcceptRate is %v, and must be positive", c.AcceptRate))
	}
	positive("AcceptBurst", int64(c.AcceptBurst))
	lasting("Drain", c.Drain)
	lasting("StuckAfter", c.StuckAfter)
	lasting("Workflow.StopGrace", c.Workflow.StopGrace)
	if err := c.Restarts.Validate(); err != nil {
		errs = append(errs, fmt.Errorf("setting Restarts: %w", err))
	} else if err := c.poison().Validate(); err != nil {
		errs = append(errs, fmt.Errorf("setting Poison: %w", err))
	}
	return errors.Join(errs...)
}

func (c Config) checkInstances(positive func(name string, v int64), lasting func(name string, d time.Duration)) {
	lasting("EventKeep", c.EventKeep)
	positive("Slots.Listeners", int64(c.Slots.Listeners))
	positive("Slots.Events", int64(c.Slots.Events))
	positive("Slots.Bytes", int64(c.Slots.Bytes))
	lasting("Slots.Remember", c.Slots.Remember)
	positive("Slots.Queued", int64(c.Slots.Queued))
	positive("Slots.Seen", int64(c.Slots.Seen))
	positive("Slots.Summary", int64(c.Slots.Summary))
	lasting("Schedules.Grace", c.Schedules.Grace)
	positive("Schedules.Firings", int64(c.Schedules.Firings))
	positive("Schedules.Collections", int64(c.Schedules.Collections))
	positive("Schedules.Bytes", int64(c.Schedules.Bytes))
	positive("Schedules.Seen", int64(c.Schedules.Seen))
	positive("Schedules.Summary", int64(c.Schedules.Summary))
}

// poisonWithin is how long a panic of an order counts.
const poisonWithin = time.Minute

// poison is when an order that panics is restarted, and when it is faulted.
func (c Config) poison() supervision.Policy {
	return supervision.Policy{MaxRestarts: c.Poison - 1, Within: poisonWithin, Backoff: c.Restarts.Backoff}
}

// readTimeout is how long a turn may wait for the journal: so long that the turn does not count as stuck.
func (c Config) readTimeout() time.Duration { return c.StuckAfter / 2 }

func (c Config) catalog(pace *runtime.Pace) catalog.Config {
	return catalog.Config{
		Definition: c.Definition, Terms: c.Workflow.Terms(), Bytes: c.Definitions, Most: c.MaxDefinitions,
		Turn: func(ctx context.Context, namespace string, again bool) (end func(), err error) {
			if !again { // the orders of the definition wait for it
				return pace.Force(runtime.HeavyDefinition, namespace, "").Leave, nil
			}
			pass, err := pace.Enter(ctx, runtime.HeavyDefinition, namespace, "")
			return pass.Leave, err
		},
	}
}

func (c Config) activities() activity.Config {
	return activity.Config{
		Mailbox: c.PartitionMailbox, QueueBytes: c.QueueBytes, QueueEach: c.QueueEach, TryAgain: c.TryAgain,
		ReadTimeout: c.readTimeout(), StuckAfter: c.StuckAfter,
		TakeOver: c.TakeOver, Share: share.Config{}.WithDefaults(), AdapterBytes: c.AdapterBytes, Known: c.Activities, ForgetAfter: c.ForgetAfter,
		Dispatch: dispatch.Config{
			Grace: c.Grace, LedgerGrace: c.LedgerGrace, RecoverGrace: c.RecoverGrace, Deaths: c.Deaths, AgeAfter: c.AgeAfter,
		},
	}
}

const (
	// compilersAtOnce is how many definitions are compiled at once, readersAtOnce how many reads for clients go on at once, and beginsAtOnce
	// how many connections begin.
	compilersAtOnce, readersAtOnce, beginsAtOnce = 2, 64, 64
)

func (c Config) pace() runtime.PaceConfig {
	return runtime.PaceConfig{
		Processors: stdruntime.GOMAXPROCS(0), Share: c.HeavyShare,
		AtOnce: [runtime.HeavyKinds]int{c.Evaluations, c.Evaluations, compilersAtOnce, readersAtOnce, beginsAtOnce},
	}
}

func (c Config) orders() order.Config {
	return order.Config{
		Workflow: c.Workflow, Mailbox: c.Mailbox, LongWait: c.LongWait, ReadTimeout: c.readTimeout(), Show: c.StuckAfter / 4,
		EvaluationBytes: c.EvaluationBytes, EvaluationRoom: c.Definition.WithDefaults().Memory,
	}
}

func (c Config) instances() instance.Config {
	return instance.Config{Mailbox: c.Mailbox, LongWait: c.LongWait, ReadTimeout: c.readTimeout()}
}

func (c Config) partitions() partition.Config {
	return partition.Config{
		Mailbox: c.PartitionMailbox, OrderMailbox: c.Mailbox, ResidentBytes: c.ResidentBytes, Idle: c.Idle, Waking: c.Waking, Dues: c.Dues,
		Poison: c.poison(), PoisonFaults: c.PoisonFaults, TryAgain: c.TryAgain, Drain: c.Drain, StuckAfter: c.StuckAfter,
		ReadTimeout: c.readTimeout(), Retry: supervision.Backoff{Initial: 100 * time.Millisecond, Max: time.Second, Jitter: 0.2},
	}
}
