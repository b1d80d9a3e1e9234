package supervision

import (
	"bytes"
	"cmp"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"runtime"
	"runtime/pprof"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Watchdog tells whether every loop of a process still turns. It is safe for concurrent use.
type Watchdog struct {
	now   func() time.Time
	start time.Time
	log   *slog.Logger
	// lately is what the clock said lately, in nanoseconds since the start; 0: it is to be read.
	lately atomic.Int64
	// away is how long the process as a whole has not turned, because it got no processor, in nanoseconds: that is no time in which a loop is
	// stuck. ticked is when it was looked for last, and interval how often it is; 0: it is not.
	away, ticked, interval atomic.Int64

	mu    sync.Mutex
	loops map[*Loop]struct{}
	looks []func(now time.Time) []Stuck
	told  map[string]bool // what was stuck when it was looked for last, by name
}

// NewWatchdog makes a watchdog without loops. now is the clock, such as time.Now.
func NewWatchdog(now func() time.Time, log *slog.Logger) *Watchdog {
	return &Watchdog{now: now, start: now(), log: log, loops: map[*Loop]struct{}{}}
}

// Loop is something that should turn again and again.
type Loop struct {
	dog   *Watchdog
	name  string
	bound time.Duration
	last  atomic.Int64 // when it last turned: nanoseconds that the process had turned since the watchdog's start
	at    atomic.Pointer[string]
}

// Register adds a loop, which turns now. It is stuck when it hasn't turned for longer than bound: choose the longest time
// that a turn may rightly take, timed-out tries included. A loop that waits for work must wake up within the bound.
// Names are for people, and need not be unique.
func (w *Watchdog) Register(name string, bound time.Duration) *Loop {
	l := &Loop{dog: w, name: name, bound: bound}
	l.Beat()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.loops[l] = struct{}{}
	return l
}

// Beat tells that the loop turns. It takes no lock, and the time of reading the clock at most.
func (l *Loop) Beat() {
	at := l.dog.lately.Load()
	if at == 0 {
		at = l.dog.turned(l.dog.now())
	}
	l.last.Store(at)
}

// Rest tells that the loop has nothing to do: until it beats again it is not stuck, however long that takes. It takes no lock.
func (l *Loop) Rest() { l.last.Store(math.MaxInt64) }

// Every has the clock read at intervals, and no more by each beat, until stop is called. Loops then seem to have turned up to
// one interval before they did, which must be short beside their bounds. If the clock is read late, the process has got no processor
// meanwhile, and nothing counts as stuck because of that: it is busy.
func (w *Watchdog) Every(interval time.Duration) (stop func()) {
	ended := make(chan struct{})
	w.interval.Store(int64(interval))
	tick := func() {
		now := w.now()
		w.away.Add(w.late(now))
		w.ticked.Store(int64(now.Sub(w.start)) + 1) // 0 means something else
		w.lately.Store(w.turned(now))
	}
	tick()
	ticker := time.NewTicker(interval)
	go func() {
		defer w.lately.Store(0)
		defer w.ticked.Store(0)
		defer ticker.Stop()
		for {
			select {
			case <-ended:
				return
			case <-ticker.C:
				tick()
			}
		}
	}()
	return sync.OnceFunc(func() { close(ended) })
}

// late is for how long at now the clock should have been read by Every and was not.
func (w *Watchdog) late(now time.Time) int64 {
	ticked, interval := w.ticked.Load(), w.interval.Load()
	if ticked == 0 {
		return 0
	}
	if late := int64(now.Sub(w.start)) - ticked - interval; late > interval {
		return late
	}
	return 0
}

// turned is for how long the process has turned at now, since the watchdog's start.
func (w *Watchdog) turned(now time.Time) int64 {
	return int64(now.Sub(w.start)) - w.away.Load() - w.late(now)
}

// BeatAt tells that the loop turns, if this is what it is working at. It takes no lock.
func (l *Loop) BeatAt(what string) {
	if at := l.at.Load(); at != nil && *at == what {
		l.Beat()
	}
}

// At tells what the loop is working at; nil: nothing in particular. It takes no lock.
func (l *Loop) At(what *string) { l.at.Store(what) }

// String is the loop's name, and what it is working at.
func (l *Loop) String() string {
	if what := l.at.Load(); what != nil {
		return l.name + " at " + *what
	}
	return l.name
}

// Close tells that the loop has ended as it should. It may be called more than once.
func (l *Loop) Close() {
	l.dog.mu.Lock()
	defer l.dog.mu.Unlock()
	delete(l.dog.loops, l)
}

// Watch adds something that isn't a loop and finds out by itself what is stuck in it, such as a pool of goroutines. look
// must take no lock that is held while something works.
func (w *Watchdog) Watch(look func(now time.Time) []Stuck) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.looks = append(w.looks, look)
}

