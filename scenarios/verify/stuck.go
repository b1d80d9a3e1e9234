package main

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"time"
)

// stuckWithin is how long it may take until what is stuck is replaced, in seconds.
const stuckWithin = 15

// hang is something that makes no progress any more.
type hang struct {
	name  string
	cause func(ctx context.Context, x *faulty) error
	// named is what dev must say of it.
	named *regexp.Regexp
	// stack tells that the process must have logged the stack of the goroutine.
	stack bool
}

var hangs = []hang{
	{
		"stopped", func(_ context.Context, x *faulty) error { return x.stop() },
		regexp.MustCompile(`no answer within|deadline exceeded`), false,
	},
	{
		"fsync", func(ctx context.Context, x *faulty) error { return x.arm(ctx, "fsync", ".log", "hang", 1) },
		regexp.MustCompile(`stuck: journal has not turned`), true,
	},
	{
		"order", func(ctx context.Context, x *faulty) error { return x.arm(ctx, "order", "", "hang", 1) },
		regexp.MustCompile(`stuck: (partition \d+ at|order) \S+ has not turned`), true,
	},
}

// stuck stops the node, blocks its disk and has an order hang, and sees how soon that is named and put right.
func stuck(ctx context.Context, s *site) (figures, error) {
	f := figures{}
	err := withFaults(ctx, s, f, func(ctx context.Context, x *faulty) error {
		named, stacks := 0, 0
		for _, h := range hangs {
			if err := x.mark(); err != nil {
				return err
			}
			began := time.Now()
			if err := h.cause(ctx, x); err != nil {
				return fmt.Errorf("%s: %w", h.name, err)
			}
			at, err := x.restarted(ctx)
			if err != nil {
				return fmt.Errorf("%s: %w", h.name, err)
			}
			f[h.name+"_s"] = round(at.Sub(began).Seconds(), 1)
			all, err := x.said()
			if err != nil {
				return err
			}
			isNamed, isShown := false, false
			for _, l := range all {
				isNamed = isNamed || l.ofNode(isKilled) && h.named.MatchString(l.Reason)
				isShown = isShown || l.who == "node" && strings.Contains(l.text, "main.(*faults).hit")
			}
			if isNamed {
				named++
			}
			if h.stack && isShown {
				stacks++
			}
		}
		f["named"], f["stacks"] = named, stacks
		return nil
	})
	return f, err
}

func stuckBars(*site) bars {
	b := bars{"named": atLeast(float64(len(hangs))), "stacks": atLeast(2), "acknowledged": atLeast(faultyInFlight)}
	for _, h := range hangs {
		b[h.name+"_s"] = atMost(stuckWithin)
	}
	return b.unharmed()
}

// unharmed: whatever happened, nothing came of it to any order.
func (b bars) unharmed() bars {
	return b.none("lost", "duplicated", "missing", "history_gaps", "unexplained", "surplus", "not_completed",
		"never_acknowledged", "wrong_answers", "without_history", "histories_without_end")
}
