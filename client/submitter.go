package client

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/holdfast-run/holdfast/messages/orderv1"
)

// Submitting is how a Submitter submits.
type Submitting struct {
	// Orders is the most orders without a last answer, and Bytes about the most that they take; one that takes more is submitted
	// alone. A node takes 16,000 of one stream if it is not told otherwise. Default 2,000, and 32 MiB.
	Orders, Bytes int
	// Patience is how long to go on while no node takes a stream. The time without a node counts only while there is something to submit.
	Patience Patience
	// Busy, if set, is called each time that a node refuses an order for now, as it has no room; the order is submitted again later.
	// It must not block for long.
	Busy func(*orderv1.Refused)
}

// Answer is what is told of an order.
type Answer struct {
	// Submission is what a node has said; nil if there is an error.
	Submission *orderv1.Submission
	// Err is why there is no answer, and will be none: whether the order was accepted is not known, unless it was told before.
	Err error
	// Last: nothing more will be told of the order. There is an answer before the last one only if the end of the order is waited for:
	// it says that the order was accepted.
	Last bool
	// Tries is how often the order was sent. After the first try a node may call it repeated because of the try before.
	Tries int
}

// Submitter submits orders over streams that it opens again when they break. It is safe for concurrent use. Close it.
type Submitter struct {
	client *Client
	config Submitting
	again  chan struct{} // holds at most one: something was refused for now
	work   chan struct{} // holds at most one: there is something to submit to any node, or nothing will be submitted any more
	ended  chan struct{}
	err    error // once ended

	// telling is held while answers are told: they come on several streams, and are told one after another.
	telling sync.Mutex

	mu      sync.Mutex
	window  *window
	routes  *routes
	held    int  // messages whose answers are being told: what is submitted meanwhile is sent together, when that is done
	heard   bool // a node has answered since wasHeard told
	closed  bool
	waiting int           // calls of Submit that wait for room
	room    chan struct{} // closed, and replaced, when there may be room for those
}

// ErrClosed says that something was submitted to a Submitter that was closed before.
var ErrClosed = errors.New("the submitter is closed")

// NewSubmitter makes a Submitter. It lives until it is closed and all its orders are answered, until ctx ends, or until nodes can't
// be reached, or fail in a way that does not go away by itself. Metadata of ctx go with each stream.
func (c *Client) NewSubmitter(ctx context.Context, how Submitting) *Submitter {
	how.Orders, how.Bytes = cmp.Or(how.Orders, 2000), cmp.Or(how.Bytes, 32<<20)
	s := &Submitter{
		client: c, config: how, again: make(chan struct{}, 1), work: make(chan struct{}, 1), ended: make(chan struct{}),
		window: newWindow(how.Orders, how.Bytes), room: make(chan struct{}),
	}
	c.owners.learn()
	ctx, cancel := context.WithCancel(ctx)
	s.routes = &routes{submitter: s, ctx: ctx, any: &route{cancel: func() {}}, to: map[string]*route{}, shunned: map[string]shunned{}}
	go func() {
		defer close(s.ended)
		var attending sync.WaitGroup
		attending.Go(func() { s.attend(ctx) })
		s.err = s.run(ctx)
		s.routes.end(s.err)
		cancel()
		attending.Wait()
		s.end()
	}()
	return s
}

// Submit hands in an order, once there is room for it. answered is called with what becomes of it: with one last answer, whatever
// happens, unless Submit fails; calls come one after another, of all orders, and must not block for long. The request must not
// change until then. An order whose id was handed in before, and has no last answer yet, waits for that.
//
// answered may call Submit once for each last answer, as there is room for one order in its place by then; but only if nobody else
// submits and takes that room: it would wait for answers that it holds up itself.
func (s *Submitter) Submit(ctx context.Context, request *orderv1.SubmitRequest, answered func(Answer)) error {
	for {
		s.mu.Lock()
		if s.closed {
			s.mu.Unlock()
			return ErrClosed
		}
		taken := s.window.add(request, answered)
		if !taken || s.held == 0 {
			s.send()
		}
		if taken {
			s.mu.Unlock()
			return nil
		}
		room := s.room
		s.waiting++
		s.mu.Unlock()
		var err error
		select {
		case <-room:
		case <-s.ended:
			if err = s.err; err == nil {
				err = ErrClosed
			}
		case <-ctx.Done():
			err = context.Cause(ctx)
		}
		s.mu.Lock()
		s.waiting--
		s.mu.Unlock()
		if err != nil {
			return fmt.Errorf("submit order %s: %w", request.GetOrder().GetId(), err)
		}
	}
}

// Close tells that nothing more will be submitted, waits until all orders have their last answers, and returns why some have none:
// the last failure, a GaveUpError, or the cause of the end of the Submitter's context.
func (s *Submitter) Close() error {
	s.mu.Lock()
	s.closed = true
	s.finish()
	s.mu.Unlock()
	<-s.ended
	return s.err
}

// Ended is closed when nothing is submitted any more.
func (s *Submitter) Ended() <-chan struct{} { return s.ended }

