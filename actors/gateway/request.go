package gateway

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/tap"

	"github.com/holdfast-run/holdfast/messages/adapterv1"
)

// request is the context of a call whose request has not come yet, or has. A request that takes too long ends its call.
type request struct {
	context.Context //nolint:containedctx // it is one

	end func(cause error)
	due time.Time
	// of holds it until its request has come, between those of the calls that began before and after it.
	of         *requests
	prev, next *request
}

type requestKey struct{}

// errLate is why the context of a call ends whose request takes too long.
var errLate = errors.New("the request did not come in time")

// Err implements context.Context. gRPC knows two errors of contexts, and for clients this is the one that fits.
func (r *request) Err() error {
	err := r.Context.Err()
	if err != nil && errors.Is(context.Cause(r.Context), errLate) {
		return context.DeadlineExceeded
	}
	return err
}

// Value implements context.Context.
func (r *request) Value(key any) any {
	if key == (requestKey{}) {
		return r
	}
	return r.Context.Value(key)
}

// BoundCallsBy has a call refused if there are too many calls and streams under way, as whoever counts them says by where it comes from.
// Call it before the node serves.
func (s *Server) BoundCallsBy(tooMany func(from net.Addr) bool) { s.tooMany = tooMany }

// tap sees each call before its request is read. Single has the methods to which clients send one message, once the server is served, and
// that of adapters, whose hello is a request, too.
func (s *Server) tap(single map[string]bool) tap.ServerInHandle {
	return func(ctx context.Context, call *tap.Info) (context.Context, error) {
		from, by := connectionOf(ctx)
		said := by != nil && by.said != nil && by.said()
		if err := s.checkCalls(from); err != nil || said || !single[call.FullMethodName] {
			return ctx, err
		}
		return s.requests.await(ctx), nil
	}
}

// checkCalls says if there are too many calls.
func (s *Server) checkCalls(from net.Addr) error {
	if !s.tooMany(from) {
		return nil
	}
	s.metrics.Rejected("CALLS")
	return s.fail(&failure{
		code: codes.ResourceExhausted, reason: "CALLS", retry: time.Second,
		message: fmt.Sprintf("the node takes %d calls and streams at once, and %d from one address", s.config.Calls, s.config.AddressCalls),
	})
}

// requests are those that have not come yet, in the order in which their calls began: all have the same time. One timer looks after them,
// as long as there are any.
type requests struct {
	within time.Duration
	late   func() // counts one

	mu          sync.Mutex
	first, last *request
	look        *time.Timer // nil: there never was one
	looking     bool
}

// await returns the context of a call that ends if its request does not come in time.
func (q *requests) await(ctx context.Context) context.Context {
	ctx, end := context.WithCancelCause(ctx)
	r := &request{Context: ctx, end: end, due: time.Now().Add(q.within), of: q}
	q.mu.Lock()
	defer q.mu.Unlock()
	if r.prev = q.last; r.prev == nil {
		q.first = r
	} else {
		r.prev.next = r
	}
	q.last = r
	if !q.looking {
		q.looking = true
		q.lookLater()
	}
	return r
}

// lookLater has it looked soon which calls have ended, which would be kept otherwise, and in time which requests are late.
func (q *requests) lookLater() {
	after := min(max(q.within/300, 10*time.Millisecond), time.Until(q.first.due))
	if q.look == nil {
		q.look = time.AfterFunc(after, q.lookAll)
		return
	}
	q.look.Reset(after)
}

func (q *requests) lookAll() {
	now := time.Now()
	var late []*request
	q.mu.Lock()
	var next *request
	for r := q.first; r != nil; r = next {
		next = r.next
		isLate := !now.Before(r.due)
		if r.Context.Err() != nil {
			q.remove(r)
		} else if isLate {
			q.remove(r)
			late = append(late, r)
		}
	}
	if q.looking = q.first != nil; q.looking {
		q.lookLater()
	}
	q.mu.Unlock()
	for _, r := range late {
		q.late()
		r.end(errLate)
	}
}

// remove takes out a request that may have been taken out before.
func (q *requests) remove(r *request) {
	switch {
	case r.prev != nil:
		r.prev.next = r.next
	case q.first == r:
		q.first = r.next
	default:
		return
	}
	if r.next != nil {
		r.next.prev = r.prev
	} else {
		q.last = r.prev
	}
	r.prev, r.next = nil, nil
}

// arrived says that the request of a call has come.
func arrived(ctx context.Context) {
	if r, ok := ctx.Value(requestKey{}).(*request); ok {
		r.of.mu.Lock()
		defer r.of.mu.Unlock()
		r.of.remove(r)
	}
}

// addSingle adds the methods of a server to which clients send one message, and that of adapters.
func addSingle(single map[string]bool, g *grpc.Server) {
	single[adapterv1.AdapterService_Connect_FullMethodName] = true
	for service, info := range g.GetServiceInfo() {
		for _, m := range info.Methods {
			if !m.IsClientStream {
				single["/"+service+"/"+m.Name] = true
			}
		}
	}
}

func arrivedStream(srv any, st grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) error {
	if !info.IsClientStream {
		st = &singleRequest{st}
	}
	return next(srv, st)
}

// singleRequest is a stream on which the client sends one message.
type singleRequest struct{ grpc.ServerStream }

// RecvMsg implements grpc.ServerStream.
func (s *singleRequest) RecvMsg(m any) error {
	err := s.ServerStream.RecvMsg(m)
	if err == nil {
		arrived(s.Context())
	}
	return err //nolint:wrapcheck // it stands for what it wraps
}
