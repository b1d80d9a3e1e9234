package gateway

import (
	"sync"
	"time"
)

// turnsPerSecond is how often it is looked whether the journal answers again for results that it could not take.
const turnsPerSecond = 5

// beat looks after the streams of all adapters. It turns while there are any.
type beat struct {
	mu sync.Mutex
	// of is bounded by the streams.
	of   map[*connection]struct{}
	stop chan struct{}
	done chan struct{}
}

func (b *beat) enter(c *connection) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.of == nil {
		b.of = map[*connection]struct{}{}
	}
	if b.of[c] = struct{}{}; len(b.of) == 1 {
		b.stop, b.done = make(chan struct{}), make(chan struct{})
		go b.run(b.stop, b.done)
	}
}

// leave returns when the stream is not looked at any more.
func (b *beat) leave(c *connection) {
	b.mu.Lock()
	var done chan struct{}
	if delete(b.of, c); len(b.of) == 0 {
		close(b.stop)
		done = b.done
	}
	b.mu.Unlock()
	if done != nil {
		<-done
	}
}

func (b *beat) run(stop, done chan struct{}) {
	defer close(done)
	turns := time.NewTicker(time.Second / turnsPerSecond)
	defer turns.Stop()
	for n := 1; ; n++ {
		select {
		case <-stop:
			return
		case <-turns.C:
		}
		b.mu.Lock()
		for c := range b.of {
			c.look(n%turnsPerSecond == 0)
		}
		b.mu.Unlock()
	}
}

// look wakes the writer, and who watches the stream, if there is something for them.
func (c *connection) look(second bool) {
	if second && (c.untaken.some() || c.stream.DepthsChanged()) {
		c.second.Store(true)
	}
	if c.second.Load() || c.untaken.some() {
		signal(c.turn)
	}
	if c.flow.stuck() >= c.config.SlowReader {
		signal(c.unreading)
	}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
