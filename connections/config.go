package connections

import (
	"cmp"
	"context"
	"net"
	"net/netip"
	"time"
)

// Config bounds the connections of a listener. Zero fields get their defaults.
type Config struct {
	// Most is the most connections. For a further one the one is closed that has done nothing for longest: whose client has not begun to
	// speak, or has no call. If all have one, it is closed at once itself. Default 10,000.
	Most int
	// ByAddress is the most connections from one address, which of IPv6 is the first half; further ones are closed at once. Local
	// addresses may have all. Default a quarter of Most.
	ByAddress int
	// Opening is the most connections whose clients have not begun to speak HTTP/2, with TLS before that if there is, or wait for their turn.
	// For a further one the one is closed that has said nothing for longest; of an address that has more than a quarter of them, of that
	// address. Default 1,000.
	Opening int
	// Streams is the most calls and streams of one connection that the server takes at once. Default 1,000.
	Streams int
	// Calls is the most calls and streams at once, over all connections, and AddressCalls the most of one address, which of IPv6 is the
	// first half; local addresses may have all. Defaults 32,768 and half of Calls.
	Calls, AddressCalls int
	// Idle is how many frames that carry nothing a connection may send in a second, on average; four times as many at once. A call that is
	// refused, as there are too many, counts as two. One that sends more is read slower, and closed after ten seconds of that. Default
	// 1,000.
	Idle int
	// Window is how many bytes a stream may send before the server has read them, as the server says it to clients. Default 256 KiB.
	Window int
	// Unread is the most bytes, over all connections, that were received and can't be read yet: parts of messages, and what is beyond a
	// quarter of a stream's Window. Beyond it those connections are closed of which some is unread for longest. Default 128 MiB.
	Unread int64
	// WriteWithin is how long a client may take nothing of what it is sent; then, or up to an eighth later, its connection is closed.
	// Default 30 s.
	WriteWithin time.Duration
	// Turn returns when a client may be served that has begun to speak, from where it comes, or an error if ctx has ended before, with its
	// connection. It is not called for those that are closed before. Default: at once.
	Turn func(ctx context.Context, from netip.Addr) error
	// Free is how many connections of an address may begin in a second, and at once, without a turn. Default none.
	Free int
	// Ended is told of each connection that was refused or closed, from where it came, and why; it must not block.
	Ended func(from net.Addr, why Reason)
}

// Reason is why a connection was refused or closed.
type Reason string

// The reasons.
const (
	// TooMany says that there are as many connections as there may be.
	TooMany Reason = "too_many"
	// TooManyOfAddress says the same of the client's address, or that a quarter of Opening from there wait for their turn.
	TooManyOfAddress Reason = "too_many_of_address"
	// SlowToOpen says that the client had not begun to speak, and others came.
	SlowToOpen Reason = "slow_to_open"
	// Idle says that the client had no call, and others came.
	Idle Reason = "idle"
	// IdleFrames says that the client sent frames that carry nothing, and too many of them.
	IdleFrames Reason = "idle_frames"
	// Unreadable says that too much could not be read yet, and some of it was this client's for longest.
	Unreadable Reason = "unread"
	// NotReading says that the client took nothing of what it was sent.
	NotReading Reason = "not_reading"
	// TooManyStreams says that the client did not keep to the number of streams that it may have.
	TooManyStreams Reason = "too_many_streams"
)

// Reasons are all of them.
func Reasons() []Reason {
	return []Reason{TooMany, TooManyOfAddress, SlowToOpen, Idle, IdleFrames, Unreadable, NotReading, TooManyStreams}
}

// WithDefaults returns the settings with defaults in place of zeros.
func (c Config) WithDefaults() Config {
	c.Most = cmp.Or(c.Most, 10_000)
	c.ByAddress = cmp.Or(c.ByAddress, max(1, c.Most/4))
	c.Opening = cmp.Or(c.Opening, 1000)
	c.Streams = cmp.Or(c.Streams, 1000)
	c.Calls = cmp.Or(c.Calls, 32_768)
	c.AddressCalls = cmp.Or(c.AddressCalls, max(1, c.Calls/2))
	c.Idle = cmp.Or(c.Idle, 1000)
	c.Window = cmp.Or(c.Window, 256<<10)
	c.Unread = cmp.Or(c.Unread, 128<<20)
	c.WriteWithin = cmp.Or(c.WriteWithin, 30*time.Second)
	if c.Turn == nil {
		c.Turn = func(context.Context, netip.Addr) error { return nil }
	}
	if c.Ended == nil {
		c.Ended = func(net.Addr, Reason) {}
	}
	return c
}

// slowFor is how long a connection may be read slower before it is closed.
const slowFor = 10 * time.Second

// burst is how many tokens a connection has at most.
func (c Config) burst() float64 { return float64(4 * c.Idle) }
