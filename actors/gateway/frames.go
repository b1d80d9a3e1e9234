package gateway

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/holdfast-run/holdfast/actors/runtime"
)

// receiver receives the messages of a stream that may have many parts, each of which takes much more memory than bytes on the wire. A
// message is looked at before it is decoded: what has too many parts is not decoded at all. One that is heavy work is charged to whoever
// sends it, and the next one is not received before that one has a turn.
type receiver struct {
	*Server

	st grpc.ServerStream
	// most is the most parts; in says of which parts the parts count as well.
	most int
	in   func(field protowire.Number) bool
	// adapter: an adapter sends them. Many parts are heavy work then, and what the journal keeps of them is not charged elsewhere.
	adapter bool
	// heavy: the next message is not received before its sender has a turn.
	heavy bool
	// waits: its sender has none yet.
	waits atomic.Bool
}

// inbound is a message that is being received.
type inbound struct {
	*receiver

	ctx     context.Context //nolint:containedctx // of the stream
	message proto.Message
	// err says why the message was not decoded.
	err error
}

const (
	// manyParts is how many parts of a message of an adapter are heavy work, and partTakes about what each takes beside its decoding.
	manyParts = 1000
	partTakes = time.Microsecond
	// refusalTakes is about what it takes in all to refuse what an adapter has said, or a submission.
	refusalTakes = 30 * time.Microsecond
	// byteTakes is about what it has taken to read and copy a byte of a message before that is decoded.
	byteTakes = time.Nanosecond
	// unlistedTakes is about what it takes to find out that no order waits for a result: the order may have to be read.
	unlistedTakes = 200 * time.Microsecond
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

func (r *inbound) decode(data mem.BufferSlice, codec codec) error {
	buffer := data.MaterializeToBuffer(mem.DefaultBufferPool())
	defer buffer.Free()
	n, inner := parts(buffer.ReadOnlyData(), r.in)
	if r.heavy = r.adapter && n+inner >= manyParts || data.Len() >= heavyInput*max(1, n); r.heavy {
		pass := r.force(r.ctx, runtime.HeavyRequest)
		defer pass.Leave()
		pass.Count(time.Duration(data.Len()) * byteTakes)
		if r.adapter {
			pass.Count(time.Duration(n+inner)*partTakes + runtime.WriteTakes(data.Len()))
		}
	}
	if n > maxParts || n+inner > r.most {
		r.err = &failure{
			code: codes.InvalidArgument, reason: "FRAME",
			message: fmt.Sprintf("a message has %d parts, of at most %d, and with keys and activities %d, of at most %d",
				n, maxParts, n+inner, r.most),
		}
		return nil
	}
	return codec.CodecV2.Unmarshal(data, r.message) //nolint:wrapcheck // it stands for what it wraps
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

// ofAdapter receives what an adapter sends. There is no telling what its hello is, before it was received.
func (s *Server) ofAdapter(st adapterConn) *receiver {
	in := func(f protowire.Number) bool { return f == helloField || f == listingsField }
	return &receiver{Server: s, st: st, most: maxHelloParts, in: in, adapter: true, heavy: true}
}

// ofClient receives what a client sends on a stream of submissions.
func (s *Server) ofClient(st grpc.ServerStream) *receiver {
	return &receiver{Server: s, st: st, most: maxParts}
}

// charge charges the sender for what it took to refuse what it has said.
func (r *receiver) charge(ctx context.Context, takes time.Duration) {
	if takes == 0 {
		return
	}
	pass := r.force(ctx, runtime.HeavyRequest)
	pass.Count(takes)
	pass.Leave()
	r.heavy = true
}

// receive receives the next message.
func (r *receiver) receive(ctx context.Context, m proto.Message) error {
	if r.heavy {
		r.waits.Store(true)
		pass, err := r.enter(ctx, runtime.HeavyRequest, "")
		if err != nil {
			return r.fail(err)
		}
		pass.Leave()
		r.waits.Store(false)
	}
	next := &inbound{receiver: r, ctx: ctx, message: m}
	if err := r.st.RecvMsg(next); err != nil {
		return err //nolint:wrapcheck // io.EOF is no error
	}
	return next.err
}
