package view

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/holdfast-run/holdfast/actors/failure"
	"github.com/holdfast-run/holdfast/actors/history"
	"github.com/holdfast-run/holdfast/actors/runtime"
	"github.com/holdfast-run/holdfast/actors/workflow"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/messages/nodev1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/persistence"
)

// Journal is what is read.
type Journal interface {
	Find(ctx context.Context, id messages.OrderID) (persistence.Entry, error)
	Records(ctx context.Context, h messages.Handle, from messages.Version) iter.Seq2[persistence.StoredRecord, error]
	Row(ctx context.Context, h messages.Handle) (*journalv1.OrderRow, error)
	List(ctx context.Context, q persistence.Query) (found []persistence.FoundOrder, next messages.Handle, err error)
	Overflowed(ctx context.Context, of persistence.Overflow, after persistence.OverflowPlace, limit int) ([]persistence.OverflowedTask, error)
}

// Activities tell what attempts wait for.
type Activities interface {
	// Waiting tells what an attempt waits for; nil if its dispatcher does not know the attempt.
	Waiting(ctx context.Context, called, key string) (*orderv1.Waiting, error)
	// Load tells how many tasks of an activity wait in memory, how many are on disk by priority, and how many results a second came
	// lately.
	Load(called string) (waiting int64, stored []int64, rate float64)
}

// Keys tell who has the turn of an order key.
type Keys interface {
	Key(ctx context.Context, key string, after uint64, most int) (*nodev1.KeyQueue, error)
}

// Post asks other nodes, and answers them.
type Post interface {
	AskWithin(within time.Duration, by runtime.Owner, e *nodev1.Envelope, done func(*nodev1.Answer))
	Answer(e *nodev1.Envelope, a *nodev1.Answer)
}

// Parts are what the read side of a node works with. All are needed.
type Parts struct {
	Journal Journal
	// Pinned returns what finds the definition that an order was accepted with, also if another node has deployed it just now.
	Pinned     func(ctx context.Context) func(name string, hash []byte) (*workflow.Definition, error)
	Limits     workflow.Limits
	Activities Activities
	Keys       Keys
	Post       Post
	Now        func() time.Time
}

// View is the read side of a node.
type View struct {
	*Waiters
	*Changes

	parts Parts
	spans sync.Map // *span, by definition
}

// New makes the read side of a node.
func New(p Parts) *View {
	v := &View{Changes: newChanges(), parts: p}
	v.Waiters = newWaiters(p.Post, v.stands)
	return v
}

// Serves says whether this node has a partition.
func (v *View) Serves(p messages.Partition, here bool) {
	v.Changes.serves(p, here)
	v.Waiters.serves(p, here)
}

// Tick is to be called every second.
func (v *View) Tick() {
	v.Changes.tick()
	v.Waiters.tick()
}

// Load folds the history of an order, as it is in the journal.
func (v *View) Load(ctx context.Context, id messages.OrderID) (*workflow.State, messages.Handle, error) {
	entry, err := v.parts.Journal.Find(ctx, id)
	if err != nil {
		return nil, messages.Handle{}, fmt.Errorf("order %s: %w", id, err)
	}
	s, err := v.fold(ctx, entry)
	return s, entry.Handle, err
}

func (v *View) fold(ctx context.Context, e persistence.Entry) (*workflow.State, error) {
	s, _, err := history.Fold(e.Handle, v.parts.Journal.Records(ctx, e.Handle, 1), v.parts.Pinned(ctx), &v.parts.Limits)
	return s, err
}

// Same tells whether an order was accepted under an id with the same content, and with which order key it was.
func (v *View) Same(ctx context.Context, id messages.OrderID, content []byte) (key string, same bool, err error) {
	entry, err := v.parts.Journal.Find(ctx, id)
	switch {
	case errors.Is(err, persistence.ErrNotFound):
		return "", false, nil
	case err != nil:
		return "", false, fmt.Errorf("order %s: %w", id, err)
	case !bytes.Equal(entry.ContentHash, content):
		return "", false, nil
	}
	s, err := v.fold(ctx, entry)
	if errors.Is(err, persistence.ErrNotFound) { // the id was set aside for it, and nothing more is known
		return "", false, fmt.Errorf("%w: order %s: %v", failure.ErrUnavailable, id, err) //nolint:errorlint // it is not that there is none
	}
	if err != nil {
		return "", false, err
	}
	return s.Accepted().GetOrderKey(), true, nil
}

