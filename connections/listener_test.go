package connections_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/holdfast-run/holdfast/connections"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// from is a listener to which anybody connects from any address.
type from struct {
	net.Listener

	conns  chan net.Conn
	closed chan struct{}
}

func (f *from) Accept() (net.Conn, error) {
	select {
	case c := <-f.conns:
		return c, nil
	case <-f.closed:
		return nil, net.ErrClosed
	}
}

func (f *from) Close() error {
	close(f.closed)
	return nil
}

type fromAddress struct {
	net.Conn

	address string
}

func (c fromAddress) RemoteAddr() net.Addr { return addressOf(c.address) }

func addressOf(text string) net.Addr {
	a, err := net.ResolveTCPAddr("tcp", text)
	if err != nil {
		panic(err)
	}
	return a
}

// crowd is a listener, and those who connect to it.
type crowd struct {
	t        *testing.T
	inner    *from
	accepted chan net.Conn
	b        *connections.Bounds

	mu   sync.Mutex
	told []string
}

func newCrowd(t *testing.T, config connections.Config) *crowd {
	t.Helper()
	c := &crowd{t: t, inner: &from{conns: make(chan net.Conn), closed: make(chan struct{})}, accepted: make(chan net.Conn)}
	config.Ended = func(from net.Addr, why connections.Reason) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.told = append(c.told, fmt.Sprint(from, " ", why))
	}
	c.b = connections.New(config)
	l := c.b.Metered(c.b.Listener(c.inner))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			c.accepted <- conn
		}
	}()
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		<-ended
	})
	return c
}

// connect connects, and says something. gone is closed with the connection.
func (c *crowd) connect(address, what string) (client net.Conn, gone <-chan struct{}) {
	client, inner := net.Pipe()
	c.t.Cleanup(func() { _ = client.Close() })
	c.inner.conns <- fromAddress{inner, address}
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		if _, err := client.Read(make([]byte, 1)); err == nil {
			c.t.Error("the server says something")
		}
	}()
	if what != "" {
		go func() { _, _ = client.Write([]byte(what)) }()
	}
	return client, closed
}

// refused connects, which has to be refused.
func (c *crowd) refused(address string) {
	c.t.Helper()
	_, gone := c.connect(address, begins)
	select {
	case <-c.accepted:
		c.t.Errorf("%s is not refused", address)
	case <-gone:
	}
}

func (c *crowd) wants(told ...string) {
	c.t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if got := strings.Join(c.told, "\n"); got != strings.Join(told, "\n") {
		c.t.Errorf("told %q, want %q", got, told)
	}
	c.told = nil
}

func TestMost(t *testing.T) {
	t.Parallel()
	c := newCrowd(t, connections.Config{Most: 2, ByAddress: 2})
	_, first := c.speaks("192.0.2.1:1", begins+calls)
	c.speaks("192.0.2.2:1", begins+calls)
	c.refused("192.0.2.3:1")
	c.wants("192.0.2.3:1 too_many")
	for range 2 { // closing twice makes room once
		_ = first.Close()
	}
	c.speaks("192.0.2.4:1", begins+calls)
	c.refused("192.0.2.5:1")
	c.wants("192.0.2.5:1 too_many")
}

// Where there is no room left, whoever has had no call for longest makes room, so that many who never have any keep nobody out.
func TestMostThatAreIdle(t *testing.T) {
	t.Parallel()
	c := newCrowd(t, connections.Config{Most: 3, ByAddress: 3})
	c.speaks("192.0.2.1:1", begins+calls)
	client, server := c.speaks("192.0.2.2:1", begins+calls)
	c.speaks("192.0.2.3:1", begins)
	c.say(client, server, resets)
	c.speaks("192.0.2.4:1", "GET / HTTP/1.1\r\n")
	c.wants("192.0.2.3:1 idle")
	c.speaks("192.0.2.5:1", begins+calls)
	c.wants("192.0.2.2:1 idle")
	if _, err := server.Read(make([]byte, 1)); err == nil {
		t.Error("whoever makes room can say more")
	}
	c.speaks("192.0.2.6:1", begins+calls)
	c.wants("192.0.2.4:1 idle")
	c.refused("192.0.2.7:1")
	c.wants("192.0.2.7:1 too_many")
}

