package client_test

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/holdfast-run/holdfast/client"
	"github.com/holdfast-run/holdfast/messages/orderv1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fate is what a node does with a submission.
type fate int

// The fates. Each of those that break comes in two kinds: of the stream alone, and of the connection under it.
const (
	taken fate = iota // accepted, and ended if that is waited for
	begun             // accepted, and its end is told later
	busy              // refused for now
	bad               // refused for good
	lost              // the stream breaks, and nothing was kept
	kept              // it was accepted, but the stream breaks before that is told
	told              // it was accepted, and the stream breaks when that was told
	cut               // as kept, and the connection breaks
	over              // the node ends the stream, as though it was closed
	fates
)

// store is what nodes share: the orders that were accepted.
type store struct {
	mu     sync.Mutex
	orders map[string]*orderv1.WorkOrder
	in     []string // their ids, in the order of their acceptance
	fates  []fate   // of submissions, in the order in which they come; after the last all are taken
	wrong  []string
	by     map[string][]string // addresses of the nodes to which each order was submitted, by its id
	// owners is what nodes tell of who owns what, before what they told until then, and asked how often they were asked; nil: they don't
	// know that call.
	owners, before *orderv1.WatchOwnersResponse
	moved          chan struct{} // closed, and replaced, when owners has changed
	asked          int
}

// become changes what nodes tell of who owns what.
func (s *store) become(owners *orderv1.WatchOwnersResponse) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.owners, s.before = owners, s.owners
	close(s.moved)
	s.moved = make(chan struct{})
}

// fate returns what becomes of the next submission.
func (s *store) fate() fate {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.fates) == 0 {
		return taken
	}
	f := s.fates[0]
	s.fates = s.fates[1:]
	return f
}

// accept accepts an order, once.
func (s *store) accept(o *orderv1.WorkOrder) *orderv1.Submission {
	s.mu.Lock()
	defer s.mu.Unlock()
	before, repeated := s.orders[o.GetId()]
	if repeated && !proto.Equal(before, o) {
		s.wrong = append(s.wrong, o.GetId()+" was submitted with another content")
	}
	if !repeated {
		s.orders[o.GetId()] = o
		s.in = append(s.in, o.GetId())
	}
	return &orderv1.Submission{Id: o.GetId(), Answer: &orderv1.Submission_Accepted{
		Accepted: &orderv1.Accepted{Definition: o.GetDefinition(), Repeated: repeated},
	}}
}

// node is a node that answers as a test tells it.
type node struct {
	orderv1.UnimplementedOrderServiceServer
	*store

	address string
	server  *grpc.Server
	conns   *conns

	submit func(context.Context, *orderv1.SubmitRequest) (*orderv1.SubmitResponse, error)
	watch  func(*orderv1.WatchRequest, grpc.ServerStreamingServer[orderv1.WatchResponse]) error
	list   func(*orderv1.WatchListRequest, grpc.ServerStreamingServer[orderv1.WatchListResponse]) error
	get    func(*orderv1.GetRequest) (*orderv1.GetResponse, error)
}

func (n *node) Submit(ctx context.Context, r *orderv1.SubmitRequest) (*orderv1.SubmitResponse, error) {
	return n.submit(ctx, r)
}

func (n *node) Watch(r *orderv1.WatchRequest, s grpc.ServerStreamingServer[orderv1.WatchResponse]) error {
	return n.watch(r, s)
}

func (n *node) WatchList(r *orderv1.WatchListRequest, s grpc.ServerStreamingServer[orderv1.WatchListResponse]) error {
	return n.list(r, s)
}

func (n *node) Get(_ context.Context, r *orderv1.GetRequest) (*orderv1.GetResponse, error) {
	return n.get(r)
}

func (n *node) WatchOwners(r *orderv1.WatchOwnersRequest, st grpc.ServerStreamingServer[orderv1.WatchOwnersResponse]) error {
	n.mu.Lock()
	n.asked++
	n.mu.Unlock()
	for {
		n.mu.Lock()
		owners, moved := n.owners, n.moved
		n.mu.Unlock()
		if owners == nil {
			return n.UnimplementedOrderServiceServer.WatchOwners(r, st)
		}
		if err := st.Send(owners); err != nil {
			return err
		}
		select {
		case <-moved:
		case <-st.Context().Done():
			return st.Context().Err()
		}
	}
}

func refusal(id string, code codes.Code, after time.Duration) *orderv1.Submission {
	r := &orderv1.Refused{Code: int32(code), Reason: "TEST", Message: "refused"}
	if after > 0 {
		r.RetryAfter = durationpb.New(after)
	}
	return &orderv1.Submission{Id: id, Answer: &orderv1.Submission_Refused{Refused: r}}
}

func end(id string) *orderv1.Submission {
	return &orderv1.Submission{Id: id, Answer: &orderv1.Submission_Ended{Ended: &orderv1.Ended{Status: orderv1.Status_STATUS_COMPLETED}}}
}

