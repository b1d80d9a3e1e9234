package postgres_test

import (
	"testing"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/persistence"
	"github.com/holdfast-run/holdfast/persistence/journaltest"
	"github.com/holdfast-run/holdfast/persistence/postgres"
)

// TestCrashes has the server crash, and with it the node, between commits and amid them; and answers get lost before.
func TestCrashes(t *testing.T) {
	t.Parallel()
	journaltest.RunCrashes(t, crashers{})
}

type crashers struct{}

func (crashers) NewStore(tb testing.TB) journaltest.Store {
	tb.Helper()
	c := &crasher{server: ownServer(tb, small...)}
	c.proxy = newProxy(tb, c.server)
	c.config = configured(tb, c.server, c.proxy.address)
	return c
}

// crasher is a database whose server crashes, behind a network that loses requests or answers.
type crasher struct {
	server *server
	proxy  *proxy
	config postgres.Config

	journal *postgres.Journal
	before  []messages.Incarnation // those that are no more
	breaks  int
}

// Open opens the journal as a node would do it that takes over.
func (c *crasher) Open(tb testing.TB) persistence.Journal {
	tb.Helper()
	if err := until(tb, func() (err error) { c.journal, err = postgres.Open(tb.Context(), c.config); return err }); err != nil {
		tb.Fatal(err)
	}
	for _, who := range c.before {
		if err := until(tb, func() error { return c.journal.Fence(tb.Context(), who) }); err != nil {
			tb.Fatal(err)
		}
	}
	c.before = []messages.Incarnation{c.journal.Incarnation()}
	return c.journal
}

// Crash leaves to the server what it keeps of what it has not confirmed. It is ended as by a loss of its host, or as by a failure of its own.
func (c *crasher) Crash(tb testing.TB, keep journaltest.Keep) {
	tb.Helper()
	if keep == journaltest.KeepNone {
		crash(tb, c.server, func() {})
	} else {
		c.server.Kill()
	}
	c.proxy.release()
	if err := c.journal.Close(); err != nil { // its memory is forgotten, but its goroutines have to end
		tb.Error(err)
	}
	if err := c.server.Start(small...); err != nil {
		tb.Fatal(err)
	}
}

// Break has the requests get lost that are sent from now on, or the answers to them.
func (c *crasher) Break(testing.TB) {
	requests := c.breaks%2 == 0
	c.breaks++
	c.proxy.cut(requests, !requests, true)
}
