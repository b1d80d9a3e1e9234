package attack

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// Frames is a connection of HTTP/2 whose client sends what frames it likes.
type Frames struct {
	*http2.Framer

	// Conn is what it is on.
	Conn net.Conn
	// Ended is told why the node closes the connection; empty: it was not said.
	Ended chan string
	// Status is told the statuses of calls that end, and the codes of streams that the node resets, as far as somebody takes them.
	Status chan string

	block   bytes.Buffer
	encoder *hpack.Encoder
	next    uint32
}

// NotClosed is what Ended is told when the connection was open until its deadline.
const NotClosed = "the node does not close it"

// NewFrames begins to speak HTTP/2. Whoever calls it reads with Read.
func NewFrames(conn net.Conn) (*Frames, error) {
	f := &Frames{
		Framer: http2.NewFramer(conn, conn), Conn: conn, next: 1, Ended: make(chan string, 1), Status: make(chan string, 2000),
	}
	f.encoder = hpack.NewEncoder(&f.block)
	f.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	_, err := io.WriteString(conn, http2.ClientPreface)
	return f, errors.Join(err, f.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 20}))
}

// Read reads until the node closes the connection, or its deadline.
func (f *Frames) Read() {
	why := ""
	for {
		frame, err := f.ReadFrame()
		if err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) {
				why = NotClosed
			}
			f.Ended <- why
			return
		}
		switch frame := frame.(type) {
		case *http2.GoAwayFrame:
			why = fmt.Sprintf("%v %s", frame.ErrCode, frame.DebugData())
		case *http2.MetaHeadersFrame:
			for _, field := range frame.RegularFields() {
				if field.Name == "grpc-status" {
					f.tell(field.Value)
				}
			}
		case *http2.RSTStreamFrame:
			f.tell(frame.ErrCode.String())
		}
	}
}

func (f *Frames) tell(status string) {
	select {
	case f.Status <- status:
	default:
	}
}

// Begun tells whether a call was begun.
func (f *Frames) Begun() bool { return f.next > 1 }

// callFields are the header fields of a call.
func callFields(method string) []hpack.HeaderField {
	return []hpack.HeaderField{
		{Name: ":method", Value: "POST"},
		{Name: ":scheme", Value: "http"},
		{Name: ":path", Value: method},
		{Name: ":authority", Value: "node"},
		{Name: "content-type", Value: "application/grpc"},
		{Name: "te", Value: "trailers"},
	}
}

// Call begins a call, and returns its stream.
func (f *Frames) Call(method string, flags http2.Flags) (uint32, error) {
	f.block.Reset()
	for _, field := range callFields(method) {
		if err := f.encoder.WriteField(field); err != nil {
			return 0, err //nolint:wrapcheck // the buffer's
		}
	}
	id := f.next
	f.next += 2
	return id, f.WriteRawFrame(http2.FrameHeaders, flags, id, f.block.Bytes()) //nolint:wrapcheck // the connection's
}

// Message is the beginning of a message of gRPC that would be so long.
func Message(size, sent int) []byte {
	b := make([]byte, 5+sent)
	b[1], b[2], b[3], b[4] = byte(size>>24), byte(size>>16), byte(size>>8), byte(size)
	return b
}

// errEnded is that the node has closed a connection.
var errEnded = errors.New("the node has closed the connection")

// outside is the address from which an attacker connects to a loopback address: nobody else does, as nobody has the address of who attacks
// from outside.
var outside = &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}

// dial makes a connection, which is closed when the function that it returns is called, or ctx ends.
func dial(ctx context.Context, address string) (conn net.Conn, closed func(), err error) {
	dialer := &net.Dialer{}
	if strings.HasPrefix(address, "127.") {
		dialer.LocalAddr = outside
	}
	conn, err = dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, nil, err //nolint:wrapcheck // it names the address
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	return conn, func() {
		stop()
		_ = conn.Close()
	}, nil
}

// frames makes a connection that speaks HTTP/2, and calls a function with it. What it returns may be an error of the connection: why that
// has ended is counted, and how its calls did.
func (a *assault) frames(ctx context.Context, address string, do func(f *Frames) error) {
	conn, closed, err := dial(ctx, address)
	if err != nil {
		rest(ctx, turnEvery)
		return
	}
	f, err := NewFrames(conn)
	over := make(chan struct{})
	go func() {
		defer close(over)
		f.Read()
	}()
	if err == nil {
		err = do(f)
	}
	if err == nil {
		closed() // by its own will
	}
	<-over
	closed()
	if ctx.Err() != nil {
		return
	}
	why := <-f.Ended
	if err != nil {
		if _, reason, said := strings.Cut(why, "closed by the node: "); said {
			why = reason
		} else if why = strings.TrimSpace(why); why == "" {
			why = "closed"
		}
		a.refuse(why)
	}
	for len(f.Status) > 0 {
		if s := <-f.Status; s != "0" {
			a.refuse("status " + s)
		}
	}
}
