package gateway

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/holdfast-run/holdfast/actors"
)

// Config bounds requests and answers. Zero fields get their defaults.
type Config struct {
	// MaxInput is the longest input of an order, in bytes. Default 1 MiB.
	MaxInput int
	// MaxOutput is the longest output of an activity, in bytes. Default 1 MiB.
	MaxOutput int
	// MaxDepth is the deepest nesting of an input or output. Default 64.
	MaxDepth int
	// MaxLabels is the most labels of an order. Default 16.
	MaxLabels int
	// MaxKey is the longest order key, in bytes. Default 256.
	MaxKey int
	// StreamWindow is the most orders of one stream that have not had their last answer; the stream is not read further
	// until some have. Default 16,384.
	StreamWindow int
	// Accepting is the most orders that wait to become durable at once; further ones are answered RESOURCE_EXHAUSTED.
	// The last quarter is kept for orders of priority messages.Interactive and higher. Default 32,768.
	Accepting int
	// AcceptingBytes is the same by their bytes: their inputs, and 1 KiB each. Default 64 MiB.
	AcceptingBytes int64
	// Results is about the most bytes of results that adapters have reported and that are not durable yet; beyond it, streams that have more
	// than some KiB of them are not read. Default 64 MiB.
	Results int64
	// Answers is about the most bytes of answers to submissions on streams that are not sent yet; beyond it, streams that have more than some
	// KiB of them are not read. Default 32 MiB.
	Answers int64
	// Waits is about the most bytes for submissions on streams that wait for the ends of their orders, 512 for each; beyond it, streams on
	// which some wait are not read. Default 64 MiB.
	Waits int64
	// ClientRate is how many orders a client may submit in a second; further ones are answered RESOURCE_EXHAUSTED, with the
	// time after which there is room again. 0, the default: any number.
	ClientRate float64
	// ClientBurst is how many orders a client may submit at once after it has been quiet. Default ClientRate, rounded up:
	// those of a second.
	ClientBurst int
	// Clients is how many clients are told apart. Beyond that, new ones share the limit of one, until others have been quiet. Default
	// 10,000.
	Clients int
	// Connections is the most connections to the public address; further ones are closed at once. Default 10,000. Whoever
	// listens sees to it that they leave file descriptors for the journal and the administration.
	Connections int
	// AddressConnections is the most connections to the public address from one address, which of IPv6 is the first half; further ones are
	// closed at once. At the administration one may have half of AdminConnections. 127.0.0.1 and ::1 may have all. Default a quarter of
	// Connections.
	AddressConnections int
	// AdminConnections is the most connections to the administration. Default 100, which is half of the file descriptors that it has.
	AdminConnections int
	// Opening is the most connections to the public address whose clients have not begun to speak HTTP/2, with TLS before that if there is;
	// for a further one the oldest is closed. Default 1,000, but no more than Connections.
	Opening int
	// ConnectionIdle is how long a connection to the public address may have no call and no stream; then it is closed, as gently as HTTP/2
	// can. Default 15 min.
	ConnectionIdle time.Duration
	// IdleFrames is how many frames that carry nothing a connection may send in a second, on average. One that sends more is read slower,
	// and closed after ten seconds of that. Default 1,000.
	IdleFrames int
	// Calls is the most calls and streams at once, over all connections to the public address; further ones are answered
	// RESOURCE_EXHAUSTED. The administration takes as many as Streams. Default 32,768.
	Calls int
	// AddressCalls is the most of them from one address, which of IPv6 is the first half; 127.0.0.1 and ::1 may have all. Default half of
	// Calls.
	AddressCalls int
	// RequestWithin is how long the request of a call may take from its beginning until all of it has come; then the call ends with
	// DEADLINE_EXCEEDED. Of adapters that is the hello; other streams on which clients send more than one message are not bound.
	// Default 30 s.
	RequestWithin time.Duration
	// ReceiveWindow is how many bytes a stream may send that the node has not read yet: more is faster over long distances. From 64 KiB to
	// 16 MiB. Default 256 KiB.
	ReceiveWindow int
	// Unread is the most bytes, over all connections to the public address, that were received and can't be read yet: parts of messages, and
	// what is beyond a quarter of a stream's ReceiveWindow. Beyond it those connections are closed of which some is unread for longest. The
	// administration has a quarter of it beside that. Default 128 MiB.
	Unread int64
	// Streams is the most calls and streams of one connection at once; a client that makes more has them wait, on its side,
	// until others have ended. Default 1,000.
	Streams int
	// Headers is the longest metadata of a call or stream, in bytes, as HTTP/2 counts them: names, values, and 32 for each.
	// A connection may make the node hold as many for each of its streams. Default 16 KiB.
	Headers int
	// Lists is how many lists may be watched at once over the public address, and as many over that of the administration; further
	// ones are answered RESOURCE_EXHAUSTED. Each takes some hundred bytes for each order that is in it, and some time of a processor
	// for each order that changes. Default 50.
	Lists int
	// Unsent is the most bytes of answers that were read for the clients of the public address and not sent to them yet;
	// beyond it, reads wait. A connection may have a quarter of it. The administration has a quarter of it beside that. An
	// answer that is longer is sent alone. Default 64 MiB.
	Unsent int64
	// SlowReader is how long a client may leave an answer unread while others wait for room because of it; then its
	// connection is closed. Default 30 s.
	SlowReader time.Duration
	// Offers is the most activities that one adapter may offer. Default 1,000.
	Offers int
	// Heartbeat is how often an adapter shows that it lives; after three it is taken for dead. Default 5 s.
	Heartbeat time.Duration
	// Version is the node's version, as operators are told it.
	Version string
}

