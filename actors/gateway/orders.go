package gateway

import (
	"context"
	"fmt"
	"strings"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/holdfast-run/holdfast/actors"
	"github.com/holdfast-run/holdfast/actors/workflow"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/messages/problemv1"
)

// orders serves orderv1.OrderService.
type orders struct {
	orderv1.UnimplementedOrderServiceServer
	*Server

	unsent *unsent // of the listener
}

// begin takes a place among the orders that wait to become durable. The last quarter is kept for interactive orders, so
// that those who wait for them are not refused because of a flood of others.
func (s *Server) begin(priority int32) error {
	most := int64(s.config.Accepting)
	if priority < messages.Interactive {
		most -= most / 4
	}
	if s.accepting.Add(1) > most {
		s.accepting.Add(-1)
		return fmt.Errorf("%w: %d orders wait to become durable, the most that may for one of priority %d to be taken",
			actors.ErrBusy, most, priority)
	}
	return nil
}

// submit hands an order to the engine. accepted is called once; ended, if given, once when the order has ended, which may
// be before. forget ends the wait for the end.
func (s *Server) submit(c checked, accepted func(*workflow.State, error), ended func(*workflow.State)) (forget func()) {
	forget = func() {}
	if err := s.begin(c.accepted.GetPriority()); err != nil {
		accepted(nil, err)
		return forget
	}
	if ended != nil {
		forget = s.engine.Wait(messages.OrderID(c.accepted.GetOrderId()), &actors.Waiter{Ended: ended})
	}
	s.engine.Submit(c.accepted, c.def, func(st *workflow.State, err error) {
		s.accepting.Add(-1)
		if err != nil {
			forget()
		}
		accepted(st, err)
	})
	return forget
}

// Submit implements orderv1.OrderServiceServer.
func (o orders) Submit(ctx context.Context, r *orderv1.SubmitRequest) (*orderv1.SubmitResponse, error) {
	client, err := o.admission.client(ctx)
	if err == nil {
		err = o.admission.admit(client)
	}
	if err != nil {
		return nil, o.refused(err)
	}
	c, err := o.check(ctx, r.GetOrder())
	if err != nil {
		return nil, o.refused(err)
	}
	type answer struct {
		order *orderv1.Order
		err   error
	}
	accepted, ended := make(chan answer, 1), make(chan answer, 1)
	var onEnd func(*workflow.State)
	if r.GetWait() == orderv1.Wait_WAIT_ENDED {
		onEnd = func(s *workflow.State) { ended <- answer{order: orderOf(s)} }
	}
	forget := o.submit(c, func(s *workflow.State, err error) {
		if err != nil {
			accepted <- answer{err: err}
			return
		}
		accepted <- answer{order: orderOf(s)}
	}, onEnd)
	defer forget()
	awaited := accepted
	var stopping <-chan struct{} // an answer to the acceptance comes in any case
	for {
		select {
		case a := <-awaited:
			if a.err != nil {
				return nil, o.refused(a.err)
			}
			if onEnd == nil || awaited == ended {
				return &orderv1.SubmitResponse{Order: a.order}, nil
			}
			awaited, stopping = ended, o.stopping
		case <-stopping:
			return nil, o.fail(actors.ErrStopping)
		case <-ctx.Done():
			return nil, o.fail(ctx.Err())
		}
	}
}

func (s *Server) refused(err error) error {
	f := s.explain(err)
	s.metrics.Rejected(f.reason)
	return f.status()
}

func labelMap(ls []*journalv1.Label) map[string]string {
	if len(ls) == 0 {
		return nil
	}
	m := make(map[string]string, len(ls))
	for _, l := range ls {
		m[l.GetName()] = l.GetValue()
	}
	return m
}

