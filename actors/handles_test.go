package actors

import (
	"bytes"
	"context"
	"testing"
	"time"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/persistence"
)

// newest is a journal that holds one order.
type newest struct {
	persistence.Finder

	handle messages.Handle
}

func (n newest) List(context.Context, persistence.Query) ([]persistence.FoundOrder, messages.Handle, error) {
	return []persistence.FoundOrder{{Handle: n.handle}}, messages.Handle{}, nil
}

func TestHandlesRise(t *testing.T) {
	t.Parallel()
	for name, ahead := range map[string]time.Duration{"clock set back": time.Hour, "clock goes on": -time.Second} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			last := messages.HandleAt(time.Now().Add(ahead))
			last[14], last[15] = 0xff, 0xfd // carries soon
			var h handles
			if err := h.init(t.Context(), newest{handle: last}); err != nil {
				t.Fatal(err)
			}
			for i := range 1000 {
				next := h.next()
				if bytes.Compare(next[:], last[:]) <= 0 {
					t.Fatalf("handle %d is %v, not after %v", i, next, last)
				}
				last = next
			}
		})
	}
}
