package grpc

import (
	"bytes"
	"encoding/json"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"
)

// output makes what the call leaves: a message as JSON has it, or a list of those that a stream had.
func (x *invocation) output(a answer) (json.RawMessage, error) {
	limit := x.caller.config.ResponseBytes
	if a.tooLong {
		return nil, x.unreported("the answer has more than %d bytes, which is the limit", limit)
	}
	var out bytes.Buffer
	streams := x.method.IsStreamingServer()
	if streams {
		out.WriteByte('[')
	}
	w := weight{types: x.method.types, left: limit}
	for i, encoded := range a.messages {
		if i > 0 {
			out.WriteByte(',')
		}
		if !w.message(encoded, x.method.Output(), 0) {
			return nil, x.unreported("what the answer has takes more than %d bytes as JSON, which is the limit, or nests too deep", limit)
		}
		text, err := x.decoded(encoded)
		if err != nil {
			return nil, err
		}
		if err := json.Compact(&out, text); err != nil {
			return nil, x.unreported("the answer can't be encoded")
		}
		if out.Len() > limit {
			return nil, x.unreported("the answer has more than %d bytes as JSON, which is the limit", limit)
		}
	}
	if streams {
		out.WriteByte(']')
	}
	return out.Bytes(), nil
}

// decoded is a message as JSON has it. What has no presence is there with its default: so zero, false and empty can be told from what the
// message lacks.
func (x *invocation) decoded(encoded []byte) ([]byte, error) {
	name := x.method.Output().FullName()
	message := dynamicpb.NewMessage(x.method.Output())
	if err := (proto.UnmarshalOptions{Resolver: x.method.types}).Unmarshal(encoded, message); err != nil {
		return nil, x.unreported("the answer is not the message %s: %s", name, why(err))
	}
	text, err := protojson.MarshalOptions{EmitDefaultValues: true, Resolver: x.method.types}.Marshal(message)
	if err != nil {
		return nil, x.unreported("the answer can't be told as the message %s: %s", name, why(err))
	}
	return text, nil
}

// weight is how much may be made of an answer: few bytes can stand for many messages, each of which takes memory, and room for its defaults
// as JSON.
type weight struct {
	types *dynamicpb.Types
	left  int
}

// The least that a message counts, in bytes, and how deep messages may nest.
const (
	leastWeight = 32
	maxNesting  = 64
)

// message counts a message with all in it, before it is decoded. It tells whether there was room. What is no message is left to whoever
// decodes it.
func (w *weight) message(b []byte, d protoreflect.MessageDescriptor, depth int) bool {
	w.left -= leastWeight
	for i := range d.Fields().Len() {
		if f := d.Fields().Get(i); !f.HasPresence() {
			w.left -= len(f.JSONName()) + len(`"":"",`)
		}
	}
	if w.left < 0 || depth > maxNesting {
		return false
	}
	var url string
	for len(b) > 0 {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return true
		}
		value := b[n:]
		if n = protowire.ConsumeFieldValue(number, kind, value); n < 0 {
			return true
		}
		b, value = value[n:], value[:n]
		f := d.Fields().ByNumber(number)
		if f == nil {
			continue
		}
		inner, of := contentOf(value, kind, number), f.Message()
		if d.FullName() == "google.protobuf.Any" {
			if number == 1 {
				url = string(inner)
				continue
			}
			if held, err := w.types.FindMessageByURL(url); err == nil {
				of = held.Descriptor()
			}
		}
		if of != nil && !w.message(inner, of, depth+1) {
			return false
		}
	}
	return true
}

// contentOf is what the value of a field has.
func contentOf(value []byte, kind protowire.Type, number protowire.Number) []byte {
	var content []byte
	switch kind {
	case protowire.BytesType:
		content, _ = protowire.ConsumeBytes(value)
	case protowire.StartGroupType:
		content, _ = protowire.ConsumeGroup(number, value)
	default: // a number has nothing in it
	}
	return content
}
