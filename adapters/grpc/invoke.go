package grpc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"

	rpc "google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/holdfast-run/holdfast/adapters"
	"github.com/holdfast-run/holdfast/adapters/outbound"
	"github.com/holdfast-run/holdfast/adapters/sealed"
)

// invocation is a call, from what the engine says of it to its last answer.
type invocation struct {
	caller *caller
	task   adapters.Task
	call   call

	address        string // host:port
	authentication outbound.Authentication
	authorized     outbound.Authorization
	conn           *connection
	method         *method
	request        []byte
	// waits counts how often the server has asked to wait, renewed tells that a new token was used.
	waits   int
	renewed bool
}

// prepare finds out where the call goes, and what authorizes it.
func (x *invocation) prepare(ctx context.Context) error {
	host := strings.ToLower(x.call.Host)
	port := strconv.Itoa(x.call.Port)
	if x.call.Port == 0 {
		port = outbound.PortOf("https")
		if plain := outbound.PortOf("http"); x.caller.plaintext.Has(host, plain) {
			port = plain
		}
	}
	x.address = net.JoinHostPort(host, port)
	if !x.caller.exit.Allowed.Host(host, port) {
		return outbound.Forbidden("the allow-list of the adapter does not permit %s", x.shown())
	}
	policy, _, err := x.open("authentication", x.call.Authentication)
	if err != nil {
		return err
	}
	if x.authentication, err = outbound.ParseAuthentication(policy); err != nil {
		return err
	}
	if x.authentication.Digest != nil {
		return outbound.Invalid("the authentication is digest, which answers a challenge of HTTP, and gRPC does not have any")
	}
	x.authorized, err = x.caller.exit.Authorize(ctx, x.authentication)
	return err
}

// open returns a property of the call with its secrets; nil if it is not there. It tells whether there are any.
func (x *invocation) open(name string, raw json.RawMessage) (v any, secret bool, err error) {
	c := sealed.Call{
		Secrets: x.caller.config.Secrets, Namespace: x.call.Namespace, Sealed: x.call.Sealed,
		Scheme: x.authorized.Scheme, Parameter: x.authorized.Parameter,
	}
	return c.Open(name, raw)
}

// encode makes the message of the arguments.
func (x *invocation) encode() error {
	text := x.call.Arguments
	v, secret, err := x.open("arguments", text)
	if err != nil {
		return err
	}
	switch {
	case v == nil:
		text = []byte("{}")
	case secret:
		if text, err = json.Marshal(v); err != nil {
			return outbound.Invalid("the arguments are no JSON")
		}
	}
	message := dynamicpb.NewMessage(x.method.Input())
	err = protojson.UnmarshalOptions{Resolver: x.method.types}.Unmarshal(text, message)
	switch {
	case err != nil && secret: // what is wrong might be secret
		return outbound.Invalid("the arguments do not make the message %s", x.method.Input().FullName())
	case err != nil:
		return outbound.Invalid("the arguments do not make the message %s: %s", x.method.Input().FullName(), why(err))
	}
	if x.request, err = proto.Marshal(message); err != nil {
		return outbound.Invalid("the arguments can't be encoded as the message %s", x.method.Input().FullName())
	}
	return nil
}

// why is what protojson says is wrong, without the place, which is one in what the engine has made.
func why(err error) string {
	text := strings.TrimPrefix(strings.ReplaceAll(err.Error(), "\u00a0", " "), "proto: ")
	if strings.HasPrefix(text, "(line ") {
		if _, after, found := strings.Cut(text, "): "); found {
			return after
		}
	}
	return text
}

// answer is what came of a call that was tried once.
type answer struct {
	messages [][]byte
	tooLong  bool
	// err is the status with which it ended; nil: with success.
	err     error
	trailer metadata.MD
	// sent tells that the call may have been sent, began that the server has begun to answer.
	sent, began bool
}

// invoke makes the call until an answer counts.
func (x *invocation) invoke(ctx context.Context) (answer, error) {
	for {
		if err := x.caller.exit.Pass(ctx, x.address, x.shown()); err != nil {
			return answer{}, err
		}
		a := x.round(ctx)
		if a.err == nil || a.tooLong {
			return a, nil
		}
		again, err := x.again(ctx, a)
		if err != nil {
			return answer{}, err
		}
		if !again {
			return answer{}, x.failure(ctx, a)
		}
	}
}

