package load

import (
	"context"
	"fmt"
	"os"
	"time"
)

// profile waits until measuring begins, and has the node tell where it spends its processors' time while it lasts.
func (b *bench) profile(ctx context.Context) error {
	if b.Profile == "" {
		return nil
	}
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(warmUp):
	}
	data, err := b.nodes[0].Profile(ctx, b.Duration)
	if err != nil {
		return fmt.Errorf("profile the node: %w", err)
	}
	return os.WriteFile(b.Profile, []byte(data), 0o600) //nolint:wrapcheck // it names the file
}
