package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"github.com/holdfast-run/holdfast/client"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/orderv1"
)

// flood is a client that submits a number of orders as fast as they are accepted. When its stream breaks, it opens another
// one and submits those again that were not answered, under the same ids.
type flood struct {
	// request makes the nth order; the flood gives it an id, unless it has one. It may return nil: not before another one is accepted.
	request func(n int) *orderv1.WorkOrder
	orders  int
	window  int // the most orders without an answer

	mu       sync.Mutex
	stream   *client.Stream
	made     int
	waiting  map[string]*orderv1.WorkOrder // without an answer
	refused  []*orderv1.WorkOrder          // for now
	accepted int
	err      error
	// pace counts acceptances by interval of paceEvery, while the node was up; the last interval is not over.
	pace  []int
	since time.Time // when that began; zero after a break, until an order is accepted
	// opened is when the present stream was, up how long earlier ones had orders accepted, and so far this one.
	opened     time.Time
	before, up time.Duration
	changed    chan struct{}
}

// paceEvery is the length of the intervals in which acceptances are counted.
const paceEvery = time.Second

func newFlood(orders, window int, request func(n int) *orderv1.WorkOrder) *flood {
	return &flood{
		request: request, orders: orders, window: window, waiting: map[string]*orderv1.WorkOrder{}, changed: make(chan struct{}),
	}
}

// run submits all orders, and returns when they are accepted.
func (f *flood) run(ctx context.Context, conn *client.Client) error {
	again := time.NewTicker(resubmitAfter)
	defer again.Stop()
	for {
		stream, err := conn.OpenStream(ctx, f.answers, grpc.WaitForReady(true))
		if err == nil {
			f.begin(stream)
			err = f.session(ctx, stream, again.C)
		}
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case f.done():
			return f.err
		case err != nil && !passing(err):
			return err
		}
		select {
		case <-again.C:
		case <-ctx.Done():
		}
	}
}

func (f *flood) begin(stream *client.Stream) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.stream, f.refused = stream, nil
	f.breakOff(time.Now())
	for _, o := range f.waiting {
		f.submit(o)
	}
	f.more()
}

// session waits for the end of a stream, and submits again what was refused for now.
func (f *flood) session(ctx context.Context, stream *client.Stream, again <-chan time.Time) error {
	ended := make(chan error, 1)
	go func() { ended <- stream.Wait() }()
	for {
		select {
		case err := <-ended:
			return err
		case <-again:
			f.mu.Lock()
			for _, o := range f.refused {
				f.submit(o)
			}
			f.refused = nil
			f.mu.Unlock()
		case <-ctx.Done():
			return <-ended
		}
	}
}

func (f *flood) submit(o *orderv1.WorkOrder) {
	f.stream.Submit(&orderv1.SubmitRequest{Order: o, Wait: orderv1.Wait_WAIT_ACCEPTED})
}

// more submits new orders as far as the window allows.
func (f *flood) more() {
	for f.made < f.orders && len(f.waiting) < f.window {
		o := f.request(f.made)
		if o == nil {
			break
		}
		if o.GetId() == "" {
			o.Id = string(messages.NewOrderID())
		}
		f.waiting[o.Id] = o
		f.made++
		f.submit(o)
	}
	if f.made == f.orders && len(f.waiting) == 0 {
		f.stream.Close()
	}
}

func (f *flood) answers(answers []*orderv1.Submission) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, a := range answers {
		o := f.waiting[a.GetId()]
		r := a.GetRefused()
		switch {
		case o == nil:
			f.err = fmt.Errorf("an answer came to %q, which was not under way", a.GetId())
		case r == nil:
			delete(f.waiting, a.GetId())
			f.count(time.Now())
		case passingCode(codes.Code(r.GetCode())): //nolint:gosec // a code
			f.refused = append(f.refused, o)
		default:
			delete(f.waiting, a.GetId())
			f.err = fmt.Errorf("order %s was refused: %v: %s", a.GetId(), codes.Code(r.GetCode()), r.GetMessage()) //nolint:gosec // a code
		}
	}
	f.more()
	close(f.changed)
	f.changed = make(chan struct{})
}

// breakOff ends what was counted with the stream before, and begins anew.
func (f *flood) breakOff(now time.Time) {
	if !f.since.IsZero() {
		f.pace = f.pace[:len(f.pace)-1] // it was cut short
	}
	f.since, f.opened, f.before = time.Time{}, now, f.up
}

// count counts an acceptance.
func (f *flood) count(now time.Time) {
	f.accepted++
	f.up = f.before + now.Sub(f.opened)
	if f.since.IsZero() {
		f.since = now
		f.pace = append(f.pace, 0)
	}
	for now.Sub(f.since) >= paceEvery {
		f.since = f.since.Add(paceEvery)
		f.pace = append(f.pace, 0)
	}
	f.pace[len(f.pace)-1]++
}

func (f *flood) done() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.made == f.orders && len(f.waiting) == 0
}

// await waits until so many orders were accepted.
func (f *flood) await(ctx context.Context, accepted int) error {
	for {
		f.mu.Lock()
		changed, enough := f.changed, f.accepted >= accepted
		f.mu.Unlock()
		if enough {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// slowest returns the lowest rate at which orders were accepted for so many seconds on end, or over all if it took less
// time, and the rate over all.
func (f *flood) slowest(seconds int) (lowest, mean float64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	mean = float64(f.accepted) / f.up.Seconds()
	whole := f.pace[:max(len(f.pace)-1, 0)]
	if len(whole) < seconds {
		return mean, mean
	}
	for i := 0; i+seconds <= len(whole); i++ {
		sum := 0
		for _, n := range whole[i : i+seconds] {
			sum += n
		}
		if rate := float64(sum) / float64(seconds); i == 0 || rate < lowest {
			lowest = rate
		}
	}
	return lowest, mean
}
