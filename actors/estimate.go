package actors

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/holdfast-run/holdfast/actors/dispatch"
	"github.com/holdfast-run/holdfast/actors/workflow"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/persistence"
)

// estimateFarthest is how far away an estimate may be: adapters that had nothing to do for long tell nothing.
const estimateFarthest = 30 * 24 * time.Hour

// estimateMost is how many tasks of its partition are looked at to find an order's place among them.
const estimateMost = 10_000

// Estimate returns when an order will have ended that waits for adapters: from how many tasks are before its own, from the
// rate at which adapters have worked lately, and from how long others of its definition took once it was their turn. Zero
// if it waits for something else, or if nobody can tell.
func (e *Engine) Estimate(ctx context.Context, s *workflow.State) (time.Time, error) {
	var latest time.Duration
	for _, d := range s.Attempts() {
		name, _ := splitActivity(d.Activity)
		g := e.activity(name).gauges
		rate := g.rate()
		if rate <= 0 {
			return time.Time{}, nil
		}
		ahead, err := e.ahead(ctx, s, d, name)
		if err != nil {
			return time.Time{}, err
		}
		seconds := ahead / rate
		if seconds > estimateFarthest.Seconds() {
			return time.Time{}, nil
		}
		latest = max(latest, time.Duration(seconds*float64(time.Second)))
	}
	if latest < time.Second {
		return time.Time{}, nil
	}
	return e.now().Add(latest + e.span(s.Definition().Ref).mean()), nil
}

// span is how long orders of a definition took lately, from their getting a place for which they had waited on disk.
type span struct{ nanoseconds atomic.Int64 }

func (e *Engine) span(ref messages.DefinitionRef) *span {
	if s, ok := e.spans.Load(ref); ok {
		return s.(*span) //nolint:errcheck,forcetypeassert // nothing else is stored
	}
	s, _ := e.spans.LoadOrStore(ref, &span{})
	return s.(*span) //nolint:errcheck,forcetypeassert // nothing else is stored
}

func (s *span) mean() time.Duration { return time.Duration(s.nanoseconds.Load()) }

// note takes one order into account. Two at the same time may count as one.
func (s *span) note(took time.Duration) {
	was := s.mean()
	if was == 0 {
		was = took
	}
	s.nanoseconds.Store(int64(was + time.Duration(smoothing*float64(took-was))))
}

// ahead returns about how many tasks are before one.
func (e *Engine) ahead(ctx context.Context, s *workflow.State, d workflow.Dispatch, name string) (float64, error) {
	g, priority := e.activity(name).gauges, int(s.Accepted().GetPriority())
	if d.Overflow == 0 {
		return float64(g.waiting.Load()), nil
	}
	ahead := float64(g.waiting.Load())
	for p := priority + 1; p < dispatch.Priorities; p++ {
		ahead += float64(g.stored[p].Load())
	}
	of := persistence.Overflow{Activity: d.Activity, Priority: priority, Partition: messages.PartitionOf(s.ID(), s.Accepted().GetOrderKey())}
	page, err := e.journal.Overflowed(ctx, of, persistence.OverflowPlace{}, estimateMost)
	if err != nil {
		return 0, fmt.Errorf("find the place of order %s: %w", s.ID(), err)
	}
	before := 0
	for _, t := range page {
		if t.At < d.Since {
			before++
		}
	}
	if len(page) > 0 { // the other partitions have about as many
		ahead += float64(g.stored[priority].Load()) * float64(before) / float64(len(page))
	}
	return ahead, nil
}
