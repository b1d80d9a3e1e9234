package load

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"
)

// profile waits until measuring begins, and has the node tell where it spends its processors' time while it lasts.
func (b *bench) profile(ctx context.Context) (err error) {
	if b.Profile == "" {
		return nil
	}
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(warmUp):
	}
	url := fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%d", b.node.Admin, int(b.Duration/time.Second))
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return fmt.Errorf("profile the node: %w", err)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("profile the node: %w", err)
	}
	defer func() { err = errors.Join(err, answer.Body.Close()) }()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("profile the node: it answered %s", answer.Status)
	}
	data, err := io.ReadAll(answer.Body)
	if err != nil {
		return fmt.Errorf("profile the node: %w", err)
	}
	return os.WriteFile(b.Profile, data, 0o600) //nolint:wrapcheck // it names the file
}
