package runtime

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"pgregory.net/rapid"
)

// job is a user message that wants an answer.
type job struct {
	n       int
	refused *[]error
}

func (j job) refuse(err error) { *j.refused = append(*j.refused, err) }

// note is a message that is always taken.
type note struct{}

// courier is that of these messages: those that can be refused count.
type courier struct{}

func (courier) Counts(message any) bool {
	_, counts := message.(interface{ refuse(err error) })
	return counts
}

func (courier) Refuse(message any, err error) {
	if r, ok := message.(interface{ refuse(err error) }); ok {
		r.refuse(err)
	}
}

// scribe notes what reaches an actor.
type scribe struct {
	mu     sync.Mutex
	heard  []any
	failed []any
	handle func(message any)
}

func (s *scribe) hear(m any) {
	s.mu.Lock()
	s.heard = append(s.heard, m)
	s.mu.Unlock()
	if s.handle != nil {
		s.handle(m)
	}
}

func (s *scribe) InvokeSystemMessage(m any)  { s.hear(m) }
func (s *scribe) InvokeUserMessage(m any)    { s.hear(m) }
func (s *scribe) EscalateFailure(_, msg any) { s.failed = append(s.failed, msg) }

// hand is a dispatcher that runs what is scheduled when the test says.
type hand struct{ runs []func() }

func (h *hand) Schedule(fn func()) { h.runs = append(h.runs, fn) }
func (*hand) Throughput() int      { return 3 }

func (h *hand) run() {
	for len(h.runs) > 0 {
		fn := h.runs[0]
		h.runs = h.runs[1:]
		fn()
	}
}

func newTestMailbox(bound int, handle func(any)) (*mailbox, *scribe, *hand) {
	m := &mailbox{Mailbox: Mailbox{Bound: bound, Courier: courier{}}}
	s, h := &scribe{handle: handle}, &hand{}
	m.RegisterHandlers(s, h)
	m.Start()
	return m, s, h
}

func TestMailboxBound(t *testing.T) {
	t.Parallel()
	m, s, h := newTestMailbox(3, nil)
	var refused []error
	for i := range 5 {
		m.PostUserMessage(job{n: i, refused: &refused})
		m.PostUserMessage(note{})
		m.PostUserMessage(note{})
		m.PostSystemMessage(&actor.Watch{})
	}
	if len(refused) != 2 || !errors.Is(refused[0], ErrBusy) {
		t.Errorf("refused %v, want two", refused)
	}
	if len(h.runs) != 1 {
		t.Errorf("scheduled %d times, want once", len(h.runs))
	}
	if got := m.UserMessageCount(); got != 13 {
		t.Errorf("%d user messages wait, want 13", got)
	}
	h.run()
	if got := len(s.heard); got != 3+5+5+5 {
		t.Errorf("%d messages were handled, want 18", got)
	}
	for range 3 { // there is room again
		m.PostUserMessage(job{refused: &refused})
	}
	if len(refused) != 2 {
		t.Errorf("refused %v", refused[2:])
	}
}

// System messages go first; a suspended mailbox handles them alone.
func TestMailboxSuspends(t *testing.T) {
	t.Parallel()
	m, s, h := newTestMailbox(10, nil)
	m.PostUserMessage(1)
	m.PostSystemMessage(&actor.SuspendMailbox{})
	m.PostUserMessage(2)
	h.run()
	m.PostSystemMessage(&actor.Watch{})
	h.run()
	if len(s.heard) != 1 {
		t.Errorf("handled %v while suspended", s.heard)
	}
	m.PostSystemMessage(&actor.ResumeMailbox{})
	h.run()
	if got := fmt.Sprint(s.heard[1:]); got != "[1 2]" {
		t.Errorf("handled %s, want [1 2]", got)
	}
}

// What runs inline is done when posting returns, along with all that waited.
func TestMailboxInline(t *testing.T) {
	t.Parallel()
	m, s, h := newTestMailbox(10, nil)
	m.Inline = func(message any) bool { return message != "later" }
	m.PostUserMessage("later")
	if len(s.heard) != 0 || len(h.runs) != 1 {
		t.Errorf("handled %v, scheduled %d", s.heard, len(h.runs))
	}
	h.run()
	m.PostUserMessage(1)
	m.PostSystemMessage(&actor.SuspendMailbox{})
	m.PostUserMessage(2)
	m.PostSystemMessage(&actor.ResumeMailbox{})
	if got := fmt.Sprint(s.heard); got != "[later 1 2]" || len(h.runs) != 0 {
		t.Errorf("handled %s, scheduled %d", got, len(h.runs))
	}
}

