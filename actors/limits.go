package actors

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-run/holdfast/actors/dispatch"
	"github.com/holdfast-run/holdfast/messages/journalv1"
)

// loadLimits reads what operators have set.
func (e *Engine) loadLimits(ctx context.Context) error {
	for row, err := range e.journal.AllLimits(ctx) {
		if err != nil {
			return fmt.Errorf("read limits: %w", err)
		}
		e.limits.Store(row.GetActivity(), row)
	}
	return nil
}

// Limit returns the limit of an activity; nil if it has none.
func (e *Engine) Limit(activity string) *journalv1.LimitRow {
	row, ok := e.limits.Load(activity)
	if !ok {
		return nil
	}
	return row.(*journalv1.LimitRow) //nolint:errcheck,forcetypeassert // nothing else is stored
}

func (e *Engine) dispatchLimit(activity string) dispatch.Limit {
	row := e.Limit(activity)
	return dispatch.Limit{Rate: row.GetRate(), Concurrency: int(row.GetConcurrency())}
}

// SetLimit bounds what adapters get of an activity from now on, also after a restart; a limit that bounds nothing ends that.
func (e *Engine) SetLimit(ctx context.Context, row *journalv1.LimitRow) error {
	e.limitsMu.Lock() // the last one stored is the one that counts
	defer e.limitsMu.Unlock()
	if err := e.journal.PutLimit(ctx, row); err != nil {
		return fmt.Errorf("set the limit of %s: %w", row.GetActivity(), err)
	}
	if row.GetRate() == 0 && row.GetConcurrency() == 0 {
		e.limits.Delete(row.GetActivity())
	} else {
		e.limits.Store(row.GetActivity(), row)
	}
	e.tell(e.activity(row.GetActivity()).dispatcher, limited{})
	return nil
}

// limited says that the limit of an activity has changed.
type limited struct{}

func (limited) isNote() {}

// throttleTick is how often tasks are let go that a rate holds back.
const throttleTick = 20 * time.Millisecond

// ActivityStatus is how things stand with an activity.
type ActivityStatus struct {
	Name string
	// Adapters is the number of streams of adapters that offer it.
	Adapters int64
	// Waiting is the number of tasks that wait for an adapter, InFlight of those that adapters have. Overflow is the number
	// without a result that were put on disk.
	Waiting, InFlight, Overflow int64
	// Age is how long the task has waited that has waited longest of those in memory.
	Age time.Duration
	// Rate is how many results a second came lately.
	Rate float64
	// Limit is nil if there is none.
	Limit *journalv1.LimitRow
	// Away is how many of those in flight are with an adapter that is away; AwayUntil when another is asked for the first of them.
	Away      int64
	AwayUntil time.Time
	// Suspects were under way when an adapter died, and are executed alone.
	Suspects int64
	// Redelivered counts tasks that were handed over again because their adapter was gone, Quarantined those that were set apart.
	Redelivered, Quarantined int64
}

// Activities tells about all activities that were called or offered since the process started, or have a limit, by name.
func (e *Engine) Activities() []ActivityStatus {
	var out []ActivityStatus
	e.limits.Range(func(name, _ any) bool {
		e.activity(name.(string)) //nolint:errcheck,forcetypeassert // nothing else is stored
		return true
	})
	e.activities.Range(func(_, stored any) bool {
		a := stored.(*activity) //nolint:errcheck,forcetypeassert // nothing else is stored
		g := a.gauges
		out = append(out, ActivityStatus{
			Name: a.name, Adapters: g.adapters.Load(), Waiting: g.waiting.Load(), InFlight: g.inFlight.Load(), Overflow: g.overflow(),
			Age: time.Duration(g.ageMillis.Load()) * time.Millisecond, Rate: g.rate(), Limit: e.Limit(a.name),
			Away: g.away.Load(), AwayUntil: timeOf(g.awayUntil.Load()), Suspects: g.suspects.Load(),
			Redelivered: g.redelivered.Load(), Quarantined: g.quarantined.Load(),
		})
		return true
	})
	slices.SortFunc(out, func(a, b ActivityStatus) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// IsKnown tells whether an adapter offers an activity now, or a deployed definition calls it.
func (e *Engine) IsKnown(name string) bool {
	a, ok := e.activities.Load(name)
	offered := ok && a.(*activity).gauges.adapters.Load() > 0 //nolint:errcheck,forcetypeassert // nothing else is stored
	return offered || e.definitions.call(name)
}

// Status is how an engine is.
type Status struct {
	// Open are the orders that have not ended, Resident those in memory, Timers how many of them have a timer:
	// those that are to go on, or time out, next.
	Open, Resident, Timers int64
	// ResidentBytes is about what orders in memory take.
	ResidentBytes int64
	// Faulted are the orders that wait for an operator, InDoubt those of them of which an attempt is in doubt, Suspended
	// the open ones that an operator has suspended. KeysHeld are the order keys that faulted orders hold.
	Faulted, InDoubt, Suspended, KeysHeld int64
	// Unloadable are orders that could not be loaded when there was something for them.
	Unloadable int64
}

// Status tells how the engine is.
func (e *Engine) Status(ctx context.Context) (Status, error) {
	fallout, err := e.journal.Fallout(ctx)
	if err != nil {
		return Status{}, fmt.Errorf("count fallout: %w", err)
	}
	return Status{
		Open: value(e.metrics.open), Resident: value(e.metrics.resident), Timers: value(e.metrics.timers), ResidentBytes: e.resident.Load(),
		Faulted: fallout.Faulted, InDoubt: fallout.InDoubt, Suspended: e.metrics.suspended.Load(), KeysHeld: e.metrics.held(),
		Unloadable: e.unloadable.count.Load(),
	}, nil
}
