package main

import (
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/holdfast-run/holdfast/messages/adminv1"
	"github.com/holdfast-run/holdfast/messages/definitionv1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
)

// filler fills messages with values that all differ, and knows how each looks in JSON.
type filler struct {
	n    int
	want map[string]string // by value: the field
}

// fill fills every field of a message, but for those named.
func (f *filler) fill(m proto.Message, but ...string) {
	f.want = map[string]string{}
	f.message(m.ProtoReflect(), but)
}

// filledIn returns a message that it has filled, as a handler does.
//
//nolint:unparam // handlers may fail
func filledIn[T proto.Message](f *filler, m T, but ...string) (T, error) {
	f.fill(m, but...)
	return m, nil
}

func (f *filler) message(m protoreflect.Message, but []string) {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		fd := fields.Get(i)
		skip := false
		for _, name := range but {
			skip = skip || string(fd.FullName()) == "holdfast."+name
		}
		switch {
		case skip:
		case fd.IsMap():
			key, value := f.value(fd.MapKey(), m, but), f.value(fd.MapValue(), m, but)
			m.Mutable(fd).Map().Set(key.MapKey(), value)
		case fd.IsList():
			list := m.Mutable(fd).List()
			if fd.Message() != nil {
				f.message(list.AppendMutable().Message(), but)
			} else {
				list.Append(f.value(fd, m, but))
			}
		default:
			m.Set(fd, f.value(fd, m, but))
		}
	}
}

func (f *filler) value(fd protoreflect.FieldDescriptor, m protoreflect.Message, but []string) protoreflect.Value {
	f.n++
	expect := func(text string) { f.want[text] = string(fd.FullName()) }
	switch fd.Kind() {
	case protoreflect.MessageKind:
		if fd.Message().FullName() == "google.protobuf.Timestamp" {
			at := time.Date(2026, 1, 1, 0, 0, f.n, 0, time.UTC)
			expect(at.Format(time.RFC3339))
			return protoreflect.ValueOfMessage(timestamppb.New(at).ProtoReflect())
		}
		sub := m.NewField(fd)
		f.message(sub.Message(), but)
		return sub
	case protoreflect.BoolKind:
		expect(fmt.Sprintf("%q:true", fd.Name()))
		return protoreflect.ValueOfBool(true)
	case protoreflect.EnumKind:
		last := fd.Enum().Values().Get(fd.Enum().Values().Len() - 1)
		if fd.Enum().FullName() == "holdfast.order.v1.Status" {
			last = fd.Enum().Values().ByNumber(protoreflect.EnumNumber(orderv1.Status_STATUS_FAULTED)) // it is seen in most
		}
		words := strings.Split(string(last.Name()), "_")
		expect(strings.ToLower(words[len(words)-1]))
		return protoreflect.ValueOfEnum(last.Number())
	case protoreflect.StringKind:
		text := fmt.Sprintf("text%d", f.n)
		expect(text)
		return protoreflect.ValueOfString(text)
	case protoreflect.BytesKind:
		if fd.Name() == "hash" {
			raw := []byte(fmt.Sprintf("hash%d", f.n))
			expect(hex.EncodeToString(raw))
			return protoreflect.ValueOfBytes(raw)
		}
		expect(fmt.Sprintf("value%d", f.n))
		return protoreflect.ValueOfBytes(fmt.Appendf(nil, `{"v":"value%d"}`, f.n))
	case protoreflect.Int32Kind:
		expect(fmt.Sprint(100_000 + f.n))
		return protoreflect.ValueOfInt32(int32(100_000 + f.n))
	case protoreflect.Int64Kind:
		expect(fmt.Sprint(100_000 + f.n))
		return protoreflect.ValueOfInt64(int64(100_000 + f.n))
	case protoreflect.Uint32Kind:
		expect(fmt.Sprint(100_000 + f.n))
		return protoreflect.ValueOfUint32(uint32(100_000 + f.n))
	case protoreflect.Uint64Kind:
		expect(fmt.Sprint(100_000 + f.n))
		return protoreflect.ValueOfUint64(uint64(100_000 + f.n))
	case protoreflect.DoubleKind:
		expect(fmt.Sprint(100_000.5 + float64(f.n)))
		return protoreflect.ValueOfFloat64(100_000.5 + float64(f.n))
	default:
		panic(fd.Kind().String() + " is not known to this test")
	}
}

