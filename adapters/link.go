package adapters

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"

	"github.com/holdfast-run/holdfast/adapters/ledger"
	"github.com/holdfast-run/holdfast/messages/adapterv1"
	"github.com/holdfast-run/holdfast/supervision"
)

// link keeps a stream to one node. A stream that breaks is replaced after a jittered delay.
type link struct {
	hub     *hub
	stream  ledger.Stream
	address string
	wake    chan struct{} // cap 1: something is unsent

	// Guarded by the hub. What is unsent: results are bounded by what the ledger holds, progress by the jobs.
	live        bool       // welcomed, and not yet broken
	node        string     // as it was announced, or has said
	nodes       *toldNodes // nil: it has told nothing
	listed      uint64     // how many works the ledger had taken when the hello was sent
	maxOutput   int        // 0: no bound
	shares      []*share   // of the credits, in the order of the pools
	results     []*adapterv1.Result
	revocations []*adapterv1.Revocation
	progress    []*job
	begun       []*job // that are about to be executed
	listings    []*adapterv1.Listing
	lists       bool // the node takes listings
	leaving     bool // the node is to be told that the adapter drains
	finished    bool // nothing more will be sent
}

var (
	// reconnect is the delay before a stream is replaced: 20 to 50 ms at first, and never longer than 1 s.
	reconnect = supervision.Backoff{Initial: 50 * time.Millisecond, Max: time.Second, Jitter: 0.6}
	// connectBackoff is the delay before the connection beneath a stream is made again.
	connectBackoff = grpc.ConnectParams{
		Backoff:           backoff.Config{BaseDelay: 35 * time.Millisecond, Multiplier: 2, Jitter: 0.4, MaxDelay: 700 * time.Millisecond},
		MinConnectTimeout: 2 * time.Second,
	}
	keepAlive = keepalive.ClientParameters{Time: 10 * time.Second, Timeout: 5 * time.Second}
)

// welcomeTimeout bounds how long a node may take to answer a hello.
const welcomeTimeout = 10 * time.Second

type connection = grpc.BidiStreamingClient[adapterv1.ConnectRequest, adapterv1.ConnectResponse]

var errSameNode = errors.New("another stream to the same node is open")

func (l *link) poke() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// close ends the granting of credits.
func (l *link) close() {
	for _, s := range l.shares {
		s.closed = true
	}
}

// run keeps a stream until the context ends, or the address is no longer that of a node.
func (l *link) run(ctx context.Context, transport credentials.TransportCredentials) {
	log := l.hub.config.Log.With("server", l.address)
	options := []grpc.DialOption{
		grpc.WithTransportCredentials(transport), grpc.WithConnectParams(connectBackoff), grpc.WithKeepaliveParams(keepAlive),
		grpc.WithDisableRetry(), grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxReceive)), grpc.WithIdleTimeout(0),
		// gRPC would else measure the connection by a ping for each task, which is dear where they are few.
		grpc.WithInitialWindowSize(receiveWindow), grpc.WithInitialConnWindowSize(receiveWindow),
	}
	if l.hub.config.Token != nil {
		options = append(options, grpc.WithPerRPCCredentials(l.hub.config.Token))
	}
	conn, err := grpc.NewClient("passthrough:///"+l.address, append(options, l.hub.config.DialOptions...)...)
	if err != nil {
		l.hub.fail(fmt.Errorf("server %s: %w", l.address, err))
		return
	}
	defer conn.Close() //nolint:errcheck // there is nothing left to lose
	client := adapterv1.NewAdapterServiceClient(conn)
	for failures := 1; ; failures++ {
		began := l.hub.now()
		welcomed, err := l.session(ctx, client)
		if ctx.Err() != nil || l.hub.isFinished(l) {
			return
		}
		if welcomed && l.hub.now()-began > int64(reconnect.Max) {
			failures = 1
		}
		switch {
		case errors.Is(err, errSameNode):
			l.hub.awaitDetach(ctx, l)
		case welcomed || failures == 1:
			log.Warn("stream to the node ended, reconnecting", "error", err)
		}
		if l.hub.refused(err) {
			l.hub.fail(fmt.Errorf("server %s refuses the adapter: %w", l.address, err))
			return
		}
		if l.hub.abandon(l) {
			log.Info("node is no longer announced, leaving it")
			return
		}
		delay := time.NewTimer(reconnect.Next(failures, l.hub.rand))
		select {
		case <-delay.C:
		case <-ctx.Done():
			delay.Stop()
			return
		}
	}
}

