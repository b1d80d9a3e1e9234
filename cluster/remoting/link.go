package remoting

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/asynkron/protoactor-go/remote"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/holdfast-run/holdfast/messages/nodev1"
)

// state is how a link is.
type state int

const (
	connecting state = iota // messages wait
	up                      // messages are sent
	down                    // the last attempt to connect failed: messages are refused
	closed                  // the node is no peer any more
)

// String implements fmt.Stringer.
func (s state) String() string { return [...]string{"connecting", "up", "down", "closed"}[s] }

// link sends to one node in one of its lives. It connects by itself, again and again, until it is closed.
type link struct {
	node    Node
	r       *Remoting
	encoder encoder
	halt    context.CancelFunc
	done    chan struct{} // closed when its goroutine has ended
	wake    chan struct{} // holds one: there may be something to send

	mu    sync.Mutex
	state state
	queue queue
	peer  peer   // as it has said at the last connection
	why   string // it is not up
	last  bool   // nothing is added any more; what is there is sent

	member   bool // it is a peer for the one who steers; guarded by Remoting.mu
	incoming bool // the node is connected to this one; guarded by Remoting.mu
	heard    bool // the node has been connected to this one; guarded by Remoting.mu
}

func newLink(r *Remoting, n Node) *link {
	l := &link{
		node: n, r: r, encoder: newEncoder(r.config.Self, n), done: make(chan struct{}), wake: make(chan struct{}, 1),
		queue: queue{mostLetters: r.config.QueueLetters, mostBytes: r.config.QueueBytes}, why: "no attempt was made yet",
	}
	ctx, halt := context.WithCancel(context.Background()) // it ends when it is closed
	l.halt = halt
	r.metrics.peers.WithLabelValues(connecting.String()).Inc()
	go l.run(ctx)
	return l
}

// Why a letter is not taken; then it certainly does not arrive.
var (
	errFull = errors.New("queue to the node is full")
	errAway = errors.New("node can't be reached")
)

// send has a letter sent. It never blocks.
func (l *link) send(x letter) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.state == down || l.state == closed || l.last {
		return fmt.Errorf("%w: %s", errAway, l.why)
	}
	if !l.queue.add(x) {
		return errFull
	}
	l.r.metrics.queued.Inc()
	select {
	case l.wake <- struct{}{}:
	default:
	}
	return nil
}

// take takes what goes into the next frame. last: there will be no more.
func (l *link) take(batch []letter) (_ []letter, last bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	batch = l.queue.take(batch, l.r.config.FrameBytes)
	return batch, l.last
}

// turn changes the state.
func (l *link) turn(to state, why string) {
	l.mu.Lock()
	from := l.state
	l.state, l.why = to, why
	var given []letter
	if to == down || to == closed {
		given = append(append(given, l.queue.urgent...), l.queue.letters...)
		l.queue.urgent, l.queue.letters, l.queue.bytes = nil, nil, 0
	}
	l.mu.Unlock()
	l.r.metrics.peers.WithLabelValues(from.String()).Dec()
	if to != closed {
		l.r.metrics.peers.WithLabelValues(to.String()).Inc()
	}
	l.r.metrics.queued.Sub(float64(len(given)))
	l.r.giveUp(given, "unreachable", nodev1.Reason_REASON_NOT_OWNER, fmt.Sprintf("node %s can't be reached: %s", l.node, why))
}

// run connects until the link is closed.
func (l *link) run(ctx context.Context) {
	defer close(l.done)
	config, failures, told := &l.r.config, 0, ""
	for ctx.Err() == nil {
		began := config.Now()
		was, err := l.connect(ctx)
		if ctx.Err() != nil || l.stopping() {
			break
		}
		if was && config.Now().Sub(began) > config.Again.Max { // else it is one more failure
			failures, told = 0, ""
		}
		failures++
		pause := config.Again.Next(failures, rand.Float64)
		if f, refused := errors.AsType[*fault](err); refused {
			l.r.metrics.connections.WithLabelValues("refused").Inc()
			l.turn(down, f.text)
			pause = config.RefusedPause
		} else if was {
			l.turn(connecting, printable(err.Error()))
		} else {
			l.r.metrics.connections.WithLabelValues("failed").Inc()
			l.turn(down, printable(err.Error()))
		}
		if why := err.Error(); why != told {
			told = why
			l.r.log.Warn("node is not connected", "node", l.node.String(), "error", printable(why))
		}
		if was {
			l.r.lost(l.node)
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
		}
	}
	l.turn(closed, "it is no peer any more")
}

