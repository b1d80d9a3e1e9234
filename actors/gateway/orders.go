package gateway

import (
	"context"
	"fmt"

	"google.golang.org/protobuf/proto"

	failures "github.com/holdfast-run/holdfast/actors/failure"
	"github.com/holdfast-run/holdfast/actors/runtime"
	"github.com/holdfast-run/holdfast/actors/view"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/messages/nodev1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
)

// orders serves orderv1.OrderService.
type orders struct {
	orderv1.UnimplementedOrderServiceServer
	*Server

	unsent *unsent // of the listener
	lists  *places // for the lists that are watched over the listener
}

// begin takes a place among the orders that wait to become durable. The last quarter is kept for interactive orders, so
// that those who wait for them are not refused because of a flood of others.
func (s *Server) begin(o *journalv1.OrderAccepted) error {
	most, mostBytes := int64(s.config.Accepting), s.config.AcceptingBytes
	if o.GetPriority() < messages.Interactive {
		most -= most / 4
		mostBytes -= mostBytes / 4
	}
	orders, size := s.accepting.Add(1), acceptingSize(o)
	bytes := s.acceptingBytes.Add(size)
	switch {
	case orders > most:
		s.end(o)
		return fmt.Errorf("%w: %d orders wait to become durable, the most that may for one of priority %d to be taken",
			runtime.ErrBusy, most, o.GetPriority())
	case bytes > mostBytes && bytes > size: // however large it is, there is room for one
		s.end(o)
		return fmt.Errorf("%w: orders of %d bytes wait to become durable, and one of %d and of priority %d is only taken beside them up to %d",
			runtime.ErrBusy, bytes-size, size, o.GetPriority(), mostBytes)
	}
	return nil
}

// end gives the place of begin back.
func (s *Server) end(o *journalv1.OrderAccepted) {
	s.accepting.Add(-1)
	s.acceptingBytes.Add(-acceptingSize(o))
}

// acceptingSize is what an order takes of Config.AcceptingBytes.
func acceptingSize(o *journalv1.OrderAccepted) int64 { return int64(len(o.GetInput())) + 1<<10 }

// submit has the engine accept an order. accepted is called once, with the answer to that; ended, if given, once when the order has ended,
// which may be before accepted is called. forget ends the wait for the end.
func (s *Server) submit(
	o *journalv1.OrderAccepted, wanted nodev1.Wanted, accepted func(*nodev1.Answer, error), ended func(*orderv1.Order),
) (forget func()) {
	forget = func() {}
	if err := s.begin(o); err != nil {
		accepted(nil, err)
		return forget
	}
	if ended != nil {
		id := messages.OrderID(o.GetOrderId())
		forget = s.engine.View().Add(messages.PartitionOf(id, o.GetOrderKey()), id, &view.Waiter{
			Ended: ended, Brief: wanted == nodev1.Wanted_WANTED_ACCEPTED,
		})
	}
	stop := forget // the result is not captured: it would be on the heap
	s.engine.Submit(o, wanted, func(a *nodev1.Answer) {
		s.end(o)
		if a.GetFailure() != nil {
			stop()
		}
		accepted(a, failures.Err(a.GetFailure()))
	})
	return forget
}

// moved returns an order that was refused, as its id is taken, as it is to be submitted again: if it was accepted before, with another
// order key, because the definition that was the latest one then says another one. It is nil if another order has the id.
func (s *Server) moved(ctx context.Context, o *journalv1.OrderAccepted) (*journalv1.OrderAccepted, error) {
	var key string
	var same bool
	err := s.reading(ctx, func() (err error) {
		key, same, err = s.engine.View().Same(ctx, messages.OrderID(o.GetOrderId()), o.GetContentHash())
		return err
	})
	if err != nil || !same {
		return nil, err
	}
	again := proto.CloneOf(o) // the engine may still have the other one
	again.OrderKey = key
	return again, nil
}

