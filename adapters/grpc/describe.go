package grpc

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	rpc "google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	reflection "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/holdfast-run/holdfast/adapters"
	"github.com/holdfast-run/holdfast/adapters/outbound"
	"github.com/holdfast-run/holdfast/messages"
)

// method is one that can be called.
type method struct {
	protoreflect.MethodDescriptor

	// types are those that a google.protobuf.Any can hold.
	types *dynamicpb.Types
}

// newMethod finds a method in a description.
func newMethod(set *descriptorpb.FileDescriptorSet, service, name string) (*method, error) {
	files, err := messages.Described(set)
	if err != nil {
		return nil, err
	}
	found, err := files.FindDescriptorByName(protoreflect.FullName(service))
	s, is := found.(protoreflect.ServiceDescriptor)
	if err != nil || !is {
		return nil, fmt.Errorf("there is no service %s", service)
	}
	m := s.Methods().ByName(protoreflect.Name(name))
	switch {
	case m == nil:
		return nil, fmt.Errorf("the service %s has no method %s", service, name)
	case m.IsStreamingClient():
		return nil, fmt.Errorf("the method %s takes a stream of messages, and a call has the arguments of one", m.FullName())
	}
	return &method{m, dynamicpb.NewTypes(files)}, nil
}

// describe finds out what the method takes and answers.
func (x *invocation) describe(ctx context.Context) (err error) {
	c := x.caller
	switch {
	case len(x.call.Description) == 0 && !c.config.Reflection:
		return outbound.Invalid("the call has no \"proto\", and the adapter does not ask servers for it, as it is not started with --reflection")
	case len(x.call.Description) == 0:
		return x.reflect(ctx)
	}
	of := x.call.Service + "\x00" + x.call.Method + "\x00" + string(x.call.Description)
	x.method, err = c.described.Get(of, func() (*method, error) {
		set := &descriptorpb.FileDescriptorSet{}
		if err := messages.DecodeDescription(x.call.Description, set); err != nil {
			return nil, err
		}
		return newMethod(set, x.call.Service, x.call.Method)
	})
	if err != nil {
		return outbound.Invalid("the description of %s can't be used: %v", x.shown(), err)
	}
	return nil
}

// reflected is a method as its server has described it. turn is held by whoever uses it, or asks.
type reflected struct {
	turn   chan struct{}
	method *method
	over   time.Time
}

// The bounds of what servers describe.
const (
	reflectedFor = 5 * time.Minute // until a server is asked again
	maxReflected = 4 << 20         // bytes of all files of one service
	maxFiles     = 1000
)

// reflect asks the server what the method takes and answers. Only one call does for all.
func (x *invocation) reflect(ctx context.Context) error {
	of := x.address + "\x00" + x.call.Service + "\x00" + x.call.Method
	held, err := x.caller.reflected.Get(of, func() (*reflected, error) { return &reflected{turn: make(chan struct{}, 1)}, nil })
	if err != nil {
		return err
	}
	select {
	case held.turn <- struct{}{}:
		defer func() { <-held.turn }()
	case <-ctx.Done():
		return adapters.Transient(fmt.Errorf("wait for the description of %s: %w", x.shown(), ctx.Err()))
	}
	now := x.caller.exit.Now()
	if held.method == nil || !now.Before(held.over) {
		set, err := x.ask(ctx)
		if err != nil {
			return err
		}
		if held.method, err = newMethod(set, x.call.Service, x.call.Method); err != nil {
			return outbound.Invalid("what the server describes of %s can't be used: %v", x.shown(), err)
		}
		held.over = now.Add(reflectedFor)
	}
	x.method = held.method
	return nil
}

