package gateway

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"runtime/debug"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/reflection"

	"github.com/holdfast-run/holdfast/actors"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/adapterv1"
	"github.com/holdfast-run/holdfast/messages/definitionv1"
	"github.com/holdfast-run/holdfast/messages/eventv1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
)

// Server is the public API of a node.
type Server struct {
	config  Config
	engine  *actors.Engine
	metrics *actors.Metrics
	node    messages.NodeID
	nodes   Nodes
	// databases are those that have the journal; nil: it is in the data directory.
	databases Databases
	losses    Losses  // nil: the node is in no cluster
	backup    Backup  // nil: there is none to be had here
	callers   Callers // nil: nobody is asked who he is
	audit     Audit   // nil: none is kept
	log       *slog.Logger
	offered   offers
	beat      beat
	// helloRefused is of adapters, because of what they offer, and callerRefused of callers, because of who they are.
	helloRefused, callerRefused refusals
	health                      *health.Server
	stopping                    chan struct{}
	started                     time.Time

	// tooMany tells whether a call to the public address that has just begun is one too many, by where it comes from.
	tooMany func(from net.Addr) bool

	// requests are those of calls to the public address that have not come yet.
	requests requests

	// accepting are the orders that wait to become durable, and acceptingBytes what they take.
	accepting, acceptingBytes atomic.Int64

	admission *admission
	// unanswered is what adapters have said and are not answered yet, answers are those to submissions that are not sent, and
	// waits what it takes to wait on streams for the ends of orders.
	unanswered, answers, waits tallies
	// unsent is for the public address. The administration has one of its own, so that clients can't fill it.
	unsent, adminUnsent *unsent
	// lists are the places for lists that are watched over the public address. The administration has places of its own, too.
	lists, adminLists places
}

// New makes the API of an engine.
func New(config Config, engine *actors.Engine, metrics *actors.Metrics, node messages.NodeID, log *slog.Logger) *Server {
	config = config.WithDefaults()
	s := &Server{
		config: config, engine: engine, metrics: metrics, node: node, nodes: alone{}, log: log, health: health.NewServer(),
		tooMany: func(net.Addr) bool { return false }, stopping: make(chan struct{}), started: time.Now(), admission: newAdmission(config),
	}
	s.requests.within, s.requests.late = config.RequestWithin, metrics.RequestLate
	s.unanswered.most, s.answers.most, s.waits.most = config.Results, config.Answers, config.Waits
	s.unsent = s.newUnsent(config.Unsent)
	s.adminUnsent = s.newUnsent(config.Unsent / 4)
	s.lists.most, s.adminLists.most = int64(config.Lists), int64(config.Lists)
	return s
}

func (s *Server) newUnsent(most int64) *unsent {
	u := newUnsent(most, s.config.place(), s.config.SlowReader)
	u.changed = s.metrics.Unsent
	u.slow = func(name string) {
		s.metrics.SlowReader()
		s.log.Warn("connection closed: its client does not read, and others wait for room", "client", name, "after", s.config.SlowReader)
	}
	return u
}

// frameOverhead is what a message may have beside the input or output that it carries.
const frameOverhead = 1 << 20

// connectWithin is how long a connection may take until its client has said that it speaks gRPC, with TLS before that if there is. A node
// that stops waits for those that are in this state, so that one that says nothing must not take long.
const connectWithin = 5 * time.Second

// connectionWindow is how many bytes a connection may send before the node has taken them from it. gRPC takes them at once, and holds them
// for their streams: what bounds them is the window of each stream.
const connectionWindow = 4 << 20

// readBuffer is how much a connection reads at once, in bytes: it has as much memory for that as long as it lives.
const readBuffer = 16 << 10

// GRPC makes the gRPC server that serves the API.
func (s *Server) GRPC(extra ...grpc.ServerOption) *grpc.Server {
	single := map[string]bool{}
	opts := append([]grpc.ServerOption{
		grpc.MaxRecvMsgSize(max(s.config.MaxInput, s.config.MaxOutput)*4 + frameOverhead),
		grpc.MaxConcurrentStreams(uint32(s.config.Streams)), //nolint:gosec // validated
		grpc.MaxHeaderListSize(uint32(s.config.Headers)),    //nolint:gosec // validated
		grpc.ConnectionTimeout(connectWithin),
		grpc.ReadBufferSize(readBuffer),
		grpc.InitialWindowSize(int32(s.config.ReceiveWindow)),                            //nolint:gosec // validated
		grpc.InitialConnWindowSize(max(connectionWindow, int32(s.config.ReceiveWindow))), //nolint:gosec // validated
		grpc.KeepaliveParams(keepalive.ServerParameters{
			Time: 30 * time.Second, Timeout: 10 * time.Second, MaxConnectionIdle: s.config.ConnectionIdle,
		}),
		grpc.InTapHandle(s.tap(single)),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second, PermitWithoutStream: true}),
		grpc.UnaryInterceptor(s.unary(s.unsent)),
		grpc.ChainStreamInterceptor(arrivedStream, s.containStream, s.accessStream),
		grpc.ForceServerCodecV2(newCodec()),
	}, extra...)
	g := grpc.NewServer(opts...)
	orderv1.RegisterOrderServiceServer(g, orders{Server: s, unsent: s.unsent, lists: &s.lists})
	definitionv1.RegisterDefinitionServiceServer(g, definitions{Server: s})
	eventv1.RegisterEventServiceServer(g, events{Server: s})
	adapterv1.RegisterAdapterServiceServer(g, adapterService{Server: s})
	grpc_health_v1.RegisterHealthServer(g, s.health)
	reflection.Register(g)
	addSingle(single, g)
	return g
}

// SetServing tells health checks whether the node can do its work.
func (s *Server) SetServing(yes bool) {
	st := grpc_health_v1.HealthCheckResponse_NOT_SERVING
	if yes {
		st = grpc_health_v1.HealthCheckResponse_SERVING
	}
	s.health.SetServingStatus("", st)
}

// Drain tells adapters and watchers that the node is about to leave. Call it once.
func (s *Server) Drain() {
	s.health.Shutdown()
	close(s.stopping)
}

// contain turns a panic of a call into an error of that call.
func (s *Server) contain(method string, err *error) {
	if r := recover(); r != nil {
		s.log.Error("panic in a call", "method", method, "panic", fmt.Sprint(r), "stack", string(debug.Stack()))
		*err = (&failure{code: codes.Internal, reason: "INTERNAL", message: "the node failed to do this; its log says why"}).status()
	}
}

// unary lets a call pass if its caller may make it, in its turn if its answer may be large, and noted if it changes something. u is where
// large answers are counted; nil: the server has none.
func (s *Server) unary(u *unsent) grpc.UnaryServerInterceptor {
	return func(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (resp any, err error) {
		defer s.contain(info.FullMethod, &err)
		arrived(ctx)
		if s.callers != nil {
			if ctx, err = s.allowed(ctx, info.FullMethod, req); err != nil {
				return nil, err
			}
		}
		switch {
		case large[info.FullMethod]:
			return s.bounded(ctx, u, req, next)
		case s.isNoted(info.FullMethod, req):
			err = s.noted(ctx, info.FullMethod, req, func(ctx context.Context) (err error) {
				defer s.contain(info.FullMethod, &err) // so that what came of it is noted
				resp, err = next(ctx, req)
				return err
			})
			return resp, err
		}
		return next(ctx, req)
	}
}

func (s *Server) containStream(srv any, st grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) (err error) {
	defer s.contain(info.FullMethod, &err)
	return next(srv, st)
}
