package gateway

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/auditv1"
)

const (
	// maxNote is the longest text of a note, in bytes; by and reason may have that of requests.
	maxNote = 256
	// maxNotes is the most values before and after of one change.
	maxNotes = 16
	// mostFields is the most fields of a request that are told.
	mostFields = 64
)

// tellRequest tells what a request says: who and why by themselves, and all else by the names of its fields.
func tellRequest(b *auditv1.Begun, request proto.Message) {
	t := &requestTeller{Begun: b}
	t.message("", request.ProtoReflect())
	slices.SortStableFunc(b.GetFields(), func(x, y *auditv1.Field) int { return strings.Compare(x.GetName(), y.GetName()) })
	if t.more > 0 {
		b.Fields = append(b.Fields, &auditv1.Field{Name: "…", Value: fmt.Sprintf("%d more", t.more)})
	}
}

type requestTeller struct {
	*auditv1.Begun

	more int
}

func (t *requestTeller) add(name, value string) {
	switch {
	case name == "by" || name == "action.by":
		t.By = messages.Clip(value, maxReason)
	case name == "reason" || name == "action.reason":
		t.Reason = messages.Clip(value, maxReason)
	case len(t.GetFields()) == mostFields:
		t.more++
	default:
		t.Fields = append(t.Fields, &auditv1.Field{Name: messages.Clip(name, maxNote), Value: messages.Clip(value, maxNote)})
	}
}

// message tells the fields of a message; name is that of the field that it is in.
func (t *requestTeller) message(name string, m protoreflect.Message) {
	switch known := m.Interface().(type) {
	case *timestamppb.Timestamp:
		t.add(name, known.AsTime().Format(time.RFC3339Nano))
		return
	case *durationpb.Duration:
		t.add(name, known.AsDuration().String())
		return
	}
	if name != "" {
		if !m.IsValid() || proto.Size(m.Interface()) == 0 {
			t.add(name, "")
		}
		name += "."
	}
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		at := name + string(f.Name())
		switch {
		case f.IsMap():
			v.Map().Range(func(k protoreflect.MapKey, v protoreflect.Value) bool {
				t.value(at+"."+k.String(), f.MapValue(), v)
				return true
			})
		case f.IsList():
			for i := range v.List().Len() {
				t.value(fmt.Sprintf("%s.%d", at, i), f, v.List().Get(i))
			}
		default:
			t.value(at, f, v)
		}
		return true
	})
}

// value tells one value. Of bytes, which are payloads, only their length and hash are told: they may be secret, and long.
func (t *requestTeller) value(name string, f protoreflect.FieldDescriptor, v protoreflect.Value) {
	switch f.Kind() {
	case protoreflect.MessageKind:
		t.message(name, v.Message())
	case protoreflect.BytesKind:
		sum := sha256.Sum256(v.Bytes())
		t.add(name, fmt.Sprintf("%d bytes, sha256 %s", len(v.Bytes()), hex.EncodeToString(sum[:])))
	case protoreflect.EnumKind:
		word := fmt.Sprint(v.Enum())
		if known := f.Enum().Values().ByNumber(v.Enum()); known != nil {
			word = string(known.Name())
		}
		t.add(name, word)
	default:
		t.add(name, fmt.Sprint(v.Interface()))
	}
}
