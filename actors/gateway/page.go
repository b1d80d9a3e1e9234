package gateway

import (
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/persistence"
)

// page is a message with events that is encoded while they are read. So a payload is copied once, from where the journal has it,
// and what is read for many clients leaves little garbage.
type page struct {
	buffer *[]byte
	events int
	limit  int
	more   bool // it stopped before the end of the history
}

// fieldOfEvents is that of the events in orderv1.HistoryResponse and orderv1.WatchResponse.
const fieldOfEvents = 1

func newPage(limit int) *page { return &page{buffer: buffers.Get().(*[]byte), limit: limit} } //nolint:errcheck,forcetypeassert // of New

// room tells whether one more event of about so many bytes may be added; the first one always may.
func (p *page) room(bytes int) bool {
	p.more = p.events == p.limit || p.events > 0 && len(*p.buffer)+bytes+eventOverhead > pageBytes
	return !p.more
}

// add adds an event, unless there is no room for it.
func (p *page) add(ev *orderv1.HistoryEvent) bool {
	size := proto.Size(ev)
	if !p.room(size) {
		return false
	}
	b := protowire.AppendTag(*p.buffer, fieldOfEvents, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(size)) //nolint:gosec // not negative
	b, err := (proto.MarshalOptions{UseCachedSize: true}).MarshalAppend(b, ev)
	if err != nil {
		panic(fmt.Sprintf("encode event %d: %v", ev.GetVersion(), err))
	}
	*p.buffer = b
	p.events++
	return true
}

// longPayload is how long payloads are that are not copied when an event is decoded.
const longPayload = 1 << 10

// decodeEvent decodes an event of a history. In place of a long payload it puts a mark, which no JSON value is like; payload
// finds what that stands for.
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
			return append(to, raw...) // decoding it tells what is wrong
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

// payload returns the payload that data is, or stands for.
func payload(data []byte, payloads [][]byte) []byte {
	if len(data) == 2 && data[0] == 0 && int(data[1]) < len(payloads) {
		return payloads[data[1]]
	}
	return data
}
