package client

import (
	"context"
	"errors"
	"io"
	"sync"

	"google.golang.org/grpc"

	"github.com/holdfast-run/holdfast/messages/orderv1"
)

const (
	// frameOrders is the most submissions in one message: some 25 KB, as gRPC takes a buffer of 1 MiB for more than 32 KiB.
	frameOrders = 128
	// frameBytes is about the most bytes in one message, unless one submission alone has more.
	frameBytes = 256 << 10
)

// Stream submits orders over one SubmitStream, for as long as that lasts. What is submitted while a message is being sent goes out
// as the next one. A Submitter is what most programs need; a Stream is for those that count every order's cost, or want to see
// connections break.
type Stream struct {
	st     grpc.BidiStreamingClient[orderv1.SubmitStreamRequest, orderv1.SubmitStreamResponse]
	answer func([]*orderv1.Submission)
	wake   chan struct{} // holds at most one
	ended  chan struct{}
	heard  bool  // once ended: the node had taken it
	err    error // once ended

	mu      sync.Mutex
	pending []*orderv1.SubmitRequest // its callers bound it
	closed  bool
}

// OpenStream opens a stream; it lives until ctx ends, it breaks, or it is closed and all has been answered. answer is called with
// the answers of each message, one call after another; it may submit. Errors are the node's, or gRPC's.
func (c *Client) OpenStream(ctx context.Context, answer func([]*orderv1.Submission), opts ...grpc.CallOption) (*Stream, error) {
	return openStream(ctx, c.Orders(), answer, opts...)
}

func openStream(
	ctx context.Context, orders orderv1.OrderServiceClient, answer func([]*orderv1.Submission), opts ...grpc.CallOption,
) (*Stream, error) {
	ctx, cancel := context.WithCancel(ctx)
	st, err := orders.SubmitStream(ctx, opts...)
	if err != nil {
		cancel()
		return nil, err
	}
	s := &Stream{st: st, answer: answer, wake: make(chan struct{}, 1), ended: make(chan struct{})}
	go func() {
		defer close(s.ended)
		var writer sync.WaitGroup
		writer.Go(func() { s.write(ctx) })
		s.heard = hears(st)
		s.err = s.read()
		cancel()
		writer.Wait()
	}()
	return s, nil
}

// Submit sends submissions, without waiting. They must not change before they are answered.
func (s *Stream) Submit(submissions ...*orderv1.SubmitRequest) {
	if len(submissions) == 0 {
		return
	}
	s.mu.Lock()
	s.pending = append(s.pending, submissions...)
	s.mu.Unlock()
	s.signal()
}

// Close tells that nothing more will be submitted.
func (s *Stream) Close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.signal()
}

// Wait waits until the stream has ended, and returns why: nil if the node ended it, which it does when it was closed and all was
// answered.
func (s *Stream) Wait() error {
	<-s.ended
	return s.err
}

// hears waits until a node has taken a stream, and tells whether one has.
func hears(st grpc.ClientStream) bool {
	header, err := st.Header()
	return err == nil && header != nil
}

func (s *Stream) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *Stream) read() error {
	for {
		m, err := s.st.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err //nolint:wrapcheck // it is the node's answer
		}
		s.answer(m.GetSubmissions())
	}
}

// write sends until the stream is closed or breaks. read finds out why it broke.
func (s *Stream) write(ctx context.Context) {
	var spare []*orderv1.SubmitRequest
	for {
		s.mu.Lock()
		batch, closed := s.pending, s.closed
		s.pending = spare[:0]
		s.mu.Unlock()
		spare = batch
		for len(batch) > 0 {
			n := frame(batch)
			if err := s.st.Send(&orderv1.SubmitStreamRequest{Submissions: batch[:n]}); err != nil {
				return
			}
			batch = batch[n:]
		}
		if closed {
			_ = s.st.CloseSend() // read gets the error
			return
		}
		select {
		case <-s.wake:
		case <-ctx.Done():
			return
		}
	}
}

// frame returns how many of the submissions, of which there is one at least, make the next message.
func frame(all []*orderv1.SubmitRequest) int {
	n, size := 0, 0
	for n < min(len(all), frameOrders) {
		size += sizeOf(all[n].GetOrder())
		if n > 0 && size > frameBytes {
			break
		}
		n++
	}
	return n
}

// sizeOf is about how many bytes an order takes.
func sizeOf(o *orderv1.WorkOrder) int {
	size := len(o.GetId()) + len(o.GetDefinition()) + len(o.GetInput()) + len(o.GetOrderKey()) + 32
	for name, value := range o.GetLabels() {
		size += len(name) + len(value) + 8
	}
	return size
}
