package remoting

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/asynkron/protoactor-go/remote"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	grpcpeer "google.golang.org/grpc/peer"

	"github.com/holdfast-run/holdfast/certificates"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/nodev1"
	"github.com/holdfast-run/holdfast/messages/remotingv1"
)

// Receiver takes what comes from other nodes. Its methods are called by several at once, and must neither block nor call Peers or Stop.
type Receiver interface {
	// Deliver takes a message for a partition. If it wants an answer, that is given to Remoting.Answer.
	Deliver(from Node, e *nodev1.Envelope)
	// Receive takes the answer to an ask of this node. It may come twice, late, or never.
	Receive(a *nodev1.Answer)
	// Holds takes word from a node which partitions it has, and what the journal has confirmed to it.
	Holds(from Node, h *remotingv1.Holdings)
	// Instructed takes word of what an operator wants of this node.
	Instructed(i *remotingv1.Instruction)
	// Found says that a newer incarnation answers where one was looked for, of the same node: that one lives no more.
	Found(who messages.Incarnation)
	// Lost says that messages to a node, or its answers, may have got lost: a connection has ended, the node has connected anew (what it
	// sent before it noticed the end is lost as well), or it is no peer any more.
	Lost(n Node)
}

// Remoting carries messages between this node and others. Its methods are safe for concurrent use.
type Remoting struct {
	config   Config
	self     string // this node, as envelopes name it
	witness  Witness
	metrics  *Metrics
	log      *slog.Logger
	proofs   *proofs // nil: plaintext
	dial     []grpc.DialOption
	server   *grpc.Server
	told     told
	inquiry  inquiry
	receiver atomic.Pointer[receiver]
	readers  sync.WaitGroup
	loops    sync.WaitGroup
	halt     context.CancelFunc

	// links is read without a lock, by whoever sends. The keys are as Node.String makes them.
	links atomic.Pointer[map[string]*link]

	mu       sync.Mutex // held while links and streams come and go
	stopping bool
	inbounds map[messages.Incarnation]*inbound
	watched  map[*watch]struct{}
}

// receiver is a Receiver that an atomic pointer can hold.
type receiver struct{ Receiver }

// New makes the remoting of a node. All mistakes in the settings are told at once.
func New(config Config, d Deps) (*Remoting, error) {
	config = config.WithDefaults()
	r := &Remoting{
		config: config, self: config.Self.String(), witness: d.Witness, metrics: d.Metrics, log: d.Log,
		inbounds: map[messages.Incarnation]*inbound{}, watched: map[*watch]struct{}{}, halt: func() {},
	}
	r.links.Store(&map[string]*link{})
	err := config.Validate()
	if config.TLS != nil {
		var wrong error
		if r.proofs, wrong = newProofs(*config.TLS, config.Now, d); wrong != nil {
			err = errors.Join(err, fmt.Errorf("setting TLS: %w", wrong))
		}
	}
	if err != nil {
		return nil, fmt.Errorf("remoting: %w", err)
	}
	r.dial = r.dialOptions()
	r.server = grpc.NewServer(r.serverOptions()...)
	remote.RegisterRemotingServer(r.server, reader{r: r})
	return r, nil
}

// Start takes connections from a listener, which it closes at its end.
func (r *Remoting) Start(l net.Listener) error {
	if r.config.Plaintext && !loopback(l.Addr().String()) {
		return fmt.Errorf("remoting: plaintext is for loopback addresses only, and this node listens at %s", l.Addr())
	}
	ctx, halt := context.WithCancel(context.Background()) // it ends with Stop
	r.halt = halt
	r.loops.Go(func() {
		open := &bounded{Listener: l, most: connectionsOf(r.config.MaxPeers), refused: r.metrics.refused.WithLabelValues("connections").Inc}
		if err := r.server.Serve(open); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
			r.log.Error("remoting takes no connections any more", "error", err)
		}
	})
	if r.proofs != nil {
		r.loops.Go(func() { r.follow(ctx) })
	}
	return nil
}

// follow reads the files of the certificate again when they have changed.
func (r *Remoting) follow(ctx context.Context) {
	every := time.NewTicker(cmp.Or(r.config.TLS.Poll, certificates.Poll))
	defer every.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-every.C:
			r.Reload()
		}
	}
}

// Reload reads the files of the certificate again, if they have changed. Connections whose other side would be refused by what is there
// now end.
func (r *Remoting) Reload() {
	if r.proofs == nil || !r.proofs.reload() {
		return
	}
	r.mu.Lock()
	all := make([]*watch, 0, len(r.watched))
	for w := range r.watched {
		all = append(all, w)
	}
	r.mu.Unlock()
	for _, w := range all {
		if err := r.proofs.check(r.proofs.Current(), w.chain, x509.ExtKeyUsageAny); err != nil {
			w.end(fmt.Errorf("other side is not trusted any more: %w", err))
		}
	}
}

// watch is a connection whose other side showed a certificate.
type watch struct {
	chain []*x509.Certificate
	end   func(error)
}

// watch has a connection ended when its other side is not trusted any more, until the function is called that it returns.
func (r *Remoting) watch(stream context.Context, end func(error)) func() {
	p, _ := grpcpeer.FromContext(stream)
	if p == nil {
		return func() {}
	}
	info, ok := p.AuthInfo.(credentials.TLSInfo)
	if !ok {
		return func() {}
	}
	w := &watch{chain: info.State.PeerCertificates, end: end}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.watched[w] = struct{}{}
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.watched, w)
	}
}