// ask has the server describe the service: by version 1 of reflection, or by the one before, which has the same messages.
func (x *invocation) ask(ctx context.Context) (*descriptorpb.FileDescriptorSet, error) {
	var err error
	for _, version := range []string{"v1", "v1alpha"} {
		var set *descriptorpb.FileDescriptorSet
		set, err = x.askBy(ctx, version)
		if err == nil {
			return set, nil
		}
		if status.Code(err) != codes.Unimplemented {
			break
		}
	}
	if why := x.conn.forbidden(); why != nil && status.Code(err) == codes.Unavailable {
		return nil, outbound.Forbidden("%s: %v", x.shown(), why)
	}
	if status.Code(err) == codes.Unimplemented {
		return nil, outbound.Invalid("the server does not describe %s, as it has no reflection: give the call a \"proto\"", x.shown())
	}
	said := status.Convert(err)
	k := kindOf(said.Code())
	p := adapters.Problem{
		Type: adapters.ErrorTypeCommunication, Title: "No description of the service", Status: k.status,
		Detail: fmt.Sprintf("%s: %s", x.shown(), told(said.Message())),
	}
	if said.Code() == codes.DeadlineExceeded {
		p.Type, p.Status = adapters.ErrorTypeTimeout, http.StatusRequestTimeout
	}
	if k.end == refused {
		return nil, adapters.Permanent(p)
	}
	return nil, adapters.Transient(p) // the call itself was not sent, so it is not in doubt
}

// askBy asks for the file of the service, and for those that it needs which have not come with it.
func (x *invocation) askBy(ctx context.Context, version string) (*descriptorpb.FileDescriptorSet, error) {
	ctx, cancel := context.WithCancel(x.outgoing(ctx, metadata.MD{}))
	defer cancel()
	stream, err := x.conn.NewStream(ctx, &rpc.StreamDesc{ServerStreams: true, ClientStreams: true},
		"/grpc.reflection."+version+".ServerReflection/ServerReflectionInfo", rpc.MaxCallRecvMsgSize(maxReflected))
	if err != nil {
		return nil, err //nolint:wrapcheck // it is a status
	}
	d := description{set: &descriptorpb.FileDescriptorSet{}, has: make(map[string]bool)}
	next := &reflection.ServerReflectionRequest{
		MessageRequest: &reflection.ServerReflectionRequest_FileContainingSymbol{FileContainingSymbol: x.call.Service},
	}
	for next != nil {
		_ = stream.SendMsg(next) // what is wrong with it, the next line says
		answer := &reflection.ServerReflectionResponse{}
		if err := stream.RecvMsg(answer); err != nil {
			return nil, err //nolint:wrapcheck // as above
		}
		if e := answer.GetErrorResponse(); e != nil {
			return nil, status.Error(codes.NotFound, e.GetErrorMessage())
		}
		if next, err = d.add(answer.GetFileDescriptorResponse().GetFileDescriptorProto()); err != nil {
			return nil, status.Error(codes.FailedPrecondition, err.Error())
		}
	}
	return d.set, nil
}

// description is what a server has described so far.
type description struct {
	set   *descriptorpb.FileDescriptorSet
	has   map[string]bool
	bytes int
}

// add adds files. It returns what is to be asked for next; nil if nothing is missing.
func (d *description) add(files [][]byte) (*reflection.ServerReflectionRequest, error) {
	before := len(d.has)
	for _, encoded := range files {
		file := &descriptorpb.FileDescriptorProto{}
		if err := messages.DecodeDescription(encoded, file); err != nil {
			return nil, err
		}
		if d.has[file.GetName()] {
			continue
		}
		d.bytes += len(encoded)
		if d.bytes > maxReflected || len(d.has) >= maxFiles {
			return nil, fmt.Errorf("it describes more than %d files, or more than %d bytes", maxFiles, maxReflected)
		}
		d.set.File, d.has[file.GetName()] = append(d.set.File, file), true
	}
	if len(d.has) == before {
		return nil, errors.New("its answer has none of the files that it was asked for")
	}
	for _, file := range d.set.GetFile() {
		for _, path := range file.GetDependency() {
			if !d.has[path] && messages.WellKnownFile(path) == nil {
				return &reflection.ServerReflectionRequest{
					MessageRequest: &reflection.ServerReflectionRequest_FileByFilename{FileByFilename: path},
				}, nil
			}
		}
	}
	return nil, nil //nolint:nilnil // there is nothing missing
}
