package workflow

import (
	"cmp"
	"time"

	"github.com/holdfast-run/holdfast/messages"
)

// Limits bound what one order may do.
type Limits struct {
	// Steps is the most tasks entered in one decision; the rest is left to Continue. Default 200.
	Steps int
	// Bytes is about how much one decision may put into the journal before the rest is left to Continue; a step that is begun
	// is ended. So what is read at once of a history is small, too. Default 1 MiB.
	Bytes int
	// Evaluation is about how much one decision may evaluate before the rest is left to Continue, in steps of an interpreter; a
	// step of the order that is begun is ended. So no order takes long at once. Default 1,000,000, some 50 ms.
	Evaluation int
	// Events is the longest history; an order that would exceed it is faulted. Default 1,000,000.
	Events messages.Version
	// StopGrace is how long activities under way are awaited when their scope is left; until the latest of their
	// deadlines, if that is later. Default 30 s.
	StopGrace time.Duration
	// Depth is how deep orders can be nested: a child below so many orders can't be started. Default 16.
	Depth int
	// Key is the longest order key, in bytes, of what a definition gives an order, or a task its child. Default 256.
	Key int
	// Labels is the most labels of an order to which its definition gives some. Default 16.
	Labels int
	// Deeds is the most that an order may have done and that could be undone. Default 10,000.
	Deeds int
	// Behind is the most events that a task that listens takes before it has gone through them. Default 1,000.
	Behind int
	// Consumed is the most bytes of events that a task consumes. Default 16 MiB.
	Consumed int
	// RetryPause is the least time from an error to the retry. Default 100 ms.
	RetryPause time.Duration
	// An order goes back when it retries, when it jumps back in a list of tasks, and when an attempt was not done. Loops is how
	// often it may do so without waiting, before it is slowed down to once in each LoopPause; what it does not use of that it gets
	// back, up to Loops. So an order that loops for ever does not fill the journal. Defaults 10,000, 1 s.
	Loops     int
	LoopPause time.Duration
}

// Terms bound what definitions say of their orders.
func (l Limits) Terms() TermLimits { return TermLimits{Key: l.Key, Labels: l.Labels} }

// WithDefaults fills what is zero.
func (l Limits) WithDefaults() Limits {
	l.Steps = cmp.Or(l.Steps, 200)
	l.Bytes = cmp.Or(l.Bytes, 1<<20)
	l.Evaluation = cmp.Or(l.Evaluation, 1_000_000)
	l.Events = cmp.Or(l.Events, 1_000_000)
	l.StopGrace = cmp.Or(l.StopGrace, 30*time.Second)
	l.Depth = cmp.Or(l.Depth, 16)
	l.Key = cmp.Or(l.Key, 256)
	l.Labels = cmp.Or(l.Labels, 16)
	l.Deeds = cmp.Or(l.Deeds, 10_000)
	l.Behind = cmp.Or(l.Behind, 1000)
	l.Consumed = cmp.Or(l.Consumed, 16<<20)
	l.RetryPause = cmp.Or(l.RetryPause, 100*time.Millisecond)
	l.Loops = cmp.Or(l.Loops, 10_000)
	l.LoopPause = cmp.Or(l.LoopPause, time.Second)
	return l
}
