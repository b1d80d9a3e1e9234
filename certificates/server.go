package certificates

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/credentials"
)

// ServerConfig says how a listener is secured.
type ServerConfig struct {
	// Files has the certificate that clients are shown. With a CA, clients show one that an authority in it has signed.
	Files

	// Optional lets clients in that show no certificate, although there is a CA: whoever serves them looks at what they have shown, in
	// tls.ConnectionState.VerifiedChains.
	Optional bool
	// Protocols are those of ALPN, in the order of preference.
	Protocols []string
	// Handshakes is how many handshakes are computed at once; further ones wait, which costs no processor. Who waits for the other side is
	// not counted. Default half of the processors, and one at least.
	Handshakes int
	// Refused is told of each connection that did not come about, and of why.
	Refused func(from net.Addr, err error)
}

// Server secures the connections that a listener takes.
type Server struct {
	config    ServerConfig
	store     *Store
	computing chan struct{} // has one element for each handshake that is computed

	mu   sync.Mutex
	open map[*conn]struct{} // to clients that have shown a certificate
}

// NewServer reads the files. A certificate that has expired is taken here, as a node without clients still has orders to run, and another
// one that has is refused later: Expired tells.
func NewServer(config ServerConfig) (*Server, error) {
	if config.Handshakes == 0 {
		config.Handshakes = max(1, runtime.GOMAXPROCS(0)/2)
	}
	s := &Server{config: config, computing: make(chan struct{}, config.Handshakes), open: map[*conn]struct{}{}}
	store, err := Open(config.Files, func(p *Proof) error {
		if p.Own == nil {
			return errors.New("no certificate is named")
		}
		if u := p.Chain[0].ExtKeyUsage; len(u) > 0 && !slices.Contains(u, x509.ExtKeyUsageServerAuth) &&
			!slices.Contains(u, x509.ExtKeyUsageAny) {
			return fmt.Errorf("certificate %s is not for servers: no client would take it", config.Certificate)
		}
		if s.store == nil || s.Leaf().Equal(p.Chain[0]) { // the authorities may be others beside it
			return nil
		}
		if err := valid(p.Chain[0], time.Now()); err != nil {
			return fmt.Errorf("%s: %w", config.Certificate, err)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	s.store = store
	return s, nil
}

// Expired says why the certificate is not valid now; nil: it is.
func (s *Server) Expired() error { return valid(s.Leaf(), time.Now()) }

// Leaf is the certificate that clients are shown.
func (s *Server) Leaf() *x509.Certificate { return s.store.Current().Chain[0] }

// Listener has connections tracked that a listener takes. They are to be secured with Credentials or Secured, and nothing else.
func (s *Server) Listener(l net.Listener) net.Listener { return listener{l, s} }

// tls is what secures the connections of Listener.
func (s *Server) tls() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS13, NextProtos: s.config.Protocols, GetConfigForClient: s.forClient}
}

// Credentials is the same for gRPC.
func (s *Server) Credentials() credentials.TransportCredentials {
	return handshakes{credentials.NewTLS(s.tls()), s}
}

// forClient is what secures one connection, with the certificates of the moment.
func (s *Server) forClient(hello *tls.ClientHelloInfo) (*tls.Config, error) {
	c, tracked := hello.Conn.(*conn)
	if !tracked {
		return nil, errors.New("connection is not one of the listener")
	}
	p := s.store.Current()
	config := &tls.Config{
		MinVersion: tls.VersionTLS13, NextProtos: s.config.Protocols, Certificates: []tls.Certificate{*p.Own},
		SessionTicketsDisabled: true, // who is not trusted any more does not come back with one
		VerifyConnection:       func(state tls.ConnectionState) error { return s.admit(c, p, state.PeerCertificates) },
	}
	if p.Roots != nil {
		config.ClientCAs, config.ClientAuth = p.Roots, tls.RequireAndVerifyClientCert
		if s.config.Optional {
			config.ClientAuth = tls.VerifyClientCertIfGiven
		}
	}
	return config, nil
}

// admit lets a client in whose certificate was good by a proof.
func (s *Server) admit(c *conn, by *Proof, chain []*x509.Certificate) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(chain) > 0 {
		if now := s.store.Current(); now != by {
			if err := now.Verify(chain, time.Now(), x509.ExtKeyUsageClientAuth); err != nil {
				return err
			}
		}
		c.chain = chain
		s.open[c] = struct{}{}
	}
	c.admitted = true
	return nil
}

// Reload reads the files again, if they have changed. It tells whether they have changed for the better, and how many connections have
// ended: those of clients who are not trusted any more because of that, and of those whose certificate has expired meanwhile. What is bad
// is told once, and changes nothing.
func (s *Server) Reload() (taken bool, ended int, err error) {
	taken, err = s.store.Reload()
	now := time.Now()
	s.mu.Lock()
	var strangers []*conn
	for c := range s.open {
		if now.After(c.chain[0].NotAfter) || taken && s.store.Current().Verify(c.chain, now, x509.ExtKeyUsageClientAuth) != nil {
			strangers = append(strangers, c)
		}
	}
	s.mu.Unlock()
	for _, c := range strangers {
		_ = c.Close() // an error changes nothing
	}
	return taken, len(strangers), err
}