// A client has said all if it has ended what it says in each call, or reset the call; a whole message is not enough.
func TestHasSaid(t *testing.T) {
	t.Parallel()
	c := newCrowd(t, connections.Config{})
	client, server := c.speaks("192.0.2.1:1", begins)
	conn, ok := server.(interface{ NetConn() net.Conn }).NetConn().(interface{ HasSaid() bool })
	if !ok {
		t.Fatal("it can't be asked")
	}
	for _, step := range []struct {
		says string
		want bool
	}{
		{says: calls},
		{says: "\x00\x00\x05\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00"}, // a message that is empty
		{"\x00\x00\x00\x00\x01\x00\x00\x00\x01", true},
		{"\x00\x00\x00\x00\x01\x00\x00\x00\x01", true}, // once more, which is a mistake
		{says: "\x00\x00\x00\x01\x04\x00\x00\x00\x03"},
		{"\x00\x00\x00\x01\x05\x00\x00\x00\x03", true}, // trailers
		{says: "\x00\x00\x00\x01\x04\x00\x00\x00\x05"},
		{"\x00\x00\x04\x03\x00\x00\x00\x00\x05\x00\x00\x00\x08", true}, // reset
		{"\x00\x00\x00\x01\x05\x00\x00\x00\x07", true},                 // a call without a message
		{says: "\x00\x00\x00\x01\x04\x00\x00\x00\x09"},
	} {
		c.say(client, server, step.says)
		if got := conn.HasSaid(); got != step.want {
			t.Errorf("after %q: %t", step.says, got)
		}
	}
	if err := server.Close(); err != nil || !conn.HasSaid() {
		t.Errorf("closed: %v, %t", err, conn.HasSaid())
	}
}

// Where there is no room left, whoever has not begun to speak makes room, so that many who never do keep nobody out.
func TestMostThatSayNothing(t *testing.T) {
	t.Parallel()
	c := newCrowd(t, connections.Config{Most: 2, Opening: 2})
	c.connect("192.0.2.1:1", "")
	c.connect("192.0.2.2:1", begins[:30])
	c.speaks("192.0.2.3:1", begins+calls)
	c.wants("192.0.2.1:1 slow_to_open")
	c.speaks("192.0.2.4:1", begins+calls)
	c.wants("192.0.2.2:1 slow_to_open")
}

// An address that has all that it may have takes nothing from others.
func TestMostOfAnAddressThatIsFull(t *testing.T) {
	t.Parallel()
	c := newCrowd(t, connections.Config{Most: 2, ByAddress: 1})
	c.speaks("192.0.2.1:1", begins)
	_, other := c.connect("192.0.2.2:1", "")
	c.refused("192.0.2.1:2")
	c.wants("192.0.2.1:2 too_many_of_address")
	select {
	case <-other:
		t.Error("another one makes room")
	default:
	}
}

// What a client says first, that it begins a call, and that it resets that.
const (
	begins = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + "\x00\x00\x00\x04\x00\x00\x00\x00\x00"
	calls  = "\x00\x00\x00\x01\x04\x00\x00\x00\x01"
	resets = "\x00\x00\x04\x03\x00\x00\x00\x00\x01\x00\x00\x00\x08"
)

// tlsRecord is a record of a handshake.
const tlsRecord = "\x16\x03\x01\x00\x04abcd"

// speaks connects, and says something.
func (c *crowd) speaks(address, what string) (client, server net.Conn) {
	c.t.Helper()
	client, gone := c.connect(address, what)
	select {
	case server = <-c.accepted:
	case <-gone:
		c.t.Fatalf("%s is refused", address)
	}
	c.t.Cleanup(func() { _ = server.Close() })
	c.hear(server, what)
	return client, server
}

// say says more.
func (c *crowd) say(client, server net.Conn, what string) {
	c.t.Helper()
	go func() { _, _ = client.Write([]byte(what)) }()
	c.hear(server, what)
}

func (c *crowd) hear(server net.Conn, what string) {
	c.t.Helper()
	heard := make([]byte, len(what))
	if _, err := io.ReadFull(server, heard); err != nil || string(heard) != what {
		c.t.Fatalf("the server hears %q: %v", heard, err)
	}
}

// One address does not take all connections, whatever its ports, or the second half of an address of IPv6; this machine's own may.
func TestMostOfAnAddress(t *testing.T) {
	t.Parallel()
	c := newCrowd(t, connections.Config{Most: 15, ByAddress: 2})
	for i, address := range []string{
		"192.0.2.1:1", "192.0.2.1:2", "[2001:db8::1]:1", "[2001:db8::2]:1", "[2001:db8:0:1::1]:1", "127.0.0.2:1", "127.0.0.2:2",
		"127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3", "[::1]:1", "[::1]:2", "[::1]:3",
	} {
		t.Log(i)
		c.speaks(address, begins)
	}
	for _, address := range []string{"192.0.2.1:3", "[2001:db8::3]:1", "127.0.0.2:3"} {
		c.refused(address)
		c.wants(address + " too_many_of_address")
	}
}

// Whoever connects and says nothing makes room for others: first those of the address that has most of them.
func TestOpening(t *testing.T) {
	t.Parallel()
	c := newCrowd(t, connections.Config{Most: 100, Opening: 4})
	client, server := c.speaks("192.0.2.9:1", "GET / HTTP/1.1\r\n")
	_, first := c.connect("192.0.2.1:1", "")
	_, second := c.connect("192.0.2.2:1", "")
	c.connect("192.0.2.2:2", "P")
	c.connect("192.0.2.3:1", begins[:24])
	c.wants()
	c.connect("192.0.2.2:3", "") // that address has more than a quarter
	<-second
	c.wants("192.0.2.2:1 slow_to_open")
	c.connect("192.0.2.4:1", "")
	<-first
	c.wants("192.0.2.1:1 slow_to_open")
	c.say(client, server, "Host: a\r\n\r\n")
}

