package actors

import (
	"bytes"
	"context"
	"fmt"
	"sync"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/persistence"
)

// handles makes handles that rise in the order of acceptance, also if the clock was set back while no engine ran: orders
// with a key are recovered in the order of their handles.
type handles struct {
	newest messages.Handle // in the journal at the start

	mu   sync.Mutex
	last messages.Handle // made while the clock was behind newest
}

func (h *handles) init(ctx context.Context, journal persistence.Finder) error {
	found, _, err := journal.List(ctx, persistence.Query{Limit: 1, Scan: 1})
	if err != nil {
		return fmt.Errorf("find the newest order: %w", err)
	}
	if len(found) > 0 {
		h.newest, h.last = found[0].Handle, found[0].Handle
	}
	return nil
}

// isOld tells whether an order was in the journal at the start.
func (h *handles) isOld(x messages.Handle) bool { return bytes.Compare(x[:], h.newest[:]) <= 0 }

func (h *handles) next() messages.Handle {
	made := messages.NewHandle()
	if !h.isOld(made) {
		return made
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := len(h.last) - 1; i >= 0; i-- {
		if h.last[i]++; h.last[i] != 0 {
			break
		}
	}
	return h.last
}
