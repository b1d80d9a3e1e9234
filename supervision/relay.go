package supervision

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"sync"
)

// Bounds of a Relay, in bytes.
const (
	// DefaultRelay is how much a relay holds if it isn't told.
	DefaultRelay = 1 << 20
	// maxLine is where a line without an end is broken.
	maxLine = 64 << 10
)

// Relay is a writer that never blocks and never fails. It passes whole lines on to another writer, which may do both: as
// when a terminal is paused, the reader of a pipe is stuck or gone, or a disk is full. Lines that find no room, or can't be
// written, are dropped, and their number is told as soon as others go through. It is safe for concurrent use.
type Relay struct {
	prefix string
	max    int
	out    io.Writer
	wake   chan struct{} // holds at most one
	done   chan struct{} // closed when the goroutine has ended

	mu      sync.Mutex
	partial []byte // a line that has no end yet; at most maxLine
	held    []byte // whole lines; at most max
	dropped int    // lines that found no room, or that the other writer has refused
	closed  bool
}

// NewRelay makes a relay to out, which it writes to from one goroutine. Each line begins with prefix. It holds at most
// size bytes; 0 means DefaultRelay. Close it.
func NewRelay(out io.Writer, prefix string, size int) *Relay {
	if size <= 0 {
		size = DefaultRelay
	}
	r := &Relay{prefix: prefix, max: size, out: out, wake: make(chan struct{}, 1), done: make(chan struct{})}
	go r.run()
	return r
}

// Write takes p over. It always succeeds; after Close it has no effect.
func (r *Relay) Write(p []byte) (int, error) {
	n := len(p)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return n, nil
	}
	for len(p) > 0 {
		room := maxLine - len(r.partial)
		end := bytes.IndexByte(p[:min(len(p), room)], '\n')
		switch {
		case end >= 0:
			r.partial = append(r.partial, p[:end]...)
			p = p[end+1:]
			r.endLine()
		case len(p) >= room:
			r.partial = append(r.partial, p[:room]...)
			p = p[room:]
			r.endLine()
		default:
			r.partial = append(r.partial, p...)
			p = nil
		}
	}
	return n, nil
}

// endPartial ends a line that has no end, because who wrote it is gone.
func (r *Relay) endPartial() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.partial) > 0 {
		r.endLine()
	}
}

// endLine moves the partial line to the held ones. The caller holds the lock.
func (r *Relay) endLine() {
	if len(r.held)+len(r.prefix)+len(r.partial)+1 > r.max {
		r.dropped++
	} else {
		r.held = append(r.held, r.prefix...)
		r.held = append(r.held, r.partial...)
		r.held = append(r.held, '\n')
	}
	r.partial = r.partial[:0]
	r.wakeUp()
}

func (r *Relay) wakeUp() {
	select {
	case r.wake <- struct{}{}:
	default: // it is awake
	}
}

// Close passes on what is held, and returns when that is done, or with an error when ctx ends before. In that case the
// goroutine that writes ends when the other writer lets it.
func (r *Relay) Close(ctx context.Context) error {
	r.endPartial()
	r.mu.Lock()
	r.closed = true
	r.wakeUp()
	r.mu.Unlock()
	select {
	case <-r.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("output is blocked: %w", context.Cause(ctx))
	}
}

func (r *Relay) run() {
	defer close(r.done)
	var spare []byte
	for {
		lines, told, closed := r.take(spare)
		spare = lines[:0] // also if there is nothing in it: the other buffer is in use now
		if len(lines) == 0 {
			if closed {
				return
			}
			<-r.wake
			continue
		}
		if n, err := r.out.Write(lines); err != nil {
			lost := bytes.Count(lines[n:], []byte{'\n'})
			if told > 0 {
				lost += told - 1 // the line that tells of them is one of the lost
			}
			r.drop(lost)
		}
	}
}

// drop counts lines that are lost. They are told together with the next ones: one that can't be written is no reason to
// write again.
func (r *Relay) drop(lines int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.dropped += lines
}

// take hands out the held lines in exchange for an empty buffer. The last of them tells how many were dropped.
func (r *Relay) take(spare []byte) (lines []byte, told int, closed bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	lines, r.held = r.held, spare
	if r.dropped > 0 && len(lines) > 0 {
		lines = fmt.Appendf(lines, "%s(%d lines were dropped: the output was blocked, or failed)\n", r.prefix, r.dropped)
		told, r.dropped = r.dropped, 0
	}
	return lines, told, r.closed
}
