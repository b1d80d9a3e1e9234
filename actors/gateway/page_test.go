package gateway

import (
	"bytes"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/holdfast-run/holdfast/messages/orderv1"
)

func TestPage(t *testing.T) {
	t.Parallel()
	p := newPage(3)
	defer putBuffer(p.buffer)
	large := &orderv1.HistoryEvent{Version: 1, Data: bytes.Repeat([]byte("x"), pageBytes+1)}
	if !p.room(proto.Size(large)) || !p.add(large) {
		t.Error("a page has no room for one event that is larger than it")
	}
	if p.room(10) || p.add(&orderv1.HistoryEvent{Version: 2}) || !p.more {
		t.Error("a page that is full has room for another event")
	}
	p = newPage(3)
	for v := range uint64(3) {
		if !p.room(10) || !p.add(&orderv1.HistoryEvent{Version: v + 1}) || p.more {
			t.Errorf("a page has no room for event %d", v+1)
		}
	}
	if p.room(10) || !p.more {
		t.Error("a page has more events than it may")
	}
	var got orderv1.WatchResponse
	if err := proto.Unmarshal(*p.buffer, &got); err != nil || len(got.GetEvents()) != 3 || got.GetEvents()[2].GetVersion() != 3 {
		t.Errorf("the page is %v, %v", &got, err)
	}
}