// Attach has messages handed to a receiver, and has PIDs of other nodes resolved in its actor system, from now on.
func (r *Remoting) Attach(system *actor.ActorSystem, to Receiver) {
	system.ProcessRegistry.RegisterAddressResolver(r.resolve)
	r.receiver.Store(&receiver{to})
}

// Detach has no messages handed over any more: asks of others are answered that nothing is owned here.
func (r *Remoting) Detach() { r.receiver.Store(nil) }

// Peers says which nodes are peers. Links to them are opened; links to others are closed, unless they are connected to this node. It is
// for the one who knows the members. This node may be among them.
func (r *Remoting) Peers(nodes ...Node) error {
	var errs []error
	var over []*link
	var gone []Node
	r.mu.Lock()
	if r.stopping {
		r.mu.Unlock()
		return nil
	}
	for _, l := range *r.links.Load() {
		if l.member && !slices.Contains(nodes, l.node) {
			l.member = false
			gone = append(gone, l.node)
			over = append(over, r.dropUnused(l)...)
		}
	}
	for _, n := range nodes {
		if err := r.reachable(n); err != nil {
			errs = append(errs, err)
		} else if n != r.config.Self {
			r.linkTo(n).member = true
		}
	}
	r.mu.Unlock()
	for _, l := range over {
		l.close()
	}
	for _, n := range gone {
		r.lost(n)
	}
	return errors.Join(errs...)
}

// reachable says why a node can't be a peer.
func (r *Remoting) reachable(n Node) error {
	if err := n.validate(); err != nil {
		return err
	}
	if r.config.Plaintext && !loopback(n.Address) {
		return fmt.Errorf("node %s is not on this machine, and plaintext is for loopback addresses only", n)
	}
	return nil
}

// linkTo returns the link to a node; mu is held.
func (r *Remoting) linkTo(n Node) *link {
	links := *r.links.Load()
	if l := links[n.String()]; l != nil {
		return l
	}
	l := newLink(r, n)
	next := make(map[string]*link, len(links)+1)
	maps.Copy(next, links)
	next[n.String()] = l
	r.links.Store(&next)
	return l
}

// dropUnused takes a link away that nobody needs any more, and returns it; mu is held. Whoever calls closes it.
func (r *Remoting) dropUnused(l *link) []*link {
	if l.member || l.incoming {
		return nil
	}
	next := make(map[string]*link)
	for k, v := range *r.links.Load() {
		if v != l {
			next[k] = v
		}
	}
	r.links.Store(&next)
	return []*link{l}
}

// enter takes in a node that has connected, and sees to a link to it, so that it can be answered.
func (r *Remoting) enter(in *inbound) *fault {
	r.mu.Lock()
	defer r.mu.Unlock()
	before := r.inbounds[in.Incarnation]
	switch {
	case r.stopping:
		return faultOf("stopping", "node is stopping")
	case before == nil && len(r.inbounds) >= r.config.MaxPeers:
		return faultOf("peers", "%d other nodes are connected already", len(r.inbounds))
	case r.reachable(in.Node) != nil:
		return faultOf("hello", "node says that it is at %s, where it can't be reached", in.Address)
	}
	if before != nil {
		before.end(errors.New("node has connected anew"))
	}
	r.inbounds[in.Incarnation] = in
	l := r.linkTo(in.Node)
	in.anew = l.heard
	l.incoming, l.heard = true, true
	return nil
}

// leave forgets a stream that has ended.
func (r *Remoting) leave(in *inbound) {
	r.mu.Lock()
	var over []*link
	if r.inbounds[in.Incarnation] == in {
		delete(r.inbounds, in.Incarnation)
		if l := (*r.links.Load())[in.String()]; l != nil {
			l.incoming = false
			over = r.dropUnused(l)
		}
	}
	r.mu.Unlock()
	for _, l := range over {
		l.close()
	}
	r.lost(in.Node)
}

// Stop sends what is to be sent, for a bounded time, and ends all connections.
func (r *Remoting) Stop() {
	r.mu.Lock()
	again := r.stopping
	r.stopping = true
	links := *r.links.Load()
	r.mu.Unlock()
	if again {
		return
	}
	within, over := context.WithTimeout(context.Background(), r.config.FlushWithin)
	defer over()
	var closing sync.WaitGroup
	for _, l := range links {
		closing.Go(func() { l.flush(within.Done()) })
	}
	closing.Wait()
	r.halt()
	r.server.Stop()
	r.readers.Wait()
	r.loops.Wait()
}

// Peer is how things stand with another node.
type Peer struct {
	Node

	// State is connecting, up or down, and Why is the reason if it is not up.
	State, Why string
	// Member: it was named as a peer; else it is one that has connected by itself.
	Member bool
	// Version and JournalLevel are the node's, and Protocol is the level that is spoken with it; as told at the last connection.
	Version      string
	Protocol     uint32
	JournalLevel uint32
}

// Status tells how things stand with all other nodes.
func (r *Remoting) Status() (all []Peer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, l := range *r.links.Load() {
		l.mu.Lock()
		all = append(all, Peer{
			Node: l.node, State: l.state.String(), Why: l.why, Member: l.member,
			Version: l.peer.version, Protocol: l.peer.protocol, JournalLevel: l.peer.journalLevel,
		})
		l.mu.Unlock()
	}
	slices.SortFunc(all, func(a, b Peer) int { return strings.Compare(a.String(), b.String()) })
	return all
}

// Up tells whether messages to a node are sent now.
func (r *Remoting) Up(n Node) bool {
	l := (*r.links.Load())[n.String()]
	if l == nil {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.state == up
}
