package adapters

import (
	"context"
	"fmt"
	"time"
)

// Option changes how an activity is executed.
type Option func(*activity)

// Idempotent declares that executing the activity again with the same key does no harm. A lost attempt is then repeated
// without asking, anywhere.
func Idempotent() Option { return func(a *activity) { a.idempotent = true } }

// Concurrency is how many tasks of the activity are executed at once, each by an actor of its own: 1 to 65,536, by default
// 16.
func Concurrency(n int) Option { return func(a *activity) { a.concurrency = n } }

// Prefetch is how many tasks more than Concurrency the nodes may send, to wait here while others are executed: 0 to
// 65,536, by default a quarter of Concurrency, and at least 1. More hides the way to the node, and keeps tasks from
// other processes that might be free.
func Prefetch(n int) Option { return func(a *activity) { a.prefetch = n } }

// Version is the activity's semantic version, by default 1.0.0.
func Version(v string) Option { return func(a *activity) { a.version = v } }

// Timeout ends the context of each execution after a time, if the task's deadline doesn't end it earlier. By default
// there is none.
func Timeout(d time.Duration) Option {
	return func(a *activity) {
		a.timeout = d
		if d <= 0 {
			a.mistakef("timeout %v is not longer than 0", d)
		}
	}
}

// RateLimit starts at most perSecond executions a second on average, and burst at once. Tasks wait for their turn
// here, and beyond the prefetch at the nodes. By default there is no limit.
func RateLimit(perSecond float64, burst int) Option {
	return func(a *activity) {
		if !(perSecond > 0 && perSecond <= 1e9) || burst < 1 {
			a.mistakef("rate limit of %v a second, bursts of %d: a rate above 0 up to 1e9, and bursts of at least 1, are expected",
				perSecond, burst)
			return
		}
		a.limit = newRateLimit(perSecond, burst)
	}
}

// Breaker stops executing after that many failures in a row that were not permanent, for a time; then it tries one task,
// and goes on if that doesn't fail in the same way. Tasks wait meanwhile, and use up no attempts. By default there is none.
func Breaker(failures int, cooldown time.Duration) Option {
	return func(a *activity) {
		if failures < 1 || cooldown <= 0 {
			a.mistakef("breaker after %d failures for %v: at least 1, and a time longer than 0, are expected", failures, cooldown)
			return
		}
		a.breaker = &breaker{failures: failures, cooldown: cooldown.Nanoseconds()}
	}
}

// Recover finds out what came of work that another process may have started: it asks the downstream system by the key. It
// returns the output if the work was done; ErrNotDone if it was not, and then the activity is executed; an error marked
// Permanent if it failed for good. Any other error leaves the work in doubt. Without it such work is in doubt, unless
// the activity is Idempotent.
func Recover[In, Out any](fn func(ctx context.Context, t Task, in In) (Out, error)) Option {
	return func(a *activity) {
		if fn == nil {
			a.mistakef("recover function is nil")
			return
		}
		if in, out := typeOf[In](), typeOf[Out](); in != a.in || out != a.out {
			a.mistakef("recover function takes %v and returns %v; the activity takes %v and returns %v", in, out, a.in, a.out)
			return
		}
		a.recover = func(ctx context.Context, _ any, t Task, input []byte) ([]byte, error) {
			return invoke(input, func(in In) (Out, error) { return fn(ctx, t, in) })
		}
	}
}

func (a *activity) mistakef(format string, args ...any) {
	a.mistakes = append(a.mistakes, fmt.Errorf("activity %s: "+format, append([]any{a.name}, args...)...))
}
