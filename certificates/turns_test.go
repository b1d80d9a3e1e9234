package certificates_test

import (
	"net"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc/test/bufconn"

	"github.com/holdfast-run/holdfast/certificates"
	"github.com/holdfast-run/holdfast/certificates/certificatetest"
)

// No more handshakes are computed at once than may be. Those that wait for the other side are not counted, nor those whose client has gone.
func TestHandshakesTakeTurns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := certificatetest.New(t)
		slow := slowWrites{bufconn.Listen(1 << 16), make(chan struct{}, 1000), make(chan struct{}), make(chan slowConn, 10)}
		s, err := certificates.NewServer(certificates.ServerConfig{
			Files: a.Files("node.example"), Protocols: []string{"h2"}, Handshakes: 1, Refused: func(net.Addr, error) {},
		})
		must(t, err)
		l := s.Secured(s.Listener(slow))
		own := a.Files("client")
		with, err := certificates.Client{CA: own.CA, Certificate: own.Certificate, Key: own.Key}.Credentials()
		must(t, err)
		// connect has a connection that the server reads from until it ends.
		connect := func() net.Conn {
			go func() {
				c, err := l.Accept()
				if err == nil {
					_, _ = c.Read(make([]byte, 1))
					_ = c.Close()
				}
			}()
			raw, err := slow.inner.Dial()
			must(t, err)
			synctest.Wait()
			return raw
		}
		// shake does a handshake, and returns what it ends with.
		shake := func() <-chan error {
			raw, done := connect(), make(chan error, 1)
			go func() {
				_, _, err := with.ClientHandshake(t.Context(), "node.example:1", raw)
				done <- err
				_ = raw.Close()
			}()
			synctest.Wait()
			return done
		}
		silent := connect()
		first, second := shake(), shake()
		if len(slow.writing) != 1 {
			t.Fatalf("%d handshakes are computed at once", len(slow.writing))
		}
		for range 2 { // the silent one, and the first
			<-slow.accepted
		}
		close((<-slow.accepted).gone)
		if err := <-second; err == nil {
			t.Error("a handshake of a connection that was closed succeeds")
		}
		close(slow.released)
		if err := <-first; err != nil {
			t.Error(err)
		}
		_ = silent.Close()
		synctest.Wait()
	})
}

// slowWrites is a listener whose connections do not write before they are let.
type slowWrites struct {
	inner             *bufconn.Listener
	writing, released chan struct{}
	accepted          chan slowConn
}

// Accept implements net.Listener.
func (l slowWrites) Accept() (net.Conn, error) {
	inner, err := l.inner.Accept()
	c := slowConn{inner, l, make(chan struct{})}
	l.accepted <- c
	return c, err
}

func (l slowWrites) Addr() net.Addr { return l.inner.Addr() }
func (l slowWrites) Close() error   { return l.inner.Close() }

type slowConn struct {
	net.Conn

	l    slowWrites
	gone chan struct{}
}

func (c slowConn) Write(b []byte) (int, error) {
	c.l.writing <- struct{}{}
	<-c.l.released
	return c.Conn.Write(b)
}

// Closed is closed when the connection is closed beneath.
func (c slowConn) Closed() <-chan struct{} { return c.gone }
