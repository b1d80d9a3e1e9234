package gateway

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// tally counts the bytes that are under way on a stream. One that has as many as it may have is not read, nor is one that has more than a
// little while all streams have as many as they may.
type tally struct {
	all  *tallies
	most int64
	// room is of capacity 1: there may be room for more.
	room chan struct{}

	mu    sync.Mutex
	bytes int64
	over  bool
}

// tallies are the bytes that are under way on all streams of a kind.
type tallies struct {
	most  int64
	bytes atomic.Int64
}

const (
	// littleUnderWay is what each stream may have under way, in bytes, whatever others have.
	littleUnderWay = 8 << 10
	// lookAgain is how often a stream that waits looks whether others have left room.
	lookAgain = 20 * time.Millisecond
)

func newTally(all *tallies, most int64) *tally {
	return &tally{all: all, most: most, room: make(chan struct{}, 1)}
}

// add counts so many bytes more; fewer, if it is negative.
func (t *tally) add(bytes int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.over {
		return
	}
	t.all.bytes.Add(int64(bytes))
	if t.bytes += int64(bytes); t.bytes < t.most && bytes < 0 {
		signal(t.room)
	}
}

// has returns how many bytes are under way.
func (t *tally) has() int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.bytes
}

// end gives back what a stream has that is over. What is counted later does not count.
func (t *tally) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.all.bytes.Add(-t.bytes)
	t.bytes, t.over = 0, true
}

// full tells whether there is no room for more.
func (t *tally) full() bool {
	has := t.has()
	return has >= t.most || has >= littleUnderWay && t.all.bytes.Load() >= t.all.most
}

// await waits until there is room for more, and calls still now and then meanwhile.
func (t *tally) await(ctx context.Context, still func()) error {
	for t.full() {
		select {
		case <-t.room:
		case <-time.After(lookAgain):
			still()
		case <-ctx.Done():
			return fmt.Errorf("wait until what has come is answered: %w", context.Cause(ctx))
		}
	}
	return nil
}