func (s *Server) leave(c *conn) (admitted bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, c)
	return c.admitted
}

// refused tells of a connection that did not come about. One that says nothing at all is a check whether anybody listens.
func (s *Server) refused(from net.Addr, err error) {
	if err != nil && !errors.Is(err, io.EOF) {
		s.config.Refused(from, err)
	}
}

type listener struct {
	net.Listener

	s *Server
}

// Accept implements net.Listener.
func (l listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err //nolint:wrapcheck // it stands for what it wraps
	}
	return &conn{Conn: c, s: l.s, closed: make(chan struct{}), beneath: closedBeneath(c)}, nil
}

// The first byte of records of TLS.
const (
	recordAlert     = 21
	recordHandshake = 22
)

// answerInHTTP1 is what somebody is told who does not begin with a handshake. Clients of HTTP/2 know the beginning, and people read it.
const answerInHTTP1 = "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: 36\r\nConnection: close\r\n\r\n" +
	"This address speaks TLS: use https.\n"

// lingerFor is how long a connection that was refused stays, so that the other side gets to read why.
const lingerFor = time.Second

// conn is a connection beneath TLS.
type conn struct {
	net.Conn

	s       *Server
	begun   atomic.Bool // something was read
	reading atomic.Bool
	closed  chan struct{} // closed with the connection
	closing sync.Once
	beneath <-chan struct{} // closed with what the connection is on, if that tells; else nil

	// Those who do the handshake have these to themselves:
	handshaking bool
	computing   bool // it counts as one that is computed

	// The server's lock guards:
	admitted bool
	chain    []*x509.Certificate
}

var errPlaintext = errors.New("client speaks plain text, and this address TLS")

// NetConn returns what it wraps.
func (c *conn) NetConn() net.Conn { return c.Conn }

// Read implements net.Conn.
func (c *conn) Read(b []byte) (int, error) {
	c.rest()
	c.reading.Store(true)
	n, err := c.Conn.Read(b)
	c.reading.Store(false)
	if c.handshaking && n > 0 && !c.compute() {
		return 0, net.ErrClosed
	}
	if n > 0 && !c.begun.Load() {
		c.begun.Store(true)
		if b[0] != recordHandshake {
			_, _ = c.Write([]byte(answerInHTTP1)) // whoever does not take it has gone
			return 0, errPlaintext
		}
	}
	return n, err //nolint:wrapcheck // it stands for what it wraps
}

// compute waits until this handshake may be computed. It is false if the connection was closed before that.
func (c *conn) compute() bool {
	select {
	case c.s.computing <- struct{}{}:
		c.computing = true
		return true
	case <-c.closed:
		return false
	case <-c.beneath:
		return false
	}
}

// closedBeneath is what a connection, or one that it wraps, closes when it is closed.
func closedBeneath(c net.Conn) <-chan struct{} {
	if tells, is := beneath[interface{ Closed() <-chan struct{} }](c); is {
		return tells.Closed()
	}
	return nil
}

// beneath finds a connection of a kind: one itself, or what it wraps.
func beneath[T any](c net.Conn) (found T, is bool) {
	for {
		if found, is = c.(T); is {
			return found, true
		}
		wrapper, wraps := c.(interface{ NetConn() net.Conn })
		if !wraps {
			return found, false
		}
		c = wrapper.NetConn()
	}
}

// rest says that the handshake waits for the other side.
func (c *conn) rest() {
	if c.computing {
		c.computing = false
		<-c.s.computing
	}
}

// shake does a handshake.
func (c *conn) shake(do func()) {
	c.handshaking = true
	defer func() {
		c.handshaking = false
		c.rest()
	}()
	do()
}

// Close implements net.Conn. When a connection is refused, closing it with bytes unread would take from the other side what it was told.
func (c *conn) Close() error {
	c.closing.Do(func() { close(c.closed) })
	if refused := !c.s.leave(c) && c.begun.Load() && !c.reading.Load(); refused {
		if err := c.SetReadDeadline(time.Now().Add(lingerFor)); err == nil {
			_, _ = io.Copy(io.Discard, io.LimitReader(c.Conn, maxFile)) // until the other side closes, or its time is over
		}
	}
	return c.Conn.Close() //nolint:wrapcheck // it stands for what it wraps
}

// handshakes tells of those that fail.
type handshakes struct {
	credentials.TransportCredentials

	s *Server
}

// ServerHandshake implements credentials.TransportCredentials.
func (h handshakes) ServerHandshake(c net.Conn) (secured net.Conn, info credentials.AuthInfo, err error) {
	do := func() { secured, info, err = h.TransportCredentials.ServerHandshake(c) }
	if tracked, is := c.(*conn); is {
		tracked.shake(do)
	} else {
		do()
	}
	h.s.refused(c.RemoteAddr(), err)
	return secured, info, err //nolint:wrapcheck // it stands for what it wraps
}

// Clone implements credentials.TransportCredentials.
func (h handshakes) Clone() credentials.TransportCredentials {
	return handshakes{h.TransportCredentials.Clone(), h.s}
}
