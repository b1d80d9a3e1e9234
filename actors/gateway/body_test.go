package gateway_test

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/iotest"

	"github.com/holdfast-run/holdfast/actors/gateway"
)

// Of a request one message is read, as a whole, before any of it is passed on; what comes behind ends the call.
func TestRequestBody(t *testing.T) {
	t.Parallel()
	whole := []byte{0, 0, 0, 0, 3, 'a', 'b', 'c'}
	long := []byte{0, 0xff, 0, 0, 0, 'a'}
	for name, c := range map[string]struct {
		path       string
		sent, want []byte
		reads      int // how many read something
		err        error
	}{
		"one message":           {path: "/s/m", sent: whole, want: whole, reads: 1},
		"none":                  {path: "/s/m"},
		"half of a message":     {path: "/s/m", sent: whole[:7], want: whole[:7], reads: 1, err: io.ErrUnexpectedEOF},
		"half of what leads it": {path: "/s/m", sent: whole[:3], want: whole[:3], reads: 1, err: io.ErrUnexpectedEOF},
		"two messages":          {path: "/s/m", sent: append(whole[:8:8], whole...), want: whole, reads: 1, err: gateway.ErrBodyOver},
		"one that is too long":  {path: "/s/m", sent: long, want: long[:5], reads: 1, err: gateway.ErrBodyOver},
		"few pieces":            {path: "/grpc.reflection.v1.ServerReflection/x", sent: whole, want: whole, reads: 8},
		"too many pieces": {
			path: "/grpc.reflection.v1.ServerReflection/x", sent: make([]byte, 1000), want: make([]byte, 256), reads: 256, err: gateway.ErrBodyOver,
		},
	} {
		body := gateway.RequestBody(c.path, io.NopCloser(iotest.OneByteReader(bytes.NewReader(c.sent))))
		var got []byte
		reads := 0
		var err error
		for err == nil {
			var n int
			b := make([]byte, 16<<10)
			n, err = body.Read(b)
			got = append(got, b[:n]...)
			if n > 0 {
				reads++
			}
		}
		if err == io.EOF {
			err = nil
		}
		if !bytes.Equal(got, c.want) || reads != c.reads || !errors.Is(err, c.err) {
			t.Errorf("%s: %x in %d reads, %v; want %x in %d, %v", name, got, reads, err, c.want, c.reads, c.err)
		}
	}
}