// connect connects, and sends until that ends. It tells whether there was a connection, and why there is none any more. A *fault says
// that the nodes can't work together.
func (l *link) connect(ctx context.Context) (was bool, err error) {
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	late := time.AfterFunc(l.r.config.ConnectWithin, func() { end(errors.New("no answer in time")) })
	defer late.Stop()
	conn, err := grpc.NewClient("passthrough:///"+l.node.Address, l.r.dial...)
	if err != nil {
		return false, fmt.Errorf("prepare to connect: %w", err)
	}
	defer func() { _ = conn.Close() }() // an error changes nothing
	stream, p, err := l.greet(ctx, conn)
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		return false, err
	}
	if !late.Stop() {
		return false, context.Cause(ctx)
	}
	unwatch := l.r.watch(stream.Context(), end) //nolint:contextcheck // it is made of ctx, and knows the certificate
	defer unwatch()
	l.mu.Lock()
	l.peer = p
	l.mu.Unlock()
	l.turn(up, "")
	l.r.metrics.connections.WithLabelValues("made").Inc()
	l.r.log.Info("node is connected", "node", l.node.String(), "version", p.version, "protocol", p.protocol)
	var listening sync.WaitGroup
	listening.Go(func() { end(listen(stream)) })
	l.pump(ctx, stream)
	end(nil)
	listening.Wait()
	return true, context.Cause(ctx)
}

// greet opens a stream, and finds out who is at its other end.
func (l *link) greet(ctx context.Context, conn *grpc.ClientConn) (remote.Remoting_ReceiveClient, peer, error) {
	said, err := say(l.r.config.hello(l.node.Incarnation))
	if err != nil {
		return nil, peer{}, err
	}
	stream, err := remote.NewRemotingClient(conn).Receive(metadata.NewOutgoingContext(ctx, said))
	if err != nil {
		return nil, peer{}, fmt.Errorf("connect: %w", err)
	}
	header, err := stream.Header()
	if err == nil && len(header.Get(helloKey)) == 0 {
		if _, err = stream.Recv(); err == nil || errors.Is(err, io.EOF) {
			err = faultOf("hello", "who answers does not say which node it is")
		}
	}
	if f, refused := refusedBy(err); refused {
		return nil, peer{}, f
	}
	if err != nil {
		return nil, peer{}, fmt.Errorf("connect: %w", err)
	}
	h, f := hear(header)
	if f != nil {
		return nil, peer{}, f
	}
	p, f := l.r.config.expect(l.node, h)
	if f != nil && f.reason == otherLife {
		l.r.found(newer(l.node, h))
	}
	if f != nil {
		return nil, peer{}, f
	}
	return stream, p, l.introduce(stream)
}

// introduce exchanges what begins a stream of protoactor's.
func (l *link) introduce(stream remote.Remoting_ReceiveClient) error {
	self := &l.r.config.Self
	err := stream.Send(&remote.RemoteMessage{MessageType: &remote.RemoteMessage_ConnectRequest{ConnectRequest: &remote.ConnectRequest{
		ConnectionType: &remote.ConnectRequest_ServerConnection{ServerConnection: &remote.ServerConnection{
			MemberId: string(self.Incarnation), Address: self.Address,
		}},
	}}})
	if err != nil && !errors.Is(err, io.EOF) { // at its end, Recv tells why
		return fmt.Errorf("connect: %w", err)
	}
	m, err := stream.Recv()
	switch {
	case err != nil:
		return fmt.Errorf("connect: %w", err)
	case m.GetConnectResponse() == nil || m.GetConnectResponse().GetBlocked():
		return faultOf("hello", "who answers does not answer as a node does")
	}
	return nil
}

var errLeft = errors.New("node has ended the connection")

// listen awaits the end of a stream: nothing else is to come from there.
func listen(stream remote.Remoting_ReceiveClient) error {
	m, err := stream.Recv()
	switch {
	case errors.Is(err, io.EOF), err == nil && m.GetDisconnectRequest() != nil:
		return errLeft
	case err == nil:
		return errors.New("node sent what a node does not send there")
	}
	return fmt.Errorf("connection: %w", err)
}

// pump sends what is in the queue, until the connection ends.
func (l *link) pump(ctx context.Context, stream remote.Remoting_ReceiveClient) {
	var batch []letter
	for ctx.Err() == nil {
		var last bool
		clear(batch)
		if batch, last = l.take(batch[:0]); len(batch) == 0 {
			if last {
				_ = stream.CloseSend() // it returns no error
				<-ctx.Done()           // the peer ends the stream when it has read all
				return
			}
			select {
			case <-l.wake:
			case <-ctx.Done():
			}
			continue
		}
		l.r.metrics.queued.Sub(float64(len(batch)))
		f, size := l.encoder.frame(batch)
		if err := stream.SendMsg(f); err != nil {
			l.r.giveUp(batch, "connection", nodev1.Reason_REASON_INTERRUPTED, fmt.Sprintf("connection to node %s ended", l.node))
			<-ctx.Done() // listen tells why
			return
		}
		l.r.metrics.sentFrames.Inc()
		l.r.metrics.sentBytes.Add(float64(size))
		for i := range batch {
			l.r.metrics.sent[batch[i].kind].Inc()
		}
	}
}

// close ends the link at once.
func (l *link) close() {
	l.halt()
	<-l.done
}

func (l *link) stopping() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.last
}

// flush sends what there is, and closes the link then, or when the time is over.
func (l *link) flush(within <-chan struct{}) {
	l.mu.Lock()
	l.last = true
	l.why = "this node is stopping"
	isUp := l.state == up
	l.mu.Unlock()
	if isUp {
		select {
		case l.wake <- struct{}{}:
		default:
		}
		select {
		case <-l.done:
		case <-within:
		}
	}
	l.close()
}
