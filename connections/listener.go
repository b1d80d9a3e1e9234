package connections

import (
	"container/list"
	"context"
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
func (b *Bounds) Listener(l net.Listener) net.Listener {
	ctx, end := context.WithCancel(context.Background())
	return &listener{Listener: l, b: b, ctx: ctx, end: end, begun: make(chan begun)}
}

// listener hands out connections once their clients have begun to speak: to serve one costs much more than that.
type listener struct {
	net.Listener

	b     *Bounds
	ctx   context.Context //nolint:containedctx // ends with the listener
	end   context.CancelFunc
	begun chan begun

	accepting sync.Once
	working   sync.WaitGroup
}

// begun is a connection whose client has begun to speak, or why none could be accepted.
type begun struct {
	conn *conn
	err  error
}

// Accept implements net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	l.accepting.Do(func() { l.working.Go(l.acceptAll) })
	select {
	case next := <-l.begun:
		if next.err != nil {
			return nil, next.err
		}
		return next.conn, nil
	case <-l.ctx.Done():
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener. Connections that were not handed out are closed.
func (l *listener) Close() error {
	err := l.Listener.Close()
	l.end()
	l.working.Wait()
	return err //nolint:wrapcheck // it stands for what it wraps
}

func (l *listener) handOut(next begun) bool {
	select {
	case l.begun <- next:
		return true
	case <-l.ctx.Done():
		return false
	}
}

func (l *listener) acceptAll() {
	for {
		accepted, err := l.Listener.Accept()
		if err != nil {
			if !l.handOut(begun{err: err}) {
				return
			}
			continue
		}
		c := &conn{Conn: accepted, b: l.b, at: placeOf(accepted.RemoteAddr()), since: time.Now(), closed: make(chan struct{})}
		c.leave = sync.OnceFunc(func() {
			close(c.closed)
			l.b.leave(c)
		})
		if l.b.admit(c) {
			l.working.Go(func() { l.await(c) })
		}
	}
}

// await hands out a connection as soon as its client has begun to speak.
func (l *listener) await(c *conn) {
	err := c.SetReadDeadline(c.since.Add(beginsWithin))
	stop := context.AfterFunc(l.ctx, func() { _ = c.SetReadDeadline(time.Unix(1, 0)) }) // an error changes nothing
	if err == nil {
		err = c.begin()
	}
	if !stop() || err != nil || c.SetReadDeadline(time.Time{}) != nil || !l.handOut(begun{conn: c}) {
		_ = c.Close() // the same
	}
}

// admit counts a connection, or closes it, if there is no room for it.
func (b *Bounds) admit(c *conn) bool {
	oldest, why := b.enter(c, freshFor)
	if why == TooMany {
		b.closeIdle()
		oldest, why = b.enter(c, 0)
	}
	if oldest != nil {
		b.config.Ended(oldest.RemoteAddr(), SlowToOpen)
		_ = oldest.Close() // an error changes nothing
	}
	if why != "" {
		b.config.Ended(c.RemoteAddr(), why)
		_ = c.Conn.Close() // the same
	}
	return why == ""
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
	first   []byte        // what was read of it before it was handed out, and is to be read again
}

// beginsWithin is how long a client may take to begin to speak.
const beginsWithin = 5 * time.Second

// begin returns when it has: with TLS, or a protocol that is not HTTP/2, or a frame of that.
func (c *conn) begin() error {
	b := make([]byte, len(preface)+frameHeader)
	for n := 0; n < len(b) && preface[:min(n, len(preface))] == string(b[:min(n, len(preface))]); {
		more, err := c.Conn.Read(b[n:])
		if err != nil {
			return err //nolint:wrapcheck // it is not told
		}
		n += more
		c.first = b[:n]
	}
	return nil
}

// Read implements net.Conn.
func (c *conn) Read(b []byte) (int, error) {
	if len(c.first) > 0 {
		n := copy(b, c.first)
		c.first = c.first[n:]
		return n, nil
	}
	return c.Conn.Read(b) //nolint:wrapcheck // it stands for what it wraps
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
