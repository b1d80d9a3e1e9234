package gateway_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/holdfast-run/holdfast/actors/access"
	"github.com/holdfast-run/holdfast/adapters/adaptertest"
	"github.com/holdfast-run/holdfast/messages/adapterv1"
	"github.com/holdfast-run/holdfast/messages/adminv1"
	"github.com/holdfast-run/holdfast/messages/definitionv1"
	"github.com/holdfast-run/holdfast/messages/eventv1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/tokens"
)

// accessFile is a file that says who may call.
type accessFile struct {
	t    *testing.T
	name string
	text strings.Builder
}

// caller adds a caller with a role to the file, and returns the token.
func (f *accessFile) caller(name, roles string) string {
	token := tokens.New()
	fmt.Fprintf(&f.text, "- {name: %s, tokens: [{id: %s, sha256: %v}], roles: [%s]}\n", name, name, tokens.HashOf(token), roles)
	return token
}

func newAccessFile(t *testing.T) *accessFile {
	t.Helper()
	f := &accessFile{t: t, name: filepath.Join(t.TempDir(), "access.yaml")}
	f.text.WriteString("callers:\n")
	return f
}

func (f *accessFile) write() {
	f.t.Helper()
	if err := os.WriteFile(f.name, []byte(f.text.String()), 0o600); err != nil {
		f.t.Fatal(err)
	}
}

func (f *accessFile) open() *access.Keeper {
	f.t.Helper()
	f.write()
	k, err := access.Open(f.name, time.Now)
	if err != nil {
		f.t.Fatal(err)
	}
	return k
}

// bearing is a context whose calls bear a token.
func bearing(ctx context.Context, token string) context.Context {
	if token == "" {
		return ctx
	}
	return metadata.AppendToOutgoingContext(ctx, tokens.Metadata, tokens.Scheme+token)
}

// may says who may call a method: the roles, beside the administrator, and where they are needed: "in" the namespace of what is called for,
// in "all", in "any", or "anybody" and whoever is "known".
type may struct{ roles, where string }

const (
	readers = "viewer submitter operator deployer"
	nobody  = ""
)

// whoMay has every method that a node serves.
var whoMay = map[string]may{
	"holdfast.order.v1.OrderService/Submit":       {"submitter", "in"},
	"holdfast.order.v1.OrderService/SubmitStream": {"submitter", "in"},
	"holdfast.order.v1.OrderService/Get":          {readers, "in"},
	"holdfast.order.v1.OrderService/List":         {readers, "in"},
	"holdfast.order.v1.OrderService/WatchList":    {readers, "in"},
	"holdfast.order.v1.OrderService/Watch":        {readers, "in"},
	"holdfast.order.v1.OrderService/History":      {readers, "in"},
	"holdfast.order.v1.OrderService/Cancel":       {"submitter", "in"},
	"holdfast.event.v1.EventService/Publish":      {"submitter", "in"},
	"holdfast.order.v1.OrderService/WatchOwners":  {readers, "any"},

	"holdfast.definition.v1.DefinitionService/Validate":  {"deployer", "any"},
	"holdfast.definition.v1.DefinitionService/Deploy":    {"deployer", "in"},
	"holdfast.definition.v1.DefinitionService/Get":       {readers, "in"},
	"holdfast.definition.v1.DefinitionService/List":      {readers, "in"},
	"holdfast.definition.v1.DefinitionService/Retire":    {"deployer", "in"},
	"holdfast.definition.v1.DefinitionService/Reinstate": {"deployer", "in"},
	"holdfast.definition.v1.DefinitionService/Remove":    {"deployer", "in"},

	"holdfast.adapter.v1.AdapterService/Connect": {"adapter", "in"},

	"holdfast.admin.v1.AdminService/ShowKey":         {readers, "in"},
	"holdfast.admin.v1.AdminService/ReleaseKey":      {"operator", "in"},
	"holdfast.admin.v1.AdminService/ListFallout":     {readers, "in"},
	"holdfast.admin.v1.AdminService/ShowFallout":     {readers, "in"},
	"holdfast.admin.v1.AdminService/Operate":         {"operator", "in"},
	"holdfast.admin.v1.AdminService/OperateAll":      {"operator", "in"},
	"holdfast.admin.v1.AdminService/ListActivities":  {readers, "any"},
	"holdfast.admin.v1.AdminService/LimitActivity":   {"operator", "all"},
	"holdfast.admin.v1.AdminService/ListSchedules":   {readers, "in"},
	"holdfast.admin.v1.AdminService/PauseSchedule":   {"operator", "in"},
	"holdfast.admin.v1.AdminService/ResumeSchedule":  {"operator", "in"},
	"holdfast.admin.v1.AdminService/TriggerSchedule": {"operator", "in"},
	"holdfast.admin.v1.AdminService/Status":          {readers, "any"},
	"holdfast.admin.v1.AdminService/ShowCluster":     {readers, "all"},
	"holdfast.admin.v1.AdminService/BackupJournal":   {nobody, "all"},
	"holdfast.admin.v1.AdminService/DrainNode":       {nobody, "all"},
	"holdfast.admin.v1.AdminService/Rebalance":       {nobody, "all"},
	"holdfast.admin.v1.AdminService/ListShards":      {readers, "all"},
	"holdfast.admin.v1.AdminService/ShowLevel":       {readers, "all"},
	"holdfast.admin.v1.AdminService/RaiseLevel":      {nobody, "all"},
	"holdfast.admin.v1.AdminService/ShowLoss":        {readers, "all"},
	"holdfast.admin.v1.AdminService/AcceptLoss":      {nobody, "all"},
	"holdfast.admin.v1.AdminService/ListAudit":       {nobody, "all"},
	"holdfast.admin.v1.AdminService/ShowAuditHead":   {nobody, "all"},

	"grpc.health.v1.Health/Check": {nobody, "anybody"},
	"grpc.health.v1.Health/Watch": {nobody, "anybody"},
	"grpc.health.v1.Health/List":  {nobody, "anybody"},

	"grpc.reflection.v1.ServerReflection/ServerReflectionInfo":      {nobody, "known"},
	"grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": {nobody, "known"},
}

