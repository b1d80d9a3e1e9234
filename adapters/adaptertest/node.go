package adaptertest

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/protobuf/proto"

	"github.com/holdfast-run/holdfast/adapters"
	"github.com/holdfast-run/holdfast/messages/adapterv1"
)

// Options say what a node does. The zero value of each means its default.
type Options struct {
	// Addr is where it listens. Default: a free port of 127.0.0.1.
	Addr string
	// ID is what it calls itself. Default: test-node.
	ID string
	// Heartbeat is what it asks for. Default 1 s.
	Heartbeat time.Duration
	// MaxOutput is the longest output that it takes, in bytes. Default: no bound.
	MaxOutput uint32
	// Nodes are the addresses that it announces without a topology. Default: none.
	Nodes []string
	// Topology is which nodes there are, as it tells with the welcome. Default: it tells nothing.
	Topology *adapterv1.Topology
	// Lists has it take listings, ask with Own, and answer with NotOwner. Default: it is like a node that knows no others.
	Lists bool
	// HoldAcks leaves the acknowledgement of results to the test, by Ack. Default: each result is acknowledged at once.
	HoldAcks bool
	// HoldConfirmations leaves the confirmation of what is about to be executed to the test, by Confirm. Default: each is
	// confirmed at once.
	HoldConfirmations bool
	// Listener is what it listens on in place of Addr. Default: none.
	Listener net.Listener
	// ServerOptions are added to those of the gRPC server.
	ServerOptions []grpc.ServerOption
}

// Node is a node for tests. Its methods are safe for concurrent use.
type Node struct {
	adapterv1.UnimplementedAdapterServiceServer

	tb      testing.TB
	options Options
	addr    string
	server  *grpc.Server

	mu       sync.Mutex
	changed  chan struct{} // closed and made anew at every change
	streams  []*stream     // that are welcomed and have not ended
	hellos   []*adapterv1.Hello
	tasks    map[string]*adapterv1.Task // that were sent, by key
	results  []*adapterv1.Result
	bySeq    map[string]*adapterv1.Result // by process and sequence number
	holdAcks bool
	begun    []*adapterv1.Begun
	notes    []*adapterv1.Progress

	executions        map[string]*execution // by key
	holdConfirmations bool

	listed   map[uint32]*listed  // what was answered, by partition
	topology *adapterv1.Topology // that new streams are told
	silence  time.Duration       // the longest
	broken   []string            // what broke the protocol
}

// Start starts a node. It ends with the test, which then fails if an adapter broke the protocol.
func Start(tb testing.TB, options ...Options) *Node {
	tb.Helper()
	n := &Node{
		tb: tb, options: Options{Addr: "127.0.0.1:0", ID: "test-node", Heartbeat: time.Second}, changed: make(chan struct{}),
		tasks: map[string]*adapterv1.Task{}, bySeq: map[string]*adapterv1.Result{}, executions: map[string]*execution{},
		listed: map[uint32]*listed{},
	}
	for _, o := range options {
		n.options = o.over(n.options)
	}
	n.topology = n.options.Topology
	n.holdAcks, n.holdConfirmations = n.options.HoldAcks, n.options.HoldConfirmations
	listener := n.options.Listener
	if listener == nil {
		var err error
		if listener, err = (&net.ListenConfig{}).Listen(tb.Context(), "tcp", n.options.Addr); err != nil {
			tb.Fatalf("listen: %v", err)
		}
	}
	n.addr = listener.Addr().String()
	n.server = grpc.NewServer(append([]grpc.ServerOption{
		grpc.MaxRecvMsgSize(64 << 20),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second, PermitWithoutStream: true}),
	}, n.options.ServerOptions...)...)
	adapterv1.RegisterAdapterServiceServer(n.server, n)
	served := make(chan error, 1)
	go func() { served <- n.server.Serve(listener) }()
	tb.Cleanup(func() {
		n.server.Stop()
		if err := <-served; err != nil {
			tb.Errorf("serve: %v", err)
		}
		for _, what := range n.Violations() {
			tb.Errorf("protocol broken: %s", what)
		}
	})
	return n
}

// over lays the options that are set over others.
func (o Options) over(base Options) Options {
	if o.Addr != "" {
		base.Addr = o.Addr
	}
	if o.ID != "" {
		base.ID = o.ID
	}
	if o.Heartbeat != 0 {
		base.Heartbeat = o.Heartbeat
	}
	if o.MaxOutput != 0 {
		base.MaxOutput = o.MaxOutput
	}
	if o.Listener != nil {
		base.Listener = o.Listener
	}
	if o.Topology != nil {
		base.Topology = o.Topology
	}
	base.Nodes = append(base.Nodes, o.Nodes...)
	base.Lists = base.Lists || o.Lists
	base.HoldAcks = base.HoldAcks || o.HoldAcks
	base.HoldConfirmations = base.HoldConfirmations || o.HoldConfirmations
	base.ServerOptions = append(base.ServerOptions, o.ServerOptions...)
	return base
}

