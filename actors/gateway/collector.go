package gateway

import (
	"sync"
)

// collector collects messages for one stream, so that many share a frame. put never waits: its callers bound how much is in the
// collector.
type collector[T any] struct {
	mu     sync.Mutex
	items  []T
	spare  []T
	wake   chan struct{} // of capacity 1
	closed bool
}

func newCollector[T any]() *collector[T] { return &collector[T]{wake: make(chan struct{}, 1)} }

func (c *collector[T]) put(item T) {
	c.mu.Lock()
	if !c.closed {
		c.items = append(c.items, item)
	}
	c.mu.Unlock()
	c.signal()
}

// close makes take return what is left, and then end.
func (c *collector[T]) close() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.signal()
}

func (c *collector[T]) signal() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// take returns what was put since the last call, and false when the collector is closed and empty. It may return nothing.
// The slice is valid until the next call.
func (c *collector[T]) take() ([]T, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	items := c.items
	clear(c.spare)
	c.items, c.spare = c.spare[:0], items
	return items, len(items) > 0 || !c.closed
}

// maxFrame is the most items in one message of a stream; frameBytes about the most bytes, but for a single larger item.
// gRPC takes, and clears, a buffer of 1 MiB for each message of more than 32 KiB.
const (
	maxFrame   = 512
	frameBytes = 28 << 10
)

// frameOf returns how many items go into the next message.
func frameOf[T any](items []T, size func(T) int) int {
	n, bytes := 0, 0
	for n < len(items) && n < maxFrame {
		bytes += size(items[n])
		if n > 0 && bytes > frameBytes {
			break
		}
		n++
	}
	return n
}
