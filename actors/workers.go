package actors

import (
	"runtime"
	"sync"
	"time"

	"github.com/holdfast-run/holdfast/supervision"
)

// workers is an actor.Dispatcher that runs actors on goroutines which it keeps, as many as keep the processors busy: an
// actor that is ready waits in a queue, and is taken from there without waking a goroutine. An actor that is about to
// block, such as to read from the journal, says so. If others block all the same, and the queue stands still, goroutines
// are added, one at a time.
type workers struct {
	mu   sync.Mutex
	wake *sync.Cond
	// ready are the actors that wait for a goroutine, from head on; taken counts those that got one.
	ready []runner
	head  int
	taken uint64
	// working are the goroutines that there are.
	working map[*worker]struct{}
	// watch looks whether the queue moves, as long as it is not empty; seen is what taken was when it looked last.
	watch    *time.Timer
	watching bool
	seen     uint64
	// awake goroutines are at work or about to be, blocked ones said that they are, of all that there are.
	awake, blocked, all int
	closed              bool
	wg                  sync.WaitGroup
}

// runner is what a goroutine runs: the mailbox of an actor, as a rule.
type runner interface{ run() }

type runFunc func()

func (f runFunc) run() { f() }

// worker is what is known of a goroutine.
type worker struct {
	runs runner // nil: it has nothing to do
	turn uint64 // which of all turns it is
	// seen is how far it was when it was looked at, since when it has been no further.
	seen  progress
	since time.Time
}

// progress is how far a goroutine is: in which turn, how many messages its mailbox has handed out, and how often the order
// showed that it goes on.
type progress struct{ turn, handled, turned uint64 }

// throughput is how many messages an actor handles before others get a turn.
const throughput = 100

const (
	// stalled is how long the queue may stand still.
	stalled = 5 * time.Millisecond
	// maxBlocked is how many goroutines may block while others take their place.
	maxBlocked = 256
	// maxIdle is the most goroutines that are kept with nothing to do.
	maxIdle = 64
)

// busy is how many goroutines are enough as long as none blocks.
var busy = 2 * runtime.GOMAXPROCS(0) //nolint:gochecknoglobals // a constant of the process

// Schedule has fn run. It never blocks.
func (w *workers) Schedule(fn func()) { w.schedule(runFunc(fn)) }

func (w *workers) schedule(r runner) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.head > 1024 && w.head > len(w.ready)/2 {
		n := copy(w.ready, w.ready[w.head:])
		clear(w.ready[n:])
		w.ready, w.head = w.ready[:n], 0
	}
	w.ready = append(w.ready, r)
	switch {
	case w.awake < busy:
		w.add()
	case !w.watching:
		w.watching, w.seen = true, w.taken
		if w.watch == nil {
			w.watch = time.AfterFunc(stalled, w.look)
		} else {
			w.watch.Reset(stalled)
		}
	}
}

// add wakes or starts a goroutine.
func (w *workers) add() {
	if w.wake == nil {
		w.wake = sync.NewCond(&w.mu)
	}
	if w.awake++; w.awake+w.blocked <= w.all {
		w.wake.Signal()
		return
	}
	w.all++
	if w.working == nil {
		w.working = map[*worker]struct{}{}
	}
	g := &worker{}
	w.working[g] = struct{}{}
	w.wg.Go(func() { w.work(g) })
}

// blocking does, in an actor's turn, something that may block, and lets another goroutine work in the meantime.
func (w *workers) blocking(do func()) {
	w.mu.Lock()
	counts := w.blocked < maxBlocked
	if counts {
		w.blocked++
		if w.awake--; w.head < len(w.ready) && w.awake < busy {
			w.add()
		}
	}
	w.mu.Unlock()
	defer func() {
		if counts {
			w.mu.Lock()
			w.blocked--
			w.awake++
			w.mu.Unlock()
		}
	}()
	do()
}

// look adds a goroutine if the queue stands still.
func (w *workers) look() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.watching = w.head < len(w.ready); !w.watching {
		return
	}
	if w.taken == w.seen {
		w.add()
	}
	w.seen = w.taken
	w.watch.Reset(stalled)
}

// Throughput implements actor.Dispatcher.
func (w *workers) Throughput() int { return throughput }

func (w *workers) work(g *worker) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for {
		for w.head == len(w.ready) {
			w.awake--
			if w.closed || w.all-w.awake-w.blocked > maxIdle {
				w.all--
				delete(w.working, g)
				return
			}
			w.wake.Wait()
		}
		g.runs = w.ready[w.head]
		w.ready[w.head] = nil
		w.head++
		w.taken++
		g.turn = w.taken
		if w.head == len(w.ready) {
			w.ready, w.head = w.ready[:0], 0
		}
		w.mu.Unlock()
		g.runs.run()
		w.mu.Lock()
		g.runs = nil
	}
}

// stuck returns the orders that have been at one message for longer than bound, as far as was seen: it is to be called
// again and again. Other actors have loops that tell.
func (w *workers) stuck(now time.Time, bound time.Duration) []supervision.Stuck {
	w.mu.Lock()
	defer w.mu.Unlock()
	var found []supervision.Stuck
	for g := range w.working {
		m, ok := g.runs.(*mailbox)
		if !ok || m.order == "" {
			continue
		}
		if at := (progress{g.turn, m.handedOut(), m.turned.Load()}); at != g.seen {
			g.seen, g.since = at, now
		}
		if now.Sub(g.since) > bound {
			found = append(found, supervision.Stuck{Name: "order " + string(m.order), Since: g.since, Bound: bound})
		}
	}
	return found
}

// close ends the goroutines once they have nothing to do, and waits for them. What is scheduled later runs all the same.
func (w *workers) close() {
	w.mu.Lock()
	w.closed = true
	if w.wake != nil {
		w.awake = w.all - w.blocked
		w.wake.Broadcast()
	}
	w.mu.Unlock()
	w.wg.Wait()
}
