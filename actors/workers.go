package actors

import "sync"

// workers is an actor.Dispatcher that runs actors on goroutines which it keeps: their stacks have grown to the size that
// is needed, where fresh ones would grow each time.
type workers struct {
	mu     sync.Mutex
	idle   []chan func()
	closed bool
	wg     sync.WaitGroup
}

// maxIdle is the most goroutines that are kept; there are as many more as there are actors at work.
const maxIdle = 512

// throughput is how many messages an actor handles before others get a turn.
const throughput = 100

// Schedule runs fn on a goroutine. It never blocks.
func (w *workers) Schedule(fn func()) {
	w.mu.Lock()
	if n := len(w.idle); n > 0 {
		next := w.idle[n-1]
		w.idle = w.idle[:n-1]
		w.mu.Unlock()
		next <- fn
		return
	}
	w.wg.Add(1)
	w.mu.Unlock()
	go w.work(fn)
}

// Throughput implements actor.Dispatcher.
func (w *workers) Throughput() int { return throughput }

func (w *workers) work(fn func()) {
	defer w.wg.Done()
	next := make(chan func(), 1)
	for fn != nil {
		fn()
		w.mu.Lock()
		if w.closed || len(w.idle) >= maxIdle {
			w.mu.Unlock()
			return
		}
		w.idle = append(w.idle, next)
		w.mu.Unlock()
		fn = <-next
	}
}

// close ends the goroutines once they have nothing to do, and waits for them. What is scheduled later runs all the same.
func (w *workers) close() {
	w.mu.Lock()
	w.closed = true
	for _, next := range w.idle {
		close(next)
	}
	w.idle = nil
	w.mu.Unlock()
	w.wg.Wait()
}
