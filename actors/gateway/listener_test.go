package gateway_test

import (
	"io"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/test/bufconn"
)

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
