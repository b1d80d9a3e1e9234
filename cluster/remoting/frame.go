package remoting

import (
	"errors"
	"fmt"

	"github.com/asynkron/protoactor-go/remote"
	"google.golang.org/grpc/encoding"
	grpcproto "google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

const (
	// parcelType is the one kind of message that a frame may hold.
	parcelType = "holdfast.remoting.v1.Parcel"
	// recipient is the one actor that a peer can reach.
	recipient = "holdfast"
)

// frame is a remote.RemoteMessage as it goes over the wire.
type frame struct {
	// out is what is sent.
	out mem.BufferSlice
	// in is what came; whoever reads it frees it.
	in mem.Buffer
}

// codec hands frames over as they came, so that they can be judged before anything is made of them. Other messages it encodes as gRPC
// does.
type codec struct{ encoding.CodecV2 }

func newCodec() codec { return codec{encoding.GetCodecV2(grpcproto.Name)} }

// Marshal implements encoding.CodecV2.
func (c codec) Marshal(v any) (mem.BufferSlice, error) {
	if f, ok := v.(*frame); ok {
		return f.out, nil
	}
	return c.CodecV2.Marshal(v) //nolint:wrapcheck // it stands for what it wraps
}

// Unmarshal implements encoding.CodecV2.
func (c codec) Unmarshal(data mem.BufferSlice, v any) error {
	if f, ok := v.(*frame); ok {
		f.in = data.MaterializeToBuffer(mem.DefaultBufferPool())
		return nil
	}
	return c.CodecV2.Unmarshal(data, v) //nolint:wrapcheck // it stands for what it wraps
}

// The numbers of the fields of a frame: RemoteMessage, MessageBatch, MessageEnvelope, Parcel.
const (
	fieldBatch          = 1
	fieldConnect        = 2
	fieldTypeNames      = 1
	fieldTargets        = 2
	fieldEnvelopes      = 3
	fieldSenders        = 4
	fieldData           = 2
	fieldParcelSender   = 1
	fieldParcelReceiver = 2
	fieldLetters        = 3
)

// encoder makes the frames of one link.
type encoder struct {
	head, names []byte
}

func newEncoder(sender, receiver Node) encoder {
	var e encoder
	e.head = appendString(e.head, fieldParcelSender, string(sender.Incarnation))
	e.head = appendString(e.head, fieldParcelReceiver, string(receiver.Incarnation))
	e.names = appendString(e.names, fieldTypeNames, parcelType)
	e.names = appendString(e.names, fieldTargets, recipient)
	return e
}

// frame puts letters into a frame, with one envelope of protoactor that holds one parcel. It returns its size, too.
func (e encoder) frame(letters []letter) (*frame, int) {
	parcel := len(e.head)
	for i := range letters {
		parcel += field(fieldLetters, len(letters[i].raw))
	}
	envelope := field(fieldData, parcel)
	batch := len(e.names) + field(fieldEnvelopes, envelope)
	size := field(fieldBatch, batch)
	pool := mem.DefaultBufferPool()
	buf := pool.Get(size)
	b := (*buf)[:0]
	b = appendLength(b, fieldBatch, batch)
	b = append(b, e.names...)
	b = appendLength(b, fieldEnvelopes, envelope)
	b = appendLength(b, fieldData, parcel)
	b = append(b, e.head...)
	for i := range letters {
		b = appendLength(b, fieldLetters, len(letters[i].raw))
		b = append(b, letters[i].raw...)
	}
	*buf = b
	return &frame{out: mem.BufferSlice{mem.NewBuffer(buf, pool)}}, size
}

func field(number protowire.Number, size int) int {
	return protowire.SizeTag(number) + protowire.SizeBytes(size)
}

func appendLength(b []byte, number protowire.Number, size int) []byte {
	b = protowire.AppendTag(b, number, protowire.BytesType)
	return protowire.AppendVarint(b, uint64(size)) //nolint:gosec // it is not negative
}

func appendString(b []byte, number protowire.Number, s string) []byte {
	return append(appendLength(b, number, len(s)), s...)
}

// fault is why a frame, or a part of it, was refused: Reason is its name in the metric, Text is for people.
type fault struct{ reason, text string }

// Error implements error.
func (f *fault) Error() string { return f.text }

func faultOf(reason, format string, args ...any) *fault {
	return &fault{reason: reason, text: fmt.Sprintf(format, args...)}
}

const (
	// mostEnvelopes is how many envelopes of protoactor a frame may have, and mostNames how many names of types and of targets.
	// A node of this version makes one of each.
	mostEnvelopes = 64
	mostNames     = 64
	// mostConnect is the longest request to connect, in bytes.
	mostConnect = 4 << 10
)

// judge checks a frame that a client has sent, and reads it into m: all that is in m afterwards may be handled. A fault says that there
// was something else, too, which was left out.
//
// Numbers of types and targets are checked, as protoactor takes them for granted and panics at one that is out of range; other messages
// than ours, and other targets, are left out, as it would hand a Stop to any actor.
func judge(raw []byte, m *remote.RemoteMessage) *fault {
	proto.Reset(m)
	if f := measure(raw); f != nil {
		return f
	}
	if err := proto.Unmarshal(raw, m); err != nil {
		return faultOf("malformed", "frame can't be read")
	}
	batch := m.GetMessageBatch()
	if batch == nil {
		if m.GetConnectRequest().GetServerConnection() == nil {
			m.MessageType = nil
			return faultOf("foreign", "frame is neither a batch nor a request of a node to connect")
		}
		return nil
	}
	var first *fault
	fit := batch.Envelopes[:0]
	for _, e := range batch.Envelopes {
		if f := judgeEnvelope(batch, e); f != nil {
			if first == nil {
				first = f
			}
			continue
		}
		fit = append(fit, e)
	}
	batch.Envelopes = fit
	if first == nil && len(batch.Senders) > 0 {
		first = faultOf("foreign", "frame names actors that send")
	}
	return first
}

func judgeEnvelope(batch *remote.MessageBatch, e *remote.MessageEnvelope) *fault {
	switch within := func(i int32, n int) bool { return i >= 0 && int(i) < n }; {
	case !within(e.GetTypeId(), len(batch.GetTypeNames())):
		return faultOf("index", "message has type %d, and the frame names %d", e.GetTypeId(), len(batch.GetTypeNames()))
	case !within(e.GetTarget(), len(batch.GetTargets())):
		return faultOf("index", "message has target %d, and the frame names %d", e.GetTarget(), len(batch.GetTargets()))
	case e.GetSender() < 0 || int(e.GetSender()) > len(batch.GetSenders()):
		return faultOf("index", "message has sender %d, and the frame names %d", e.GetSender(), len(batch.GetSenders()))
	case batch.GetTypeNames()[e.GetTypeId()] != parcelType:
		return faultOf("type", "message is a %.80q, and only a %s is taken", batch.GetTypeNames()[e.GetTypeId()], parcelType)
	case batch.GetTargets()[e.GetTarget()] != recipient:
		return faultOf("target", "message is for actor %.80q, which is not for peers", batch.GetTargets()[e.GetTarget()])
	case e.GetSerializerId() != 0 || e.GetSender() != 0 || e.GetMessageHeader() != nil || e.GetTargetRequestId() != 0 ||
		e.GetSenderRequestId() != 0:
		return faultOf("foreign", "message has a sender, a header, or another encoding")
	}
	if f := measureParcel(e.GetMessageData()); f != nil {
		return f
	}
	return nil
}

// measure bounds how much a frame becomes when it is read, before it is.
func measure(raw []byte) *fault {
	fields, envelopes, names := 0, 0, 0
	err := walk(raw, func(number protowire.Number, value []byte) error {
		fields++
		switch {
		case fields > 1:
			return faultOf("malformed", "frame has several contents")
		case number == fieldConnect:
			if len(value) > mostConnect {
				return faultOf("oversize", "request to connect has %d bytes, and may have %d", len(value), mostConnect)
			}
			return nil
		case number != fieldBatch:
			return faultOf("foreign", "frame has content %d", number)
		}
		return walk(value, func(number protowire.Number, _ []byte) error {
			switch number {
			case fieldEnvelopes:
				envelopes++
			case fieldTypeNames, fieldTargets, fieldSenders:
				names++
			default:
				return faultOf("foreign", "batch has field %d", number)
			}
			if envelopes > mostEnvelopes || names > mostNames {
				return faultOf("oversize", "frame has more than %d messages, or %d names", mostEnvelopes, mostNames)
			}
			return nil
		})
	})
	return asFault(err)
}

// measureParcel does so with a parcel. Fields of later versions are passed over.
func measureParcel(raw []byte) *fault {
	letters := 0
	return asFault(walk(raw, func(number protowire.Number, _ []byte) error {
		if number == fieldLetters {
			if letters++; letters > mostInFrame {
				return faultOf("oversize", "parcel has more than %d letters", mostInFrame)
			}
		}
		return nil
	}))
}

func asFault(err error) *fault {
	var f *fault
	switch {
	case err == nil:
		return nil
	case errors.As(err, &f):
		return f
	}
	return faultOf("malformed", "frame can't be read")
}

// walk tells each field of a message; its value, if it is one of bytes.
func walk(raw []byte, visit func(number protowire.Number, value []byte) error) error {
	for len(raw) > 0 {
		number, typ, n := protowire.ConsumeTag(raw)
		if n < 0 {
			return protowire.ParseError(n) //nolint:wrapcheck // asFault replaces it
		}
		raw = raw[n:]
		var value []byte
		if typ == protowire.BytesType {
			value, n = protowire.ConsumeBytes(raw)
		} else {
			n = protowire.ConsumeFieldValue(number, typ, raw)
		}
		if n < 0 {
			return protowire.ParseError(n) //nolint:wrapcheck // asFault replaces it
		}
		if err := visit(number, value); err != nil {
			return err
		}
		raw = raw[n:]
	}
	return nil
}