// Whoever says more has longer than those who don't.
func TestOpeningThatHasBegun(t *testing.T) {
	t.Parallel()
	for name, config := range map[string]connections.Config{"Most": {Most: 2}, "Opening": {Opening: 2}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c := newCrowd(t, config)
				client, begun := c.connect("192.0.2.1:1", "")
				if _, err := client.Write([]byte(tlsRecord[:5])); err != nil {
					t.Fatal(err)
				}
				_, second := c.connect("192.0.2.2:1", "")
				synctest.Wait() // it has come before the first has begun
				go func() { _, _ = client.Write([]byte(tlsRecord[5:])) }()
				server := <-c.accepted
				c.connect("192.0.2.3:1", "")
				<-second
				c.wants("192.0.2.2:1 slow_to_open")
				select {
				case <-begun:
					t.Error("whoever has begun made room")
				default:
					c.hear(server, tlsRecord)
				}
			})
		})
	}
}

// Some connections of an address begin without a turn each second, also if those before have gone; more wait for their turn.
func TestFree(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		turns := make(chan struct{})
		c := newCrowd(t, connections.Config{Free: 2, Turn: func(ctx context.Context, _ netip.Addr) error {
			select {
			case <-turns:
				return nil
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}})
		served := func(address string) (client net.Conn, is bool) {
			client, _ = c.connect(address, begins)
			synctest.Wait()
			select {
			case server := <-c.accepted:
				c.hear(server, begins)
				_ = client.Close()
				_ = server.Close()
				return client, true
			default:
				return client, false
			}
		}
		want := func(address string, want bool) (client net.Conn) {
			t.Helper()
			client, is := served(address)
			if is != want {
				t.Errorf("%s is served: %t", address, is)
			}
			return client
		}
		want("192.0.2.1:1", true)
		want("192.0.2.1:2", true)
		waits := want("192.0.2.1:3", false)
		want("192.0.2.2:1", true)
		turns <- struct{}{}
		server := <-c.accepted
		c.hear(server, begins)
		_ = server.Close()
		_ = waits.Close()
		time.Sleep(time.Minute) // the address is forgotten
		want("192.0.2.1:4", true)
		want("192.0.2.1:5", true)
		_ = want("192.0.2.1:6", false).Close()
		time.Sleep(time.Second / 2)
		want("192.0.2.1:7", true)
	})
}

// Whoever has to wait for his turn is served then; where there is no room he makes it, and waits no longer.
func TestTurn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		turns, left := make(chan struct{}), make(chan error, 1)
		c := newCrowd(t, connections.Config{Opening: 1, Turn: func(ctx context.Context, from netip.Addr) error {
			if from != netip.MustParseAddr("192.0.2.1") {
				t.Errorf("it is the turn of %v", from)
			}
			select {
			case <-turns:
				return nil
			case <-ctx.Done():
				left <- context.Cause(ctx)
				return context.Cause(ctx)
			}
		}})
		_, first := c.connect("192.0.2.1:1", begins)
		synctest.Wait()
		select {
		case <-c.accepted:
			t.Error("whoever has no turn is served")
		case turns <- struct{}{}:
			c.hear(<-c.accepted, begins)
		}
		_, second := c.connect("192.0.2.1:2", "GET /")
		synctest.Wait()
		c.refused("192.0.2.1:3")
		c.wants("192.0.2.1:3 too_many_of_address") // as many wait for their turn as may
		c.connect("198.51.100.1:1", "")
		<-second
		if err := <-left; err == nil {
			t.Error("whoever is closed has no reason to wait no longer")
		}
		c.wants("192.0.2.1:2 slow_to_open")
		select {
		case <-first:
			t.Error("whoever was served is closed")
		default:
		}
	})
}

// Whoever does not begin to speak is not served, and has no more than so much time.
func TestBegins(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(t, connections.Config{})
		began := time.Now()
		_, silent := c.connect("192.0.2.1:1", "")
		_, half := c.connect("192.0.2.1:2", begins[:30])
		_, record := c.connect("192.0.2.1:3", tlsRecord[:len(tlsRecord)-1])
		for _, what := range []string{begins, "GET /", "P", tlsRecord, "\x16\x03\x01\xff\xff"} {
			if what == "P" {
				client, _ := c.connect("192.0.2.2:1", "P")
				synctest.Wait()
				go func() { _, _ = client.Write([]byte("OST /")) }()
				c.hear(<-c.accepted, "POST /")
				continue
			}
			c.speaks("192.0.2.2:1", what)
		}
		<-silent
		<-half
		<-record
		if took := time.Since(began); took != 5*time.Second {
			t.Errorf("they had %v", took)
		}
		c.connect("192.0.2.3:1", "") // which ends with the listener
	})
}
