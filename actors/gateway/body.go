package gateway

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
)

// RequestBody bounds what is read ahead of a call whose method is at a path. Where gRPC is served over the HTTP server of the standard
// library, it reads the body of a request as fast as it comes, into buffers of 16 KiB each, whether the call takes it or not: so clients
// would have the node hold as much as they send, and more.
func RequestBody(path string, body io.ReadCloser) io.ReadCloser {
	if strings.HasPrefix(path, "/grpc.reflection.") {
		return &fewReads{body, reflectionReads}
	}
	return &oneMessage{ReadCloser: body}
}

const (
	// reflectionReads is how many pieces of requests one stream of reflection may have: it asks for some services, and for what they import.
	reflectionReads = 256
	// maxRequest is the longest request of operators, in bytes, and messagePrefix how much gRPC has before it.
	maxRequest    = 4 << 20
	messagePrefix = 5
)

var errBodyOver = errors.New("more than one request of the call, or too much of it")

// oneMessage is the body of a request that has one message. That is read as a whole before the first of it is passed on.
type oneMessage struct {
	io.ReadCloser

	begun   bool
	message bytes.Buffer
	err     error
}

// Read implements io.Reader.
func (o *oneMessage) Read(b []byte) (int, error) {
	if !o.begun {
		o.begun, o.err = true, o.fill()
	}
	if o.message.Len() > 0 {
		return o.message.Read(b) //nolint:wrapcheck // it stands for what it wraps
	}
	if o.err == nil {
		var n int
		if n, o.err = o.ReadCloser.Read(b[:min(1, len(b))]); n > 0 {
			o.err = errBodyOver
		}
	}
	return 0, o.err
}

func (o *oneMessage) fill() error {
	if n, err := io.CopyN(&o.message, o.ReadCloser, messagePrefix); err != nil {
		if n > 0 && errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return err
	}
	size := binary.BigEndian.Uint32(o.message.Bytes()[1:])
	if size > maxRequest {
		return fmt.Errorf("%w: %d bytes", errBodyOver, size) // gRPC reads what stands before, and refuses it by that
	}
	if _, err := io.CopyN(&o.message, o.ReadCloser, int64(size)); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return err
	}
	return nil
}

// fewReads is a body that comes in few pieces.
type fewReads struct {
	io.ReadCloser

	left int
}

// Read implements io.Reader.
func (f *fewReads) Read(b []byte) (int, error) {
	if f.left == 0 {
		return 0, errBodyOver
	}
	f.left--
	return f.ReadCloser.Read(b) //nolint:wrapcheck // it stands for what it wraps
}
