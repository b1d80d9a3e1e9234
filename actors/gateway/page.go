package gateway

import (
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/holdfast-run/holdfast/messages/orderv1"
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
