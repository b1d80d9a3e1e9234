package workflow

import (
	"math"
	"time"

	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/messages/problemv1"
)

// Try runs a list of tasks and catches what goes wrong in it.
type Try struct {
	sequence

	List   *List
	Filter *Filter // nil: every error
	// As is the name of the variable that holds the error, without the dollar sign.
	As               string
	When, ExceptWhen Expr
	Retry            *Retry // nil: none
	// Compensate: what was done inside is undone when an error was caught, before it is retried or Catch runs. Where the order only goes
	// forward, nothing is caught.
	Compensate bool
	// Catch is what runs when an error was caught and is not retried; nil: nothing.
	Catch *List
}

// Filter selects errors. Nil parts match everything.
type Filter struct {
	Type, Title, Detail, Instance *string
	Status                        *int32
}

func (k *Try) enter(_ *State, f *frame, _ *journalv1.TaskStarted) {
	f.list, f.last, f.phase = k.List, f.input, phaseNext
}

// due starts a retry.
func (k *Try) due(m *machine, f *frame) {
	e := &journalv1.RetryStarted{Frame: f.id}
	if k.Retry.AttemptDuration != nil {
		at, err := k.Retry.AttemptDuration.After(m.now, f.input, m.argsOf(f))
		if err != nil {
			m.fault(f, expressionProblem(f.task, err))
			return
		}
		e.TimeoutAt = at.UnixNano()
	}
	m.emit(&journalv1.Event_RetryStarted{RetryStarted: e})
}

// handle decides whether a try catches an error, and what then: undo what was done inside, retry, run the catch tasks, or go
// on. An error whose retries are used up, with no catch tasks to run, goes further up.
func (k *Try) handle(m *machine, f *frame, p *problemv1.Problem) {
	if f.caught != nil {
		m.fault(f, p)
		return
	}
	caught, args, err := k.catches(m, f, p)
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
	if k.Retry != nil && !triedInVain(p) {
		if due, again, err = m.retryAt(f, k.Retry, f.input, args); err != nil {
			m.fault(f, undecidedProblem(f.task, err, p))
			return
		}
	}
	if k.Compensate {
		// A retry finds out what came of an attempt in doubt.
		if d := m.s.lastDone(f, again); d != nil {
			m.undo(f, d) // and comes back
			return
		}
	}
	switch {
	case again:
		m.emit(&journalv1.Event_RetryScheduled{RetryScheduled: &journalv1.RetryScheduled{
			Frame: f.id, Retry: f.retry.n + 1, Due: due.UnixNano(), Slowed: due.Equal(m.slow(f)), Error: p,
		}})
	case k.Catch != nil:
		m.emit(&journalv1.Event_CatchStarted{CatchStarted: &journalv1.CatchStarted{Frame: f.id, Error: p}})
	case k.Retry != nil:
		m.fault(f, p)
	default:
		m.complete(f, f.input, "")
	}
}

// catches tells whether the try of a frame catches an error, and what expressions about it may refer to.
func (k *Try) catches(m *machine, f *frame, p *problemv1.Problem) (bool, *Args, error) {
	args := m.argsOf(f)
	args.Vars = append(args.Vars, Var{Name: k.As, Value: problemValue(p)})
	if !matches(k.Filter, p) || k.Compensate && m.s.goesForward(f) {
		return false, args, nil
	}
	caught, err := holds(k.When, k.ExceptWhen, f.input, args)
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
func (m *machine) retryAt(f *frame, r *Retry, in *Value, args *Args) (time.Time, bool, error) {
	if ok, err := holds(r.When, r.ExceptWhen, in, args); err != nil || !ok {
		return time.Time{}, false, err
	}
	so := f.tries()
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
	if slow := m.slow(f); slow.After(due) {
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

func (s *State) retryScheduled(at int64, e *journalv1.RetryScheduled) {
	f := s.mustFrame(e.GetFrame())
	f.fallen = nil
	r := f.tries()
	f.unwinding = f.unwinding && f.undo != nil
	if r.n == 0 {
		r.firstErrorAt = at
	}
	r.n, r.slowed, r.timeoutAt = e.GetRetry(), e.GetSlowed(), 0
	f.raised, f.due, f.phase = nil, e.GetDue(), phaseBlocked
	s.wentBack(at, f)
}

func (s *State) retryStarted(e *journalv1.RetryStarted) {
	f := s.mustFrame(e.GetFrame())
	f.due, f.pos, f.phase = 0, 0, phaseNext
	if f.undo != nil {
		f.last = f.undo.of.value()
		return
	}
	f.retry.timeoutAt = e.GetTimeoutAt()
	f.list, f.last = as[*Try](f.kind()).List, f.input
}

func (s *State) catchStarted(e *journalv1.CatchStarted) {
	f := s.mustFrame(e.GetFrame())
	f.fallen = nil
	f.caught, f.raised, f.retry.timeoutAt, f.unwinding = e.GetError(), nil, 0, false
	f.list, f.pos, f.last, f.phase = as[*Try](f.kind()).Catch, 0, f.input, phaseNext
}
