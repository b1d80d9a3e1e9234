package journaltest

import (
	"testing"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/persistence"
)

// Shared makes a Sharer of a store that may be open several times at once. It is opened anew as a node would do it that takes over:
// who closed it is fenced.
func Shared(open func(tb testing.TB) persistence.Journal) Sharer { return &shared{open: open} }

type shared struct {
	open   func(tb testing.TB) persistence.Journal
	closed []messages.Incarnation
}

func (*shared) Shared() {}

func (s *shared) Open(tb testing.TB) persistence.Journal {
	tb.Helper()
	j := s.open(tb)
	for _, who := range s.closed {
		if err := j.Fence(tb.Context(), who); err != nil {
			tb.Fatal(err)
		}
	}
	s.closed = nil
	return &closing{j, s}
}

// closing notes that a journal was closed.
type closing struct {
	persistence.Journal

	store *shared
}

func (c *closing) Close() error {
	c.store.closed = append(c.store.closed, c.Incarnation())
	return c.Journal.Close()
}