func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// send sends what is to be sent. The caller holds the lock.
func (s *Submitter) send() {
	s.window.take(s.routes.give)
	s.routes.flush()
}

// finish closes the streams if all is done. The caller holds the lock.
func (s *Submitter) finish() {
	if s.closed && s.window.empty() {
		s.routes.finish()
		signal(s.work)
	}
}

// run submits to any node what is for none, whenever there is something, until there will be nothing more.
func (s *Submitter) run(ctx context.Context) error {
	wait := s.client.interruption(s.config.Patience)
	for {
		s.mu.Lock()
		idle, empty := len(s.routes.any.waiting) == 0, s.window.empty()
		done := empty && s.closed
		s.mu.Unlock()
		if empty || s.wasHeard() { // not if it is idle: what has no answer may be given to an owner that is not there
			wait.over()
		}
		switch {
		case done:
			return nil
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case idle:
			select {
			case <-s.work:
			case <-ctx.Done():
			}
			continue
		}
		heard, err := s.session(ctx, s.routes.any)
		if s.wasHeard() || heard {
			wait.over()
		}
		if err == nil {
			continue
		}
		if err = wait.wait(ctx, err); err != nil {
			return err
		}
	}
}

// wasHeard tells whether a node has answered since it was called last.
func (s *Submitter) wasHeard() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	heard := s.heard
	s.heard = false
	return heard
}

// session submits what a route is given over one stream until that breaks, and returns why, or nil if nothing of it is unanswered; and
// whether a node had taken it.
func (s *Submitter) session(ctx context.Context, r *route) (heard bool, err error) {
	stream, err := s.client.OpenStream(toward(ctx, target{address: r.address, strict: true}), s.answers)
	if err == nil {
		s.mu.Lock()
		s.routes.opened(r, stream)
		s.finish()
		s.mu.Unlock()
		err = stream.Wait()
		heard = stream.heard
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.routes.closed(r, heard)
	left := s.window.back(r)
	s.send()
	switch {
	case left == 0:
		return heard, nil
	case ctx.Err() != nil:
		err = context.Cause(ctx)
	case err == nil:
		err = status.Error(codes.Unavailable, "the node ended the stream before all orders were answered")
	}
	return heard, err
}

// attend sends again what was refused for now, when its time has come, and gives up routes to nodes that are there no more, until the
// context ends.
func (s *Submitter) attend(ctx context.Context) {
	due := time.NewTimer(time.Hour)
	defer due.Stop()
	for {
		nodes, changed := s.client.owners.news()
		s.mu.Lock()
		s.routes.keep(nodes)
		s.window.come(time.Now())
		s.send()
		if next, some := s.window.soonest(); some {
			due.Reset(time.Until(next) + together)
		}
		s.mu.Unlock()
		select {
		case <-s.again:
		case <-due.C:
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

// together is how long an order that may be sent again waits for others, so that they are sent together.
const together = 20 * time.Millisecond

// later returns when to send an order again, given how many times in a row it was refused for now.
func (s *Submitter) later(r *orderv1.Refused, times int) time.Time {
	c := s.client
	delay := c.config.Backoff.next(times, c.random)
	if r.GetRetryAfter() != nil {
		delay = max(min(r.GetRetryAfter().AsDuration(), longestWish), c.config.Backoff.Initial)
	}
	return time.Now().Add(delay)
}

// told is an answer that is to be told of an order.
type told struct {
	order  *handed
	answer Answer
}

// answers takes the answers of a message.
func (s *Submitter) answers(submissions []*orderv1.Submission) {
	var tell []told
	var busy []*orderv1.Refused
	s.mu.Lock()
	for _, x := range submissions {
		h, last := s.window.answer(x, s.later)
		switch {
		case h != nil:
			tell = append(tell, told{h, Answer{Submission: x, Last: last, Tries: h.tries}})
		case forNow(x.GetRefused()):
			busy = append(busy, x.GetRefused())
		}
	}
	s.held++
	s.heard = true
	s.makeRoom()
	s.mu.Unlock()
	if len(busy) > 0 {
		signal(s.again)
	}
	s.tell(tell, busy)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held--
	s.send()
	s.finish()
}

// tell tells those who submitted what came.
func (s *Submitter) tell(all []told, busy []*orderv1.Refused) {
	s.telling.Lock()
	defer s.telling.Unlock()
	for _, r := range busy {
		if s.config.Busy != nil {
			s.config.Busy(r)
		}
	}
	for _, t := range all {
		t.order.answered(t.answer)
	}
}

// makeRoom wakes calls of Submit that wait. The caller holds the lock.
func (s *Submitter) makeRoom() {
	if s.waiting > 0 {
		close(s.room)
		s.room = make(chan struct{})
	}
}

// end tells of all orders without a last answer that there will be none, and takes no others.
func (s *Submitter) end() {
	s.mu.Lock()
	s.closed = true
	left := s.window.inOrder()
	s.mu.Unlock()
	for _, h := range left {
		h.answered(Answer{Err: s.err, Last: true, Tries: h.tries})
	}
}
