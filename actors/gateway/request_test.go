package gateway

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestRequests: whoever's request has come, or who has gone, is forgotten, in whatever order that happens; whoever else is late is told so.
func TestRequests(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var counted atomic.Int32
		q := &requests{within: 10 * time.Second, late: func() { counted.Add(1) }}
		const arriving, leaving, staying = 0, 1, 2
		type call struct {
			ctx  context.Context
			does int
			end  func()
		}
		var calls []call
		var late int32
		for range 1000 {
			ctx, end := context.WithCancel(t.Context())
			c := call{q.await(ctx), rand.IntN(3), end}
			if c.does == staying {
				late++
			}
			calls = append(calls, c)
			time.Sleep(time.Millisecond)
		}
		rand.Shuffle(len(calls), func(i, j int) { calls[i], calls[j] = calls[j], calls[i] })
		for _, c := range calls {
			switch c.does {
			case arriving:
				arrived(c.ctx)
				arrived(c.ctx)
			case leaving:
				c.end()
			}
		}
		time.Sleep(time.Second)
		var n int32
		q.mu.Lock()
		for r := q.first; r != nil; r = r.next {
			n++
		}
		q.mu.Unlock()
		if n != late {
			t.Errorf("%d requests are awaited, not %d", n, late)
		}
		time.Sleep(9 * time.Second)
		synctest.Wait()
		for _, c := range calls {
			want := []error{nil, context.Canceled, context.DeadlineExceeded}[c.does]
			if err := c.ctx.Err(); !errors.Is(err, want) || want == nil && err != nil {
				t.Errorf("a call that does %d ends with %v", c.does, err)
			}
			arrived(c.ctx)
			c.end()
		}
		if counted.Load() != late || q.first != nil || q.last != nil || q.looking {
			t.Errorf("%d of %d were late, and it is looked: %t", counted.Load(), late, q.looking)
		}
		// And all over again.
		ctx := q.await(t.Context())
		began := time.Now()
		if <-ctx.Done(); time.Since(began) != q.within {
			t.Errorf("late after %v", time.Since(began))
		}
	})
}