func isTaken(err error) bool {
	return failures.Of(err).GetReason() == nodev1.Reason_REASON_ORDER_ID_TAKEN
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
	order, refused, err := o.await(ctx, c, r.GetWait())
	if r.GetOrder().GetOrderKey() == "" && isTaken(refused) {
		again, e := o.moved(ctx, c)
		switch {
		case e != nil:
			refused = e
		case again != nil:
			order, refused, err = o.await(ctx, again, r.GetWait())
		}
	}
	switch {
	case refused != nil:
		return nil, o.refused(refused)
	case err != nil:
		return nil, o.fail(err)
	}
	return &orderv1.SubmitResponse{Order: order}, nil
}

// await has the engine accept an order, and returns it when it is accepted or, if that is waited for, when it has ended; or why it was
// refused; or, as an error, why nobody waits for it any more.
func (o orders) await(ctx context.Context, c *journalv1.OrderAccepted, wait orderv1.Wait) (order *orderv1.Order, refused, err error) {
	type answer struct {
		order *orderv1.Order
		err   error
	}
	accepted := make(chan answer, 1)
	var ended chan answer // nil: nobody waits for that
	var onEnd func(*orderv1.Order)
	if wait == orderv1.Wait_WAIT_ENDED {
		end := make(chan answer, 1)
		onEnd = func(order *orderv1.Order) { end <- answer{order: order} }
		ended = end
	}
	forget := o.submit(c, nodev1.Wanted_WANTED_ORDER, func(a *nodev1.Answer, err error) {
		accepted <- answer{order: a.GetOrder(), err: err}
	}, onEnd)
	defer forget()
	awaited := accepted
	var stopping <-chan struct{} // an answer to the acceptance comes in any case
	for {
		select {
		case a := <-awaited:
			if a.err != nil {
				return nil, a.err, nil
			}
			if onEnd == nil || awaited == ended {
				return a.order, nil, nil
			}
			awaited, stopping = ended, o.stopping
		case <-stopping:
			return nil, nil, runtime.ErrStopping
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		}
	}
}

func (s *Server) refused(err error) error {
	f := s.explain(err)
	s.metrics.Rejected(f.reason)
	return f.status()
}

// Get implements orderv1.OrderServiceServer.
func (o orders) Get(ctx context.Context, r *orderv1.GetRequest) (*orderv1.GetResponse, error) {
	if err := checkID(r.GetId()); err != nil {
		return nil, o.fail(err)
	}
	order, err := o.engine.View().Order(ctx, messages.OrderID(r.GetId()))
	if err != nil {
		return nil, o.fail(err)
	}
	return &orderv1.GetResponse{Order: order}, nil
}

// stands tells how an order stands.
func (s *Server) stands(ctx context.Context, id string) (*orderv1.Order, error) {
	var order *orderv1.Order
	err := s.reading(ctx, func() error {
		state, _, err := s.engine.View().Load(ctx, messages.OrderID(id))
		if err == nil {
			order = view.OrderOf(state)
		}
		return err
	})
	return order, err
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
	before := o.statusNoted(ctx, r.GetId())
	if err == nil {
		err = o.tell(ctx, messages.OrderID(r.GetId()), &nodev1.Envelope{Message: &nodev1.Envelope_Cancel{Cancel: &nodev1.Cancel{
			Compensate: r.GetCompensate(), By: signed(ctx, r.GetBy()), Reason: r.GetReason(),
		}}})
	}
	var order *orderv1.Order
	if err == nil {
		order, err = o.stands(ctx, r.GetId())
	}
	if err != nil {
		return nil, o.fail(err)
	}
	note(ctx, "status of "+r.GetId(), before, order.GetStatus().String())
	return &orderv1.CancelResponse{Order: order}, nil
}

// tell tells an order something, and returns when what came of it is durable.
func (s *Server) tell(ctx context.Context, id messages.OrderID, m *nodev1.Envelope) error {
	done := make(chan error, 1)
	s.engine.Tell(ctx, id, m, func(a *nodev1.Answer) { done <- failures.Err(a.GetFailure()) })
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

const notAToken = "is not a token from an earlier answer" //nolint:gosec // no credential
