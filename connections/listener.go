package connections

import (
	"container/list"
	"context"
	"encoding/binary"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// Bounds are what all connections of a listener share.
type Bounds struct {
	config Config

	// unread is how many bytes were received and can't be read yet, calls how many calls and streams are under way.
	unread, calls atomic.Int64

	mu      sync.Mutex
	open    int
	from    map[netip.Addr]*address // those with connections
	opening list.List               // of *conn, the one that has said nothing for longest first; no more than Config.Opening
	meters  map[*meter]struct{}     // one for each connection that is open

	closing sync.Mutex // held by who looks for connections to close
}

// address is where clients come from.
type address struct {
	open, opening int
	// waiting are those that have begun to speak, and wait for their turn: *conn. Whether the client of the first has gone is looked next, and
	// looked is when it was looked last.
	waiting list.List
	looked  time.Time
	calls   atomic.Int64
	free    *rate.Limiter // of those that begin without a turn
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
	if b.calls.Load() <= int64(min(b.config.Calls, b.config.AddressCalls)) {
		return false
	}
	at := placeOf(from)
	b.mu.Lock()
	of := b.from[at]
	b.mu.Unlock()
	return b.tooManyCalls(at, of)
}

// tooManyCalls tells the same of an address whose connections are known, if there are any.
func (b *Bounds) tooManyCalls(at netip.Addr, of *address) bool {
	return b.calls.Load() > int64(b.config.Calls) || of != nil && !Local(at) && of.calls.Load() > int64(b.config.AddressCalls)
}

// Unread is how many bytes were received and can't be read yet, over all connections.
func (b *Bounds) Unread() int64 { return b.unread.Load() }

// Listen listens at an address of TCP, for Listener. The connections have no keep-alive of the system before their clients have begun to
// speak, as it costs something to set.
func Listen(ctx context.Context, address string) (net.Listener, error) {
	return (&net.ListenConfig{KeepAlive: -1}).Listen(ctx, "tcp", address) //nolint:wrapcheck // it names the address
}

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
		if c := l.b.conn(accepted); l.b.admit(c) {
			l.working.Go(func() { l.await(c) })
			runtime.Gosched() // or many that come at once would close each other before it is looked whether they have said something
		}
	}
}

func (b *Bounds) conn(accepted net.Conn) *conn {
	closed, end := context.WithCancel(context.Background())
	c := &conn{Conn: accepted, b: b, at: placeOf(accepted.RemoteAddr()), since: time.Now(), closed: closed}
	c.leave = sync.OnceFunc(func() {
		end()
		b.leave(c)
	})
	return c
}

// await hands out a connection as soon as its client has begun to speak, and it is its turn.
func (l *listener) await(c *conn) {
	stop := context.AfterFunc(l.ctx, func() { _ = c.Close() }) // an error changes nothing
	err := c.begin()
	if err == nil {
		l.b.hasBegun(c)
		keepAlive(c.Conn)
		if !c.of.free.Allow() {
			l.b.waits(c)
			err = l.b.config.Turn(c.closed, c.at)
			l.b.waited(c)
		}
	}
	if !stop() || err != nil || !l.handOut(begun{conn: c}) {
		_ = c.Close() // the same
	}
}

// admit counts a connection, or closes it, if there is no room for it.
func (b *Bounds) admit(c *conn) bool {
	b.dropGone(c.at)
	b.makeRoom(c.at)
	oldest, why := b.enter(c)
	if oldest != nil {
		b.tooSlow(oldest)
	}
	if why != "" {
		b.config.Ended(c.RemoteAddr(), why)
		reset(c.Conn)
		_ = c.Conn.Close() // an error changes nothing
	}
	return why == ""
}

// reset has a connection reset when it is closed: where no call was taken, that costs less than to agree that nothing more will be said.
func reset(c net.Conn) {
	if t, is := c.(*net.TCPConn); is {
		_ = t.SetLinger(0) // it is closed without, too
	}
}

// keepAlive has the system find out when a client has gone without a word. Before one has begun to speak, that is not worth its while.
func keepAlive(c net.Conn) {
	if t, is := c.(*net.TCPConn); is {
		_ = t.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true}) // it is served without, too
	}
}

func (b *Bounds) tooSlow(c *conn) {
	b.config.Ended(c.RemoteAddr(), SlowToOpen)
	reset(c.Conn)
	_ = c.Close() // the same
}

// makeRoom closes, if there is no room for a further connection from an address that may have one, the one that has done nothing for
// longest: has not begun to speak, or had no call. So each has as long for its next step as there are others that do nothing.
func (b *Bounds) makeRoom(at netip.Addr) {
	b.mu.Lock()
	room := b.open < b.config.Most || b.hasAll(at)
	b.mu.Unlock()
	if room {
		return
	}
	idlest, since := b.idlest()
	var oldest *conn
	b.mu.Lock()
	if e := b.opening.Front(); e != nil && (idlest == nil || connOf(e).since.Before(since)) {
		oldest = connOf(e)
		b.opened(oldest)
	}
	b.mu.Unlock()
	switch {
	case oldest != nil:
		b.tooSlow(oldest)
	case idlest != nil:
		idlest.endIdle()
	}
}

// hasAll tells whether an address has all the connections that it may have, or as many that wait for their turn. None of these gives up
// its place for one that comes later: as many would be served, and it would cost more.
func (b *Bounds) hasAll(at netip.Addr) bool {
	a := b.from[at]
	return a != nil && (a.open >= b.config.ByAddress && !Local(at) || a.waiting.Len() >= max(1, b.config.Opening/4))
}

