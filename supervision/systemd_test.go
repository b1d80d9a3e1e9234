package supervision_test

import (
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/holdfast-run/holdfast/supervision"
)

// manager is a service manager's socket.
type manager struct {
	t    *testing.T
	conn *net.UnixConn
}

func newManager(t *testing.T) *manager {
	t.Helper()
	path := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	t.Setenv("NOTIFY_SOCKET", path)
	return &manager{t, conn}
}

func (m *manager) next() string {
	m.t.Helper()
	if err := m.conn.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		m.t.Fatal(err)
	}
	buf := make([]byte, 4096)
	n, err := m.conn.Read(buf)
	if err != nil {
		m.t.Fatal(err)
	}
	return string(buf[:n])
}

// await skips what comes until it is what is wanted.
func (m *manager) await(want string) {
	m.t.Helper()
	for got := m.next(); got != want; {
		got = m.next()
	}
}

func TestSystemdIsToldHowTheProcessIs(t *testing.T) { // not parallel: it sets the environment
	m := newManager(t)
	t.Setenv("WATCHDOG_USEC", strconv.FormatInt((4*time.Millisecond).Microseconds(), 10))
	c := &clock{}
	dog := supervision.NewWatchdog(c.now, quiet())
	loop := dog.Register("journal", time.Second)
	s := supervision.NewSystemd(dog, quiet())
	t.Cleanup(s.Close)
	m.await("WATCHDOG=1")
	s.Ready("taking orders")
	m.await("READY=1\nSTATUS=taking orders")
	m.await("WATCHDOG=1")
	c.advance(2 * time.Second)
	m.await("STATUS=stuck: journal")
	for range 5 { // what is stuck gives no sign of life
		if got := m.next(); got != "STATUS=stuck: journal" {
			t.Errorf("stuck, and it says %q", got)
		}
	}
	loop.Beat()
	m.await("WATCHDOG=1\nSTATUS=taking orders")
	s.Stopping()
	m.await("STOPPING=1\nSTATUS=stopping")
	m.await("WATCHDOG=1")
	s.Close()
}

func TestSystemdThatExpectsNoSignsOfLife(t *testing.T) { // not parallel: it sets the environment
	m := newManager(t)
	t.Setenv("WATCHDOG_USEC", "")
	s := supervision.NewSystemd(supervision.NewWatchdog(time.Now, quiet()), quiet())
	s.Ready("x")
	s.Stopping()
	s.Close()
	for _, want := range []string{"READY=1\nSTATUS=x", "STOPPING=1\nSTATUS=stopping"} {
		if got := m.next(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	t.Setenv("NOTIFY_SOCKET", "")
	s.Ready("nobody hears it")
}

// A service manager that takes nothing, because it is stopped, holds nobody up.
func TestSystemdThatDoesNotRead(t *testing.T) { // not parallel: it sets the environment
	newManager(t)
	fill, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: os.Getenv("NOTIFY_SOCKET"), Net: "unixgram"})
	if err == nil {
		err = fill.SetWriteDeadline(time.Now().Add(200 * time.Millisecond))
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = fill.Close() })
	for err == nil {
		_, err = fill.Write([]byte("full"))
	}
	t.Setenv("WATCHDOG_USEC", strconv.FormatInt((2*time.Millisecond).Microseconds(), 10))
	s := supervision.NewSystemd(supervision.NewWatchdog(time.Now, quiet()), quiet())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.Ready("taking orders")
		s.Stopping()
		s.Close()
	}()
	select {
	case <-ended:
	case <-time.After(30 * time.Second):
		t.Error("it holds the process up")
	}
}
