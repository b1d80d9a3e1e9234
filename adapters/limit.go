package adapters

import "time"

// rateLimit spaces executions: each takes a slot of time, and the slots may run ahead of the clock by a burst.
type rateLimit struct {
	slot  int64 // nanoseconds
	ahead int64 // how far the slots may run ahead, in nanoseconds
	next  int64 // when the next slot begins
}

func newRateLimit(perSecond float64, burst int) *rateLimit {
	slot := max(int64(float64(time.Second)/perSecond), 1)
	return &rateLimit{slot: slot, ahead: slot * int64(burst-1)}
}

// wait returns how long it is until a slot may be taken, in nanoseconds.
func (r *rateLimit) wait(now int64) int64 { return max(r.next-r.ahead-now, 0) }

func (r *rateLimit) take(now int64) { r.next = max(r.next, now) + r.slot }

// giveBack returns the slot of an execution that was not begun after all.
func (r *rateLimit) giveBack() { r.next -= r.slot }

// breaker is closed (work goes on) until failures in a row reach the bound, then open until a time, then half open: one
// try decides.
type breaker struct {
	failures int
	cooldown int64 // nanoseconds

	inRow int
	until int64 // while inRow is at the bound: when to try
	trial bool  // the try is under way
}

// never is the wait for something that no time brings about: an execution has to end first.
const never = int64(1) << 62

// wait returns how long it is until a task may be executed, in nanoseconds.
func (b *breaker) wait(now int64) int64 {
	switch {
	case b.inRow < b.failures:
		return 0
	case b.trial:
		return never
	}
	return max(b.until-now, 0)
}

// take notes that an execution begins, and tells whether it is the try.
func (b *breaker) take() bool {
	b.trial = b.inRow >= b.failures
	return b.trial
}

// giveBack tells the breaker that an execution was not begun after all.
func (b *breaker) giveBack(trial bool) { b.trial = b.trial && !trial }

// done tells the breaker what came of an execution. While it is open, only the try counts.
func (b *breaker) done(failed, trial bool, now int64) {
	if b.inRow >= b.failures && !trial {
		return
	}
	if trial {
		b.trial = false
	}
	if !failed {
		b.inRow = 0
		return
	}
	if b.inRow = min(b.inRow+1, b.failures); b.inRow == b.failures {
		b.until = now + b.cooldown
	}
}