// Has tells whether an order was accepted.
func (v *View) Has(ctx context.Context, id messages.OrderID) (bool, error) {
	_, err := v.parts.Journal.Find(ctx, id)
	if errors.Is(err, persistence.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// Order tells all that is known of an order: also what its attempts wait for, and when it will have ended.
func (v *View) Order(ctx context.Context, id messages.OrderID) (*orderv1.Order, error) {
	s, _, err := v.Load(ctx, id)
	if err != nil {
		return nil, err
	}
	o := OrderOf(s)
	if o.Waiting, err = v.attempts(ctx, s, o.GetWaiting()); err != nil {
		return nil, err
	}
	if w := v.turn(ctx, s); w != nil {
		o.Waiting = append(o.Waiting, w)
	}
	at, err := v.estimate(ctx, s)
	if err != nil {
		return nil, err
	}
	if !at.IsZero() {
		o.EstimatedEnd = timestamppb.New(at)
	}
	return o, nil
}

// attempts appends what the attempts of an order that are under way wait for.
func (v *View) attempts(ctx context.Context, s *workflow.State, to []*orderv1.Waiting) ([]*orderv1.Waiting, error) {
	if s.Ended() {
		return to, nil
	}
	for _, a := range s.Attempts() {
		w, err := v.parts.Activities.Waiting(ctx, a.Activity, a.Key)
		if err != nil {
			return nil, fmt.Errorf("ask what %s waits for: %w", a.Task, err)
		}
		if w == nil {
			w = &orderv1.Waiting{Reason: "its turn to be sent to an adapter", Since: timestamppb.New(time.Unix(0, a.Since))}
			switch {
			case !v.has(partitionOf(s)):
				w.Reason = "an adapter, or its turn to be sent to one: the node that runs the order can tell"
			case a.Overflow != 0:
				w.Reason = "room among the tasks of " + a.Activity + " in memory: it waits on disk"
			}
		}
		w.Task, w.Activity = a.Task, a.Activity
		to = append(to, w)
	}
	return to, nil
}

func partitionOf(s *workflow.State) messages.Partition {
	return messages.PartitionOf(s.ID(), s.Accepted().GetOrderKey())
}

// turn tells whom an order awaits whose turn under its key has not come; nil if that is not so. Who has the turn is not told while the
// node is starting.
func (v *View) turn(ctx context.Context, s *workflow.State) *orderv1.Waiting {
	since := s.QueuedSince()
	if s.Key() == "" || since.IsZero() {
		return nil
	}
	why := "its turn under its order key"
	switch q, err := v.parts.Keys.Key(ctx, s.Key(), 0, 0); {
	case err != nil, q.GetHead() == "", q.GetHead() == s.Accepted().GetOrderId():
	case q.GetHeld():
		why += fmt.Sprintf(": order %s has faulted, and holds the key", q.GetHead())
	default:
		why += fmt.Sprintf(": order %s has it", q.GetHead())
	}
	return &orderv1.Waiting{Reason: why, Since: timestamppb.New(since)}
}

const (
	// estimateFarthest is the longest time that is estimated. Estimates beyond it come of adapters that had little to do lately, and so
	// tell nothing.
	estimateFarthest = 30 * 24 * time.Hour
	// estimateMost is how many tasks of its partition are looked at to find an order's place among them.
	estimateMost = 10_000
	// smoothing is the share of the last order in the estimate of how long the orders of a definition take.
	smoothing = 0.1
)

// estimate returns when an order that waits for adapters will have ended: by the number of tasks that are before its own, the rate at
// which adapters have worked lately, and how long other orders of its definition took once adapters had come to them. It is zero if the
// order waits for something else, or if nobody can tell.
func (v *View) estimate(ctx context.Context, s *workflow.State) (time.Time, error) {
	if !v.has(partitionOf(s)) {
		return time.Time{}, nil
	}
	var latest time.Duration
	for _, d := range s.Attempts() {
		waiting, stored, rate := v.parts.Activities.Load(d.Activity)
		if rate <= 0 {
			return time.Time{}, nil
		}
		ahead := float64(waiting)
		if d.Overflow != 0 {
			more, err := v.ahead(ctx, s, d, stored)
			if err != nil {
				return time.Time{}, err
			}
			ahead += more
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
	return v.parts.Now().Add(latest + v.span(s.Definition().Ref).mean()), nil
}

// ahead returns about how many tasks on disk are before one of them.
func (v *View) ahead(ctx context.Context, s *workflow.State, d workflow.Dispatch, stored []int64) (float64, error) {
	priority, ahead := int(s.Accepted().GetPriority()), 0.0
	for _, n := range stored[priority+1:] {
		ahead += float64(n)
	}
	of := persistence.Overflow{Activity: d.Activity, Priority: priority, Partition: partitionOf(s)}
	page, err := v.parts.Journal.Overflowed(ctx, of, persistence.OverflowPlace{}, estimateMost)
	if err != nil {
		return 0, fmt.Errorf("find the place of order %s: %w", s.ID(), err)
	}
	before := 0
	for _, t := range page {
		if t.At < d.Since {
			before++
		}
	}
	if len(page) > 0 { // the other partitions have about as many before it
		ahead += float64(stored[priority]) * float64(before) / float64(len(page))
	}
	return ahead, nil
}

// span is how long orders of a definition took lately to their ends, from when the first of their attempts came back from disk.
type span struct{ nanoseconds atomic.Int64 }

func (v *View) span(ref messages.DefinitionRef) *span {
	if s, ok := v.spans.Load(ref); ok {
		return s.(*span) //nolint:errcheck,forcetypeassert // nothing else is stored
	}
	s, _ := v.spans.LoadOrStore(ref, &span{})
	return s.(*span) //nolint:errcheck,forcetypeassert // nothing else is stored
}

func (s *span) mean() time.Duration { return time.Duration(s.nanoseconds.Load()) }

// Took takes into account how long an order of a definition took. Of two orders at the same time, one may not count.
func (v *View) Took(ref messages.DefinitionRef, took time.Duration) {
	s := v.span(ref)
	was := s.mean()
	if was == 0 {
		was = took
	}
	s.nanoseconds.Store(int64(was + time.Duration(smoothing*float64(took-was))))
}
