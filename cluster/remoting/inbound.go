package remoting

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"sync"

	"github.com/asynkron/protoactor-go/remote"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/nodev1"
	"github.com/holdfast-run/holdfast/messages/remotingv1"
)

// inbound is a stream on which a node sends to this one.
type inbound struct {
	peer

	anew   bool // it was connected before
	ended  chan struct{}
	once   sync.Once
	reason error
}

// end ends the stream. What was read before is delivered.
func (in *inbound) end(reason error) {
	in.once.Do(func() {
		in.reason = reason
		close(in.ended)
	})
}

// guardStream stands before each stream: it lets in only what this node understands, and only from nodes that it can work with, and no
// panic out.
func (r *Remoting) guardStream(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	if info.FullMethod != remote.Remoting_Receive_FullMethodName {
		r.metrics.refused.WithLabelValues("method").Inc()
		return status.Error(codes.Unimplemented, "there is no such method")
	}
	in, err := r.welcome(ss)
	if err != nil {
		return err
	}
	defer r.leave(in)
	unwatch := r.watch(ss.Context(), in.end)
	defer unwatch()
	read := make(chan error, 1)
	r.readers.Go(func() {
		read <- r.guardPanic(func() error { return handler(srv, &guarded{ServerStream: ss, r: r, in: in}) })
	})
	select {
	case err = <-read:
	case <-in.ended: // the reader ends with the stream
		err = status.Error(codes.Unavailable, printable(in.reason.Error()))
	}
	return err
}

// guardUnary refuses each call: nodes have streams only. What protoactor has of calls panics.
func (r *Remoting) guardUnary(context.Context, any, *grpc.UnaryServerInfo, grpc.UnaryHandler) (any, error) {
	r.metrics.refused.WithLabelValues("method").Inc()
	return nil, status.Error(codes.Unimplemented, "there is no such method")
}

// guardPanic makes an error of a panic.
func (r *Remoting) guardPanic(do func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			r.metrics.refused.WithLabelValues("panic").Inc()
			r.log.Error("handling what another node sent has panicked", "panic", p, "stack", string(debug.Stack()))
			err = status.Error(codes.Internal, "what was sent could not be handled")
		}
	}()
	return do()
}

// welcome exchanges hellos with a node that has connected.
func (r *Remoting) welcome(ss grpc.ServerStream) (*inbound, error) {
	md, _ := metadata.FromIncomingContext(ss.Context())
	h, f := hear(md)
	if f != nil {
		return nil, r.turnAway("a stranger", f)
	}
	said, err := say(r.config.hello(""))
	if err != nil {
		return nil, err
	}
	p, f := r.config.admit(h)
	if f != nil && f.reason == otherLife {
		_ = ss.SetHeader(said) // it fails only if the stream has ended
	}
	if f != nil {
		return nil, r.turnAway(printable(h.GetAddress()+"/"+h.GetIncarnation()), f)
	}
	in := &inbound{peer: p, ended: make(chan struct{})}
	if f := r.enter(in); f != nil {
		return nil, r.turnAway(p.String(), f)
	}
	if in.anew {
		r.lost(in.Node)
	}
	if err := ss.SendHeader(said); err != nil {
		r.leave(in)
		return nil, fmt.Errorf("answer a hello: %w", err)
	}
	return in, nil
}

// turnAway refuses a node. Why is told once.
func (r *Remoting) turnAway(who string, f *fault) error {
	r.metrics.refused.WithLabelValues(f.reason).Inc()
	if r.told.first(who + " " + f.text) {
		r.log.Warn("node that wants to connect is refused", "node", who, "reason", f.text)
	}
	return refusal(f)
}

// guarded is a stream of which the reader behind it gets only what may be handled.
type guarded struct {
	grpc.ServerStream

	r   *Remoting
	in  *inbound
	end error // ends the stream when the rest of the last frame was handled
}

// inboundKey is where the context of a stream has whose it is.
type inboundKey struct{}

// Context implements grpc.ServerStream.
func (g *guarded) Context() context.Context {
	return context.WithValue(g.ServerStream.Context(), inboundKey{}, g.in)
}

