package gateway

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/holdfast-run/holdfast/messages/adapterv1"
)

const (
	// maxUnanswered is about the most bytes of what an adapter has said and was not sent the answer to: results until they are
	// acknowledged, revocations until they are returned. At the bound its stream is not read.
	maxUnanswered = 8 << 20
	// maxUnsentTasks is how many bytes of tasks may wait to be sent to an adapter until it gets no more for now.
	maxUnsentTasks = 16 << 20
	// partBytes is what a result, a revocation or an answer takes beside its texts.
	partBytes = 192
)

// flow is what is under way on an adapter's stream. What is to be sent counts until gRPC has taken it for the connection, of which it holds
// back some 64 KiB.
type flow struct {
	// unanswered is what the adapter has said and has not been answered, answers, and what the node says by itself.
	unanswered *tally
	// tasks are the bytes of tasks that are not sent.
	tasks atomic.Int64
	// sending is since when a message is being sent, in nanoseconds since 1970; 0: none is.
	sending atomic.Int64
}

// stuck returns for how long the adapter has left unread what is being sent.
func (f *flow) stuck() time.Duration {
	since := f.sending.Load()
	if since == 0 {
		return 0
	}
	return time.Since(time.Unix(0, since))
}

// Slow implements activity.Adapter.
func (c *connection) Slow() bool {
	return c.flow.tasks.Load() > maxUnsentTasks || c.flow.stuck() > c.config.Heartbeat
}

// put has something sent.
func (c *connection) put(x any) {
	c.count(x, 1)
	c.out.put(x)
}

// count counts something that is to be sent, or, with -1, that was.
func (c *connection) count(x any, sign int) {
	if t, ok := x.(*adapterv1.Task); ok {
		c.flow.tasks.Add(int64(sign * itemSize(t)))
		return
	}
	c.flow.unanswered.add(sign * (partBytes + len(keyOf(x))))
}

// keyOf returns the text that something has that the adapter has chosen, perhaps.
func keyOf(x any) string {
	switch x := x.(type) {
	case *adapterv1.Cancellation:
		return x.GetKey()
	case *adapterv1.Confirmation:
		return x.GetKey()
	}
	return ""
}

// await waits until the adapter may say more. It is the node that does not read meanwhile, and so the adapter is not silent.
func (c *connection) await(ctx context.Context) error {
	return c.flow.unanswered.await(ctx, c.hear)
}

// hear notes that the adapter lives.
func (c *connection) hear() { signal(c.heard) }

// unread says why the stream of an adapter ends that does not read; nil if it does.
func (c *connection) unread() error {
	if c.flow.stuck() < c.config.SlowReader {
		return nil
	}
	c.metrics.SlowReader()
	return &failure{
		code: codes.ResourceExhausted, reason: "NOT_READING", retry: time.Second,
		message: fmt.Sprintf("the adapter has read nothing of what it was sent for %v", c.config.SlowReader),
	}
}

// takeWithin is how long an adapter has to take the end of its stream.
const takeWithin = time.Second

// hangUp closes the connection of an adapter whose stream the node has ended, as soon as it may have taken that. Behind what it does not
// read it never would, and gRPC would keep both for as long as there is the connection.
func (c *connection) hangUp(ctx context.Context) {
	if _, r := connectionOf(ctx); r != nil {
		time.AfterFunc(takeWithin, r.hangUp)
	}
}

// deliver sends a message, and notes since when.
func (c *connection) deliver(st adapterConn, m *adapterv1.ConnectResponse) error {
	c.flow.sending.Store(time.Now().UnixNano())
	defer c.flow.sending.Store(0)
	if err := st.Send(m); err != nil {
		return fmt.Errorf("send: %w", err)
	}
	return nil
}
