package cloudevents

import (
	"container/list"
	"sync"
)

// room is the memory for the bodies of requests.
type room struct {
	most int64

	mu      sync.Mutex
	held    int64
	reading list.List // of *hold: requests whose bodies are being read, the one that began first in front; no more than there are connections
}

func newRoom(most int64) *room { return &room{most: most} }

// hold is what one request has of the room. A nil one has nothing.
type hold struct {
	of   *room
	stop func() // ends the reading of the body

	// The lock of the room guards:
	bytes  int64
	place  *list.Element // nil: the body is not being read any more
	ousted bool          // it had to give way to others
}

// enter begins a hold of a request whose body is about to be read. stop ends that, and must not block.
func (r *room) enter(stop func()) *hold {
	r.mu.Lock()
	defer r.mu.Unlock()
	h := &hold{of: r, stop: stop}
	h.place = r.reading.PushBack(h)
	return h
}

// take takes more of the room, for a body that is being read. If there is no more, those give way that began to read before; it is false if
// this is the one that has to.
func (h *hold) take(bytes int64) bool {
	r := h.of
	r.mu.Lock()
	defer r.mu.Unlock()
	for !h.ousted && r.held+bytes > r.most {
		first := r.reading.Front().Value.(*hold) //nolint:errcheck,forcetypeassert // nothing else is in it, and h is at least
		first.ousted = true
		r.leave(first)
		first.stop()
	}
	if h.ousted {
		return false
	}
	r.held += bytes
	h.bytes += bytes
	return true
}

// done says that the whole body was read, and tells whether it was not ousted before that. It keeps what it has until it is released.
func (h *hold) done() bool {
	h.of.mu.Lock()
	defer h.of.mu.Unlock()
	if h.place != nil {
		h.of.reading.Remove(h.place)
		h.place = nil
	}
	return !h.ousted
}

// release gives back what a hold has.
func (h *hold) release() {
	if h == nil {
		return
	}
	h.of.mu.Lock()
	defer h.of.mu.Unlock()
	h.of.leave(h)
}

// leave gives back what a hold has. What was ousted counts no more, although its memory is free only when its request has ended, at once.
func (r *room) leave(h *hold) {
	r.held -= h.bytes
	h.bytes = 0
	if h.place != nil {
		r.reading.Remove(h.place)
		h.place = nil
	}
}