// RecvMsg implements grpc.ServerStream.
func (g *guarded) RecvMsg(to any) error {
	m, ok := to.(*remote.RemoteMessage)
	if !ok {
		return status.Errorf(codes.Internal, "a %T can't be received", to)
	}
	if g.end != nil {
		return g.end
	}
	var came frame
	if err := g.ServerStream.RecvMsg(&came); err != nil {
		if status.Code(err) == codes.ResourceExhausted {
			g.r.refuse(g.in, faultOf("oversize", "frame is longer than %d bytes", g.r.config.maxFrame()))
		}
		return err //nolint:wrapcheck // io.EOF must stay what it is
	}
	defer came.in.Free()
	g.r.metrics.recvFrames.Inc()
	g.r.metrics.recvBytes.Add(float64(came.in.Len()))
	f := judge(came.in.ReadOnlyData(), m)
	if f == nil {
		return nil
	}
	g.r.refuse(g.in, f)
	g.end = status.Error(codes.InvalidArgument, f.text)
	if len(m.GetMessageBatch().GetEnvelopes()) == 0 {
		return g.end
	}
	return nil // what can be handled is
}

// refuse counts what a node has sent and must not, and tells it once.
func (r *Remoting) refuse(in *inbound, f *fault) {
	r.metrics.refused.WithLabelValues(f.reason).Inc()
	if r.told.first(in.String() + " " + f.reason) {
		r.log.Error("node has sent what it must not", "node", in.String(), "version", in.version, "reason", f.text)
	}
}

// reader is protoactor's service, as far as nodes use it.
type reader struct {
	remote.UnimplementedRemotingServer

	r *Remoting
}

// Receive implements remote.RemotingServer, behind the guard.
func (s reader) Receive(stream remote.Remoting_ReceiveServer) error {
	in, _ := stream.Context().Value(inboundKey{}).(*inbound)
	for {
		m, err := stream.Recv()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err //nolint:wrapcheck // it is a status
		case m.GetConnectRequest() != nil:
			if err := stream.Send(&remote.RemoteMessage{MessageType: &remote.RemoteMessage_ConnectResponse{
				ConnectResponse: &remote.ConnectResponse{MemberId: string(s.r.config.Self.Incarnation)},
			}}); err != nil {
				return err //nolint:wrapcheck // it is a status
			}
			continue
		}
		for _, e := range m.GetMessageBatch().GetEnvelopes() {
			if f := s.r.open(in, e.GetMessageData()); f != nil {
				s.r.refuse(in, f)
				return status.Error(codes.InvalidArgument, f.text)
			}
		}
	}
}

// open delivers what is in a parcel.
func (r *Remoting) open(in *inbound, raw []byte) *fault {
	p := new(remotingv1.Parcel)
	if err := proto.Unmarshal(raw, p); err != nil {
		return faultOf("malformed", "parcel can't be read")
	}
	if messages.Incarnation(p.GetReceiver()) != r.config.Self.Incarnation || messages.Incarnation(p.GetSender()) != in.Incarnation {
		return faultOf("incarnation", "parcel is for incarnation %.80q, and from %.80q", p.GetReceiver(), p.GetSender())
	}
	for left := p.GetLetters(); len(left) > 0; { // those behind one that panics are not lost for that
		_ = r.guardPanic(func() error { // it is counted and told
			for len(left) > 0 {
				next := left[0]
				left = left[1:]
				r.deliver(in, next)
			}
			return nil
		})
	}
	return nil
}

// deliver hands a letter over. One that can't be read does not harm those beside it.
func (r *Remoting) deliver(in *inbound, raw []byte) {
	k, m, err := unpack(raw)
	switch {
	case errors.Is(err, errMalformed):
		r.refuse(in, faultOf("letter", "%v", err))
		return
	case err != nil:
		r.refuse(in, faultOf("unknown", "%v", err))
		if e, ok := m.(*nodev1.Envelope); ok {
			r.Answer(e.GetAsker(), failed(e.GetAsk(), nodev1.Reason_REASON_UNSPECIFIED, "node "+r.self+": "+err.Error()))
		}
		return
	}
	r.metrics.received[k].Inc()
	switch m := m.(type) {
	case *nodev1.Envelope:
		if to := r.receiver.Load(); to != nil {
			to.Deliver(in.Node, m)
			return
		}
		r.Answer(m.GetAsker(), failed(m.GetAsk(), nodev1.Reason_REASON_NOT_OWNER, "node "+r.self+" owns nothing yet"))
	case *nodev1.Answer:
		r.answered(m)
	case *remotingv1.Question:
		r.testify(in.Node, m)
	case *remotingv1.Evidence:
		r.hearEvidence(in.Node, m)
	case *remotingv1.Holdings:
		if to := r.receiver.Load(); to != nil {
			to.Holds(in.Node, m)
		}
	case *remotingv1.Instruction:
		if to := r.receiver.Load(); to != nil {
			to.Instructed(m)
		}
	}
}