// allows tells whether who has a role may call for something: in his own namespace, or in one of others.
func (m may) allows(role access.Role, everywhere, foreign bool) bool {
	has := role == access.Administrator && m.roles != "adapter" || slices.Contains(strings.Fields(m.roles), string(role))
	switch m.where {
	case "anybody", "known":
		return true
	case "any":
		return has
	case "all":
		return has && everywhere
	default:
		return has && (everywhere || !foreign)
	}
}

// requestIn is what is asked of a method about a namespace; nil: what an empty message asks.
func requestIn(namespace, method string) proto.Message {
	definition, id, activity := namespace+"/w:1.0.0", "order-"+namespace, "do"
	if namespace != "test" {
		activity = "other"
	}
	_, name, _ := strings.Cut(method, "/")
	submit := &orderv1.SubmitRequest{Order: &orderv1.WorkOrder{Id: "new-" + namespace, Definition: definition}}
	list := &orderv1.ListRequest{Definition: definition}
	selection := &adminv1.Selection{Definition: definition}
	action := &adminv1.Action{Kind: &adminv1.Action_Suspend{Suspend: &adminv1.Suspend{}}}
	switch method {
	case "holdfast.definition.v1.DefinitionService/Get":
		return &definitionv1.GetRequest{Definition: definition}
	case "holdfast.admin.v1.AdminService/ListSchedules":
		return &adminv1.ListSchedulesRequest{Namespace: namespace}
	case "holdfast.definition.v1.DefinitionService/List":
		return &definitionv1.ListRequest{Namespace: namespace}
	}
	return map[string]proto.Message{
		"Submit": submit, "SubmitStream": &orderv1.SubmitStreamRequest{Submissions: []*orderv1.SubmitRequest{submit}},
		"Get": &orderv1.GetRequest{Id: id}, "List": list, "WatchList": &orderv1.WatchListRequest{List: list},
		"Watch": &orderv1.WatchRequest{Id: id}, "History": &orderv1.HistoryRequest{Id: id}, "Cancel": &orderv1.CancelRequest{Id: "other-" + id},
		"Deploy":    &definitionv1.DeployRequest{Document: document(namespace, "w", callOne)},
		"Publish":   &eventv1.PublishRequest{Namespace: namespace, Events: []*eventv1.Event{{Id: "1", Source: "/s", Type: "t"}}},
		"Retire":    &definitionv1.RetireRequest{Definition: definition},
		"Reinstate": &definitionv1.ReinstateRequest{Definition: definition},
		"Remove":    &definitionv1.RemoveRequest{Definition: definition},
		"Connect": &adapterv1.ConnectRequest{Hello: adaptertest.Hello(func(h *adapterv1.Hello) {
			h.Activities = []*adapterv1.Activity{{Name: activity}}
		})},
		"ShowKey": &adminv1.ShowKeyRequest{OrderKey: "key-" + namespace}, "ReleaseKey": &adminv1.ReleaseKeyRequest{OrderKey: "key-" + namespace},
		"ListFallout": &adminv1.ListFalloutRequest{Selection: selection}, "ShowFallout": &adminv1.ShowFalloutRequest{Id: id},
		"PauseSchedule":   &adminv1.PauseScheduleRequest{Definition: namespace + "/w"},
		"ResumeSchedule":  &adminv1.ResumeScheduleRequest{Definition: namespace + "/w"},
		"TriggerSchedule": &adminv1.TriggerScheduleRequest{Definition: namespace + "/w"},
		"Operate":         &adminv1.OperateRequest{Id: id, Action: action, DryRun: true},
		"OperateAll":      &adminv1.OperateAllRequest{Selection: selection, Action: action, DryRun: true},
	}[name]
}