// again tells whether an answer is none that counts, but says what is to be done next.
func (x *invocation) again(ctx context.Context, a answer) (bool, error) {
	if !a.sent || len(a.messages) > 0 {
		return false, nil
	}
	if status.Code(a.err) == codes.Unauthenticated && !x.renewed {
		x.renewed = true
		authorized, renewed, err := x.caller.exit.Renew(ctx, x.authentication, x.authorized)
		if err != nil || !renewed {
			return false, err
		}
		x.authorized = authorized
		return true, x.encode() // the arguments may say what authorizes it
	}
	after, said := a.retryAfter()
	if said {
		x.caller.exit.HoldBack(x.address, after)
	}
	x.waits++
	return said && x.waits <= outbound.MaxWaits && x.caller.exit.WillPass(ctx, x.address), nil
}

// round makes the call once.
func (x *invocation) round(ctx context.Context) (a answer) {
	p := &progress{}
	header := metadata.MD{}
	if name := x.caller.config.Key(); name != "" {
		header.Set(name, x.task.Key)
	}
	ctx, cancel := context.WithCancel(context.WithValue(x.outgoing(ctx, header), progressKey{}, p))
	defer cancel()
	stream, err := x.conn.NewStream(ctx, &rpc.StreamDesc{ServerStreams: x.method.IsStreamingServer()},
		"/"+x.call.Service+"/"+x.call.Method,
		rpc.ForceCodecV2(plain{}), rpc.MaxCallRecvMsgSize(x.caller.config.ResponseBytes), rpc.MaxCallSendMsgSize(len(x.request)+1))
	if err == nil {
		if err = x.exchange(stream, p, &a); err != nil { // the stream has ended
			a.trailer = stream.Trailer()
		}
	}
	a.err, a.sent, a.began = err, p.sent.Load(), p.began.Load()
	// The library says so of a message that is too long, as a server could; but before that has begun to answer, it is the server.
	said := status.Convert(err)
	if said.Code() == codes.ResourceExhausted && a.began && strings.HasPrefix(said.Message(), "grpc: received message") {
		a.tooLong = true
	}
	if a.sent && !a.began && status.Code(err) == codes.DeadlineExceeded {
		x.caller.pool.retire(x.conn)
	}
	return a
}

// outgoing adds what a call says of itself to its context.
func (x *invocation) outgoing(ctx context.Context, header metadata.MD) context.Context {
	if x.authorized.Scheme != "" {
		header.Set("authorization", x.authorized.Scheme+" "+x.authorized.Parameter)
	}
	return metadata.NewOutgoingContext(ctx, header)
}

// exchange sends the message, and reads what is answered.
func (x *invocation) exchange(stream rpc.ClientStream, p *progress, a *answer) error {
	if err := stream.SendMsg(x.request); err != nil && !errors.Is(err, io.EOF) { // then the server has ended it, and says why
		return err //nolint:wrapcheck // it is a status
	}
	if err := stream.CloseSend(); err != nil {
		return err //nolint:wrapcheck // as above
	}
	for total := 0; ; {
		var message []byte
		err := stream.RecvMsg(&message)
		switch {
		case errors.Is(err, io.EOF) && !p.ended.Load(): // the library says that, too, of a call that was reset while it was sent again
			return status.Error(codes.Internal, "the server has ended the call, and not said how")
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err //nolint:wrapcheck // as above
		}
		if total += len(message); total > x.caller.config.ResponseBytes {
			a.tooLong = true
			return nil
		}
		a.messages = append(a.messages, message)
		if !x.method.IsStreamingServer() {
			return nil
		}
	}
}

// shown is the call as it may be told.
func (x *invocation) shown() string {
	return fmt.Sprintf("%s/%s at %s", x.call.Service, x.call.Method, x.address)
}

// plain has messages sent as they are.
type plain struct{}

func (plain) Name() string { return "proto" }

func (plain) Marshal(v any) (mem.BufferSlice, error) {
	b, is := v.([]byte)
	if !is {
		return nil, fmt.Errorf("a message of the type %T can't be sent", v)
	}
	return mem.BufferSlice{mem.SliceBuffer(b)}, nil
}

func (plain) Unmarshal(data mem.BufferSlice, v any) error {
	b, is := v.(*[]byte)
	if !is {
		return fmt.Errorf("a message can't be read as the type %T", v)
	}
	*b = data.Materialize()
	return nil
}

// pushback is the metadata by which a server says after how many milliseconds a call may be tried again.
const pushback = "grpc-retry-pushback-ms"
