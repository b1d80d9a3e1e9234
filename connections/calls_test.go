package connections_test

import (
	"net"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-run/holdfast/connections"
)

// There are so many calls, and of one address, whatever its ports, fewer; this machine's own may be all.
func TestCalls(t *testing.T) {
	t.Parallel()
	c := newCrowd(t, connections.Config{Calls: 4})
	const more = "\x00\x00\x00\x01\x04\x00\x00\x00\x03"
	tooMany := func(want ...string) {
		t.Helper()
		for _, from := range []string{"192.0.2.1", "192.0.2.2", "127.0.0.1"} {
			if got := c.b.TooManyCalls(addressOf(from + ":9")); got != slices.Contains(want, from) {
				t.Errorf("too many calls of %s: %v", from, got)
			}
		}
	}
	client, server := c.speaks("192.0.2.1:1", begins+calls+more)
	tooMany()
	_, second := c.speaks("192.0.2.1:2", begins+calls)
	tooMany("192.0.2.1")
	c.say(client, server, resets)
	tooMany()
	c.speaks("127.0.0.1:1", begins+calls+more)
	tooMany()
	c.speaks("127.0.0.1:2", begins+calls)
	tooMany("192.0.2.1", "192.0.2.2", "127.0.0.1")
	_ = second.Close()
	tooMany()
}

// Whose calls are refused, as there are too many, is read slower, as if he had sent frames that carry nothing.
func TestRefusedCalls(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(t, connections.Config{Calls: 100, AddressCalls: 5, Idle: 10})
		type caller struct {
			client, server net.Conn
			next           byte // the number of his next call
		}
		begin := func(by *caller, calls int) time.Duration {
			began := time.Now()
			for range calls {
				c.say(by.client, by.server, "\x00\x00\x00\x01\x04\x00\x00\x00"+string([]byte{by.next}))
				by.next += 2
			}
			return time.Since(began)
		}
		stranger, local := caller{next: 1}, caller{next: 1}
		stranger.client, stranger.server = c.speaks("192.0.2.1:1", begins)
		local.client, local.server = c.speaks("127.0.0.1:1", begins)
		if took := begin(&stranger, 5+19); took > 0 {
			t.Errorf("it is slowed for %v by as many as may come at once beside its settings", took)
		}
		if took := begin(&stranger, 10); took < 1800*time.Millisecond || took > 2*time.Second {
			t.Errorf("ten more that are refused take %v", took)
		}
		if took := begin(&local, 60); took > 0 {
			t.Errorf("calls that are not refused are slowed for %v", took)
		}
	})
}
