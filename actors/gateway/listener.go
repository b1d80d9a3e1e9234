package gateway

import (
	"net"
	"sync"
	"sync/atomic"
)

// Bounded is a listener that has at most so many connections open. Further ones are closed at once, so that their
// clients ask another node, or this one later.
type Bounded struct {
	net.Listener

	most    int64
	open    atomic.Int64
	refused func()
}

// NewBounded bounds a listener. refused is called for each connection that is refused.
func NewBounded(l net.Listener, most int, refused func()) *Bounded {
	return &Bounded{Listener: l, most: int64(most), refused: refused}
}

// Accept implements net.Listener.
func (b *Bounded) Accept() (net.Conn, error) {
	for {
		c, err := b.Listener.Accept()
		if err != nil {
			return nil, err //nolint:wrapcheck // it stands for what it wraps
		}
		if b.open.Add(1) <= b.most {
			r := &reader{name: c.RemoteAddr().String()}
			bounded := &boundedConn{Conn: c, addr: readerAddr{c.RemoteAddr(), r}}
			bounded.leave = sync.OnceFunc(func() {
				b.open.Add(-1)
				r.leave()
			})
			r.hangUp = func() { _ = bounded.Close() } // an error changes nothing
			return bounded, nil
		}
		b.open.Add(-1)
		_ = c.Close() // an error changes nothing
		b.refused()
	}
}

type boundedConn struct {
	net.Conn

	addr  readerAddr
	leave func()
}

// RemoteAddr implements net.Conn.
func (c *boundedConn) RemoteAddr() net.Addr { return c.addr }

func (c *boundedConn) Close() error {
	defer c.leave()
	return c.Conn.Close() //nolint:wrapcheck // it stands for what it wraps
}
