package gateway

import (
	"context"
	"log/slog"

	"google.golang.org/grpc/codes"

	failures "github.com/holdfast-run/holdfast/actors/failure"
	"github.com/holdfast-run/holdfast/messages/adapterv1"
	"github.com/holdfast-run/holdfast/messages/adminv1"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/messages/nodev1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
)

// ErrorRow is a row of the table of errors.
type ErrorRow struct {
	Err    error
	Code   codes.Code
	Reason string
}

// ErrorTable returns how errors are told.
func ErrorTable() []ErrorRow {
	rows := []ErrorRow{
		{context.DeadlineExceeded, codes.DeadlineExceeded, "DEADLINE"}, {context.Canceled, codes.Canceled, "CANCELLED"},
	}
	for r := range nodev1.Reason_name {
		if reason := nodev1.Reason(r); reason != nodev1.Reason_REASON_UNSPECIFIED {
			err := failures.Err(&nodev1.Failure{Reason: reason, Text: "why it was not done"})
			rows = append(rows, ErrorRow{err, reasons[reason].code, failures.Name(reason)})
		}
	}
	return rows
}

// Explain tells an error as callers are told.
func Explain(err error) error {
	return (&Server{log: slog.New(slog.DiscardHandler)}).fail(err)
}

// Check checks an order.
func (s *Server) Check(o *orderv1.WorkOrder) (*journalv1.OrderAccepted, error) {
	return s.check(context.Background(), o)
}

// CommandOf makes the message that an action means.
func CommandOf(act *adminv1.Action) *nodev1.Envelope {
	cmd, _ := admin{}.commandOf(context.Background(), &mistakes{}, act)
	return cmd
}

// CheckHello checks a hello.
func CheckHello(h *adapterv1.Hello) error { return checkHello(h, Config{}.WithDefaults().Offers) }

// Receive handles a message of an adapter as its stream would, without the stream.
func (s *Server) Receive(h *adapterv1.Hello, m *adapterv1.ConnectRequest) error {
	c := s.newConnection(h, nil)
	var err error
	if c.stream, err = s.engine.Activities().Attach(h, c); err != nil {
		return nil // the hello has more than there may be, of what is right
	}
	defer c.stream.Detach(true, true)
	return c.handle(context.Background(), m)
}

// KeptEnds has so many ends of orders, with outputs of so many bytes, put for a stream that is not read, and returns how many bytes of
// outputs are kept, and of how many they are not.
func KeptEnds(ends, output int) (bytes, unread int) {
	s := &submitStream{out: newCollector[submissionAnswer](), answers: newTally(&tallies{most: 1 << 30}, maxUnsentAnswers)}
	for range ends {
		s.put(&orderv1.Submission{Answer: &orderv1.Submission_Ended{Ended: &orderv1.Ended{Output: make([]byte, output)}}}, true)
	}
	items, _ := s.out.take()
	for _, x := range items {
		if bytes += len(x.GetEnded().GetOutput()); x.unread {
			unread++
		}
	}
	return bytes, unread
}

// Unsent is how many bytes of answers are not sent yet to clients of the public address.
func (s *Server) Unsent() int64 {
	s.unsent.mu.Lock()
	defer s.unsent.mu.Unlock()
	return s.unsent.most - s.unsent.left
}

// ErrBodyOver is why a body is read no further.
var ErrBodyOver = errBodyOver

// IsAudited tells whether calls of a method are noted that change something.
func IsAudited(method string) bool { return audited[method] != nil }