// enter counts a connection, or says why there is no room for it. There may be one that has to go, because it has been opening for longest.
func (b *Bounds) enter(c *conn) (oldest *conn, why Reason) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.hasAll(c.at):
		return nil, TooManyOfAddress
	case b.open >= b.config.Most:
		return nil, TooMany
	}
	a := b.from[c.at]
	if a == nil {
		a = &address{free: rate.NewLimiter(rate.Limit(b.config.Free), b.config.Free)}
		b.from[c.at] = a
	}
	if b.opening.Len() >= b.config.Opening {
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

// hasBegun says that the client has begun to speak, which is not enough to have opened.
func (b *Bounds) hasBegun(c *conn) {
	b.mu.Lock()
	defer b.mu.Unlock()
	c.since = time.Now()
	if c.opening != nil {
		b.opening.MoveToBack(c.opening)
	}
}

// waits says that a connection waits for its turn.
func (b *Bounds) waits(c *conn) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if c.closed.Err() == nil {
		c.waiting = c.of.waiting.PushBack(c)
	}
}

// waited says that it no longer does.
func (b *Bounds) waited(c *conn) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.waitsNoMore(c)
}

func (b *Bounds) waitsNoMore(c *conn) {
	if c.waiting != nil {
		c.of.waiting.Remove(c.waiting)
		c.waiting = nil
	}
}

// oldest is the connection that has been opening for longest; if an address has more than a quarter of those, of that address.
func (b *Bounds) oldest(at netip.Addr, a *address) *conn {
	e := b.opening.Front()
	if a.opening > b.config.Opening/4 {
		for connOf(e).at != at {
			e = e.Next()
		}
	}
	return connOf(e)
}

func connOf(e *list.Element) *conn { return e.Value.(*conn) } //nolint:errcheck,forcetypeassert // nothing else is in the list

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
	b.waitsNoMore(c)
	b.open--
	switch c.of.open--; {
	case c.of.open > 0:
	case b.config.Free > 0: // it would have all of that again
		time.AfterFunc(time.Second, func() { b.forget(c) })
	default:
		delete(b.from, c.at)
	}
}

// forget forgets the address of a connection that has gone, if there is no other one from there.
func (b *Bounds) forget(c *conn) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if c.of.open == 0 && b.from[c.at] == c.of {
		delete(b.from, c.at)
	}
}

// conn is a connection beneath TLS.
type conn struct {
	net.Conn

	b       *Bounds
	at      netip.Addr
	of      *address
	since   time.Time // when it came, or began to speak; guarded by the lock of the bounds
	leave   func()
	closed  context.Context //nolint:containedctx // ends with the connection
	opening *list.Element   // nil: it has opened; guarded by the lock of the bounds
	waiting *list.Element   // nil: it does not wait for its turn; guarded by the same
	first   []byte          // what was read of it before it was handed out, and is to be read again
	saying  atomic.Int64    // calls and streams under way in which the client may say more
}

// HasSaid tells whether the client has said all that it says in the calls under way, as far as the connection was read.
func (c *conn) HasSaid() bool { return c.saying.Load() == 0 }

// beginsWithin is how long a client may take to begin to speak.
const beginsWithin = 5 * time.Second

// begin returns when the client has begun to speak: with TLS, with a whole record; with HTTP/2, with a frame; else with anything.
func (c *conn) begin() error {
	if err := c.SetReadDeadline(c.since.Add(beginsWithin)); err != nil {
		return err //nolint:wrapcheck // it is not told
	}
	for need := firstWords(nil); len(c.first) < need; need = firstWords(c.first) {
		had := len(c.first)
		c.first = slices.Grow(c.first, min(need-had, readAtOnce))
		n, err := c.Conn.Read(c.first[had:min(need, cap(c.first))])
		c.first = c.first[:had+n]
		if err != nil {
			return err //nolint:wrapcheck // the same
		}
	}
	return c.SetReadDeadline(time.Time{}) //nolint:wrapcheck // the same
}

const (
	// handshakeRecord begins a record of TLS that is a part of a handshake, recordHeader is how long the header of one is, and maxRecord
	// the most that it may say of what follows: RFC 8446, 5.1.
	handshakeRecord = 22
	recordHeader    = 5
	maxRecord       = 1 << 14
	// readAtOnce is how many bytes are read of what a client says first, so that it can't claim memory.
	readAtOnce = 2 << 10
)

// firstWords is how many bytes a client says at least before its connection is handed out, as far as that is known from what it has said.
func firstWords(said []byte) int {
	switch {
	case len(said) == 0:
		return 1
	case said[0] == handshakeRecord:
		if len(said) < recordHeader {
			return recordHeader
		}
		if n := int(binary.BigEndian.Uint16(said[recordHeader-2:])); n <= maxRecord {
			return recordHeader + n
		}
	case preface[:min(len(said), len(preface))] == string(said[:min(len(said), len(preface))]):
		return len(preface) + frameHeader
	}
	return len(said)
}

// Read implements net.Conn.
func (c *conn) Read(b []byte) (int, error) {
	if len(c.first) > 0 {
		n := copy(b, c.first)
		if c.first = c.first[n:]; len(c.first) == 0 {
			c.first = nil
		}
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
func (c *conn) Closed() <-chan struct{} { return c.closed.Done() }

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

// Local tells whether an address is that of who calls from this host, as a rule: 127.0.0.1 or ::1. Other loopback addresses count as any.
func Local(at netip.Addr) bool { return at == localhost || at == netip.IPv6Loopback() }

var localhost = netip.AddrFrom4([4]byte{127, 0, 0, 1}) //nolint:gochecknoglobals // a constant

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
