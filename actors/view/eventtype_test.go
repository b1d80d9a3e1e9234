package view

import (
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/holdfast-run/holdfast/messages/eventtype"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
)

// Whatever a journal may have is told with a type and its name, and there is no type that nothing is told with.
func TestEventTypes(t *testing.T) {
	t.Parallel()
	told := map[orderv1.EventType]bool{}
	kinds := (&journalv1.Event{}).ProtoReflect().Descriptor().Oneofs().ByName("kind").Fields()
	for i := range kinds.Len() {
		if kinds.Get(i).Number() >= 60 {
			continue // of correlation slots, whose histories are not told
		}
		for _, ev := range variants(kinds.Get(i)) {
			h := historyEvent(ev, map[uint32]task{})
			typ := h.GetEventType()
			if typ == orderv1.EventType_EVENT_TYPE_UNSPECIFIED || h.GetType() != eventtype.Name(typ) {
				t.Errorf("%v is told as %v, %q", ev, typ, h.GetType())
			}
			told[typ] = true
		}
	}
	for n := range orderv1.EventType_name {
		if typ := orderv1.EventType(n); typ != orderv1.EventType_EVENT_TYPE_UNSPECIFIED && !told[typ] {
			t.Errorf("no event is told as %v", typ)
		}
	}
}

// variants are events of a kind: one with nothing in it, and one with each value that its fields of words or of yes and no may have.
func variants(kind protoreflect.FieldDescriptor) []*journalv1.Event {
	fields := kind.Message().Fields()
	with := func(fd protoreflect.FieldDescriptor, v protoreflect.Value) *journalv1.Event {
		ev := &journalv1.Event{}
		m := ev.ProtoReflect().Mutable(kind).Message()
		if fd != nil {
			m.Set(fd, v)
		}
		return ev
	}
	all := []*journalv1.Event{with(nil, protoreflect.Value{})}
	for i := range fields.Len() {
		switch fd := fields.Get(i); fd.Kind() {
		case protoreflect.BoolKind:
			all = append(all, with(fd, protoreflect.ValueOfBool(true)))
		case protoreflect.EnumKind:
			for n := range fd.Enum().Values().Len() {
				all = append(all, with(fd, protoreflect.ValueOfEnum(fd.Enum().Values().Get(n).Number())))
			}
		default:
		}
	}
	return all
}
