package client

import (
	"maps"
	"testing"
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/holdfast-run/holdfast/messages/adminv1"
	"github.com/holdfast-run/holdfast/messages/definitionv1"
	"github.com/holdfast-run/holdfast/messages/eventv1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
)

// Each method of each service has been thought about, and there is no other.
func TestRepetitionsAreOfAllMethods(t *testing.T) {
	t.Parallel()
	left := maps.Clone(repetitions)
	for _, file := range []protoreflect.FileDescriptor{
		orderv1.File_holdfast_order_v1_order_proto, definitionv1.File_holdfast_definition_v1_definition_proto, adminv1.File_holdfast_admin_v1_admin_proto,
		eventv1.File_holdfast_event_v1_event_proto,
	} {
		for i := range file.Services().Len() {
			methods := file.Services().Get(i).Methods()
			for j := range methods.Len() {
				m := methods.Get(j)
				name := "/" + string(m.Parent().FullName()) + "/" + string(m.Name())
				r, known := left[name]
				switch {
				case !known || r.why == "":
					t.Errorf("nothing says whether %s may be repeated, and why", name)
				case (m.IsStreamingClient() || m.IsStreamingServer()) && r.harmless(nil):
					t.Errorf("%s is a stream: what was told of it can't be told again", name)
				}
				delete(left, name)
			}
		}
	}
	for name := range left {
		t.Errorf("there is no method %s", name)
	}
}

// What is done twice if it is repeated is not.
func TestHarmfulRepetitions(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		method  string
		request any
		want    bool
	}{
		"retry of an order":           {adminv1.AdminService_Operate_FullMethodName, &adminv1.OperateRequest{Id: "a"}, false},
		"dry run of it":               {adminv1.AdminService_Operate_FullMethodName, &adminv1.OperateRequest{Id: "a", DryRun: true}, true},
		"release of a key":            {adminv1.AdminService_ReleaseKey_FullMethodName, &adminv1.ReleaseKeyRequest{OrderKey: "k"}, false},
		"release of a key by order a": {adminv1.AdminService_ReleaseKey_FullMethodName, &adminv1.ReleaseKeyRequest{OrderKey: "k", Id: "a"}, true},
		"trigger of a schedule":       {adminv1.AdminService_TriggerSchedule_FullMethodName, &adminv1.TriggerScheduleRequest{}, false},
		"trigger with an id": {
			adminv1.AdminService_TriggerSchedule_FullMethodName, &adminv1.TriggerScheduleRequest{OrderId: "a"}, true,
		},
		"submission": {orderv1.OrderService_Submit_FullMethodName, &orderv1.SubmitRequest{}, true},
	} {
		if got := repetitions[c.method].harmless(c.request); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestBackoff(t *testing.T) {
	t.Parallel()
	b := Backoff{Initial: 10, Max: 35, Jitter: 0.5}
	for failures, want := range map[int]time.Duration{1: 10, 2: 20, 3: 35, 80: 35} {
		if got := b.next(failures, func() float64 { return 0 }); got != want {
			t.Errorf("after %d failures: %v", failures, got)
		}
	}
	if got := b.next(2, func() float64 { return 0.5 }); got != 15 {
		t.Errorf("with jitter: %v", got)
	}
}
