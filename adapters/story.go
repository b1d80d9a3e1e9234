package adapters

import (
	"context"
	"log/slog"
	"time"

	"github.com/holdfast-run/holdfast/messages/adapterv1"
	"github.com/holdfast-run/holdfast/supervision"
)

// story is what an operator is told about attempts: one line for each that failed, or whose outcome is in doubt, and all others
// on demand. Inputs and outputs are not in it.
type story struct {
	log   *slog.Logger
	told  uint64 // the number of the last result that was told; a result that is sent again is no news
	lines []line // to be logged without the hub's lock: fewer than there are credits
}

// line is one attempt.
type line struct {
	task   *adapterv1.Task
	result *adapterv1.Result
}

func newStory(c Config, process string) story {
	return story{log: supervision.Bounded(c.Log.With("process", process), c.LogRate)}
}

// tell has a result logged, if it is one that an operator should know, and was not told before.
func (s *story) tell(t *adapterv1.Task, r *adapterv1.Result) {
	if r.GetError() == nil || r.GetSeq() <= s.told {
		return
	}
	s.told = r.GetSeq()
	s.lines = append(s.lines, line{task: t, result: r})
}

// say logs an attempt.
func (h *hub) say(l line) {
	r := l.result
	log := h.told.log.With(h.attrs(l.task)...).With("status", r.GetError().GetStatus(), "type", r.GetError().GetType(),
		"title", r.GetError().GetTitle(), "detail", clip(r.GetError().GetDetail(), longestText))
	if r.GetPermanent() {
		log = log.With("permanent", true)
	}
	switch r.GetOutcome() {
	case adapterv1.Outcome_OUTCOME_IN_DOUBT:
		log.Warn("attempt is in doubt")
	case adapterv1.Outcome_OUTCOME_SUCCEEDED:
		log.Warn("attempt is done, and its output can't be reported")
	default:
		log.Warn("attempt failed")
	}
}

// longestText bounds what a line has of an error's detail, in bytes.
const longestText = 512

// begins and succeeds log attempts at the level of debugging: when they begin, and when they have succeeded.
func (h *hub) begins(j *job) {
	if h.told.log.Enabled(context.Background(), slog.LevelDebug) {
		h.told.log.With(h.attrs(j.task)...).Debug("attempt begins", "recovers", j.recovers)
	}
}

func (h *hub) succeeds(j *job, began time.Time) {
	if h.told.log.Enabled(context.Background(), slog.LevelDebug) {
		h.told.log.With(h.attrs(j.task)...).Debug("attempt succeeded", "took", time.Since(began))
	}
}

// attrs tell which attempt a line is about, in the words of the node's log.
func (h *hub) attrs(t *adapterv1.Task) []any {
	return []any{
		"order", t.GetOrderId(), "task", t.GetTask(), "activity", h.name + "." + t.GetActivity(), "key", t.GetKey(), "attempt", t.GetAttempt(),
	}
}