func (n *node) SubmitStream(st grpc.BidiStreamingServer[orderv1.SubmitStreamRequest, orderv1.SubmitStreamResponse]) error {
	var late []*orderv1.Submission // ends that are told with the next answer, or after all of a message
	for {
		m, err := st.Recv()
		if errors.Is(err, io.EOF) {
			return st.Send(&orderv1.SubmitStreamResponse{Submissions: late})
		}
		if err != nil {
			return err
		}
		for _, r := range m.GetSubmissions() {
			answers, broken, err := n.one(r, &late)
			if len(answers) > 0 {
				if e := st.Send(&orderv1.SubmitStreamResponse{Submissions: answers}); e != nil {
					return e
				}
			}
			if broken {
				return err
			}
		}
		if len(late) > 0 {
			if err := st.Send(&orderv1.SubmitStreamResponse{Submissions: late}); err != nil {
				return err
			}
			late = nil
		}
	}
}

// came notes that an order was submitted to the node.
func (n *node) came(id string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.by[id] = append(n.by[id], n.address)
}

// one answers a submission.
func (n *node) one(r *orderv1.SubmitRequest, late *[]*orderv1.Submission) (answers []*orderv1.Submission, broken bool, err error) {
	o := r.GetOrder()
	n.came(o.GetId())
	id, ends := o.GetId(), r.GetWait() == orderv1.Wait_WAIT_ENDED
	gone := status.Error(codes.Unavailable, "stopping")
	switch f := n.fate(); f {
	case busy:
		return []*orderv1.Submission{refusal(id, codes.ResourceExhausted, time.Millisecond)}, false, nil
	case bad:
		return []*orderv1.Submission{refusal(id, codes.InvalidArgument, 0)}, false, nil
	case lost:
		return nil, true, gone
	case kept:
		n.accept(o)
		return nil, true, gone
	case told:
		return []*orderv1.Submission{n.accept(o)}, true, gone
	case cut:
		n.accept(o)
		n.conns.cut()
		return nil, true, gone
	case over:
		return nil, true, nil
	case begun:
		answers = append(*late, n.accept(o))
		*late = nil
		if ends {
			*late = append(*late, end(id))
		}
		return answers, false, nil
	default:
		answers = append(*late, n.accept(o))
		*late = nil
		if ends {
			answers = append(answers, end(id))
		}
		return answers, false, nil
	}
}

// conns are the connections of a node.
type conns struct {
	net.Listener

	mu  sync.Mutex
	all []net.Conn
}

func (c *conns) Accept() (net.Conn, error) {
	conn, err := c.Listener.Accept()
	if err == nil {
		c.mu.Lock()
		c.all = append(c.all, conn)
		c.mu.Unlock()
	}
	return conn, err
}

// cut breaks all connections.
func (c *conns) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range c.all {
		_ = conn.Close()
	}
	c.all = nil
}

// tester is what tests and rapid's checks have in common.
type tester interface {
	Helper()
	Fatal(args ...any)
	Errorf(format string, args ...any)
}

// world is some nodes.
type world struct {
	t      tester
	store  *store
	nodes  []*node
	ending []func()
}

func newWorld(t tester, nodes int) *world {
	t.Helper()
	w := &world{t: t, store: &store{orders: map[string]*orderv1.WorkOrder{}, by: map[string][]string{}, moved: make(chan struct{})}}
	for range nodes {
		w.start()
	}
	return w
}

// serveInstead replaces the nodes by another one.
func (w *world) serveInstead(orders orderv1.OrderServiceServer) {
	w.t.Helper()
	w.nodes = nil
	w.serve(&node{store: w.store}, orders)
}

// start starts a node.
func (w *world) start() *node {
	w.t.Helper()
	n := &node{store: w.store}
	w.serve(n, n)
	return n
}

func (w *world) serve(n *node, orders orderv1.OrderServiceServer) *node {
	w.t.Helper()
	w.serveBehind(n, orders, func(l net.Listener) net.Listener { return l })
	return n
}

// serveBehind has a node serve behind something before its listener.
func (w *world) serveBehind(
	n *node, orders orderv1.OrderServiceServer, before func(net.Listener) net.Listener, options ...grpc.ServerOption,
) {
	w.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		w.t.Fatal(err)
	}
	n.address, n.server, n.conns = l.Addr().String(), grpc.NewServer(options...), &conns{Listener: before(l)}
	orderv1.RegisterOrderServiceServer(n.server, orders)
	served := make(chan error, 1)
	go func() { served <- n.server.Serve(n.conns) }()
	w.nodes = append(w.nodes, n)
	w.ending = append(w.ending, func() {
		n.server.Stop()
		if err := <-served; err != nil && !errors.Is(err, grpc.ErrServerStopped) {
			w.t.Errorf("serve: %v", err)
		}
	})
}

// dial connects to all nodes.
func (w *world) dial(change func(*client.Config)) *client.Client {
	w.t.Helper()
	c := client.Config{Backoff: client.Backoff{Initial: time.Millisecond, Max: 5 * time.Millisecond, Jitter: 0.5}}
	for _, n := range w.nodes {
		c.Addresses = append(c.Addresses, n.address)
	}
	if change != nil {
		change(&c)
	}
	made, err := client.New(c)
	if err != nil {
		w.t.Fatal(err)
	}
	w.ending = append(w.ending, func() {
		if err := made.Close(); err != nil {
			w.t.Errorf("close: %v", err)
		}
	})
	return made
}

// end ends all that was started, the last first.
func (w *world) end() {
	for _, end := range slices.Backward(w.ending) {
		end()
	}
}

// setup makes some nodes for a test.
func setup(t *testing.T, nodes int) *world {
	t.Helper()
	w := newWorld(t, nodes)
	t.Cleanup(w.end)
	return w
}
