package constructs

import (
	"fmt"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
)

// GreeterProto describes the service that Greet serves.
const GreeterProto = `syntax = "proto3";
package GreeterApi;
service Greeter { rpc SayHello(HelloRequest) returns (HelloReply); }
message HelloRequest { string name = 1; }
message HelloReply { string message = 1; }
`

// greeterFile is what GreeterProto says.
func greeterFile() (protoreflect.FileDescriptor, error) {
	message := func(name, field string) *descriptorpb.DescriptorProto {
		return &descriptorpb.DescriptorProto{Name: new(name), Field: []*descriptorpb.FieldDescriptorProto{{
			Name: new(field), Number: new(int32(1)), Type: descriptorpb.FieldDescriptorProto_TYPE_STRING.Enum(),
			Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum(),
		}}}
	}
	f, err := protodesc.NewFile(&descriptorpb.FileDescriptorProto{
		Name: new("greet.proto"), Package: new("GreeterApi"), Syntax: new("proto3"),
		MessageType: []*descriptorpb.DescriptorProto{message("HelloRequest", "name"), message("HelloReply", "message")},
	}, new(protoregistry.Files))
	if err != nil {
		return nil, fmt.Errorf("describe the greeter: %w", err)
	}
	return f, nil
}

// Greet answers all calls of a server as the greeter, and writes them down. It greets everybody but "nobody", whom it does not find.
func Greet(log *Log) (grpc.StreamHandler, error) {
	file, err := greeterFile()
	if err != nil {
		return nil, err
	}
	request, reply := file.Messages().ByName("HelloRequest"), file.Messages().ByName("HelloReply")
	return func(_ any, stream grpc.ServerStream) error {
		method, _ := grpc.MethodFromServerStream(stream)
		in, out := dynamicpb.NewMessage(request), dynamicpb.NewMessage(reply)
		if err := stream.RecvMsg(in); err != nil {
			return fmt.Errorf("read the call: %w", err)
		}
		name := in.Get(request.Fields().ByName("name")).String()
		of, _ := metadata.FromIncomingContext(stream.Context())
		by := strings.Join(of.Get("authorization"), "")
		log.Add(strings.Join(of.Get("idempotency-key"), ""), strings.TrimSpace("grpc "+method+" "+name+" "+by))
		switch {
		case method != "/GreeterApi.Greeter/SayHello":
			return status.Error(codes.Unimplemented, "it only says hello")
		case name == "nobody":
			return status.Error(codes.NotFound, "there is nobody")
		}
		out.Set(reply.Fields().ByName("message"), protoreflect.ValueOfString("Hello "+name))
		if err := stream.SendMsg(out); err != nil {
			return fmt.Errorf("answer the call: %w", err)
		}
		return nil
	}, nil
}