// Stuck is a loop that doesn't turn, or whatever else makes no progress.
type Stuck struct {
	Name string
	// Since is when it last turned, or later by as long as the process as a whole did not turn before.
	Since time.Time
	Bound time.Duration
}

// Stuck returns the loops that are stuck at now, those first that have been so for longest. The first time that it finds
// a loop stuck, until that has turned again, it logs the stacks of all goroutines.
func (w *Watchdog) Stuck(now time.Time) []Stuck {
	stuck, fresh := w.look(now)
	if fresh != nil {
		w.log.Error("loops are stuck", "loops", fresh, "goroutines", goroutines())
	}
	return stuck
}

// look finds the stuck loops, and the names of those among them that were not told of yet.
func (w *Watchdog) look(now time.Time) (stuck []Stuck, fresh []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	turned := w.turned(now)
	now = w.start.Add(time.Duration(turned))
	for l := range w.loops {
		if since := w.start.Add(time.Duration(l.last.Load())); now.Sub(since) > l.bound {
			stuck = append(stuck, Stuck{Name: l.String(), Since: since, Bound: l.bound})
		}
	}
	for _, look := range w.looks {
		stuck = append(stuck, look(now)...)
	}
	slices.SortFunc(stuck, func(a, b Stuck) int {
		return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.Name, b.Name))
	})
	told := make(map[string]bool, len(stuck))
	for _, s := range stuck {
		if !w.told[s.Name] && !told[s.Name] {
			fresh = append(fresh, s.Name)
		}
		told[s.Name] = true
	}
	w.told = told
	return stuck, fresh
}

// Handler answers 200 and ok while every loop turns, else 503 and a line for each stuck loop. It takes no lock that a loop
// holds while it works, and depends on nothing outside of the process.
func (w *Watchdog) Handler() http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Content-Type", "text/plain; charset=utf-8")
		rw.Header().Set("Cache-Control", "no-store")
		now := w.now()
		stuck := w.Stuck(now)
		if len(stuck) == 0 {
			_, _ = fmt.Fprintln(rw, "ok")
			return
		}
		rw.WriteHeader(http.StatusServiceUnavailable)
		for _, s := range stuck {
			_, _ = fmt.Fprintf(rw, "stuck: %s has not turned for %v, more than %v\n",
				s.Name, now.Sub(s.Since).Round(time.Millisecond), s.Bound)
		}
	})
}

// A dump holds at most maxDump bytes, so that a Relay has room for it. From manyGoroutines on, equal stacks are told once,
// so that the dump fits.
const (
	maxDump        = 256 << 10
	manyGoroutines = 100
)

func goroutines() string {
	if runtime.NumGoroutine() < manyGoroutines {
		buf := make([]byte, maxDump)
		return string(buf[:runtime.Stack(buf, true)])
	}
	var b bytes.Buffer
	if err := pprof.Lookup("goroutine").WriteTo(&b, 1); err != nil {
		return "no stacks: " + err.Error()
	}
	return string(b.Bytes()[:min(b.Len(), maxDump)])
}