func document(namespace, name, tasks string) []byte {
	return fmt.Appendf(nil, "document: {dsl: 1.0.3, namespace: %s, name: %s, version: 1.0.0}\n%s", namespace, name, tasks)
}

// try calls a method, and returns what the node says of it at once.
func try(ctx context.Context, conn *grpc.ClientConn, method string, request proto.Message) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	st, err := conn.NewStream(ctx, &bidi, "/"+method)
	if err == nil {
		err = st.SendMsg(request)
	}
	if err == nil || errors.Is(err, io.EOF) {
		_ = st.CloseSend()
		answer := newMessage(method, protoreflect.MethodDescriptor.Output)
		if err = st.RecvMsg(answer); err == nil {
			if s, ok := answer.(*orderv1.SubmitStreamResponse); ok { // each submission has an answer of its own
				r := s.GetSubmissions()[0].GetRefused()
				return status.Error(codes.Code(r.GetCode()), r.GetMessage())
			}
		}
	}
	return err
}

func newMessage(method string, which func(protoreflect.MethodDescriptor) protoreflect.MessageDescriptor) proto.Message {
	service, name, _ := strings.Cut(method, "/")
	d, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(service))
	if err != nil {
		panic(err)
	}
	m := d.(protoreflect.ServiceDescriptor).Methods().ByName(protoreflect.Name(name)) //nolint:errcheck // a service
	t, err := protoregistry.GlobalTypes.FindMessageByName(which(m).FullName())
	if err != nil {
		panic(err)
	}
	return t.New().Interface()
}

// methodsOf are those that a server serves.
func methodsOf(g *grpc.Server) []string {
	var out []string
	for service, info := range g.GetServiceInfo() {
		for _, m := range info.Methods {
			out = append(out, service+"/"+m.Name)
		}
	}
	slices.Sort(out)
	return out
}

// prepared is a node with two orders in each of two namespaces, one of them with a key.
func prepared(t *testing.T, k *access.Keeper, admin string) *node {
	t.Helper()
	n := start(t, func(s *settings) { s.callers = k })
	ctx := bearing(t.Context(), admin)
	for _, namespace := range []string{"test", "other"} {
		if _, err := n.definitions.Deploy(ctx, &definitionv1.DeployRequest{Document: document(namespace, "w", callOne)}); err != nil {
			t.Fatal(err)
		}
		for id, key := range map[string]string{"order-" + namespace: "key-" + namespace, "other-order-" + namespace: ""} {
			if _, err := n.orders.Submit(ctx, &orderv1.SubmitRequest{Order: &orderv1.WorkOrder{
				Id: id, Definition: namespace + "/w:1.0.0", OrderKey: key,
			}}); err != nil {
				t.Fatal(err)
			}
		}
	}
	return n
}

