package main

import (
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/holdfast-run/holdfast/messages/eventtype"
	"github.com/holdfast-run/holdfast/messages/orderv1"
)

// progress shows how an order fares: on a terminal in one line that changes, else a line for each event.
type progress struct {
	out   io.Writer
	width int // of the terminal; 0: there is none
	quiet bool
	began time.Time

	mu     sync.Mutex
	latest *orderv1.HistoryEvent
	tasks  int // ended so far
	stop   chan struct{}
	done   chan struct{}
}

// progressEvery is how often the line on a terminal is drawn again, to show the time that passes.
const progressEvery = 200 * time.Millisecond

// newProgress begins to show an order's progress on the standard error. End it.
func (a *app) newProgress(id string, quiet bool) *progress {
	p := &progress{
		out: a.stderr, quiet: quiet, began: time.Now(), stop: make(chan struct{}), done: make(chan struct{}),
	}
	if !quiet {
		p.width = a.terminal(a.stderr)
	}
	if !quiet {
		fmt.Fprintf(p.out, "order %s is accepted\n", clean(id))
	}
	go p.run()
	return p
}

// run draws the line again and again.
func (p *progress) run() {
	defer close(p.done)
	if p.width == 0 {
		return
	}
	tick := time.NewTicker(progressEvery)
	defer tick.Stop()
	for {
		select {
		case <-p.stop:
			return
		case <-tick.C:
			p.mu.Lock()
			p.draw()
			p.mu.Unlock()
		}
	}
}

// event shows an event.
func (p *progress) event(ev *orderv1.HistoryEvent) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.latest = ev
	if ev.GetEventType() == eventtype.TaskCompleted {
		p.tasks++
	}
	switch {
	case p.quiet:
	case p.width > 0:
		p.draw()
	default:
		fmt.Fprintln(p.out, eventLine(ev, briefData))
	}
}

// draw writes the line on a terminal. The caller holds the lock.
func (p *progress) draw() {
	if p.latest == nil {
		return
	}
	where := p.latest.GetTask()
	if n := p.latest.GetAttempt(); n > 1 {
		where += fmt.Sprintf(" (attempt %d)", n)
	}
	line := fmt.Sprintf("%5.1f s  %d done  %s  %s", time.Since(p.began).Seconds(), p.tasks, p.latest.GetType(), where)
	fmt.Fprintf(p.out, "\r\x1b[K%s", shorten(clean(line), max(p.width-1, 10)))
}

// pause ends the line, so that something else may be written.
func (p *progress) pause() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clear()
}

// clear removes the line. The caller holds the lock.
func (p *progress) clear() {
	if p.width > 0 && p.latest != nil {
		fmt.Fprint(p.out, "\r\x1b[K")
	}
}

// end shows nothing any more.
func (p *progress) end() {
	close(p.stop)
	<-p.done
	p.pause()
}
