package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/scenarios/stage"
)

const (
	// fickleWithin is the time, from the turn of an order, within which it is cancelled, if it is. Most have ended by then.
	fickleWithin = 1500 * time.Millisecond
	fickleTick   = 10 * time.Millisecond
)

// fickle is a client that cancels about a third of the orders, with compensation, at moments that chance decides. Of each key
// it cancels one at a time, so there are as many calls under way, at most, as there are keys.
type fickle struct {
	client orderv1.OrderServiceClient
	seed   uint64

	mu    sync.Mutex
	due   []doomed
	asked map[messages.OrderID]asking
	wrong []error
}

// doomed is an order that is to be cancelled.
type doomed struct {
	id messages.OrderID
	at time.Time
}

func newFickle(orders orderv1.OrderServiceClient, seed uint64) *fickle {
	return &fickle{client: orders, seed: seed, asked: map[messages.OrderID]asking{}}
}

// consider decides about an order whose turn it is. What it decides depends on the seed and on which order it is.
func (c *fickle) consider(o *order) {
	chance := rand.New(rand.NewPCG(c.seed, uint64(o.n)+1)) //nolint:gosec // it is not negative, and no secret
	if chance.IntN(3) != 0 {
		return
	}
	c.doom(o.id, time.Duration(chance.Int64N(int64(fickleWithin))))
}

// doom has an order cancelled after a time.
func (c *fickle) doom(id messages.OrderID, after time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.due = append(c.due, doomed{id, time.Now().Add(after)})
}

// run cancels until ctx ends.
func (c *fickle) run(ctx context.Context) {
	var calls sync.WaitGroup
	defer calls.Wait()
	tick := time.NewTicker(fickleTick)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			for _, id := range c.take(now) {
				calls.Go(func() { c.cancel(ctx, id) })
			}
		}
	}
}

// take returns what is due.
func (c *fickle) take(now time.Time) []messages.OrderID {
	c.mu.Lock()
	defer c.mu.Unlock()
	var due []messages.OrderID
	later := c.due[:0]
	for _, d := range c.due {
		if d.at.After(now) {
			later = append(later, d)
			continue
		}
		due = append(due, d.id)
		c.asked[d.id] = asked
	}
	c.due = later
	return due
}

// cancel cancels an order, again and again until the node says what came of it.
func (c *fickle) cancel(ctx context.Context, id messages.OrderID) {
	for ctx.Err() == nil {
		_, err := c.client.Cancel(ctx, &orderv1.CancelRequest{Id: string(id), Reason: "fickle", Compensate: true}, grpc.WaitForReady(true))
		c.mu.Lock()
		switch code := status.Code(err); {
		case err == nil:
			c.asked[id] = granted
		case code == codes.FailedPrecondition: // it has completed, or goes on to be cancelled when it is retried
		case passing(err):
			c.mu.Unlock()
			if stage.Pause(ctx, resubmitAfter) != nil {
				return
			}
			continue
		case ctx.Err() == nil && len(c.wrong) < maxWrong:
			c.wrong = append(c.wrong, fmt.Errorf("cancel %s: %w", id, err))
		}
		c.mu.Unlock()
		return
	}
}
