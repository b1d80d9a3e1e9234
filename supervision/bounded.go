package supervision

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// Bounded makes a logger that passes on at most so many lines a second. Further ones are dropped, and a line says how many when the
// second is over. So in a storm of failures, each of which is worth a line, nothing has to wait for the log. 0 or less: all lines are
// passed on.
func Bounded(log *slog.Logger, perSecond int) *slog.Logger {
	if perSecond <= 0 {
		return log
	}
	return slog.New(bounded{log.Handler(), &allowance{perSecond: perSecond, log: log}})
}

// bounded is a slog.Handler.
type bounded struct {
	slog.Handler

	allowance *allowance
}

// Handle implements slog.Handler.
func (b bounded) Handle(ctx context.Context, r slog.Record) error {
	if !b.allowance.take() {
		return nil
	}
	return b.Handler.Handle(ctx, r) //nolint:wrapcheck // it stands for what it wraps
}

// WithAttrs implements slog.Handler.
func (b bounded) WithAttrs(attrs []slog.Attr) slog.Handler {
	return bounded{b.Handler.WithAttrs(attrs), b.allowance}
}

// WithGroup implements slog.Handler.
func (b bounded) WithGroup(name string) slog.Handler {
	return bounded{b.Handler.WithGroup(name), b.allowance}
}

// allowance is how many lines may still be passed on in a second that begins with its first line.
type allowance struct {
	perSecond int
	log       *slog.Logger

	mu    sync.Mutex
	began time.Time
	taken int // may be more than perSecond: the others were dropped
}

// take uses up one line, if one is left.
func (a *allowance) take() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if now := time.Now(); now.Sub(a.began) >= time.Second && a.taken <= a.perSecond {
		a.began, a.taken = now, 0
	}
	a.taken++
	if a.taken == a.perSecond+1 {
		time.AfterFunc(time.Until(a.began.Add(time.Second)), a.tell)
	}
	return a.taken <= a.perSecond
}

// tell says how many lines were dropped, and begins another second.
func (a *allowance) tell() {
	a.mu.Lock()
	dropped := a.taken - a.perSecond
	a.began, a.taken = time.Time{}, 0
	a.mu.Unlock()
	a.log.Warn("lines like those before were left out: there were too many", "left_out", dropped, "most_per_second", a.perSecond)
}
