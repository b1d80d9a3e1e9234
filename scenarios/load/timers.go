package load

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"

	"github.com/holdfast-run/holdfast/client"
	"github.com/holdfast-run/holdfast/messages/eventtype"
	"github.com/holdfast-run/holdfast/messages/orderv1"
)

// timers runs orders that all wait at the same time. Each stream takes a range of them, and submits the next when one was
// accepted; their ends come later.
type timers struct {
	script *script
	ids    ids
	tally  *tally
	window int // the most orders of one stream
	// By order: when it was submitted, whether it was accepted, and when the client saw its end.
	submitted, ended []time.Time
	accepted         []bool
}

// run submits n orders and waits for their ends. An order that never ends is no error here: settle counts it.
func (t *timers) run(ctx context.Context, conn *client.Client, n, inFlight int) error {
	t.submitted, t.ended, t.accepted = make([]time.Time, n), make([]time.Time, n), make([]bool, n)
	streams := (n + t.window - 1) / t.window
	var all sync.WaitGroup
	errs := make([]error, streams)
	for i := range streams {
		from, to := n*i/streams, n*(i+1)/streams
		all.Go(func() { errs[i] = t.stream(ctx, conn, from, to, max(inFlight/streams, 1)) })
	}
	all.Wait()
	if errors.Is(context.Cause(ctx), errNoAnswer) {
		return nil
	}
	return errors.Join(errs...)
}

// stream runs the orders of a range; inFlight of them wait for their acceptance at most.
func (t *timers) stream(ctx context.Context, conn *client.Client, from, to, inFlight int) error {
	var (
		stream *client.Stream
		opened sync.Mutex // held until stream is set
		next   = from
		open   = to - from
	)
	submit := func(n int) {
		var batch []*orderv1.SubmitRequest
		now := time.Now()
		for ; n > 0 && next < to; n-- {
			t.submitted[next] = now
			batch = append(batch, t.script.request(t.ids.id(uint64(next), next))) //nolint:gosec // not negative
			next++
		}
		stream.Submit(batch...)
	}
	answers := func(answers []*orderv1.Submission) {
		opened.Lock()
		defer opened.Unlock()
		now, more := time.Now(), 0
		for _, a := range answers {
			_, i, ok := t.ids.parse(a.GetId())
			if !ok || i < from || i >= to || !t.ended[i].IsZero() {
				t.tally.fail(fmt.Errorf("an answer came to %q, which is not under way", a.GetId()))
				continue
			}
			last, err := t.script.last(a)
			if !last {
				t.accepted[i] = true
				t.tally.heard(now)
				more++
				continue
			}
			if err != nil {
				t.tally.fail(err)
			} else {
				t.tally.done(t.submitted[i], now)
			}
			if !t.accepted[i] {
				more++ // refused, or the end overtook the acceptance
			}
			t.ended[i] = now
			open--
		}
		submit(more)
		if open == 0 {
			stream.Close()
		}
	}
	opened.Lock()
	var err error
	if stream, err = conn.OpenStream(ctx, answers, grpc.WaitForReady(true)); err != nil {
		opened.Unlock()
		return err
	}
	submit(inFlight)
	opened.Unlock()
	return stream.Wait()
}

// readers is how many histories are read at once.
const readers = 8

// settle compares the ends with the times at which the orders were due, by their histories.
func (t *timers) settle(ctx context.Context, conn *client.Client) (*TimersResult, error) {
	var (
		all         sync.WaitGroup
		next        atomic.Int64
		early, lost atomic.Int64
		mu          sync.Mutex
		late        histogram
		failed      error
	)
	client := conn.Orders()
	one := func(i int) error {
		if !t.accepted[i] {
			return nil
		}
		if t.ended[i].IsZero() {
			lost.Add(1)
			return nil
		}
		id := t.ids.id(uint64(i), i) //nolint:gosec // not negative
		history, err := client.History(ctx, &orderv1.HistoryRequest{Id: id})
		if err != nil {
			return fmt.Errorf("history of %s: %w", id, err)
		}
		due, woke, err := wait(history.GetEvents())
		if err != nil {
			return fmt.Errorf("history of %s: %w", id, err)
		}
		if woke.Before(due) || t.ended[i].Before(due) {
			early.Add(1)
		}
		mu.Lock()
		late.record(t.ended[i].Sub(due))
		mu.Unlock()
		return nil
	}
	for range readers {
		all.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(t.ended); i = int(next.Add(1)) - 1 {
				if err := one(i); err != nil {
					mu.Lock()
					failed = err
					mu.Unlock()
					return
				}
			}
		})
	}
	all.Wait()
	return &TimersResult{Early: early.Load(), Lost: lost.Load(), LateP99MS: milliseconds(late.quantile(0.99))}, failed
}

// wait finds the wait in a history: when it was due, and when the order went on.
func wait(events []*orderv1.HistoryEvent) (due, woke time.Time, err error) {
	for i, e := range events {
		if e.GetEventType() != eventtype.WaitStarted {
			continue
		}
		if e.GetDue() == nil || i+1 == len(events) {
			break
		}
		return e.GetDue().AsTime(), events[i+1].GetAt().AsTime(), nil
	}
	return due, woke, errNoWait
}

var errNoWait = errors.New("there is no wait that has a due time and is over")
