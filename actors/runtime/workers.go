package runtime

import (
	"runtime"
	"sync"
	"time"

	"github.com/holdfast-run/holdfast/supervision"
)

// Workers is an actor.Dispatcher that runs actors on goroutines which it keeps, as many as keep the processors busy: an
// actor that is ready waits in a queue, and is taken from there without waking a goroutine. An actor that is about to
// block, such as to read from the journal, says so. If others block all the same, and the queue stands still, goroutines
// are added, one at a time.
type Workers struct {
	mu   sync.Mutex
	wake *sync.Cond
	// ready are the actors that wait for a goroutine; taken counts those that got one.
	ready queue[runner]
	taken uint64
	// working are all goroutines.
	working map[*worker]struct{}
	// watch fires as long as the queue is not empty, to look whether it moves; seen is what taken was when it looked last.
	watch    *time.Timer
	watching bool
	seen     uint64
	// all is how many goroutines there are, awake how many of them are at work or about to be, blocked how many have said that they may
	// block.
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
	turn uint64 // the number of the turn, among those of all goroutines
	// seen is how far the goroutine was when it was looked at last, and since is when it was first seen there.
	seen  progress
	since time.Time
}

// progress is how far a goroutine is: in which turn, how many messages its mailbox has handed out, and how often its
// actor showed that it goes on.
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

// busy is how many goroutines are awake as long as none blocks.
var busy = 2 * runtime.GOMAXPROCS(0) //nolint:gochecknoglobals // a constant of the process

// Schedule has fn run. It never blocks.
func (w *Workers) Schedule(fn func()) { w.schedule(runFunc(fn)) }

func (w *Workers) schedule(r runner) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ready.push(r)
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
func (w *Workers) add() {
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

// Blocking does, in an actor's turn, something that may block, and lets another goroutine work in the meantime.
func (w *Workers) Blocking(do func()) {
	w.mu.Lock()
	counts := w.blocked < maxBlocked
	if counts {
		w.blocked++
		if w.awake--; w.ready.len() > 0 && w.awake < busy {
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
func (w *Workers) look() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.watching = w.ready.len() > 0; !w.watching {
		return
	}
	if w.taken == w.seen {
		w.add()
	}
	w.seen = w.taken
	w.watch.Reset(stalled)
}

// Throughput implements actor.Dispatcher.
func (w *Workers) Throughput() int { return throughput }

func (w *Workers) work(g *worker) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for {
		for w.ready.len() == 0 {
			w.awake--
			if w.closed || w.all-w.awake-w.blocked > maxIdle {
				w.all--
				delete(w.working, g)
				return
			}
			w.wake.Wait()
		}
		g.runs = w.ready.pop()
		w.taken++
		g.turn = w.taken
		w.mu.Unlock()
		g.runs.run()
		w.mu.Lock()
		g.runs = nil
	}
}

// Stuck returns the names of the actors that have been at one message for longer than bound. It measures from one call to the next, and
// so is to be called again and again. Actors without a name are not told of: they have loops of their own.
func (w *Workers) Stuck(now time.Time, bound time.Duration) []supervision.Stuck {
	w.mu.Lock()
	defer w.mu.Unlock()
	var found []supervision.Stuck
	for g := range w.working {
		m, ok := g.runs.(*mailbox)
		if !ok || m.Name == "" {
			continue
		}
		if at := (progress{g.turn, m.handedOut(), m.Turned.Load()}); at != g.seen {
			g.seen, g.since = at, now
		}
		if now.Sub(g.since) > bound {
			found = append(found, supervision.Stuck{Name: m.Whose + " " + m.Name, Since: g.since, Bound: bound})
		}
	}
	return found
}

// Close ends the goroutines once they have nothing to do, and waits for them. What is scheduled later runs all the same.
func (w *Workers) Close() {
	w.mu.Lock()
	w.closed = true
	if w.wake != nil {
		w.awake = w.all - w.blocked
		w.wake.Broadcast()
	}
	w.mu.Unlock()
	w.wg.Wait()
}
