package grpc_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"log/slog"
	"maps"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bufbuild/protocompile"
	"go.uber.org/goleak"
	rpc "google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/holdfast-run/holdfast/adapters"
	"github.com/holdfast-run/holdfast/adapters/adaptertest"
	"github.com/holdfast-run/holdfast/adapters/grpc"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/adapterv1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	succeeded = adapterv1.Outcome_OUTCOME_SUCCEEDED
	failed    = adapterv1.Outcome_OUTCOME_FAILED
	inDoubt   = adapterv1.Outcome_OUTCOME_IN_DOUBT
)

// object is what the engine sends.
type object map[string]any

// source describes the service of the tests.
const source = `
syntax = "proto3";
package shop.v1;
import "google/protobuf/any.proto";
import "google/protobuf/timestamp.proto";
service Orders {
  rpc Get(Question) returns (Order);
  rpc Watch(Question) returns (stream Order);
  rpc Put(stream Order) returns (Order);
}
message Question {
  string id = 1;
  int32 how_many = 2;
  map<string, string> labels = 3;
}
message Order {
  string order_id = 1;
  int64 amount = 2;
  State state = 3;
  repeated string tags = 4;
  google.protobuf.Timestamp made_at = 5;
  Order parent = 6;
  bool paid = 7;
  google.protobuf.Any any = 8;
  repeated Order parts = 9;
  enum State { OPEN = 0; DONE = 1; }
}
`

// described is the service, with the types that it has, and the description of it that calls have.
type described struct {
	protoreflect.ServiceDescriptor

	types *dynamicpb.Types
	file  *descriptorpb.FileDescriptorProto
	text  string
}

var orders = sync.OnceValue(func() described {
	compiler := protocompile.Compiler{Resolver: protocompile.WithStandardImports(&protocompile.SourceResolver{
		Accessor: protocompile.SourceAccessorFromMap(map[string]string{"orders.proto": source}),
	})}
	files, err := compiler.Compile(context.Background(), "orders.proto")
	if err != nil {
		panic(err)
	}
	file := protodesc.ToFileDescriptorProto(files[0])
	set := &descriptorpb.FileDescriptorSet{File: []*descriptorpb.FileDescriptorProto{file}}
	text, err := proto.Marshal(set)
	if err != nil {
		panic(err)
	}
	all, err := messages.Described(set)
	if err != nil {
		panic(err)
	}
	return described{files[0].Services().Get(0), dynamicpb.NewTypes(all), file, base64.StdEncoding.EncodeToString(text)}
})

// order makes the message of an order from JSON.
func order(text string) (*dynamicpb.Message, error) {
	m := dynamicpb.NewMessage(orders().ParentFile().Messages().ByName("Order"))
	err := protojson.UnmarshalOptions{Resolver: orders().types}.Unmarshal([]byte(text), m)
	return m, err
}

// asked is a call as a server got it.
type asked struct {
	rpc.ServerStream

	method string
	input  *dynamicpb.Message
	header metadata.MD
}

// answer sends an order, as JSON has it.
func (a *asked) answer(text string) error {
	m, err := order(text)
	if err != nil {
		return err
	}
	return a.SendMsg(m)
}

// get returns a field of the message, as text.
func (a *asked) get(name string) string {
	return a.input.Get(a.input.Descriptor().Fields().ByName(protoreflect.Name(name))).String()
}

// handler answers a call.
type handler func(a *asked) error

func (h handler) option() rpc.ServerOption {
	return rpc.UnknownServiceHandler(func(_ any, stream rpc.ServerStream) error {
		name, _ := rpc.MethodFromServerStream(stream)
		short, mine := strings.CutPrefix(name, "/shop.v1.Orders/")
		if !mine {
			return status.Error(codes.Unimplemented, "no such service")
		}
		m := orders().Methods().ByName(protoreflect.Name(short))
		a := &asked{ServerStream: stream, method: short, input: dynamicpb.NewMessage(m.Input())}
		a.header, _ = metadata.FromIncomingContext(stream.Context())
		if err := stream.RecvMsg(a.input); err != nil {
			return err
		}
		return h(a)
	})
}

// serve runs a server until the test ends. It returns its address.
func serve(t *testing.T, h handler, options ...rpc.ServerOption) string {
	t.Helper()
	return run(t, rpc.NewServer(append(options, h.option())...))
}

// run runs a server on a free port until the test ends.
func run(t *testing.T, s *rpc.Server) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	t.Cleanup(func() {
		s.Stop()
		if err := <-served; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return l.Addr().String()
}

// bench is an adapter with a node.
type bench struct {
	*testing.T

	node *adaptertest.Node
	log  *safeBuffer
}

// safeBuffer keeps a log.
type safeBuffer struct {
	mu  sync.Mutex
	all bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.all.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.all.String()
}

// setup runs an adapter that may call this machine, in plain text.
func setup(t *testing.T, c grpc.Config) *bench {
	t.Helper()
	if c.Allow == nil {
		c.Allow = []string{"127.0.0.0/8"}
	}
	if c.Plaintext == nil {
		c.Plaintext = []string{"*"}
	}
	log := &safeBuffer{}
	c.Log = slog.New(slog.NewTextHandler(log, nil))
	a, err := grpc.New(c)
	if err != nil {
		t.Fatal(err)
	}
	node := adaptertest.Start(t)
	node.Run(a, adapters.Config{Log: c.Log})
	return &bench{t, node, log}
}

// at is a call of a method at an address.
func at(address, method string, more ...object) object {
	host, port, _ := net.SplitHostPort(address)
	o := object{
		"namespace": "shop", "service": "shop.v1.Orders", "method": method, "host": host, "port": json.Number(port), "description": orders().text,
	}
	for _, m := range more {
		maps.Copy(o, m)
	}
	return o
}

// send makes a call by an activity.
func (b *bench) send(activity string, o object) *adapterv1.Result {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), time.Minute)
	defer cancel()
	return b.node.Do(ctx, activity, o)
}

