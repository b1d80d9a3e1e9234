package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/holdfast-run/holdfast/actors/access"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/messages/nodev1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
)

type submitConn = grpc.BidiStreamingServer[orderv1.SubmitStreamRequest, orderv1.SubmitStreamResponse]

// SubmitStream implements orderv1.OrderServiceServer.
func (o orders) SubmitStream(st submitConn) error {
	client, err := o.admission.client(st.Context())
	if err != nil {
		return o.fail(err)
	}
	if err := st.SendHeader(nil); err != nil { // so that the client knows that a node is there, though it may be quiet for long
		return o.fail(err)
	}
	s := &submitStream{
		orders: o, client: client, caller: access.Of(st.Context()), out: newCollector[submissionAnswer](),
		window: make(chan struct{}, o.config.StreamWindow), waiting: map[uint64]*waitForEnd{},
		answers: newTally(&o.answers, maxUnsentAnswers), waits: newTally(&o.waits, int64(o.config.StreamWindow)*waitBytes),
	}
	defer s.answers.end()
	defer s.waits.end()
	defer s.forgetAll()
	ctx, cancel := context.WithCancel(st.Context())
	defer cancel()
	sent := make(chan error, 1)
	go func() {
		var err error
		defer func() { sent <- err }()
		defer cancel() // nobody gives the window back any more
		defer o.contain("SubmitStream", &err)
		err = s.write(ctx, st)
	}()
	err = s.read(ctx, st)
	if err == nil {
		// The client has sent all: what is left are the last answers.
		for range cap(s.window) {
			select {
			case s.window <- struct{}{}:
			case <-ctx.Done():
				err = ctx.Err()
			}
		}
	}
	s.out.close()
	if werr := <-sent; werr != nil && (err == nil || st.Context().Err() == nil) {
		err = werr // which is why the rest came to its end
	}
	if err != nil {
		return o.fail(err)
	}
	return nil
}

// submitStream is one stream of submissions.
type submitStream struct {
	orders

	client string         // who submits, for the limit of orders
	caller *access.Caller // the same, for what it may do
	out    *collector[submissionAnswer]
	// window holds an element for each order whose last answer was not sent.
	window  chan struct{}
	answers *tally        // that are not sent yet
	waits   *tally        // for the ends of orders
	owes    time.Duration // what it took to refuse submissions, and was not charged yet

	work    sync.WaitGroup // what is done beside it
	mu      sync.Mutex
	over    bool // nothing more is done beside it
	next    uint64
	waiting map[uint64]*waitForEnd // bounded by window
}

func (s *submitStream) read(ctx context.Context, st submitConn) error {
	for in := s.ofClient(st); ; {
		m := &orderv1.SubmitStreamRequest{}
		in.charge(ctx, s.owes)
		s.owes = 0
		err := in.receive(ctx, m)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("receive: %w", err)
		}
		for _, r := range m.GetSubmissions() {
			for _, t := range []*tally{s.answers, s.waits} {
				if err := t.await(ctx, func() {}); err != nil {
					return err
				}
			}
			select {
			case s.window <- struct{}{}:
			default:
				select {
				case s.window <- struct{}{}:
				case <-ctx.Done():
					return ctx.Err()
				}
			}
			s.one(ctx, r)
		}
	}
}

func (s *submitStream) one(ctx context.Context, r *orderv1.SubmitRequest) {
	id := r.GetOrder().GetId()
	if err := s.admission.admit(s.client); err != nil {
		s.last(0, s.refusal(id, err))
		return
	}
	if err := requireToSubmit(s.caller, r); err != nil {
		s.owes += refusalTakes
		_ = s.refuseCaller(ctx, orderv1.OrderService_SubmitStream_FullMethodName, err) // the answer to the order tells it
		s.last(0, s.refusal(id, err))
		return
	}
	c, err := s.check(ctx, r.GetOrder())
	if err != nil {
		s.owes += refusalTakes
		s.last(0, s.refusal(id, err))
		return
	}
	var n uint64
	if r.GetWait() == orderv1.Wait_WAIT_ENDED {
		n = s.expect()
	}
	s.accept(ctx, c, n, r.GetOrder().GetOrderKey() == "")
}

