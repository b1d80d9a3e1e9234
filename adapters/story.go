package adapters

import (
	"log/slog"

	"github.com/holdfast-run/holdfast/messages/adapterv1"
)

// The bounds of what is logged about attempts: so many lines a second, and so many at once.
const (
	storyRate  = 10
	storyBurst = 100
)

// story is what an operator is told about attempts that failed, or whose outcome is in doubt: one line for each, as long as
// they are not too many.
type story struct {
	limit   *rateLimit
	told    uint64 // the number of the last result that was told; a result that is sent again is no news
	skipped int
	lines   []line
}

// line is one attempt.
type line struct {
	task    *adapterv1.Task
	result  *adapterv1.Result
	skipped int // attempts before it that were not told
}

func newStory() story { return story{limit: newRateLimit(storyRate, storyBurst)} }

// tell has a result logged, if it is one that an operator should know, and was not told before.
func (s *story) tell(t *adapterv1.Task, r *adapterv1.Result, now int64) {
	if r.GetError() == nil || r.GetSeq() <= s.told {
		return
	}
	s.told = r.GetSeq()
	if s.limit.wait(now) > 0 {
		s.skipped++
		return
	}
	s.limit.take(now)
	s.lines = append(s.lines, line{task: t, result: r, skipped: s.skipped})
	s.skipped = 0
}

func (l line) log(log *slog.Logger) {
	r := l.result
	log = log.With("order", r.GetOrderId(), "task", l.task.GetTask(), "activity", r.GetActivity(), "key", r.GetKey(),
		"attempt", r.GetAttempt(), "status", r.GetError().GetStatus(), "title", r.GetError().GetTitle(), "detail", r.GetError().GetDetail())
	if r.GetPermanent() {
		log = log.With("permanent", true)
	}
	if l.skipped > 0 {
		log = log.With("attempts_not_logged", l.skipped)
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
