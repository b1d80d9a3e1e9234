package grpc

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	rpc "google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/holdfast-run/holdfast/adapters/outbound"
)

// pool has the connections to hosts, one for each host and certificate. They last as long as the adapter has activity actors.
type pool struct {
	exit      *outbound.Exit
	plaintext outbound.Hosts
	most      int // that nobody uses

	mu      sync.Mutex
	members int
	turn    uint64 // counts when connections are given back
	conns   map[[sha256.Size]byte]*connection
	unused  int
}

// connection is one to a host, made when it is needed.
type connection struct {
	*rpc.ClientConn

	key [sha256.Size]byte
	// refused is why the last attempt to connect was not made; nil: it was.
	refused atomic.Pointer[error]

	// Of the pool: how many calls use it, and when it was given back.
	uses int
	turn uint64
}

// forbidden returns why the host may not be connected to; nil if it may, or was not tried.
func (c *connection) forbidden() error {
	if why := c.refused.Load(); why != nil {
		return *why
	}
	return nil
}

func newPool(exit *outbound.Exit, plaintext outbound.Hosts, most int) *pool {
	return &pool{exit: exit, plaintext: plaintext, most: most, conns: make(map[[sha256.Size]byte]*connection)}
}

// member is what an activity actor has of the pool.
type member struct{ pool *pool }

func (p *pool) join(context.Context) (*member, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.members++
	return &member{p}, nil
}

// Close leaves the pool. The last one ends the connections.
func (m *member) Close() error {
	p := m.pool
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.members--; p.members > 0 {
		return nil
	}
	var errs []error
	for key, conn := range p.conns {
		errs = append(errs, conn.Close())
		delete(p.conns, key)
	}
	p.unused = 0
	return errors.Join(errs...)
}

// take returns the connection to a host, host:port, with the certificate of a client if there is one. It has to be released. The error says
// what is wrong with the certificate.
func (p *pool) take(address string, certificate *outbound.Certificate) (*connection, error) {
	of := address
	if certificate != nil {
		of += "\x00" + certificate.Certificate + "\x00" + certificate.Key
	}
	key := sha256.Sum256([]byte(of))
	p.mu.Lock()
	defer p.mu.Unlock()
	if conn := p.conns[key]; conn != nil {
		if conn.uses == 0 {
			p.unused--
		}
		conn.uses++
		return conn, nil
	}
	conn, err := p.connect(address, certificate)
	if err != nil {
		return nil, err
	}
	conn.key, conn.uses = key, 1
	p.conns[key] = conn
	return conn, nil
}

// release gives a connection back. Of too many that nobody uses, those end that were given back first.
func (p *pool) release(conn *connection) {
	p.mu.Lock()
	defer p.mu.Unlock()
	conn.uses--
	if conn.uses > 0 || conn != p.conns[conn.key] {
		if conn.uses == 0 {
			_ = conn.Close() // nobody has any use for what it says
		}
		return
	}
	p.turn++
	conn.turn = p.turn
	if p.unused++; p.unused <= p.most {
		return
	}
	oldest := conn
	for _, c := range p.conns {
		if c.uses == 0 && c.turn < oldest.turn {
			oldest = c
		}
	}
	delete(p.conns, oldest.key)
	p.unused--
	_ = oldest.Close() // as above
}

// retire has a connection not taken any more, as nothing may come on it. It ends when those that use it have released it.
func (p *pool) retire(conn *connection) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.conns[conn.key] == conn {
		delete(p.conns, conn.key)
	}
}

// connect makes a connection.
func (p *pool) connect(address string, certificate *outbound.Certificate) (*connection, error) {
	conn := &connection{}
	transport := insecure.NewCredentials()
	if host, port, _ := net.SplitHostPort(address); !p.plaintext.Has(host, port) {
		config := p.exit.TLS()
		if certificate != nil {
			pair, err := certificate.Pair()
			if err != nil {
				return nil, err
			}
			config.Certificates = []tls.Certificate{pair}
		}
		transport = credentials.NewTLS(config)
	} else if certificate != nil {
		return nil, fmt.Errorf("%s is called in plain text, where there are no certificates", address)
	}
	var err error
	conn.ClientConn, err = rpc.NewClient("passthrough:///"+address,
		rpc.WithTransportCredentials(transport),
		rpc.WithContextDialer(func(ctx context.Context, to string) (net.Conn, error) {
			made, err := p.exit.Connect(ctx, to)
			conn.refused.Store(nil)
			if errors.Is(err, outbound.ErrForbidden) {
				conn.refused.Store(&err)
			}
			return made, err
		}),
		rpc.WithNoProxy(), rpc.WithDisableServiceConfig(), rpc.WithDisableRetry(), rpc.WithDisableHealthCheck(),
		rpc.WithUserAgent(outbound.UserAgent), rpc.WithIdleTimeout(p.exit.Config.Idle), rpc.WithStatsHandler(watcher{}),
		rpc.WithMaxHeaderListSize(outbound.MaxHeaders),
		rpc.WithConnectParams(rpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 50 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: maxBackoff},
			MinConnectTimeout: 2 * outbound.DialTimeout,
		}))
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	return conn, nil
}

// maxBackoff is how long a host is not connected to again that could not be reached. Calls fail meanwhile, without having been sent.
const maxBackoff = time.Second
