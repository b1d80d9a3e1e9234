package client

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"math"
	"net"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc"

	"github.com/holdfast-run/holdfast/certificates"
	"github.com/holdfast-run/holdfast/tokens"
)

// Ports at which nodes listen if they are not told otherwise.
const (
	// Port is that of orders and definitions.
	Port = "7460"
	// AdminPort is that of the administration.
	AdminPort = "7461"
)

// Config says how to reach nodes.
type Config struct {
	// Addresses of nodes, host:port, or host alone for Port. Several: calls are spread over those that answer. They must all be of
	// nodes of the same cluster. Default: 127.0.0.1:7460.
	Addresses []string
	// Unrouted has all calls go to Addresses. Else nodes are asked which of them owns which partition, once that is worth it, and what is
	// about one order goes to its owner, also at an address that nodes announce; any other node passes it on, which takes longer. It must be
	// set where an address that nodes announce may be that of something else, as on this side of a tunnel.
	Unrouted bool
	// TLS secures the connections. Default: none, the connections are in plain text.
	TLS *tls.Config
	// Files secures them by certificates in files, which are read again when they have changed, in place of TLS.
	Files *certificates.Client
	// Token is sent with each call, for nodes that ask who calls. Default: none.
	Token *tokens.Sender
	// UserAgent is told to the nodes, before the name of the library. Default: none.
	UserAgent string
	// CallTimeout bounds each try of a call whose context has no deadline; negative: nothing does. Streams are not bounded. Default
	// 30 s.
	CallTimeout time.Duration
	// Patience is how long calls are repeated while no node takes them, unless they have a patience of their own: see Patiently.
	// Default: as long as their contexts allow. Negative: they are tried once at each address, and not again.
	Patience time.Duration
	// Backoff delays repetitions, and attempts to connect. Default: 50 ms to 2 s, less up to 30 %.
	Backoff Backoff
	// ConnectTimeout is how long an attempt to connect to an address may take. Default 3 s.
	ConnectTimeout time.Duration
	// KeepAlive is how long a connection may be silent before the node is asked for a sign of life, and KeepAliveTimeout how long
	// that may take. At least 10 s, which is what gRPC allows; default 20 s and 5 s.
	KeepAlive, KeepAliveTimeout time.Duration
	// MaxAnswer bounds one message from a node, in bytes; a longer one fails with RESOURCE_EXHAUSTED. Default 64 MiB.
	MaxAnswer int
	// DialOptions are added to those of each connection, such as other windows: the node sends 1 MiB of a stream, and 4 MiB in all, that were
	// not taken yet.
	DialOptions []grpc.DialOption
}

// Backoff is a delay that doubles from Initial up to Max, less a random share of it.
type Backoff struct {
	// Initial is the first delay, and Max bounds every one.
	Initial, Max time.Duration
	// Jitter is the largest share of a delay that is taken off at random, from 0 to 1, so that clients that lost the same node do
	// not come back together.
	Jitter float64
}

// next returns the delay after a failure; failures counts those in a row, from 1. random returns numbers from 0 up to 1.
func (b Backoff) next(failures int, random func() float64) time.Duration {
	d := b.Max
	if doublings := max(failures-1, 0); doublings < 62 && b.Initial <= math.MaxInt64>>doublings {
		d = min(b.Initial<<doublings, b.Max)
	}
	return d - time.Duration(float64(d)*b.Jitter*random())
}

func (c Config) withDefaults() Config {
	if len(c.Addresses) == 0 {
		c.Addresses = []string{"127.0.0.1"}
	}
	c.CallTimeout = cmp.Or(c.CallTimeout, 30*time.Second)
	c.Backoff = cmp.Or(c.Backoff, Backoff{Initial: 50 * time.Millisecond, Max: 2 * time.Second, Jitter: 0.3})
	c.ConnectTimeout = cmp.Or(c.ConnectTimeout, 3*time.Second)
	c.KeepAlive = cmp.Or(c.KeepAlive, 20*time.Second)
	c.KeepAliveTimeout = cmp.Or(c.KeepAliveTimeout, 5*time.Second)
	c.MaxAnswer = cmp.Or(c.MaxAnswer, 64<<20)
	c.Patience = cmp.Or(c.Patience, Forever)
	return c
}

// leastKeepAlive is the least that gRPC takes.
const leastKeepAlive = 10 * time.Second

// Validate says everything that is wrong with the settings, with their defaults filled in.
func (c Config) Validate() error {
	c = c.withDefaults()
	var errs []error
	wrong := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	for _, address := range c.Addresses {
		if _, err := CompleteAddress(address, Port); err != nil {
			wrong("address %w", err)
		}
	}
	for _, d := range []struct {
		name  string
		value time.Duration
	}{{"connect timeout", c.ConnectTimeout}, {"keepalive timeout", c.KeepAliveTimeout}} {
		if d.value < 0 {
			wrong("%s %v is negative", d.name, d.value)
		}
	}
	if c.KeepAlive < leastKeepAlive {
		wrong("keepalive %v is less than %v", c.KeepAlive, leastKeepAlive)
	}
	if c.Token != nil {
		if err := c.Token.Validate(); err != nil {
			wrong("%w", err)
		}
	}
	if c.TLS != nil && c.Files != nil {
		wrong("TLS and Files are given, and only one can secure the connections")
	}
	if c.MaxAnswer < 0 {
		wrong("max answer %d is negative", c.MaxAnswer)
	}
	if b := c.Backoff; b.Initial <= 0 || b.Max < b.Initial {
		wrong("backoff from %v to %v: the first must be more than 0, and the last at least as long", b.Initial, b.Max)
	}
	if j := c.Backoff.Jitter; !(j >= 0 && j <= 1) { // also refuses NaN
		wrong("jitter %v of the backoff is not between 0 and 1", j)
	}
	return errors.Join(errs...)
}

// CompleteAddress completes an address, host:port, that may lack the port. An IPv6 address without a port needs no brackets.
func CompleteAddress(address, defaultPort string) (string, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		host, port, err = net.SplitHostPort(net.JoinHostPort(address, defaultPort))
	}
	if err != nil || host == "" || port == "" || strings.ContainsAny(host, "/ \t\n") {
		return "", fmt.Errorf("%q is not of the form host:port", address)
	}
	if n, err := strconv.Atoi(port); err == nil && (n < 1 || n > 65535) {
		return "", fmt.Errorf("%q has the port %s: it must be from 1 to 65535", address, port)
	}
	return net.JoinHostPort(host, port), nil
}
