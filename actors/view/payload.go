package view

import (
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/persistence"
)

// longPayload is the least length, in bytes, of payloads that are not copied when an event is decoded.
const longPayload = 1 << 10

// decodeEvent decodes an event of a history. It puts a mark in place of each long payload; no JSON value looks like one. payload returns
// the payload that a mark stands for.
func decodeEvent(raw []byte) (*journalv1.Event, [][]byte, error) {
	ev := new(journalv1.Event)
	short := raw
	var payloads [][]byte
	if len(raw) > longPayload {
		short = markPayloads(nil, raw, ev.ProtoReflect().Descriptor(), &payloads)
	}
	if err := proto.Unmarshal(short, ev); err != nil {
		return nil, nil, persistence.DecodeError("event", err)
	}
	return ev, payloads, nil
}

// markPayloads appends a message, with marks in place of its long payloads.
func markPayloads(to, raw []byte, of protoreflect.MessageDescriptor, payloads *[][]byte) []byte {
	for len(raw) > 0 {
		number, kind, n := protowire.ConsumeField(raw)
		if n < 0 {
			return append(to, raw...) // the decoder will tell what is wrong with it
		}
		field := of.Fields().ByNumber(number)
		if kind != protowire.BytesType || field == nil || n <= longPayload {
			to, raw = append(to, raw[:n]...), raw[n:]
			continue
		}
		_, _, tag := protowire.ConsumeTag(raw)
		value, _ := protowire.ConsumeBytes(raw[tag:])
		switch field.Kind() {
		case protoreflect.BytesKind:
			value, *payloads = []byte{0, byte(len(*payloads))}, append(*payloads, value) //nolint:gosec // an event has a few
		case protoreflect.MessageKind:
			value = markPayloads(nil, value, field.Message(), payloads)
		default:
		}
		to, raw = protowire.AppendBytes(append(to, raw[:tag]...), value), raw[n:]
	}
	return to
}

// payload returns the payload that data is, or that it is the mark of.
func payload(data []byte, payloads [][]byte) []byte {
	if len(data) == 2 && data[0] == 0 && int(data[1]) < len(payloads) {
		return payloads[data[1]]
	}
	return data
}