// session opens one stream and serves it until it ends. It tells whether the node welcomed the adapter.
func (l *link) session(parent context.Context, client adapterv1.AdapterServiceClient) (welcomed bool, err error) {
	ctx, cancel := context.WithCancel(parent)
	defer cancel()
	stream, err := client.Connect(ctx)
	if err != nil {
		return false, fmt.Errorf("open the stream: %w", err)
	}
	if err := stream.Send(l.hub.hello(l)); err != nil {
		_, err = stream.Recv() // says why
		return false, fmt.Errorf("say hello: %w", err)
	}
	patience := time.AfterFunc(welcomeTimeout, cancel)
	first, err := stream.Recv()
	patience.Stop()
	if err != nil {
		return false, fmt.Errorf("wait for the welcome: %w", err)
	}
	if first.GetWelcome() == nil {
		return false, errors.New("the first message of the node has no welcome")
	}
	if err := l.hub.attach(l, first); err != nil {
		return false, err
	}
	written := make(chan struct{})
	go func() {
		defer close(written)
		l.write(ctx, stream, heartbeat(first.GetWelcome()))
	}()
	err = l.read(stream, first)
	cancel()
	<-written
	l.hub.detach(l)
	return true, err
}

// read handles the messages of the node until the stream ends.
func (l *link) read(stream connection, m *adapterv1.ConnectResponse) error {
	for {
		if err := l.hub.receive(l, m); err != nil {
			return fmt.Errorf("the node broke the protocol: %w", err)
		}
		var err error
		if m, err = stream.Recv(); err != nil {
			return fmt.Errorf("receive: %w", err)
		}
	}
}

// heartbeat is how often a sign of life is due, at the latest.
func heartbeat(w *adapterv1.Welcome) time.Duration {
	if ms := w.GetHeartbeatMs(); ms > 0 {
		return time.Duration(ms) * time.Millisecond
	}
	return time.Second
}

// write sends what is unsent until the context ends or there will be no more. It sends a heartbeat if half the
// interval passed without a message, so that an adapter is never silent for longer than the whole.
func (l *link) write(ctx context.Context, stream connection, interval time.Duration) {
	beats := time.NewTicker(max(interval/2, time.Millisecond))
	defer beats.Stop()
	silent, beat := true, false // silent: nothing was sent since the last beat
	for {
		sent, over := l.flush(stream, beat, beat && silent)
		if over {
			return
		}
		silent, beat = !sent && (silent || beat), false
		select {
		case <-ctx.Done():
			return
		case <-l.wake:
		case <-beats.C:
			beat = true
		}
	}
}

// flush sends all that is unsent. It tells whether it sent anything, and whether the stream is over.
func (l *link) flush(stream connection, beat, due bool) (sent, over bool) {
	for {
		m, finished := l.hub.compose(l, beat, due)
		if m == nil {
			if finished {
				_ = stream.CloseSend() // never fails
			}
			return sent, finished
		}
		if err := stream.Send(m); err != nil {
			return sent, true // the reader gets the reason
		}
		sent, beat, due = true, false, false
	}
}

// refused tells whether a node refuses the adapter as wrong, and no node has welcomed it yet.
func (h *hub) refused(err error) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return !h.welcomed && status.Code(err) == codes.InvalidArgument
}

// awaitDetach waits until the stream of some link ends, if there is one.
func (h *hub) awaitDetach(ctx context.Context, l *link) {
	h.mu.Lock()
	detached, another := h.detached, false
	for _, other := range h.streams {
		another = another || other != l && other.live && other.node == l.node
	}
	h.mu.Unlock()
	if !another {
		return
	}
	select {
	case <-detached:
	case <-ctx.Done():
	}
}

func (h *hub) configured(address string) bool {
	return slices.Contains(h.config.Servers, address)
}
