package adapters

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/holdfast-run/holdfast/supervision"
)

// stuckAfter is how long the hub may be at one thing before the adapter counts as stuck. Activities don't count: how long
// one may take is for its deadline to say, and it delays only its own orders.
const stuckAfter = 8 * time.Second

// maxHeaders is the longest header of a question about health, in bytes.
const maxHeaders = 16 << 10

// health tells others whether the adapter makes progress: the service manager, and whoever asks /livez.
type health struct {
	loop    *supervision.Loop
	systemd *supervision.Systemd
	server  *http.Server // nil: nobody can ask
	served  chan struct{}
}

func startHealth(ctx context.Context, config Config) (*health, error) {
	dog := supervision.NewWatchdog(time.Now, config.Log)
	h := &health{served: make(chan struct{})}
	if config.Health != "" {
		l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", config.Health)
		if err != nil {
			return nil, fmt.Errorf("listen for questions about health: %w", err)
		}
		mux := http.NewServeMux()
		mux.Handle("/livez", dog.Handler())
		h.server = &http.Server{
			Handler: supervision.CheckHost(l.Addr(), config.Health, mux), MaxHeaderBytes: maxHeaders,
			ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute,
		}
		go func() {
			defer close(h.served)
			if err := h.server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
				config.Log.Error("/livez is not served any more", "error", err)
			}
		}()
	}
	h.loop = dog.Register("hub", stuckAfter)
	h.systemd = supervision.NewSystemd(dog, config.Log)
	return h, nil
}

func (h *health) close() {
	h.systemd.Close()
	if h.server != nil {
		_ = h.server.Close() // requests under way see the connection end
		<-h.served
	}
}
