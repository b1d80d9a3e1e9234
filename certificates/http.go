package certificates

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"sync"
)

// Secured secures the connections of Listener for servers that know nothing of TLS. Each does its handshake when it is first read from.
func (s *Server) Secured(l net.Listener) net.Listener { return securedListener{l, s} }

type securedListener struct {
	net.Listener

	s *Server
}

// Accept implements net.Listener.
func (l securedListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err //nolint:wrapcheck // it stands for what it wraps
	}
	tracked, is := c.(*conn)
	if !is {
		return nil, errors.Join(errors.New("connection is not one of Listener"), c.Close())
	}
	over := tls.Server(c, l.s.tls())
	return &securedConn{Conn: over, over: over, beneath: tracked}, nil
}

// securedConn is a connection that does its handshake when it is first read from.
type securedConn struct {
	net.Conn

	over    *tls.Conn // the same
	beneath *conn
	once    sync.Once
	err     error
}

// Read implements net.Conn.
func (c *securedConn) Read(b []byte) (int, error) {
	c.once.Do(func() {
		c.beneath.shake(func() { c.err = c.over.HandshakeContext(context.Background()) })
		c.beneath.s.refused(c.RemoteAddr(), c.err)
	})
	if c.err != nil {
		return 0, c.err
	}
	return c.Conn.Read(b) //nolint:wrapcheck // it stands for what it wraps
}

// NetConn returns the connection beneath TLS.
func (c *securedConn) NetConn() net.Conn { return c.beneath }

// InRequests has the requests to a server of HTTP tell what was agreed by TLS, in their field of that name, although the server knows
// nothing of TLS: its connections are those of Secured, or wrap them.
func InRequests(server *http.Server) {
	next := server.Handler
	server.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		if secured, is := beneath[*securedConn](c); is {
			return context.WithValue(ctx, connKey{}, secured.over)
		}
		return ctx
	}
	server.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if over, is := r.Context().Value(connKey{}).(*tls.Conn); is {
			state := over.ConnectionState()
			r.TLS = &state
		}
		next.ServeHTTP(w, r)
	})
}

// connKey is where the context of a connection has that of TLS.
type connKey struct{}