// WithDefaults returns the settings with defaults in place of zeros.
func (c Config) WithDefaults() Config {
	c.MaxInput = cmp.Or(c.MaxInput, 1<<20)
	c.MaxOutput = cmp.Or(c.MaxOutput, 1<<20)
	c.MaxDepth = cmp.Or(c.MaxDepth, 64)
	c.MaxLabels = cmp.Or(c.MaxLabels, 16)
	c.MaxKey = cmp.Or(c.MaxKey, 256)
	c.StreamWindow = cmp.Or(c.StreamWindow, 16_384)
	c.Accepting = cmp.Or(c.Accepting, 32_768)
	c.AcceptingBytes = cmp.Or(c.AcceptingBytes, 64<<20)
	c.Results = cmp.Or(c.Results, 64<<20)
	c.Answers = cmp.Or(c.Answers, 32<<20)
	c.Waits = cmp.Or(c.Waits, 64<<20)
	c.ClientBurst = cmp.Or(c.ClientBurst, int(math.Ceil(c.ClientRate)))
	c.Clients = cmp.Or(c.Clients, 10_000)
	c.Connections = cmp.Or(c.Connections, 10_000)
	c.AddressConnections = cmp.Or(c.AddressConnections, max(1, c.Connections/4))
	c.AdminConnections = cmp.Or(c.AdminConnections, 100)
	c.Opening = cmp.Or(c.Opening, min(1000, c.Connections))
	c.ConnectionIdle = cmp.Or(c.ConnectionIdle, 15*time.Minute)
	c.IdleFrames = cmp.Or(c.IdleFrames, 1000)
	c.Calls = cmp.Or(c.Calls, 32_768)
	c.AddressCalls = cmp.Or(c.AddressCalls, max(1, c.Calls/2))
	c.RequestWithin = cmp.Or(c.RequestWithin, 30*time.Second)
	c.ReceiveWindow = cmp.Or(c.ReceiveWindow, 256<<10)
	c.Unread = cmp.Or(c.Unread, 128<<20)
	c.Streams = cmp.Or(c.Streams, 1000)
	c.Headers = cmp.Or(c.Headers, 16<<10)
	c.Lists = cmp.Or(c.Lists, 50)
	c.Unsent = cmp.Or(c.Unsent, 64<<20)
	c.SlowReader = cmp.Or(c.SlowReader, 30*time.Second)
	c.Offers = cmp.Or(c.Offers, 1000)
	c.Heartbeat = cmp.Or(c.Heartbeat, 5*time.Second)
	return c
}

// maxHeartbeat is the longest time between two signs of life: adapters are told it in milliseconds, of 32 bits.
const maxHeartbeat = time.Hour

// leastHeaders is what the metadata of an ordinary call needs, and some more: with less, every call would be refused.
const leastHeaders = 4 << 10