// Addr is where the node listens, host:port.
func (n *Node) Addr() string { return n.addr }

// Close ends the node before the test does, as if it were killed.
func (n *Node) Close() { n.server.Stop() }

// Run runs an adapter in this process, connected to the node unless the configuration names others, and waits until it
// is welcomed. It is stopped at the end of the test.
func (n *Node) Run(a *adapters.Adapter, config adapters.Config) *Process {
	n.tb.Helper()
	if len(config.Servers) == 0 {
		config.Servers = []string{n.addr}
	}
	before := len(n.Hellos())
	ctx, cancel := context.WithCancel(context.Background())
	p := &Process{cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(p.done)
		p.err = a.Run(ctx, config)
	}()
	n.tb.Cleanup(func() {
		n.HoldAcks(false)
		n.Ack(n.Results()...)
		_ = p.Stop() // the test that cares has asked before
	})
	n.until(n.tb.Context(), "adapter is welcomed", func() bool { return len(n.hellos) > before || p.ended() })
	return p
}

// Process is an adapter that runs.
type Process struct {
	cancel context.CancelFunc
	done   chan struct{}
	err    error
}

// Stop drains the adapter, and returns what its Run returned.
func (p *Process) Stop() error {
	p.cancel()
	return p.Wait()
}

// Drain has the adapter drain, and doesn't wait.
func (p *Process) Drain() { p.cancel() }

// Wait waits until the adapter ends by itself, and returns what its Run returned.
func (p *Process) Wait() error {
	<-p.done
	return p.err
}

func (p *Process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// Do has an activity executed once, with a key of its own, and returns the result. Input is encoded as JSON; nil sends
// none.
func (n *Node) Do(ctx context.Context, activity string, input any) *adapterv1.Result {
	n.tb.Helper()
	t := n.Task(activity, input)
	n.Send(ctx, t)
	return n.Await(ctx, t.GetKey(), t.GetAttempt())
}

// orders makes orders, and so keys, unique among all nodes of a test binary.
var orders atomic.Int64

// Task makes a task with a key of its own.
func (n *Node) Task(activity string, input any) *adapterv1.Task {
	n.tb.Helper()
	var raw []byte
	if input != nil {
		var err error
		if raw, err = json.Marshal(input); err != nil {
			n.tb.Fatalf("encode the input: %v", err)
		}
	}
	order := fmt.Sprintf("order-%d", orders.Add(1))
	return &adapterv1.Task{
		OrderId: order, Epoch: 1, Key: order + "/do/0/" + activity, Attempt: 1, Activity: activity, Input: raw, Task: "/do/0/" + activity,
	}
}

// Send sends a task as soon as a stream has credit for it.
func (n *Node) Send(ctx context.Context, task *adapterv1.Task) {
	n.tb.Helper()
	n.until(ctx, "credit for "+task.GetActivity(), func() bool {
		for _, s := range n.streams {
			if n.sendOn(s, task) {
				return true
			}
		}
		return false
	})
}

// Offer sends a task once there is credit, as Send does; false if there will be none, as no stream is left that does not drain.
func (n *Node) Offer(ctx context.Context, task *adapterv1.Task) (sent bool) {
	n.tb.Helper()
	n.until(ctx, "credit for "+task.GetActivity()+", or the end of it", func() bool {
		over := true
		for _, s := range n.streams {
			if sent = n.sendOn(s, task); sent {
				return true
			}
			over = over && s.drained
		}
		return over
	})
	return sent
}

// sendOn sends a task on a stream, if there is credit.
func (n *Node) sendOn(s *stream, task *adapterv1.Task) bool {
	c := s.credits[task.GetActivity()]
	if c == nil || c.left() == 0 || s.drained {
		return false
	}
	c.sent++
	n.sent(s, task)
	s.send(&adapterv1.ConnectResponse{Tasks: []*adapterv1.Task{task}})
	return true
}

// Await waits for the result of an attempt.
func (n *Node) Await(ctx context.Context, key string, attempt uint32) *adapterv1.Result {
	n.tb.Helper()
	var found *adapterv1.Result
	n.until(ctx, fmt.Sprintf("result of %s, attempt %d", key, attempt), func() bool {
		i := slices.IndexFunc(n.results, func(r *adapterv1.Result) bool { return r.GetKey() == key && r.GetAttempt() == attempt })
		if i >= 0 {
			found = n.results[i]
		}
		return i >= 0
	})
	return found
}

// Results are all that came, in order, repeats included.
func (n *Node) Results() []*adapterv1.Result {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.results)
}

