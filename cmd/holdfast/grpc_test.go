package main

import (
	"net"
	"os"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/types/descriptorpb"
)

const healthProto = `syntax = "proto3";
package grpc.health.v1;
service Health { rpc Check(HealthCheckRequest) returns (HealthCheckResponse) { option idempotency_level = NO_SIDE_EFFECTS; } }
message HealthCheckRequest { string service = 1; }
message HealthCheckResponse {
  enum ServingStatus { UNKNOWN = 0; SERVING = 1; NOT_SERVING = 2; SERVICE_UNKNOWN = 3; }
  ServingStatus status = 1;
}
`

const healthDefinition = `document: {dsl: '1.0.3', namespace: shop, name: health, version: VERSION}
do:
- check:
    call: grpc
    with:
      proto: {endpoint: 'https://example.com/health.proto'}
      service: {name: grpc.health.v1.Health, host: 127.0.0.1, port: PORT}
      method: Check
      arguments: {service: '${ .service }'}
- unknown:
    input: {from: '{service: "nobody", before: .status}'}
    try:
    - check:
        call: grpc
        with:
          proto: {endpoint: 'https://example.com/health.proto'}
          service: {name: grpc.health.v1.Health, host: 127.0.0.1, port: PORT}
          method: Check
          arguments: {service: '${ .service }'}
    catch:
      errors: {with: {type: https://serverlessworkflow.io/spec/1.0.0/errors/communication}}
      do:
      - told: {set: {status: '${ .before }', then: '${ $error.status }', title: '${ $error.title }'}}
`

// TestCallsOfGRPC runs orders that call a gRPC service, through a real node and a real adapter: its messages are described by a .proto file,
// or by what protoc makes of it.
func TestCallsOfGRPC(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s, healthy := grpc.NewServer(), health.NewServer()
	healthy.SetServingStatus("orders", healthpb.HealthCheckResponse_NOT_SERVING)
	healthpb.RegisterHealthServer(s, healthy)
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	t.Cleanup(func() {
		s.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	listen, admin := freeAddress(t), freeAddress(t)
	_, out := startProcess(t, []string{childVariable + "=real"}, "dev", "--data", t.TempDir(), "--listen", listen, "--admin-listen", admin,
		"--http=false", "--adapter", "grpc="+os.Args[0]+" adapter grpc --allow 127.0.0.1 --plaintext 127.0.0.1")
	out.await(t, "ready: ", 1)
	f := &fake{t: t, environ: []string{"HOLDFAST_SERVER=" + listen, "HOLDFAST_ADMIN=" + admin}}
	set, err := proto.Marshal(&descriptorpb.FileDescriptorSet{
		File: []*descriptorpb.FileDescriptorProto{protodesc.ToFileDescriptorProto(healthpb.File_grpc_health_v1_health_proto)},
	})
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	for version, content := range map[string]string{"1.0.0": healthProto, "2.0.0": string(set)} {
		file := f.file("health.yaml", strings.NewReplacer("PORT", port, "VERSION", version).Replace(healthDefinition))
		resource := "https://example.com/health.proto=" + f.file("health.proto", content)
		if o := f.run("definition", "deploy", file, "--resource", resource); o.status != exitOK || o.stdout != "shop/health:"+version+"\n" {
			t.Fatalf("%s: %+v", version, o) // that the adapter is not there yet is no more than a warning
		}
		f.stdin = `{"service": "orders"}`
		o := f.run("order", "submit", "--definition", "shop/health:"+version, "--id", "h-"+version, "--input", "-", "--wait")
		for _, part := range []string{`"status":"NOT_SERVING"`, `"then":404`, `"title":"gRPC NOT_FOUND"`} {
			if o.status != exitOK || !strings.Contains(strings.ReplaceAll(o.stdout, " ", ""), strings.ReplaceAll(part, " ", "")) {
				t.Errorf("%s: no %s in %+v\n%s", version, part, o, out)
			}
		}
		// What was deployed can be deployed again as it is printed, also if it is no text.
		printed := f.run("definition", "get", "shop/health:"+version)
		f.run("definition", "deploy", f.file("printed.yaml", printed.stdout)).want(t, exitOK, "shop/health:"+version+"\n", "")
	}
	wrong := strings.NewReplacer("PORT", port, "VERSION", "3.0.0", "{service:", "{servce:").Replace(healthDefinition)
	o := f.run("definition", "deploy", f.file("wrong.yaml", wrong), "--resource", "https://example.com/health.proto="+f.file("health.proto", healthProto))
	if o.status == exitOK || !strings.Contains(o.stderr, `did you mean "service"?`) {
		t.Errorf("%+v", o)
	}
}
