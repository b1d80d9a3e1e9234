package connections_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/holdfast-run/holdfast/connections"
)

// Whoever waits for a turn and has gone makes room for one that comes from the same address; and only whoever has begun to speak is kept alive.
func TestGone(t *testing.T) {
	t.Parallel()
	asked, turns := make(chan struct{}), make(chan struct{})
	refused := make(chan connections.Reason, 1000)
	b := connections.New(connections.Config{
		Opening: 4, // one may wait
		Turn: func(ctx context.Context, _ netip.Addr) error {
			asked <- struct{}{}
			select {
			case <-turns:
				return nil
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		},
		Ended: func(_ net.Addr, why connections.Reason) { refused <- why },
	})
	inner, err := connections.Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := b.Listener(inner)
	defer func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}()
	accepted := make(chan net.Conn)
	go func() {
		if c, err := l.Accept(); err == nil {
			accepted <- c
		}
	}()
	connect := func() (net.Conn, error) { // who is refused may see that at once, or later
		c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", inner.Addr().String())
		if err == nil {
			t.Cleanup(func() { _ = c.Close() })
			_, err = io.WriteString(c, begins)
		}
		return c, err
	}
	first, err := connect()
	if err != nil {
		t.Fatal(err)
	}
	<-asked
	second, err := connect()
	if err == nil {
		_, err = io.ReadAll(second)
	}
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("whoever is refused is not reset: %v", err)
	}
	if why := <-refused; why != connections.TooManyOfAddress {
		t.Errorf("refused because of %s", why)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	for waits := false; !waits; { // now and then it is looked who has gone
		_, _ = connect()
		select {
		case <-asked:
			waits = true
		case <-refused:
		}
	}
	turns <- struct{}{}
	c := <-accepted
	defer c.Close() //nolint:errcheck // nothing was written
	if !keptAlive(t, c) {
		t.Error("the system does not look whether the client is there")
	}
}

func keptAlive(t *testing.T, c net.Conn) bool {
	t.Helper()
	beneath, is := c.(interface{ NetConn() net.Conn })
	if !is {
		t.Fatalf("beneath %T is no connection", c)
	}
	tcp, is := beneath.NetConn().(syscall.Conn)
	if !is {
		t.Fatalf("%T is none of the system", beneath.NetConn())
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	on := 0
	if err := raw.Control(func(fd uintptr) { on, err = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_KEEPALIVE) }); err != nil {
		t.Fatal(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return on == 1
}
