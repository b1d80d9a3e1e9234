package workflow

import (
	"math"
	"time"

	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/messages/problemv1"
)

// handle deals with an error that came up into a frame from a task inside.
func (m *machine) handle(f *frame, p *problemv1.Problem) {
	switch {
	case f.undo != nil:
		m.undoFailed(f, p)
	case f.task == nil:
		m.endFaulted(&journalv1.OrderFaulted{Error: p})
	case f.task.Try == nil || f.caught != nil:
		m.fault(f, p)
	default:
		m.catch(f, p)
	}
}

// catch decides whether a try catches an error, and what then: undo what was done inside, retry, run the catch tasks, or go
// on. An error whose retries are used up, with no catch tasks to run, goes further up.
func (m *machine) catch(f *frame, p *problemv1.Problem) {
	try := f.task.Try
	caught, args, err := m.filters(f, p)
	switch {
	case err != nil:
		m.fault(f, undecidedProblem(f.task, err, p))
		return
	case !caught:
		m.fault(f, p)
		return
	}
	var due time.Time
	again := false
	if try.Retry != nil && !triedInVain(p) {
		if due, again, err = m.retryAt(&f.retry, try.Retry, f.input, args); err != nil {
			m.fault(f, undecidedProblem(f.task, err, p))
			return
		}
	}
	if try.Compensate {
		// A retry finds out what came of an attempt in doubt.
		if d := m.s.lastDone(f, again); d != nil {
			m.undo(f, d) // and comes back
			return
		}
	}
	switch {
	case again:
		m.emit(&journalv1.Event{Kind: &journalv1.Event_RetryScheduled{RetryScheduled: &journalv1.RetryScheduled{
			Frame: f.id, Retry: f.retry.n + 1, Due: due.UnixNano(), Slowed: due.Equal(m.slow()), Error: p,
		}}})
	case try.Catch != nil:
		m.emit(&journalv1.Event{Kind: &journalv1.Event_CatchStarted{CatchStarted: &journalv1.CatchStarted{Frame: f.id, Error: p}}})
	case try.Retry != nil:
		m.fault(f, p)
	default:
		m.complete(f, f.input, "")
	}
}

// filters tells whether the try of a frame catches an error, and what expressions about it may refer to.
func (m *machine) filters(f *frame, p *problemv1.Problem) (bool, *Args, error) {
	try, args := f.task.Try, m.argsOf(f)
	args.Vars = append(args.Vars, Var{Name: try.As, Value: problemValue(p)})
	if !matches(try.Filter, p) {
		return false, args, nil
	}
	caught, err := holds(try.When, try.ExceptWhen, f.input, args)
	return caught, args, err
}

func matches(filter *Filter, p *problemv1.Problem) bool {
	if filter == nil {
		return true
	}
	equal := func(want *string, is string) bool { return want == nil || *want == is }
	return equal(filter.Type, CanonicalErrorType(p.GetType())) && equal(filter.Title, p.GetTitle()) &&
		equal(filter.Detail, p.GetDetail()) && equal(filter.Instance, p.GetInstance()) &&
		(filter.Status == nil || *filter.Status == p.GetStatus())
}

func holds(when, exceptWhen Expr, in *Value, args *Args) (bool, error) {
	if when != nil {
		if ok, err := when.Bool(in, args); err != nil || !ok {
			return false, err
		}
	}
	if exceptWhen != nil {
		ok, err := exceptWhen.Bool(in, args)
		return !ok && err == nil, err
	}
	return true, nil
}

// longest is the longest duration that a definition can give, a hundred years. Growing delays don't exceed it.
const longest = 100 * 366 * 24 * time.Hour

// retryAt returns when to retry; false if not any more.
func (m *machine) retryAt(so *retryState, r *Retry, in *Value, args *Args) (time.Time, bool, error) {
	if ok, err := holds(r.When, r.ExceptWhen, in, args); err != nil || !ok {
		return time.Time{}, false, err
	}
	n := int(so.n) + 1
	if r.Attempts != 0 && n > r.Attempts {
		return time.Time{}, false, nil
	}
	length := func(d Duration) (time.Duration, error) {
		if d == nil {
			return 0, nil
		}
		at, err := d.After(m.now, in, args)
		return at.Sub(m.now), err
	}
	delay, err := length(r.Delay)
	if err != nil {
		return time.Time{}, false, err
	}
	grown := float64(delay)
	switch r.Backoff {
	case BackoffConstant:
	case BackoffLinear:
		grown *= float64(n)
	case BackoffExponential:
		grown *= math.Pow(2, float64(n-1))
	}
	if delay > 0 { // nothing grows to nothing; but 0 × ∞ is no number
		delay = time.Duration(min(grown, float64(longest)))
	}
	from, err := length(r.JitterFrom)
	if err != nil {
		return time.Time{}, false, err
	}
	to, err := length(r.JitterTo)
	if err != nil {
		return time.Time{}, false, err
	}
	if to > from {
		from += time.Duration(m.chance() * float64(to-from))
	}
	due := m.now.Add(max(delay+from, m.s.limits.RetryPause))
	if slow := m.slow(); slow.After(due) {
		due = slow
	}
	if r.MaxDuration != nil {
		first := m.now
		if so.n > 0 {
			first = fromNano(so.firstErrorAt)
		}
		last, err := r.MaxDuration.After(first, in, args)
		if err != nil || due.After(last) {
			return time.Time{}, false, err
		}
	}
	return due, true, nil
}