// Every method of every service is called as every role, in the namespace of the role and in that of others.
func TestEveryMethodAsEveryRole(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newAccessFile(t)
		admin := f.caller("root", "{role: administrator, namespaces: ['*']}")
		type caller struct {
			role       access.Role
			everywhere bool
			token      string
		}
		var callers []caller
		for _, role := range access.Roles() {
			for scope, everywhere := range map[string]bool{"te*": false, "*": true} {
				grant := fmt.Sprintf("{role: %s, namespaces: ['%s']}", role, scope)
				if role == access.Adapter {
					if everywhere {
						continue
					}
					grant = "{role: adapter, activities: [x.do]}"
				} else if role == access.Deployer {
					grant = fmt.Sprintf("{role: deployer, namespaces: ['%s'], activities: ['x.*']}", scope)
				}
				callers = append(callers, caller{role, everywhere, f.caller(fmt.Sprintf("%s-%v", role, everywhere), grant)})
			}
		}
		n := prepared(t, f.open(), admin)
		served := map[string]bool{}
		for conn, g := range map[*grpc.ClientConn]*grpc.Server{n.conn: n.grpc, n.adminConn: n.adminGRPC} {
			for _, method := range methodsOf(g) {
				served[method] = true
				who, known := whoMay[method]
				if _, ruled := access.RuleOf("/" + method); !known || !ruled {
					t.Errorf("%s: nothing says who may call it, here or in the table of access", method)
					continue
				}
				for _, namespace := range []string{"test", "other"} {
					request := requestIn(namespace, method)
					if request == nil {
						request = newMessage(method, protoreflect.MethodDescriptor.Input)
					}
					if err := try(t.Context(), conn, method, request); (status.Code(err) == codes.Unauthenticated) == (who.where == "anybody") {
						t.Errorf("%s without a token: %v", method, err)
					}
					if err := try(bearing(t.Context(), tokens.New()), conn, method, request); (status.Code(err) == codes.Unauthenticated) ==
						(who.where == "anybody") {
						t.Errorf("%s with a token that nobody has: %v", method, err)
					}
					for _, c := range callers {
						err := try(bearing(t.Context(), c.token), conn, method, request)
						code := status.Code(err)
						publicOnly := conn == n.adminConn && code == codes.FailedPrecondition && strings.Contains(err.Error(), "public address")
						allowed := code != codes.PermissionDenied && code != codes.Unauthenticated
						if want := who.allows(c.role, c.everywhere, namespace == "other"); allowed != want && !publicOnly {
							t.Errorf("%s in %s as %s (everywhere: %v): allowed %v, want %v: %v", method, namespace, c.role, c.everywhere, allowed, want, err)
						}
					}
				}
			}
		}
		for method := range whoMay {
			if !served[method] {
				t.Errorf("%s is not served", method)
			}
		}
	})
}

// Lists have what a caller sees, and nothing else.
func TestListsHaveWhatCallersSee(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newAccessFile(t)
		admin := f.caller("root", "{role: administrator, namespaces: ['*']}")
		own := bearing(t.Context(), f.caller("own", "{role: operator, namespaces: [test]}"))
		n := prepared(t, f.open(), admin)
		orders, err := n.orders.List(own, &orderv1.ListRequest{})
		if err != nil || len(orders.GetOrders()) != 2 || orders.GetOrders()[0].GetDefinition() != "test/w:1.0.0" {
			t.Errorf("orders: %v %v", orders, err)
		}
		definitions, err := n.definitions.List(own, &definitionv1.ListRequest{})
		if err != nil || len(definitions.GetDefinitions()) != 1 || definitions.GetDefinitions()[0].GetNamespace() != "test" {
			t.Errorf("definitions: %v %v", definitions, err)
		}
		watch, err := n.orders.WatchList(own, &orderv1.WatchListRequest{List: &orderv1.ListRequest{}})
		if err != nil {
			t.Fatal(err)
		}
		first, err := watch.Recv()
		if err != nil || len(first.GetChanges()) != 2 || first.GetChanges()[0].GetOrder().GetDefinition() != "test/w:1.0.0" {
			t.Errorf("watched: %v %v", first, err)
		}
		for want, s := range map[int64]*adminv1.Selection{1: {Ids: []string{"order-test", "order-other"}}, 2: {}} {
			st, err := n.admin.OperateAll(own, &adminv1.OperateAllRequest{
				Selection: s, All: true, DryRun: true, Action: &adminv1.Action{Kind: &adminv1.Action_Suspend{Suspend: &adminv1.Suspend{}}},
			})
			if err != nil {
				t.Fatal(err)
			}
			if m, err := st.Recv(); err != nil || m.GetSelected() != want {
				t.Errorf("selected by %v: %v %v", s, m, err)
			}
		}
		// A key at which orders of others are queued is not shown, though the first one is one's own.
		if _, err := n.orders.Submit(bearing(t.Context(), admin), &orderv1.SubmitRequest{Order: &orderv1.WorkOrder{
			Id: "behind", Definition: "other/w:1.0.0", OrderKey: "key-test",
		}}); err != nil {
			t.Fatal(err)
		}
		_, err = n.admin.ShowKey(own, &adminv1.ShowKeyRequest{OrderKey: "key-test"})
		wantRefusal(t, err, codes.PermissionDenied, "MISSING_ROLE")
		if want := "own (by token own) lacks the role viewer in the namespace other"; !strings.Contains(fmt.Sprint(err), want) {
			t.Errorf("%v, want %q", err, want)
		}
	})
}