// output makes a call that succeeds.
func (b *bench) output(o object) string {
	b.Helper()
	r := b.send("callOnce", o)
	if r.GetOutcome() != succeeded || r.GetError() != nil {
		b.Fatalf("%v", r)
	}
	return string(r.GetOutput())
}

// TestCalls: a method gets what the call says, and what it answers is JSON.
func TestCalls(t *testing.T) {
	t.Parallel()
	b := setup(t, grpc.Config{})
	var got *asked
	address := serve(t, func(a *asked) error {
		got = a
		switch a.get("id") {
		case "":
			return a.answer(`{}`)
		case "full":
			return a.answer(`{"orderId": "o-1", "amount": "12345678901234567", "state": "DONE", "tags": ["a", "ü"], "madeAt": "2026-01-31T12:00:00Z",
				"parent": {"paid": true}, "any": {"@type": "type.googleapis.com/google.protobuf.Duration", "value": "1.5s"}}`)
		}
		for _, text := range []string{`{"orderId": "1"}`, `{"paid": true}`, `{}`}[:a.input.Get(a.input.Descriptor().Fields().ByName("how_many")).Int()] {
			if err := a.answer(text); err != nil {
				return err
			}
		}
		return nil
	})
	const empty = `{"orderId":"","amount":"0","state":"OPEN","tags":[],"paid":false,"parts":[]}`
	if out := b.output(at(address, "Get")); out != empty {
		t.Errorf("%s", out)
	}
	if key := got.header.Get("idempotency-key"); len(key) != 1 || !strings.Contains(key[0], "/do/0/callOnce") {
		t.Errorf("the key is %v", key)
	}
	if agent := got.header.Get("user-agent"); len(agent) != 1 || !strings.HasPrefix(agent[0], "holdfast ") {
		t.Errorf("%v", agent)
	}
	out := b.output(at(address, "Get", object{"arguments": object{"id": "full", "howMany": "7", "labels": object{"a": "b"}}}))
	want := `{"orderId":"o-1","amount":"12345678901234567","state":"DONE","tags":["a","ü"],"madeAt":"2026-01-31T12:00:00Z",` +
		`"parent":` + strings.Replace(empty, "false", "true", 1) + `,"paid":false,` +
		`"any":{"@type":"type.googleapis.com/google.protobuf.Duration","value":"1.500s"},"parts":[]}`
	if out != want || got.get("how_many") != "7" || got.method != "Get" {
		t.Errorf("%s of %v", out, got.input)
	}
	if out := b.output(at(address, "Watch", object{"arguments": object{"id": "some", "how_many": 2}})); out !=
		"["+strings.Replace(empty, `""`, `"1"`, 1)+","+strings.Replace(empty, "false", "true", 1)+"]" {
		t.Errorf("%s", out)
	}
	if out := b.output(at(address, "Watch", object{"arguments": object{"id": "some"}})); out != "[]" {
		t.Errorf("%s", out)
	}
}

// TestInvalid: what can't be called is told, and not called.
func TestInvalid(t *testing.T) {
	t.Parallel()
	b := setup(t, grpc.Config{})
	address := serve(t, func(*asked) error {
		t.Error("it was called")
		return nil
	})
	for want, o := range map[string]object{
		`unknown field "whose"`:                  at(address, "Get", object{"arguments": object{"whose": 1}}),
		`invalid value for int32`:                at(address, "Get", object{"arguments": object{"howMany": "many"}}),
		"the message shop.v1.Question":           at(address, "Get", object{"arguments": []any{1}}),
		"has no method Got":                      at(address, "Got"),
		"takes a stream of messages":             at(address, "Put"),
		"there is no service shop.v1.Other":      at(address, "Get", object{"service": "shop.v1.Other"}),
		"decode the description":                 at(address, "Get", object{"description": "AAAA"}),
		"is not started with --reflection":       at(address, "Get", object{"description": ""}),
		"the authentication is digest":           at(address, "Get", object{"authentication": object{"digest": object{"username": "u"}}}),
		"the authentication is not as it should": at(address, "Get", object{"authentication": "u"}),
		"is imported, and not there":             at(address, "Get", object{"description": importing(t)}),
		"the authentication has no \"username\"": at(address, "Get", object{"authentication": object{"basic": object{"password": "p"}}}),
	} {
		r := b.send("call", o)
		if r.GetOutcome() != failed || !r.GetPermanent() || r.GetError().GetStatus() != 400 || r.GetError().GetType() != adapters.ErrorTypeValidation ||
			!strings.Contains(r.GetError().GetDetail(), want) {
			t.Errorf("%s: %v", want, r)
		}
	}
}

// importing describes a file that needs another one.
func importing(t *testing.T) string {
	t.Helper()
	text, err := proto.Marshal(&descriptorpb.FileDescriptorSet{File: []*descriptorpb.FileDescriptorProto{
		{Name: new("a.proto"), Dependency: []string{"b.proto"}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(text)
}
