package connections

import (
	"container/list"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// Bounds are what all connections of a listener share.
type Bounds struct {
	config Config

	// unread is how many bytes were received and can't be read yet, calls how many calls and streams are under way.
	unread, calls atomic.Int64

	mu      sync.Mutex
	open    int
	from    map[netip.Addr]*address // those with connections
	opening list.List               // of *conn, the oldest first; no more than Config.Opening
	meters  map[*meter]struct{}     // one for each connection that is open

	closing sync.Mutex // held by who looks for connections to close
}

// address is where clients come from.
type address struct {
	open, opening int
	calls         atomic.Int64
}

// New makes bounds.
func New(config Config) *Bounds {
	return &Bounds{config: config.WithDefaults(), from: map[netip.Addr]*address{}, meters: map[*meter]struct{}{}}
}

// Calls is how many calls and streams are under way, over all connections.
func (b *Bounds) Calls() int64 { return b.calls.Load() }

// TooManyCalls tells whether a call has to be refused that has just begun: there are too many, over all connections, or of the address that
// it comes from.
func (b *Bounds) TooManyCalls(from net.Addr) bool {
	all := b.calls.Load()
	if all > int64(b.config.Calls) {
		return true
	}
	at := placeOf(from)
	if all <= int64(b.config.AddressCalls) || at.IsLoopback() {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	a := b.from[at]
	return a != nil && a.calls.Load() > int64(b.config.AddressCalls)
}

// Unread is how many bytes were received and can't be read yet, over all connections.
func (b *Bounds) Unread() int64 { return b.unread.Load() }

// Listener bounds a listener. Its connections are to be metered, by Credentials or Metered: only then it is known which have opened.
func (b *Bounds) Listener(l net.Listener) net.Listener { return &listener{l, b} }

type listener struct {
	net.Listener

	b *Bounds
}

// Accept implements net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	for {
		accepted, err := l.Listener.Accept()
		if err != nil {
			return nil, err //nolint:wrapcheck // it stands for what it wraps
		}
		c := &conn{Conn: accepted, b: l.b, at: placeOf(accepted.RemoteAddr()), since: time.Now(), closed: make(chan struct{})}
		c.leave = sync.OnceFunc(func() {
			close(c.closed)
			l.b.leave(c)
		})
		oldest, why := l.b.enter(c, freshFor)
		if why == TooMany {
			l.b.closeIdle()
			oldest, why = l.b.enter(c, 0)
		}
		if oldest != nil {
			l.b.config.Ended(oldest.RemoteAddr(), SlowToOpen)
			_ = oldest.Close() // an error changes nothing
		}
		if why == "" {
			return c, nil
		}
		l.b.config.Ended(accepted.RemoteAddr(), why)
		_ = accepted.Close() // the same
	}
}

// freshFor is how long a connection may have been opening that does not make room for another one as long as there are others that may.
const freshFor = time.Second

// enter counts a connection, or says why there is no room for it. There may be one that has to go, because it has been opening for longest,
// and for at least so long.
func (b *Bounds) enter(c *conn, atLeast time.Duration) (oldest *conn, why Reason) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.open >= b.config.Most && !b.openingFor(atLeast) {
		return nil, TooMany
	}
	a := b.from[c.at]
	if a == nil {
		a = &address{}
		b.from[c.at] = a
	}
	if a.open >= b.config.ByAddress && !c.at.IsLoopback() {
		return nil, TooManyOfAddress
	}
	if b.open >= b.config.Most || b.opening.Len() >= b.config.Opening {
		oldest = b.oldest(c.at, a)
		b.opened(oldest)
	}
	b.open++
	c.of = a
	a.open++
	a.opening++
	c.opening = b.opening.PushBack(c)
	return oldest, ""
}

// openingFor tells whether a connection has been opening for at least so long.
func (b *Bounds) openingFor(d time.Duration) bool {
	first := b.opening.Front()
	return first != nil && time.Since(first.Value.(*conn).since) >= d //nolint:errcheck,forcetypeassert // nothing else is in there
}

// oldest is the connection that has been opening for longest; if an address has more than a quarter of those, of that address.
func (b *Bounds) oldest(at netip.Addr, a *address) *conn {
	e := b.opening.Front()
	if a.opening > b.config.Opening/4 {
		for e.Value.(*conn).at != at { //nolint:errcheck,forcetypeassert // nothing else is in there
			e = e.Next()
		}
	}
	return e.Value.(*conn) //nolint:errcheck,forcetypeassert // the same
}

// opened takes a connection from those that are opening.
func (b *Bounds) opened(c *conn) {
	if c.opening == nil {
		return
	}
	b.opening.Remove(c.opening)
	c.opening = nil
	b.from[c.at].opening--
}

func (b *Bounds) leave(c *conn) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.opened(c)
	b.open--
	a := b.from[c.at]
	if a.open--; a.open == 0 {
		delete(b.from, c.at)
	}
}

// conn is a connection beneath TLS.
type conn struct {
	net.Conn

	b       *Bounds
	at      netip.Addr
	of      *address
	since   time.Time
	leave   func()
	closed  chan struct{} // closed with the connection
	opening *list.Element // nil: it has opened; guarded by the lock of the bounds
}

// Close implements net.Conn.
func (c *conn) Close() error {
	defer c.leave()
	return c.Conn.Close() //nolint:wrapcheck // it stands for what it wraps
}

// Closed is closed with the connection, whoever closes it.
func (c *conn) Closed() <-chan struct{} { return c.closed }

// NetConn returns what it wraps.
func (c *conn) NetConn() net.Conn { return c.Conn }

// hasOpened says that the client has begun to speak.
func (c *conn) hasOpened() {
	c.b.mu.Lock()
	defer c.b.mu.Unlock()
	c.b.opened(c)
}

// beneath is the connection of a Listener on which another one is; nil if there is none.
func beneath(on net.Conn) *conn {
	for {
		if c, is := on.(*conn); is {
			return c
		}
		wrapper, wraps := on.(interface{ NetConn() net.Conn })
		if !wraps {
			return nil
		}
		on = wrapper.NetConn()
	}
}

// placeOf is the address of a client, without the port. Who has an address of IPv6 has as a rule all that share its first half.
func placeOf(from net.Addr) netip.Addr {
	tcp, is := from.(*net.TCPAddr)
	if !is {
		return netip.Addr{}
	}
	at := tcp.AddrPort().Addr().Unmap().WithZone("")
	if at.Is6() && !at.IsLoopback() {
		if prefix, err := at.Prefix(64); err == nil {
			return prefix.Addr()
		}
	}
	return at
}
