package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/holdfast-run/holdfast/client"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/orderv1"
)

const (
	// resubmitAfter is how long a client waits before it tries again what failed.
	resubmitAfter = 50 * time.Millisecond
	// stallAfter is how long a fleet may make no progress, other than while processes are being killed.
	stallAfter = time.Minute
	// stalledTold is of how many stalled orders it is told what they wait for, stalledEvents how many of the last events.
	stalledTold, stalledEvents = 5, 20
)

// fleet is a client that keeps a number of orders in flight, whatever happens to the node: when its stream breaks, it
// opens another one and submits all orders again that it knows no end of, under the same ids.
type fleet struct {
	request func(n int) *orderv1.WorkOrder // makes the nth order; its id is set by the fleet
	want    []orderv1.Status               // with one of which the orders must end
	// lastOf, if not nil, has an order submitted once the one before it with the same key was acknowledged. It
	// holds the last of each key.
	lastOf map[string]*order
	// turn, if set, is told of an order that was accepted when the one before it with the same key has ended. It must not
	// block.
	turn func(o *order)

	mu      sync.Mutex
	orders  []*order
	byID    map[messages.OrderID]*order
	refused []*order // for now: to be submitted again
	replace bool     // an end makes a new order
	most    int      // orders in all; 0: any number
	stream  *client.Stream
	counted counts
	wrong   []error // what must not happen; at most maxWrong
	last    time.Time
	changed chan struct{} // closed, and replaced, when an order was accepted or has ended
}

const maxWrong = 20

// order is what the client knows of an order.
type order struct {
	id      messages.OrderID
	n       int // which of the fleet's orders it is
	request *orderv1.WorkOrder
	sent    bool
	// before and next are those with the same key, if the fleet minds them.
	before, next *order
	// submitted is when it was sent first.
	submitted time.Time
	accepted  time.Time
	ended     time.Time
	end       orderv1.Status // as it was told
}

func newFleet(request func(n int) *orderv1.WorkOrder) *fleet {
	return &fleet{
		request: request, want: []orderv1.Status{orderv1.Status_STATUS_COMPLETED}, byID: map[messages.OrderID]*order{}, replace: true,
		changed: make(chan struct{}),
	}
}

// run keeps n orders in flight until finish is called and all have ended, or ctx ends.
func (f *fleet) run(ctx context.Context, conn *client.Client, n int) error {
	f.mu.Lock()
	f.last = time.Now()
	for range n {
		f.add()
	}
	f.mu.Unlock()
	again := time.NewTicker(resubmitAfter)
	defer again.Stop()
	for {
		done, err := f.session(ctx, conn, again.C)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case done:
			return nil
		case errors.Is(err, errStall):
			return fmt.Errorf("%w: %v", err, f.stalled(ctx, conn))
		case err != nil && !passing(err):
			return err
		}
		select {
		case <-again.C:
		case <-ctx.Done():
		}
	}
}

// during keeps n orders in flight while something is done, and waits until all have ended. It is no error if orders stall:
// those that are missing tell.
func (f *fleet) during(ctx context.Context, conn *client.Client, n int, do func(context.Context) error) error {
	var running sync.WaitGroup
	ended := make(chan error, 1)
	sailing, sink := context.WithCancelCause(ctx)
	running.Go(func() {
		err := f.run(sailing, conn, n)
		ended <- err
		sink(err)
	})
	err := do(sailing)
	f.finish()
	if err != nil {
		sink(err)
	}
	running.Wait()
	if err = errors.Join(err, <-ended); errors.Is(err, errStall) {
		return nil
	}
	return err
}

// amid has something done so often while orders run, and waits until all have ended that are submitted at most. It tells how often it was
// done. Once all have ended, nobody is disturbed any more, and it is no error if it can't be done.
func (f *fleet) amid(ctx context.Context, times int, do func() error) (done int, err error) {
	all := func(c counts) bool { return c.ended >= f.most }
	for err == nil && done < times {
		if err = do(); err == nil {
			done++
		}
	}
	if err == nil {
		err = f.await(ctx, all)
	}
	if all(f.counts()) {
		return done, nil
	}
	return done, err
}

// passing tells whether an error is what a client of a node that is killed has to expect.
func passing(err error) bool {
	return passingCode(status.Code(err))
}

func passingCode(c codes.Code) bool { return c == codes.Unavailable || c == codes.ResourceExhausted }

// session runs one stream.
func (f *fleet) session(ctx context.Context, conn *client.Client, again <-chan time.Time) (done bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := conn.OpenStream(ctx, f.answers, grpc.WaitForReady(true))
	if err != nil {
		return false, err
	}
	ended := make(chan error, 1)
	go func() { ended <- stream.Wait() }()
	f.mu.Lock()
	f.stream, f.refused = stream, nil
	f.submit(f.orders)
	f.mu.Unlock()
	for {
		select {
		case err := <-ended:
			f.mu.Lock()
			defer f.mu.Unlock()
			f.stream = nil
			return err == nil && f.open() == 0, err
		case now := <-again:
			if err := f.retry(now); err != nil {
				cancel()
				<-ended //nolint:errcheck // it ends because it was cancelled
				return false, err
			}
		}
	}
}

// retry submits again what was refused for now, closes the stream when all is done, and fails if nothing moves.
func (f *fleet) retry(now time.Time) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.open() == 0 && !f.replace {
		f.stream.Close()
		return nil
	}
	again := f.refused
	f.refused = nil
	f.submit(again)
	if now.Sub(f.last) > stallAfter {
		return fmt.Errorf("%d orders are open, and none was accepted or ended for %v: %w", f.open(), stallAfter, errStall)
	}
	return nil
}