// Definitions call what their deployers may call, and run what these may run.
func TestWhatDefinitionsMayCall(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newAccessFile(t)
		admin := f.caller("root", "{role: administrator, namespaces: ['*']}")
		own := bearing(t.Context(), f.caller("own", "{role: deployer, namespaces: [test], activities: [x.other]}"))
		n := prepared(t, f.open(), admin)
		for tasks, want := range map[string]string{
			callOne:                          "own (by token own) lacks the role deployer in the namespace test with the activity x.do",
			"do: [{a: {call: x.other}}]":     "",
			"do: [{a: {call: 'x.other:1'}}]": "",
			"do: [{a: {run: {workflow: {namespace: other, name: w, version: 1.0.0}}}}]": "lacks the role submitter in the namespace other",
		} {
			_, err := n.definitions.Deploy(own, &definitionv1.DeployRequest{Document: document("test", fmt.Sprintf("d%d", len(tasks)), tasks)})
			if want == "" && err != nil && status.Code(err) != codes.InvalidArgument || want != "" && !strings.Contains(fmt.Sprint(err), want) {
				t.Errorf("%s: %v, want %q", tasks, err, want)
			}
		}
	})
}

// A stream ends soon after its caller is not known any more, or has other roles; another one goes on. What callers do is signed.
func TestStreamsOfCallersWhoMayNotAnyMore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newAccessFile(t)
		admin := f.caller("root", "{role: administrator, namespaces: ['*']}")
		kept := f.caller("kept", "{role: viewer, namespaces: [test]}")
		k := f.open()
		text := f.text.String()
		gone, less := f.caller("gone", "{role: viewer, namespaces: [test]}"), f.caller("less", "{role: operator, namespaces: [test]}")
		f.write()
		reload := func() {
			t.Helper()
			if taken, err := k.Reload(); !taken || err != nil {
				t.Fatalf("taken %v, %v", taken, err)
			}
		}
		reload()
		n := prepared(t, k, admin)
		ends := map[string]chan error{}
		for name, token := range map[string]string{"kept": kept, "gone": gone, "less": less} {
			ctx, cancel := context.WithCancel(bearing(t.Context(), token))
			t.Cleanup(cancel)
			st, err := n.orders.Watch(ctx, &orderv1.WatchRequest{Id: "order-test"})
			if err != nil {
				t.Fatal(err)
			}
			ended := make(chan error, 1)
			ends[name] = ended
			go func() {
				for {
					if _, err := st.Recv(); err != nil {
						ended <- err
						return
					}
				}
			}()
		}
		settle()
		f.text.Reset()
		f.text.WriteString(text)
		fmt.Fprintf(&f.text, "- {name: less, tokens: [{id: less, sha256: %v}], roles: [{role: viewer, namespaces: [test]}]}\n", tokens.HashOf(less))
		f.write()
		reload()
		if ended := k.Review(t.Context()); ended != 2 {
			t.Errorf("%d streams were ended, want 2", ended)
		}
		settle()
		for name, want := range map[string]codes.Code{"gone": codes.Unauthenticated, "less": codes.Unavailable} {
			select {
			case err := <-ends[name]:
				if status.Code(err) != want {
					t.Errorf("%s: %v, want %v", name, err, want)
				}
			default:
				t.Errorf("%s: the stream goes on", name)
			}
		}
		if len(ends["kept"]) > 0 {
			t.Errorf("kept: %v", <-ends["kept"])
		}
		if _, err := n.orders.Cancel(bearing(t.Context(), admin), &orderv1.CancelRequest{Id: "order-test", By: "alice"}); err != nil {
			t.Fatal(err)
		}
		h, err := n.orders.History(bearing(t.Context(), kept), &orderv1.HistoryRequest{Id: "order-test"})
		if err != nil {
			t.Fatal(err)
		}
		by := map[string]bool{}
		for _, e := range h.GetEvents() {
			by[e.GetBy()] = true
		}
		if !by["root for alice"] {
			t.Errorf("it was done by %v, want root for alice", slices.Collect(maps.Keys(by)))
		}
	})
}
