package gateway

import (
	"sync"
)

// outbox collects messages for one stream, so that many share a frame. Whoever puts never waits; who may put bounds how
// much there can be.
type outbox[T any] struct {
	mu     sync.Mutex
	items  []T
	spare  []T
	wake   chan struct{} // of capacity 1
	closed bool
}

func newOutbox[T any]() *outbox[T] { return &outbox[T]{wake: make(chan struct{}, 1)} }

func (o *outbox[T]) put(item T) {
	o.mu.Lock()
	if !o.closed {
		o.items = append(o.items, item)
	}
	o.mu.Unlock()
	o.signal()
}

// size returns how much was put and not taken.
func (o *outbox[T]) size() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.items)
}

// close makes take return what is left, and then end.
func (o *outbox[T]) close() {
	o.mu.Lock()
	o.closed = true
	o.mu.Unlock()
	o.signal()
}

func (o *outbox[T]) signal() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// take returns what was put since the last call, and false when the outbox is closed and empty. It may return nothing.
// The slice is valid until the next call.
func (o *outbox[T]) take() ([]T, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	items := o.items
	clear(o.spare)
	o.items, o.spare = o.spare[:0], items
	return items, len(items) > 0 || !o.closed
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
