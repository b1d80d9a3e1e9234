package adaptertest

import (
	"context"
	"errors"
	"io"
	"testing"

	"google.golang.org/grpc"

	"github.com/holdfast-run/holdfast/messages/adapterv1"
)

// Stream is an adapter's stream to a node, on which nothing is said but what the test says. One goroutine may say, and one may hear.
type Stream struct {
	adapterv1.AdapterService_ConnectClient

	// Break ends the stream as if the connection were lost.
	Break context.CancelFunc

	tb testing.TB
}

// Dial opens a stream to a node, and sends a first message. The stream ends with the test.
func Dial(tb testing.TB, conn grpc.ClientConnInterface, first *adapterv1.ConnectRequest) *Stream {
	tb.Helper()
	ctx, cancel := context.WithCancel(tb.Context())
	tb.Cleanup(cancel)
	stream, err := adapterv1.NewAdapterServiceClient(conn).Connect(ctx)
	if err != nil {
		tb.Fatalf("connect: %v", err)
	}
	s := &Stream{AdapterService_ConnectClient: stream, Break: cancel, tb: tb}
	s.Say(first)
	return s
}

// Say sends a message. If the stream has ended, that is left to the hearing.
func (s *Stream) Say(m *adapterv1.ConnectRequest) {
	s.tb.Helper()
	if err := s.Send(m); err != nil && !errors.Is(err, io.EOF) {
		s.tb.Fatalf("say: %v", err)
	}
}

// Report sends results.
func (s *Stream) Report(results ...*adapterv1.Result) {
	s.tb.Helper()
	s.Say(&adapterv1.ConnectRequest{Results: results})
}

// Hear receives a message.
func (s *Stream) Hear() *adapterv1.ConnectResponse {
	s.tb.Helper()
	m, err := s.Recv()
	if err != nil {
		s.tb.Fatalf("hear: %v", err)
	}
	return m
}

// Tasks receives messages until that many tasks have come.
func (s *Stream) Tasks(count int) []*adapterv1.Task {
	s.tb.Helper()
	var tasks []*adapterv1.Task
	for len(tasks) < count {
		tasks = append(tasks, s.Hear().GetTasks()...)
	}
	return tasks
}

// End receives until the stream ends, and says why: io.EOF if well.
func (s *Stream) End() error {
	for {
		if _, err := s.Recv(); err != nil {
			return err
		}
	}
}

// Hello is that of an adapter x, whose one activity do is idempotent, with changes.
func Hello(changes ...func(*adapterv1.Hello)) *adapterv1.Hello {
	h := &adapterv1.Hello{
		Adapter: "x", Process: "p", Ledger: "p", Protocol: 1,
		Activities: []*adapterv1.Activity{{Name: "do", Version: "1.0.0", Idempotent: true, Concurrency: 1}},
	}
	for _, change := range changes {
		change(h)
	}
	return h
}

// ResultOf is the result of a task that has succeeded, with a number of its own in the stream.
func ResultOf(t *adapterv1.Task, seq uint64) *adapterv1.Result {
	r := &adapterv1.Result{Outcome: adapterv1.Outcome_OUTCOME_SUCCEEDED, Output: []byte(`"done"`)}
	Address(r, t, seq)
	return r
}

// Address makes a result that of a task, with a number of its own in the stream.
func Address(r *adapterv1.Result, t *adapterv1.Task, seq uint64) {
	r.Seq, r.OrderId, r.Partition, r.Key = seq, t.GetOrderId(), t.GetPartition(), t.GetKey()
	r.Attempt, r.Activity = t.GetAttempt(), t.GetActivity()
}
