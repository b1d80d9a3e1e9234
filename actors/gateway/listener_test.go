package gateway_test

import (
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/test/bufconn"

	"github.com/holdfast-run/holdfast/actors/gateway"
)

func TestBounded(t *testing.T) {
	t.Parallel()
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	refused := make(chan struct{}, 10)
	l := gateway.NewBounded(inner, 2, func() { refused <- struct{}{} })
	accepted := make(chan net.Conn, 10)
	ended := make(chan error, 1)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				ended <- err
				return
			}
			accepted <- c
		}
	}()
	dial := func() net.Conn {
		c, err := net.Dial("tcp", inner.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	var server []net.Conn
	for range 2 {
		dial()
		server = append(server, <-accepted)
	}
	third := dial()
	<-refused
	if _, err := third.Read(make([]byte, 1)); err == nil {
		t.Error("a third connection is open")
	}
	for range 2 { // closing twice makes room once
		_ = server[0].Close()
	}
	fourth := dial()
	c := <-accepted
	if _, err := io.WriteString(c, "x"); err != nil {
		t.Error(err)
	}
	if _, err := fourth.Read(make([]byte, 1)); err != nil {
		t.Errorf("the connection in the free place: %v", err)
	}
	dial()
	<-refused
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if err := <-ended; err == nil {
		t.Error("a closed listener accepts")
	}
	_ = server[1].Close()
	_ = c.Close()
}

// A client that connects and says nothing keeps its connection, and a node that stops, for some seconds only.
func TestSilentConnectionEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t)
		l := bufconn.Listen(1 << 10)
		served := make(chan error, 1)
		go func() { served <- n.grpc.Serve(l) }()
		c, err := l.Dial()
		if err != nil {
			t.Fatal(err)
		}
		settle()
		began := time.Now()
		n.grpc.GracefulStop()
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("it took %v to stop", took)
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
		if _, err := io.Copy(io.Discard, c); err != nil {
			t.Error(err)
		}
		_ = c.Close()
	})
}
