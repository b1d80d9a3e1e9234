package stage

import (
	"context"
	"time"
)

// Pause waits for a time. If ctx ends first, it returns why.
func Pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Eventually asks again and again, with a pause between, whether something holds, and returns once it does.
func Eventually(ctx context.Context, pause time.Duration, holds func() (bool, error)) error {
	for {
		if ok, err := holds(); ok || err != nil {
			return err
		}
		if err := Pause(ctx, pause); err != nil {
			return err
		}
	}
}