var errStall = errors.New("no progress")

// stalled tells of some orders without an end whether they were accepted, and how their histories end.
func (f *fleet) stalled(ctx context.Context, conn *client.Client) string {
	f.mu.Lock()
	var open []*order
	for _, o := range f.orders {
		if o.ended.IsZero() && len(open) < stalledTold {
			open = append(open, o)
		}
	}
	f.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, stallAfter/2) // the node may be why
	defer cancel()
	var told strings.Builder
	for _, o := range open {
		events, err := readHistory(ctx, conn.Orders(), o.id)
		fmt.Fprintf(&told, "\n%s, accepted: %t, history: %d events, %v", o.id, !o.accepted.IsZero(), len(events), err)
		if is, err := conn.Orders().Get(ctx, &orderv1.GetRequest{Id: string(o.id)}); err == nil {
			fmt.Fprintf(&told, ", waits for %v", is.GetOrder().GetWaiting())
		}
		for _, e := range events[max(0, len(events)-stalledEvents):] {
			e.Data = nil
			fmt.Fprintf(&told, "\n  %v", e)
		}
	}
	return told.String()
}

// open counts the orders without an end.
func (f *fleet) open() int { return len(f.orders) - f.counted.ended }

// submit sends those of the orders that have not ended, and need not wait for another's acknowledgement.
func (f *fleet) submit(orders []*order) {
	if f.stream == nil {
		return // the next one will be sent all
	}
	var batch []*orderv1.SubmitRequest
	for _, o := range orders {
		if !o.ended.IsZero() || o.before != nil && o.before.accepted.IsZero() {
			continue
		}
		if o.sent {
			f.counted.resubmitted++
		} else {
			o.sent, o.submitted = true, time.Now()
		}
		batch = append(batch, &orderv1.SubmitRequest{Order: o.request, Wait: orderv1.Wait_WAIT_ENDED})
	}
	f.stream.Submit(batch...)
}

func (f *fleet) add() *order {
	n := len(f.orders)
	o := &order{id: messages.NewOrderID(), n: n, request: f.request(n)}
	o.request.Id = string(o.id)
	if f.lastOf != nil {
		key := o.request.GetOrderKey()
		if o.before = f.lastOf[key]; o.before != nil {
			o.before.next = o
		}
		f.lastOf[key] = o
	}
	f.orders = append(f.orders, o)
	f.byID[o.id] = o
	return o
}

func (f *fleet) answers(answers []*orderv1.Submission) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	var next []*order
	for _, a := range answers {
		o := f.byID[messages.OrderID(a.GetId())]
		if o == nil {
			f.wrongf("an answer came to %q, which was never submitted", a.GetId())
			continue
		}
		switch answer := a.GetAnswer().(type) {
		case *orderv1.Submission_Accepted:
			next = f.accepted(o, now, next)
		case *orderv1.Submission_Refused:
			f.refused = append(f.refused, o)
			if c := codes.Code(answer.Refused.GetCode()); !passingCode(c) { //nolint:gosec // a code
				f.wrongf("order %s was refused: %v: %s", o.id, c, answer.Refused.GetMessage())
			}
		case *orderv1.Submission_Ended:
			if !o.ended.IsZero() {
				continue // told again, because it was submitted again
			}
			next = f.accepted(o, now, next)
			f.ended(o, answer.Ended, now)
			if f.replace {
				next = append(next, f.add())
				f.replace = len(f.orders) != f.most
			}
		}
	}
	f.submit(next)
	close(f.changed)
	f.changed = make(chan struct{})
}

// accepted notes that an order was, and adds to next what may be submitted now.
func (f *fleet) accepted(o *order, now time.Time, next []*order) []*order {
	if !o.accepted.IsZero() {
		return next
	}
	o.accepted, f.last = now, now
	f.counted.accepted++
	if f.turn != nil && (o.before == nil || !o.before.ended.IsZero()) {
		f.turn(o)
	}
	if o.next != nil {
		next = append(next, o.next)
	}
	return next
}

func (f *fleet) ended(o *order, end *orderv1.Ended, now time.Time) {
	o.ended, o.end, f.last = now, end.GetStatus(), now
	f.counted.ended++
	if f.turn != nil && o.next != nil && !o.next.accepted.IsZero() {
		f.turn(o.next)
	}
	if slices.Contains(f.want, end.GetStatus()) {
		f.counted.completed++
		return
	}
	f.wrongf("order %s ended as %v: %v", o.id, end.GetStatus(), end.GetError())
}

func (f *fleet) wrongf(format string, args ...any) {
	if len(f.wrong) < maxWrong {
		f.wrong = append(f.wrong, fmt.Errorf(format, args...))
	}
}

// underway returns the orders that were accepted and have not ended.
func (f *fleet) underway() (open []*order) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, o := range f.orders {
		if !o.accepted.IsZero() && o.ended.IsZero() {
			open = append(open, o)
		}
	}
	return open
}

// finish makes no new orders any more.
func (f *fleet) finish() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.replace = false
}

// counts is what became of the orders up to now.
type counts struct{ submitted, accepted, ended, completed, resubmitted int }

// lost counts the orders that were accepted and have no end.
func (c counts) lost() int { return c.accepted - c.ended }

func (f *fleet) counts() counts {
	f.mu.Lock()
	defer f.mu.Unlock()
	c := f.counted
	c.submitted = len(f.orders)
	return c
}

// await waits until enough orders are accepted, or have ended.
func (f *fleet) await(ctx context.Context, enough func(counts) bool) error {
	for {
		f.mu.Lock()
		changed := f.changed
		f.mu.Unlock()
		if enough(f.counts()) {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
