package gateway

import (
	"fmt"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/holdfast-run/holdfast/messages/adapterv1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
)

// bounded is a message of a stream that may have many parts, each of which takes much more memory than bytes on the wire. It is looked at
// before it is decoded: what has too many parts is not decoded at all.
type bounded struct {
	message proto.Message
	// most is the most parts; in says of which parts the parts count as well.
	most int
	in   func(field protowire.Number) bool
	// err says why the message was not decoded.
	err error
}

const (
	// maxParts is the most submissions, results, credits and the like in one message of a stream, maxHelloParts the most of an adapter's,
	// its activities and keys included.
	maxParts      = 20_000
	maxHelloParts = 200_000
)

// The fields of adapterv1.ConnectRequest that have keys.
const (
	helloField    = 1
	listingsField = 8
)

func (b *bounded) decode(data mem.BufferSlice, codec codec) error {
	buffer := data.MaterializeToBuffer(mem.DefaultBufferPool())
	defer buffer.Free()
	if n, inner := parts(buffer.ReadOnlyData(), b.in); n > maxParts || n+inner > b.most {
		b.err = &failure{
			code: codes.InvalidArgument, reason: "FRAME",
			message: fmt.Sprintf("a message has %d parts, of at most %d, and with keys and activities %d, of at most %d",
				n, maxParts, n+inner, b.most),
		}
		return nil
	}
	return codec.CodecV2.Unmarshal(data, b.message) //nolint:wrapcheck // it stands for what it wraps
}

// parts counts the fields of an encoded message, and those in the fields that in tells. What can't be read is left to the decoder.
func parts(data []byte, in func(protowire.Number) bool) (n, inner int) {
	for len(data) > 0 {
		number, kind, tag := protowire.ConsumeTag(data)
		if tag < 0 {
			return n, inner
		}
		size := protowire.ConsumeFieldValue(number, kind, data[tag:])
		if size < 0 {
			return n, inner
		}
		if n++; in != nil && kind == protowire.BytesType && in(number) {
			value, _ := protowire.ConsumeBytes(data[tag:])
			more, _ := parts(value, nil)
			inner += more
		}
		data = data[tag+size:]
	}
	return n, inner
}

// receive receives the next message of an adapter.
func receive(st adapterConn) (*adapterv1.ConnectRequest, error) {
	m := &adapterv1.ConnectRequest{}
	b := &bounded{message: m, most: maxHelloParts, in: func(f protowire.Number) bool { return f == helloField || f == listingsField }}
	return m, b.receive(st)
}

// receiveSubmissions receives the next message of a client.
func receiveSubmissions(st grpc.ServerStream) (*orderv1.SubmitStreamRequest, error) {
	m := &orderv1.SubmitStreamRequest{}
	b := &bounded{message: m, most: maxParts}
	return m, b.receive(st)
}

func (b *bounded) receive(st grpc.ServerStream) error {
	if err := st.RecvMsg(b); err != nil {
		return err //nolint:wrapcheck // io.EOF is no error
	}
	return b.err
}