// What came meanwhile and is not handled inline waits for a goroutine of its own, and so does all behind it.
func TestMailboxInlineEnds(t *testing.T) {
	t.Parallel()
	var m *mailbox
	m, s, h := newTestMailbox(10, func(message any) {
		if message == 1 {
			for _, next := range []any{2, "later", 3} {
				m.PostUserMessage(next)
			}
		}
	})
	m.Inline = func(message any) bool { return message != "later" }
	m.PostUserMessage(1)
	if got := fmt.Sprint(s.heard); got != "[1 2]" || len(h.runs) != 1 {
		t.Errorf("handled %s, scheduled %d", got, len(h.runs))
	}
	h.run()
	if got := fmt.Sprint(s.heard); got != "[1 2 later 3]" {
		t.Errorf("handled %s", got)
	}
}

func TestMailboxPanic(t *testing.T) {
	t.Parallel()
	for _, keeps := range []bool{false, true} {
		m, s, h := newTestMailbox(10, func(message any) {
			if j, ok := message.(job); ok && j.n == 2 {
				panic("injected")
			}
		})
		m.Keeps = keeps
		var refused []error
		for i := range 5 {
			m.PostUserMessage(job{n: i, refused: &refused})
		}
		h.run()
		if len(s.heard) != 5 || len(s.failed) != 1 {
			t.Errorf("handled %v, failed %v", s.heard, s.failed)
		}
		// Who sent the message is told, unless the actor does that.
		if told := len(refused) == 1 && errors.Is(refused[0], ErrInterrupted); told == keeps {
			t.Errorf("keeps %v: refused %v", keeps, refused)
		}
	}
}

// Behind a stop nothing is handled but what stopping needs, and everybody is told.
func TestMailboxStop(t *testing.T) {
	t.Parallel()
	for name, suspended := range map[string]bool{"running": false, "suspended": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m, s, h := newTestMailbox(10, nil)
			var refused []error
			if suspended {
				m.PostSystemMessage(&actor.SuspendMailbox{})
				h.run()
			}
			m.PostUserMessage(job{refused: &refused})
			m.PostUserMessage(note{})
			m.PostSystemMessage(&actor.Stop{})
			m.PostSystemMessage(&actor.Restart{})
			m.PostSystemMessage(&actor.Terminated{})
			h.run()
			m.PostUserMessage(job{refused: &refused})
			h.run()
			if len(s.heard) != 2 {
				t.Errorf("handled %T, want a stop and a termination", s.heard)
			}
			if len(refused) != 2 || !errors.Is(refused[1], ErrInterrupted) {
				t.Errorf("refused %v", refused)
			}
		})
	}
}

// A mailbox against a model of it: two lists, a bound, and two flags.
func TestMailboxModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		const bound = 4
		m, s, h := newTestMailbox(bound, nil)
		var refused, handled []int
		var waiting []any
		counted, suspended := 0, false
		run := func() {
			h.run()
			if !suspended {
				for _, x := range waiting {
					if n, ok := x.(int); ok {
						handled = append(handled, n)
					}
				}
				waiting, counted = nil, 0
			}
		}
		next := 0
		t.Repeat(map[string]func(*rapid.T){
			"post": func(*rapid.T) {
				next++
				n := next
				m.PostUserMessage(post{n, func() { refused = append(refused, n) }})
				if counted == bound {
					if len(refused) == 0 || refused[len(refused)-1] != n {
						t.Fatalf("%d was not refused", n)
					}
					return
				}
				counted++
				waiting = append(waiting, n)
			},
			"note":    func(*rapid.T) { m.PostUserMessage(note{}) },
			"suspend": func(*rapid.T) { run(); m.PostSystemMessage(&actor.SuspendMailbox{}); h.run(); suspended = true },
			"resume":  func(*rapid.T) { m.PostSystemMessage(&actor.ResumeMailbox{}); h.run(); suspended = false; run() },
			"run":     func(*rapid.T) { run() },
			"": func(t *rapid.T) {
				var got []int
				for _, x := range s.heard {
					if p, ok := x.(post); ok {
						got = append(got, p.n)
					}
				}
				if len(h.runs) == 0 && fmt.Sprint(got) != fmt.Sprint(handled) {
					t.Fatalf("handled %v, want %v", got, handled)
				}
			},
		})
	})
}

type post struct {
	n    int
	told func()
}

func (p post) refuse(error) { p.told() }