// accept has an order accepted. N is the number of its submission, 0 if its end is not waited for. unkeyed: its client gave it no order
// key, so that it may have been accepted with another one than it has now.
func (s *submitStream) accept(ctx context.Context, c *journalv1.OrderAccepted, n uint64, unkeyed bool) {
	var ended func(*orderv1.Order)
	if n != 0 {
		id := c.GetOrderId()
		ended = func(o *orderv1.Order) {
			end := &orderv1.Submission{Id: id, Answer: &orderv1.Submission_Ended{Ended: &orderv1.Ended{
				Status: o.GetStatus(), Error: o.GetError(), Output: o.GetOutput(),
			}}}
			if s.meet(n, end) != nil {
				s.last(n, end)
			}
		}
	}
	forget := s.submit(c, nodev1.Wanted_WANTED_ACCEPTED, func(a *nodev1.Answer, err error) {
		id := c.GetOrderId()
		switch {
		case err != nil && unkeyed && isTaken(err):
			s.beside(func() { s.acceptMoved(ctx, c, n, err) })
		case err != nil:
			s.last(n, s.refusal(id, err))
		case n == 0:
			s.last(0, acceptance(id, a.GetAccepted()))
		default:
			s.put(acceptance(id, a.GetAccepted()), false)
			if end := s.meet(n, nil); end != nil {
				s.last(n, end)
			}
		}
	}, ended)
	if n == 0 {
		return
	}
	s.mu.Lock()
	if w, still := s.waiting[n]; still {
		w.forget = forget
	}
	s.mu.Unlock()
}

// acceptMoved has an order accepted once more that was refused, as its id is taken, if it has that id itself.
func (s *submitStream) acceptMoved(ctx context.Context, c *journalv1.OrderAccepted, n uint64, refused error) {
	again, err := s.moved(ctx, c)
	switch {
	case err != nil:
		s.last(n, s.refusal(c.GetOrderId(), err))
	case again == nil:
		s.last(n, s.refusal(c.GetOrderId(), refused))
	default:
		s.accept(ctx, again, n, false)
	}
}

// beside has something done beside the stream, which waits for it in the end; nothing is begun after that. It is for submissions that have
// their places in the window, which bounds it.
func (s *submitStream) beside(do func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		return
	}
	s.work.Go(func() {
		var err error // contain has told it
		defer s.contain("SubmitStream", &err)
		do()
	})
}

// waitBytes is about what it takes to wait for the end of an order.
const waitBytes = 512

// waitForEnd is a submission whose end is waited for.
type waitForEnd struct {
	forget func()
	// met: one of the two has happened: the client was answered that the order is accepted, or its end is known.
	met bool
	end *orderv1.Submission
}

// expect numbers a submission whose end is waited for.
func (s *submitStream) expect() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.next++
	s.waiting[s.next] = &waitForEnd{forget: func() {}}
	s.waits.add(waitBytes)
	return s.next
}

// meet is called when an order was accepted, and when it has ended, in any order. It returns the end the second time.
func (s *submitStream) meet(n uint64, end *orderv1.Submission) *orderv1.Submission {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.waiting[n]
	if w == nil {
		return nil // it was refused
	}
	if end != nil {
		w.end = end
	}
	if !w.met {
		w.met = true
		return nil
	}
	return w.end
}

// forgetAll ends all waiting when the stream is over, and returns when nothing is done beside it any more.
func (s *submitStream) forgetAll() {
	s.mu.Lock()
	s.over = true
	s.mu.Unlock()
	s.work.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range s.waiting {
		w.forget()
	}
}

// acceptance answers a submission. An order that was there before, with the same content, is repeated.
func acceptance(id string, a *nodev1.Accepted) *orderv1.Submission {
	var m struct { // one allocation for every order
		submission orderv1.Submission
		answer     orderv1.Submission_Accepted
		accepted   orderv1.Accepted
	}
	m.accepted.Definition, m.accepted.Repeated = a.GetDefinition(), a.GetRepeated()
	m.answer.Accepted = &m.accepted
	m.submission.Id, m.submission.Answer = id, &m.answer
	return &m.submission
}

func (s *submitStream) refusal(id string, err error) *orderv1.Submission {
	f := s.explain(err)
	s.metrics.Rejected(f.reason)
	r := &orderv1.Refused{Message: messages.Clip(f.message, maxMessage), Reason: f.reason}
	r.Code = int32(f.code) //nolint:gosec // a small number
	if f.retry > 0 {
		r.RetryAfter = durationpb.New(f.retry)
	}
	if len(f.fields) > 0 {
		r.Field = f.fields[0].GetField()
	}
	return &orderv1.Submission{Id: messages.Clip(id, messages.MaxOrderID), Answer: &orderv1.Submission_Refused{Refused: r}}
}

// last puts the last answer to a submission; n is its number, or 0 if its end was not waited for.
func (s *submitStream) last(n uint64, a *orderv1.Submission) {
	if n != 0 {
		s.mu.Lock()
		delete(s.waiting, n)
		s.waits.add(-waitBytes)
		s.mu.Unlock()
	}
	s.put(a, true)
}