// orderOf is an order as its state tells it.
func orderOf(s *workflow.State) *orderv1.Order {
	a := s.Accepted()
	o := &orderv1.Order{
		Id: a.GetOrderId(), Definition: a.GetDefinition(), OrderKey: a.GetOrderKey(), Priority: a.GetPriority(),
		Labels: labelMap(a.GetLabels()), Input: a.GetInput(), ParentId: a.GetParent().GetOrderId(), AwaitedIds: s.Awaited(),
	}
	for _, w := range s.Waits() {
		o.Waiting = append(o.Waiting, &orderv1.Waiting{Task: w.Task, Reason: waitsFor(w), Until: timestamppb.New(w.Until)})
	}
	o.Status, o.Version = s.Status(), uint64(s.Version())
	o.AcceptedAt = timestamppb.New(s.AcceptedAt())
	if d := s.Deadline(); !d.IsZero() {
		o.Deadline = timestamppb.New(d)
	}
	if s.Ended() {
		o.EndedAt = timestamppb.New(s.EndedAt())
		o.Error = endError(s)
	}
	if s.Output() != nil {
		o.Output = s.Output().JSON()
	}
	return o
}

// waitsFor says what an order waits for.
func waitsFor(w workflow.Wait) string {
	var words []string
	if w.Retry > 0 {
		words = append(words, fmt.Sprintf("retry %d", w.Retry))
	}
	if w.Slowed {
		words = append(words, slowed(true))
	}
	if len(words) == 0 {
		return "the end of its wait"
	}
	return strings.Join(words, ", ")
}

// endError says why an order did not complete.
func endError(s *workflow.State) *problemv1.Problem {
	if s.Status() == orderv1.Status_STATUS_CANCELLED {
		return &problemv1.Problem{Title: "Cancelled", Detail: s.Reason()}
	}
	return s.Error()
}

// Get implements orderv1.OrderServiceServer.
func (o orders) Get(ctx context.Context, r *orderv1.GetRequest) (*orderv1.GetResponse, error) {
	s, err := o.load(ctx, r.GetId())
	if err != nil {
		return nil, err
	}
	order := orderOf(s)
	waits, err := o.engine.AttemptWaits(ctx, s)
	if err != nil {
		return nil, o.fail(err)
	}
	for _, w := range waits {
		order.Waiting = append(order.Waiting, attemptWaiting(w))
	}
	if w := o.turnWaiting(ctx, s); w != nil {
		order.Waiting = append(order.Waiting, w)
	}
	if at, err := o.engine.Estimate(ctx, s); err != nil {
		return nil, o.fail(err)
	} else if !at.IsZero() {
		order.EstimatedEnd = timestamppb.New(at)
	}
	return &orderv1.GetResponse{Order: order}, nil
}

func (s *Server) load(ctx context.Context, id string) (*workflow.State, error) {
	if err := checkID(id); err != nil {
		return nil, s.fail(err)
	}
	state, _, err := s.engine.Load(ctx, messages.OrderID(id))
	if err != nil {
		return nil, s.fail(err)
	}
	return state, nil
}

func checkID(id string) error {
	var m mistakes
	if err := messages.OrderID(id).Validate(); err != nil {
		m.add("id", err.Error())
	}
	return m.err()
}

// Cancel implements orderv1.OrderServiceServer.
func (o orders) Cancel(ctx context.Context, r *orderv1.CancelRequest) (*orderv1.CancelResponse, error) {
	if err := checkID(r.GetId()); err != nil {
		return nil, o.fail(err)
	}
	var m mistakes
	checkReason(&m, "reason", r.GetReason())
	checkReason(&m, "by", r.GetBy())
	err := m.err()
	if err == nil {
		err = o.command(ctx, messages.OrderID(r.GetId()), workflow.Cancel{
			Compensate: r.GetCompensate(), By: r.GetBy(), Reason: r.GetReason(),
		})
	}
	if err != nil {
		return nil, o.fail(err)
	}
	s, err := o.load(ctx, r.GetId())
	if err != nil {
		return nil, err
	}
	return &orderv1.CancelResponse{Order: orderOf(s)}, nil
}

// command tells an order something, and returns when what came of it is durable.
func (s *Server) command(ctx context.Context, id messages.OrderID, cmd workflow.Command) error {
	done := make(chan error, 1)
	s.engine.Command(ctx, id, cmd, func(err error) { done <- err })
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

const notAToken = "is not a token from an earlier answer" //nolint:gosec // no credential
