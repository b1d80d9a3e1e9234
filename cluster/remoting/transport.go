package remoting

import (
	"context"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
)

const (
	// maxAnswer is the longest frame that comes back on a stream to a peer, in bytes: only what begins and ends it does.
	maxAnswer = 64 << 10
	// maxHeaders bounds the metadata of a stream, in bytes.
	maxHeaders = 16 << 10
	// streamsOfConnection is how many streams one connection may have: a node needs one.
	streamsOfConnection = 4
	// clientPings is how often a client asks for a sign of life; gRPC allows no less.
	clientPings = 10 * time.Second
)

// connectionsOf is how many connections may be open: a node may come back before the end of its last one is noticed.
func connectionsOf(peers int) int64 { return 4 * int64(peers) }

// dialOptions are all there are: none of gRPC's defaults is relied on.
func (r *Remoting) dialOptions() []grpc.DialOption {
	creds := insecure.NewCredentials()
	if r.proofs != nil {
		creds = r.proofs.client()
	}
	return []grpc.DialOption{
		grpc.WithTransportCredentials(creds),
		grpc.WithContextDialer(r.dialNode), // no proxy
		grpc.WithDefaultCallOptions(
			grpc.ForceCodecV2(newCodec()), grpc.MaxCallRecvMsgSize(maxAnswer), grpc.MaxCallSendMsgSize(r.config.maxFrame()),
		),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{
			Time: clientPings, Timeout: r.config.Silence, PermitWithoutStream: true,
		}),
		grpc.WithMaxHeaderListSize(maxHeaders), grpc.WithIdleTimeout(0), grpc.WithDisableRetry(), grpc.WithDisableServiceConfig(),
		grpc.WithUserAgent("holdfast"),
	}
}

// dialNode connects to an address.
func (r *Remoting) dialNode(ctx context.Context, address string) (net.Conn, error) {
	c, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err //nolint:wrapcheck // it names operation and address
	}
	if r.config.Plaintext && !loopback(c.RemoteAddr().String()) {
		_ = c.Close() // nothing was sent
		return nil, fmt.Errorf("%s is not a loopback address", address)
	}
	return c, nil
}

func (r *Remoting) serverOptions() []grpc.ServerOption {
	creds := insecure.NewCredentials()
	if r.proofs != nil {
		creds = r.proofs.server()
	}
	return []grpc.ServerOption{
		grpc.Creds(handshakes{creds, r}),
		grpc.StreamInterceptor(r.guardStream), grpc.UnaryInterceptor(r.guardUnary),
		grpc.ForceServerCodecV2(newCodec()),
		grpc.MaxRecvMsgSize(r.config.maxFrame()), grpc.MaxSendMsgSize(maxAnswer),
		grpc.MaxConcurrentStreams(streamsOfConnection), grpc.MaxHeaderListSize(maxHeaders),
		grpc.ConnectionTimeout(r.config.ConnectWithin),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: r.config.Silence, Timeout: r.config.Silence}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: clientPings / 2, PermitWithoutStream: true}),
		grpc.WaitForHandlers(true),
	}
}

// handshakes tells of those that fail: strangers, and nodes whose certificate is not good.
type handshakes struct {
	credentials.TransportCredentials

	r *Remoting
}

// ServerHandshake implements credentials.TransportCredentials.
func (h handshakes) ServerHandshake(c net.Conn) (net.Conn, credentials.AuthInfo, error) {
	secured, info, err := h.TransportCredentials.ServerHandshake(c)
	if err != nil {
		h.r.metrics.refused.WithLabelValues("handshake").Inc()
		host, _, _ := net.SplitHostPort(c.RemoteAddr().String())
		if h.r.told.first(host + " " + err.Error()) {
			h.r.log.Warn("connection is refused: who made it does not prove to be a node", "from", host, "error", printable(err.Error()))
		}
	}
	return secured, info, err //nolint:wrapcheck // it stands for what it wraps
}

// Clone implements credentials.TransportCredentials.
func (h handshakes) Clone() credentials.TransportCredentials {
	return handshakes{h.TransportCredentials.Clone(), h.r}
}

// bounded is a listener with at most so many connections open; further ones are closed at once.
type bounded struct {
	net.Listener

	most    int64
	open    atomic.Int64
	refused func()
}

// Accept implements net.Listener.
func (b *bounded) Accept() (net.Conn, error) {
	for {
		c, err := b.Listener.Accept()
		if err != nil {
			return nil, err //nolint:wrapcheck // it stands for what it wraps
		}
		if b.open.Add(1) <= b.most {
			return &conn{Conn: c, leave: sync.OnceFunc(func() { b.open.Add(-1) })}, nil
		}
		b.open.Add(-1)
		_ = c.Close() // an error changes nothing
		b.refused()
	}
}

type conn struct {
	net.Conn

	leave func()
}

// Close implements net.Conn.
func (c *conn) Close() error {
	defer c.leave()
	return c.Conn.Close() //nolint:wrapcheck // it stands for what it wraps
}

// told is what the log was told, so that it is not told again and again. It forgets all when it is full.
type told struct {
	mu   sync.Mutex
	keys map[string]struct{}
}

// mostTold is how many things are remembered.
const mostTold = 256

// first tells whether something was not told yet.
func (t *told) first(key string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, again := t.keys[key]; again {
		return false
	}
	if t.keys == nil || len(t.keys) >= mostTold {
		t.keys = map[string]struct{}{}
	}
	t.keys[key] = struct{}{}
	return true
}
