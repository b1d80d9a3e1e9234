package gateway

import (
	"context"
	"log/slog"

	"google.golang.org/grpc/codes"

	"github.com/holdfast-run/holdfast/actors/workflow"
	"github.com/holdfast-run/holdfast/messages/adapterv1"
	"github.com/holdfast-run/holdfast/messages/adminv1"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
)

// ErrorRow is a row of the table of errors.
type ErrorRow struct {
	Err    error
	Code   codes.Code
	Reason string
}

// ErrorTable returns the table of errors.
func ErrorTable() []ErrorRow {
	var rows []ErrorRow
	for _, r := range errorTable {
		rows = append(rows, ErrorRow{r.err, r.code, r.reason})
	}
	return rows
}

// Explain tells an error as callers are told.
func Explain(err error) error {
	return (&Server{log: slog.New(slog.DiscardHandler)}).fail(err)
}

// Check checks an order.
func (s *Server) Check(o *orderv1.WorkOrder) (*journalv1.OrderAccepted, error) {
	c, err := s.check(context.Background(), o)
	return c.accepted, err
}

// HistoryEvents tells the events of one history.
func HistoryEvents(events ...*journalv1.Event) []*orderv1.HistoryEvent {
	tasks := map[uint32]task{}
	var told []*orderv1.HistoryEvent
	for i, ev := range events {
		told = append(told, historyEvent(ev, tasks))
		told[i].Version = uint64(i) + 1
	}
	return told
}

// OrderOf is an order as its state tells it.
func OrderOf(s *workflow.State) *orderv1.Order { return orderOf(s) }

// Listed is an order as its row tells it.
func Listed(row *journalv1.OrderRow) *orderv1.Order { return listed(row) }

// CommandOf makes the command that an action means.
func CommandOf(act *adminv1.Action) workflow.Command {
	cmd, _ := admin{}.commandOf(&mistakes{}, act)
	return cmd
}

// CheckHello checks a hello.
func CheckHello(h *adapterv1.Hello) error { return checkHello(h) }

// Receive handles a message of an adapter as its stream would, without the stream.
func (s *Server) Receive(h *adapterv1.Hello, m *adapterv1.ConnectRequest) error {
	c := &connection{Server: s, hello: h, out: newOutbox[any]()}
	c.stream = s.engine.Attach(h, c)
	defer c.stream.Detach(true, true)
	return c.handle(m)
}

// Unsent is how many bytes of answers are not sent yet to clients of the public address.
func (s *Server) Unsent() int64 {
	s.unsent.mu.Lock()
	defer s.unsent.mu.Unlock()
	return s.unsent.most - s.unsent.left
}
