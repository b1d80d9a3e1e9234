package gateway

import (
	"net"
	"sync"
)

// Listener has the connections of a listener known by their calls and streams, so that one can be closed whose client does not read.
type Listener struct{ net.Listener }

// Accept implements net.Listener.
func (l Listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err //nolint:wrapcheck // it stands for what it wraps
	}
	r := &reader{name: c.RemoteAddr().String()}
	known := &knownConn{Conn: c, addr: readerAddr{c.RemoteAddr(), r}, leave: sync.OnceFunc(r.leave)}
	r.hangUp = func() { _ = known.Close() } // an error changes nothing
	if watched, ok := c.(interface{ HasSaid() bool }); ok {
		r.said = watched.HasSaid
	}
	return known, nil
}

type knownConn struct {
	net.Conn

	addr  readerAddr
	leave func()
}

// NetConn returns what it wraps.
func (c *knownConn) NetConn() net.Conn { return c.Conn }

// RemoteAddr implements net.Conn.
func (c *knownConn) RemoteAddr() net.Addr { return c.addr }

func (c *knownConn) Close() error {
	defer c.leave()
	return c.Conn.Close() //nolint:wrapcheck // it stands for what it wraps
}