// leastWindow and maxWindow bound ReceiveWindow: HTTP/2 begins with the one, and more than the other is of no use over any distance.
const leastWindow, maxWindow = 64 << 10, 16 << 20

// place is how many bytes of Unsent one answer takes until its size is known: as many as an order may have in its input and output.
func (c Config) place() int64 {
	return int64(max(c.MaxInput, pageBytes)) + int64(max(c.MaxOutput, pageBytes))
}

// maxClientRate is the highest rate that can be limited, in orders/s.
const maxClientRate = 1e9

// Validate says what is wrong with a configuration.
func (c Config) Validate() error {
	var errs []error
	for _, f := range []struct {
		name  string
		value int64
	}{
		{"MaxInput", int64(c.MaxInput)},
		{"MaxOutput", int64(c.MaxOutput)},
		{"MaxDepth", int64(c.MaxDepth)},
		{"MaxLabels", int64(c.MaxLabels)},
		{"MaxKey", int64(c.MaxKey)},
		{"StreamWindow", int64(c.StreamWindow)},
		{"Accepting", int64(c.Accepting)},
		{"ClientBurst", int64(c.ClientBurst)},
		{"Clients", int64(c.Clients)},
		{"Connections", int64(c.Connections)},
		{"AddressConnections", int64(c.AddressConnections)},
		{"AdminConnections", int64(c.AdminConnections)},
		{"Opening", int64(c.Opening)},
		{"IdleFrames", int64(c.IdleFrames)},
		{"Calls", int64(c.Calls)},
		{"AddressCalls", int64(c.AddressCalls)},
		{"Streams", int64(c.Streams)},
		{"Headers", int64(c.Headers)},
		{"Lists", int64(c.Lists)},
		{"Offers", int64(c.Offers)},
	} {
		if f.value < 0 || f.value > math.MaxInt32 {
			errs = append(errs, fmt.Errorf("%s is %d, and must be from 0 to %d", f.name, f.value, math.MaxInt32))
		}
	}
	if c.Heartbeat != 0 && (c.Heartbeat < time.Millisecond || c.Heartbeat > maxHeartbeat) {
		errs = append(errs, fmt.Errorf("the Heartbeat is %v, and must be from 1ms to %v", c.Heartbeat, maxHeartbeat))
	}
	if c.Headers > 0 && c.Headers < leastHeaders {
		errs = append(errs, fmt.Errorf("the Headers are %d bytes, and must be at least %d, or 0 for the default", c.Headers, leastHeaders))
	}
	if c.ReceiveWindow != 0 && (c.ReceiveWindow < leastWindow || c.ReceiveWindow > maxWindow) {
		errs = append(errs, fmt.Errorf("the ReceiveWindow is %d bytes, and must be from %d to %d, or 0 for the default",
			c.ReceiveWindow, leastWindow, maxWindow))
	}
	for _, f := range []struct {
		name  string
		value time.Duration
	}{{"ConnectionIdle", c.ConnectionIdle}, {"RequestWithin", c.RequestWithin}, {"SlowReader", c.SlowReader}} {
		if f.value < 0 || f.value > actors.Longest {
			errs = append(errs, fmt.Errorf("%s is %v, and must be from 0 to %v", f.name, f.value, actors.Longest))
		}
	}
	for _, f := range []struct {
		name  string
		value int64
	}{
		{"AcceptingBytes", c.AcceptingBytes},
		{"Results", c.Results},
		{"Answers", c.Answers},
		{"Waits", c.Waits},
		{"Unread", c.Unread},
		{"Unsent", c.Unsent},
	} {
		if f.value < 0 {
			errs = append(errs, fmt.Errorf("%s is %d, and must not be negative", f.name, f.value))
		}
	}
	if !(c.ClientRate >= 0 && c.ClientRate <= maxClientRate) { // not a number is wrong, too
		errs = append(errs, fmt.Errorf("ClientRate is %v, and must be from 0 to %v", c.ClientRate, float64(maxClientRate)))
	}
	if c.ClientRate == 0 && c.ClientBurst > 0 {
		errs = append(errs, errors.New("ClientBurst is given without ClientRate"))
	}
	return errors.Join(errs...)
}