// AwaitResults waits until at least that many results came, repeats included, and returns them.
func (n *Node) AwaitResults(ctx context.Context, count int) []*adapterv1.Result {
	n.tb.Helper()
	n.until(ctx, fmt.Sprintf("%d results", count), func() bool { return len(n.results) >= count })
	return n.Results()
}

// Hellos are those of all streams so far.
func (n *Node) Hellos() []*adapterv1.Hello {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.hellos)
}

// AwaitHellos waits until at least that many streams were opened, and returns their hellos.
func (n *Node) AwaitHellos(ctx context.Context, count int) []*adapterv1.Hello {
	n.tb.Helper()
	n.until(ctx, fmt.Sprintf("%d hellos", count), func() bool { return len(n.hellos) >= count })
	return n.Hellos()
}

// AwaitProgress waits for a sign of life of a key, and returns its note.
func (n *Node) AwaitProgress(ctx context.Context, key string) string {
	n.tb.Helper()
	var note string
	n.until(ctx, "progress of "+key, func() bool {
		i := slices.IndexFunc(n.notes, func(p *adapterv1.Progress) bool { return p.GetKey() == key })
		if i >= 0 {
			note = n.notes[i].GetNote()
		}
		return i >= 0
	})
	return note
}

// AwaitCredits waits until the node may send exactly that many tasks of an activity, over all streams.
func (n *Node) AwaitCredits(ctx context.Context, activity string, count uint64) {
	n.tb.Helper()
	n.until(ctx, fmt.Sprintf("%d credits of %s", count, activity), func() bool {
		var left uint64
		for _, s := range n.streams {
			if c := s.credits[activity]; c != nil {
				left += c.left()
			}
		}
		return left == count
	})
}

// AwaitDrain waits until an adapter says that it drains.
func (n *Node) AwaitDrain(ctx context.Context) {
	n.tb.Helper()
	n.until(ctx, "drain", func() bool {
		return slices.ContainsFunc(n.streams, func(s *stream) bool { return s.drained })
	})
}

// AwaitStreams waits until exactly that many streams are open.
func (n *Node) AwaitStreams(ctx context.Context, count int) {
	n.tb.Helper()
	n.until(ctx, fmt.Sprintf("%d streams", count), func() bool { return len(n.streams) == count })
}

// Broadcast sends a message on all streams, whatever the credit.
func (n *Node) Broadcast(m *adapterv1.ConnectResponse) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, s := range n.streams {
		for _, t := range m.GetTasks() {
			n.sent(s, t)
		}
		s.send(m)
	}
}

// Cancel asks to give an attempt up.
func (n *Node) Cancel(key string, attempt uint32) {
	n.Broadcast(&adapterv1.ConnectResponse{Cancellations: []*adapterv1.Cancellation{{Key: key, Attempt: attempt}}})
}

// Waiting reports how many tasks of an activity wait here.
func (n *Node) Waiting(activity string, count uint64) {
	n.Broadcast(&adapterv1.ConnectResponse{Depths: []*adapterv1.QueueDepth{{Activity: activity, Waiting: count}}})
}

// Ack acknowledges results.
func (n *Node) Ack(results ...*adapterv1.Result) {
	acks := make([]uint64, 0, len(results))
	for _, r := range results {
		acks = append(acks, r.GetSeq())
	}
	n.Broadcast(&adapterv1.ConnectResponse{Acks: acks})
}

// HoldAcks says whether results that come from now on are left to Ack.
func (n *Node) HoldAcks(hold bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.holdAcks = hold
}

// Break cuts all streams.
func (n *Node) Break() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, s := range n.streams {
		s.cut()
	}
}

// Silence is the longest time for which a stream was silent.
func (n *Node) Silence() time.Duration {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.silence
}

// Violations are what broke the protocol so far.
func (n *Node) Violations() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.broken)
}

// until waits for a condition, which is asked for under the lock at every change.
func (n *Node) until(ctx context.Context, what string, condition func() bool) {
	n.tb.Helper()
	for {
		n.mu.Lock()
		met, changed := condition(), n.changed
		n.mu.Unlock()
		if met {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			n.tb.Fatalf("wait for %s: %v", what, context.Cause(ctx))
		}
	}
}

// notify wakes whoever waits. The lock is held.
func (n *Node) notify() {
	close(n.changed)
	n.changed = make(chan struct{})
}

// Attempt is a task as a later attempt of the same work.
func Attempt(t *adapterv1.Task, attempt uint32) *adapterv1.Task {
	again, _ := proto.Clone(t).(*adapterv1.Task)
	again.Attempt = attempt
	return again
}
