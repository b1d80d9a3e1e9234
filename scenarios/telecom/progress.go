package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"golang.org/x/term"

	"github.com/holdfast-run/holdfast/messages/eventtype"
	"github.com/holdfast-run/holdfast/messages/orderv1"
)

// screen is where the demo shows what happens: a line for each thing that a person would want to know.
type screen struct {
	mu     sync.Mutex
	out    io.Writer
	colour bool
	start  time.Time
}

func newScreen(out io.Writer) *screen {
	f, ok := out.(*os.File)
	colour := ok && term.IsTerminal(int(f.Fd())) && os.Getenv("NO_COLOR") == ""
	return &screen{out: out, colour: colour, start: time.Now()}
}

// The colours of a terminal.
const (
	green  = "32"
	red    = "31"
	yellow = "33"
	bold   = "1"
	dim    = "2"
)

func (s *screen) paint(colour, text string) string {
	if !s.colour || colour == "" {
		return text
	}
	return "\x1b[" + colour + "m" + text + "\x1b[0m"
}

// line shows something about a thing, with the time since the start.
func (s *screen) line(thing, colour, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fmt.Fprintf(s.out, "%7.2f s  %-24s %s\n", time.Since(s.start).Seconds(), thing, s.paint(colour, text))
}

// end says that all is well.
func (s *screen) end() {
	s.heading(s.paint(green, fmt.Sprintf("All as expected, in %.1f s.", time.Since(s.start).Seconds())))
}

func (s *screen) heading(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fmt.Fprintf(s.out, "\n%s\n", s.paint(bold, text))
}

// table shows lines whose cells, parted by tabs, are aligned.
func (s *screen) table(fill func(row func(format string, cells ...any))) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var aligned bytes.Buffer
	w := tabwriter.NewWriter(&aligned, 0, 0, 2, ' ', 0)
	fill(func(format string, cells ...any) { fmt.Fprintf(w, "  "+format+"\n", cells...) })
	_ = w.Flush() // a buffer takes all
	for text := range strings.Lines(aligned.String()) {
		fmt.Fprintln(s.out, strings.TrimRight(text, " \n"))
	}
}

// tell returns what a person wants to know of an event; an empty text if nothing.
func (o *following) tell(e *orderv1.HistoryEvent) (colour, text string) {
	switch e.GetEventType() {
	case eventtype.AttemptScheduled:
		o.activity = e.GetActivity()
	case eventtype.RetryScheduled:
		in := e.GetDue().AsTime().Sub(e.GetAt().AsTime())
		return yellow, fmt.Sprintf("%s: %s; again in %.1f s", o.activity, why(e), in.Seconds())
	case eventtype.WaitStarted:
		if in := e.GetDue().AsTime().Sub(e.GetAt().AsTime()); in > 0 {
			return "", fmt.Sprintf("waits %v for its port window", short(in))
		}
	case eventtype.CompensationStarted:
		task, _, _ := strings.Cut(e.GetTask(), inFunction)
		return yellow, "takes back " + path.Base(task)
	case eventtype.CatchStarted:
		return yellow, why(e) + "; tells the customer"
	case eventtype.StopRequested:
		return "", "is asked to cancel: " + e.GetReason()
	case eventtype.OrderCompleted:
		return green, "completed"
	case eventtype.OrderFaulted:
		return red, "faulted: " + why(e)
	case eventtype.OrderCancelled:
		return yellow, "cancelled"
	default:
	}
	return "", ""
}

// short leaves of a time what people read.
func short(d time.Duration) time.Duration {
	if d > time.Minute {
		return d.Round(time.Minute)
	}
	return d.Round(100 * time.Millisecond)
}

// why says in a few words what an event's error is.
func why(e *orderv1.HistoryEvent) string {
	p := e.GetError()
	text := p.GetTitle()
	if p.GetDetail() != "" {
		text = p.GetDetail()
	}
	const most = 90
	if r := []rune(text); len(r) > most {
		text = string(r[:most]) + "…"
	}
	return text
}

// inFunction parts, in a task's reference, the call of a function from what is inside of the function.
const inFunction = "/call/"

// history shows what is on record of an order, but for the tasks inside of functions: they only wrap one activity each.
func (s *screen) history(o *following) {
	s.heading(fmt.Sprintf("History of %s (%s), without the steps inside of functions", o.name, o.id))
	first := o.events[0].GetAt().AsTime()
	s.table(func(row func(string, ...any)) {
		row("version\tafter\tevent\ttask\tactivity\tnote")
		for _, e := range o.events {
			task, _, inside := strings.Cut(e.GetTask(), inFunction)
			if inside && strings.HasPrefix(e.GetType(), "task.") {
				continue
			}
			activity, note := e.GetActivity(), ""
			if e.GetAttempt() > 1 {
				activity += fmt.Sprintf(" #%d", e.GetAttempt())
			}
			switch {
			case e.GetError() != nil:
				note = why(e)
			case e.GetEventType() == eventtype.WaitStarted, e.GetEventType() == eventtype.RetryScheduled:
				note = "until " + e.GetDue().AsTime().Format("15:04:05.000")
			}
			after := e.GetAt().AsTime().Sub(first).Seconds()
			row("%7d\t%.3f s\t%s\t%s\t%s\t%s", e.GetVersion(), after, e.GetType(), task, activity, note)
		}
	})
}

// summary shows what became of the orders.
func (s *screen) summary(all []*following) {
	s.heading("Summary")
	s.table(func(row func(string, ...any)) {
		row("order\tshows\texpected\tis\tevents\ttook\t")
		for _, o := range all {
			verdict := "ok"
			if len(o.wrong) > 0 {
				verdict = "WRONG: " + strings.Join(o.wrong, "; ")
			}
			took := o.last.GetEndedAt().AsTime().Sub(o.last.GetAcceptedAt().AsTime()).Seconds()
			row("%s\t%s\t%s\t%s\t%6d\t%6.2f s\t%s",
				o.name, o.shows, statusWord(o.status), statusWord(o.last.GetStatus()), len(o.events), took, verdict)
		}
	})
}