// Many senders, real goroutines: whatever was taken is handled, by one goroutine at a time, in the order of each sender.
func TestMailboxLosesNothing(t *testing.T) {
	t.Parallel()
	const senders, each = 8, 5_000
	type letter struct{ from, n int }
	var handled, panicked, atOnce atomic.Int64
	last := make([]int, senders)
	m := &mailbox{Mailbox: Mailbox{Bound: senders * each, Courier: courier{}}}
	s := &counting{handle: func(message any) {
		if atOnce.Add(1) != 1 {
			t.Error("two goroutines at once")
		}
		defer atOnce.Add(-1)
		handled.Add(1)
		if l, ok := message.(letter); ok {
			if l.n != last[l.from]+1 {
				t.Errorf("letter %d of %d after %d", l.n, l.from, last[l.from])
			}
			last[l.from] = l.n
			if l.n%1000 == 0 {
				panic("injected")
			}
		}
	}, failed: func() { panicked.Add(1) }}
	w := &Workers{}
	m.RegisterHandlers(s, w)
	var all sync.WaitGroup
	for from := range senders {
		all.Go(func() {
			for n := range each {
				m.PostUserMessage(letter{from, n + 1})
				switch n % 500 {
				case 0:
					m.PostSystemMessage(&actor.SuspendMailbox{})
					m.PostSystemMessage(&actor.ResumeMailbox{})
				case 100:
					m.PostSystemMessage(&actor.Watch{})
				}
			}
			m.PostSystemMessage(&actor.ResumeMailbox{})
		})
	}
	all.Wait()
	w.Close()
	if got, want := handled.Load(), int64(senders*(each+each/500)); got != want {
		t.Errorf("%d messages handled, want %d", got, want)
	}
	if got := panicked.Load(); got != senders*each/1000 {
		t.Errorf("%d panics told, want %d", got, senders*each/1000)
	}
}

type counting struct {
	handle func(any)
	failed func()
}

func (c *counting) InvokeSystemMessage(m any) { c.handle(m) }
func (c *counting) InvokeUserMessage(m any)   { c.handle(m) }
func (c *counting) EscalateFailure(any, any)  { c.failed() }

func TestWorkers(t *testing.T) {
	t.Parallel()
	const runs = 5_000
	w := &Workers{}
	var done atomic.Int64
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range runs {
				w.Schedule(func() {
					done.Add(1)
					if done.Load()%100 == 0 {
						w.Schedule(func() { done.Add(-1) }) // from a goroutine of its own
						done.Add(1)
					}
				})
			}
		})
	}
	all.Wait()
	w.Close()
	if got := done.Load(); got != 4*runs {
		t.Errorf("%d of %d ran", got, 4*runs)
	}
	late := make(chan struct{})
	w.Schedule(func() { close(late) })
	<-late
	w.Close()
	if w.all != 0 || w.awake != 0 {
		t.Errorf("%d goroutines are kept after the end, %d of them awake", w.all, w.awake)
	}
}

// What runs for long does not keep others from running.
func TestWorkersDoNotWait(t *testing.T) {
	t.Parallel()
	w := &Workers{}
	release := make(chan struct{})
	var begun sync.WaitGroup
	for range 2*maxIdle + busy {
		begun.Add(1)
		w.Schedule(func() { begun.Done(); <-release })
	}
	begun.Wait()
	close(release)
	w.Close()
}

// Who says that it blocks makes nobody wait, up to a bound; and the bound holds nobody up for good.
func TestWorkersBlocking(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &Workers{}
		release := make(chan struct{})
		var begun, all sync.WaitGroup
		block := func(n int) {
			begun.Add(n)
			all.Add(n)
			for range n {
				w.Schedule(func() {
					defer all.Done()
					w.Blocking(func() { begun.Done(); <-release })
				})
			}
			begun.Wait()
		}
		start := time.Now()
		block(maxBlocked)
		if waited := time.Since(start); waited != 0 {
			t.Errorf("waited for %v", waited)
		}
		block(busy)
		if waited := time.Since(start); waited != 0 {
			t.Errorf("waited for %v with the last", waited)
		}
		block(1)
		if waited := time.Since(start); waited < stalled {
			t.Errorf("beyond the bound, it took only %v", waited)
		}
		close(release)
		all.Wait()
		w.Close()
		if w.blocked != 0 || w.awake != 0 || w.all != 0 {
			t.Errorf("after the end, %d goroutines are blocked and %d awake, of %d", w.blocked, w.awake, w.all)
		}
	})
}

// An order that is at one message for too long is told of, not one that has many; nor are others, who tell for themselves.
func TestWorkersTellWhoIsStuck(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const bound, each = 5 * time.Second, 3 * time.Second
		w := &Workers{}
		for _, name := range []string{"a", ""} {
			m := &mailbox{Mailbox: Mailbox{Bound: 100, Courier: courier{}, Whose: "order", Name: name, Turned: new(atomic.Uint64)}}
			m.RegisterHandlers(&scribe{handle: func(message any) {
				if lasts, ok := message.(time.Duration); ok {
					time.Sleep(lasts)
				}
			}}, w)
			for range 10 {
				m.PostUserMessage(each)
			}
			m.PostUserMessage(4 * bound)
		}
		told := map[int]string{}
		for second := range 60 {
			synctest.Wait()
			for _, s := range w.Stuck(time.Now(), bound) {
				told[second] += s.Name
			}
			time.Sleep(time.Second)
		}
		w.Close()
		for second := range 60 {
			want := "" // its last message lasts from 30 s to 50 s
			if second > 35 && second < 50 {
				want = "order a"
			}
			if told[second] != want {
				t.Errorf("after %d s %q is stuck, want %q", second, told[second], want)
			}
		}
	})
}