// JSON holds all that a node tells, whatever tables leave out.
func TestJSONHoldsEverything(t *testing.T) {
	t.Parallel()
	f := setup(t)
	var full filler
	listed := []string{ // what lists don't tell
		"order.v1.ListResponse.next_page_token", "order.v1.Order.input", "order.v1.Order.output", "order.v1.Order.error",
		"order.v1.Order.version", "order.v1.Order.estimated_end", "order.v1.Order.awaited_ids", "order.v1.Order.waiting",
		"order.v1.Order.past_no_return",
		"order.v1.ListChange.gone_id", // of another change
	}
	f.orders.get = func(r *orderv1.GetRequest) (*orderv1.GetResponse, error) {
		if r.GetId() == "watched" { // it is asked for when it has ended, and not printed
			return &orderv1.GetResponse{Order: ended(orderv1.Status_STATUS_FAULTED)}, nil
		}
		return filledIn(&full, &orderv1.GetResponse{})
	}
	f.orders.cancel = func(*orderv1.CancelRequest) (*orderv1.CancelResponse, error) {
		return filledIn(&full, &orderv1.CancelResponse{})
	}
	f.orders.list = func(*orderv1.ListRequest) (*orderv1.ListResponse, error) {
		return filledIn(&full, &orderv1.ListResponse{}, listed...)
	}
	const typed = "order.v1.HistoryEvent.event_type" // its name is told
	f.orders.history = func(*orderv1.HistoryRequest) (*orderv1.HistoryResponse, error) {
		return filledIn(&full, &orderv1.HistoryResponse{}, "order.v1.HistoryResponse.next_version", typed)
	}
	f.orders.follow = func(_ *orderv1.WatchListRequest, s grpc.ServerStreamingServer[orderv1.WatchListResponse]) error {
		answer := &orderv1.WatchListResponse{}
		full.fill(answer, listed...)
		if err := s.Send(answer); err != nil {
			return err
		}
		return status.Error(codes.Aborted, "enough")
	}
	f.orders.watch = func(_ *orderv1.WatchRequest, s grpc.ServerStreamingServer[orderv1.WatchResponse]) error {
		answer := &orderv1.WatchResponse{}
		full.fill(answer, typed)
		return s.Send(answer)
	}
	f.admin.show = func(*adminv1.ShowFalloutRequest) (*adminv1.ShowFalloutResponse, error) {
		return filledIn(&full, &adminv1.ShowFalloutResponse{}, typed)
	}
	f.admin.operate = func(*adminv1.OperateRequest) (*adminv1.OperateResponse, error) {
		return filledIn(&full, &adminv1.OperateResponse{}, "admin.v1.OperateResponse.events") // of a dry run
	}
	f.admin.operateAll = func(*adminv1.OperateAllRequest) (*adminv1.OperateAllResponse, error) {
		return filledIn(&full, &adminv1.OperateAllResponse{}, "admin.v1.OperateAllResponse.selected",
			"admin.v1.Outcome.code")
	}
	f.admin.unary = func(m proto.Message) {
		full.fill(m, "admin.v1.ListFalloutResponse.orders", "admin.v1.ShowKeyResponse.waiting", "admin.v1.ShowKeyResponse.next_page_token",
			"admin.v1.ListActivitiesResponse.next_page_token")
	}
	f.definitions.get = func(*definitionv1.GetRequest) (*definitionv1.GetResponse, error) {
		return filledIn(&full, &definitionv1.GetResponse{})
	}
	f.definitions.list = func(*definitionv1.ListRequest) (*definitionv1.ListResponse, error) {
		return filledIn(&full, &definitionv1.ListResponse{}, "definition.v1.ListResponse.next_page_token")
	}
	f.definitions.deploy = func(*definitionv1.DeployRequest) (*definitionv1.DeployResponse, error) {
		return filledIn(&full, &definitionv1.DeployResponse{}, "definition.v1.Definition.document")
	}
	file := f.file("a.yaml", "x")
	for _, args := range []string{
		"order get x", "order cancel x", "order list", "order list --watch", "order history x", "order watch watched", "fallout list", "fallout show x", "fallout retry x",
		"order suspend x y", "key show k", "adapter list", "status", "definition get a/b", "definition list", "definition deploy " + file,
		"cluster accept-loss", "cluster accept-loss --confirm w",
	} {
		o := f.run(append(strings.Fields(args), "-o", "json")...)
		if o.stdout == "" || len(full.want) == 0 {
			t.Errorf("%s: %+v", args, o)
		}
		for value, field := range full.want {
			if !strings.Contains(o.stdout, value) {
				t.Errorf("%s: %s is missing, which is %s:\n%s", args, field, value, o.stdout)
			}
		}
	}
}
