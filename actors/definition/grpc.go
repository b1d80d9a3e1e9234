package definition

import (
	"regexp"
	"strconv"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/holdfast-run/holdfast/actors/workflow"
)

// The activities that call a method of a gRPC service: one for methods that can be called again, and one for those that can't.
const (
	activityCall     = "grpc.call"
	activityCallOnce = "grpc.callOnce"
)

var (
	hostPattern    = regexp.MustCompile(`^[a-zA-Z0-9](?:[a-zA-Z0-9.-]{0,251}[a-zA-Z0-9])?$`)
	servicePattern = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*$`)
	methodName     = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
)

// grpcCall compiles the call of a method of a gRPC service.
func (c *compiler) grpcCall(n *node, t *workflow.Task, s scope) {
	w := c.object(n, "the property \"with\" of \"call: grpc\"", "proto", "service", "method", "arguments")
	if !w.ok {
		return
	}
	call := &workflow.Call{Activity: activityCallOnce}
	t.Kind = call
	r := c.request(s)
	service := r.service(w.required("service"))
	method := w.required("method")
	if method != nil && c.isString(method, "method") && !methodName.MatchString(method.text) {
		c.atf(method, "\"method\" must be the name of a method such as \"SayHello\", but is %s", method.describe())
		method = nil
	}
	arguments := w.get("arguments")
	if arguments != nil && arguments.kind != objectKind && !arguments.isExpression() {
		c.atf(arguments, "\"arguments\" must be an object such as {name: value}, or an expression in ${ }, but is %s", arguments.describe())
		arguments = nil
	}
	if method != nil && method.kind == stringKind {
		r.property("method", method)
	}
	if proto := w.get("proto"); proto != nil {
		if m, files := c.method(proto, service, method); m != nil {
			if repeatableMethod(m) {
				call.Activity = activityCall
			}
			r.described(m, files, proto)
			if arguments != nil {
				c.arguments(arguments, m.Input(), files)
			}
		}
	}
	if arguments != nil {
		r.property("arguments", arguments)
	}
	call.With = r.done()
}

// repeatableMethod tells whether a method says of itself that it can be called again.
func repeatableMethod(m protoreflect.MethodDescriptor) bool {
	o, _ := m.Options().(*descriptorpb.MethodOptions)
	return o.GetIdempotencyLevel() != descriptorpb.MethodOptions_IDEMPOTENCY_UNKNOWN
}

// service reads where a service is, and who says that a call comes. It returns the name; nil after a mistake.
func (r *request) service(n *node) (name *node) {
	o := r.c.object(n, "the property \"service\"", "name", "host", "port", "authentication")
	switch name = o.required("name"); {
	case name == nil:
	case !r.c.isString(name, "name"):
		name = nil
	case !servicePattern.MatchString(name.text):
		r.c.atf(name, "\"name\" must be the full name of a service such as \"shop.v1.Orders\", but is %s", name.describe())
		name = nil
	default:
		r.property("service", name)
	}
	if v := o.required("host"); v != nil && r.c.isString(v, "host") {
		if !hostPattern.MatchString(v.text) {
			r.c.atf(v, "\"host\" must be the name or address of a host such as \"orders.example.com\", but is %s", v.describe())
		} else {
			r.property("host", v)
		}
	}
	if v := o.get("port"); v != nil {
		if port, ok := r.c.integer(v, "port", 1, 65535); ok {
			r.name("port")
			r.literal.WriteString(strconv.FormatInt(port, 10))
		}
	}
	if v := o.get("authentication"); v != nil {
		r.without = map[string]string{"digest": "digest answers a challenge of HTTP, which gRPC does not have: use another policy"}
		r.authentication(v)
	}
	return name
}

// described adds what an adapter has to know of a method.
func (r *request) described(m protoreflect.MethodDescriptor, files *protoregistry.Files, at *node) {
	text, err := described(m, files)
	switch {
	case err != nil:
		r.c.atf(at, "the messages of the method %s can't be described: %v", m.FullName(), err)
	case len(text) > maxDescription:
		r.c.atf(at, "the messages of the method %s take %d bytes to describe, more than the %d that each call can hand to its adapter: leave "+
			"out what of them is not needed", m.FullName(), len(text), maxDescription)
	default:
		r.name("description")
		writeString(&r.literal, text)
	}
}

// maxDescription is the longest description of the messages of a method, in base64.
const maxDescription = 128 << 10
