package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/holdfast-run/holdfast/messages/eventtype"
	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/scenarios/verify/rude"
)

// How a request ends, by its attempts.
const (
	askDone = "done"
	askLost = "lost" // it was done, and its output can't be told
	// askFailed was not done, and is tried again, askRefused was not done, and is not sent again: its adapter knows that this is of no use.
	askFailed, askRefused = "failed", "refused"
	askDoubted            = "in_doubt"
)

// rudeCase is a server that behaves as none should, and what the language says that comes of it.
type rudeCase struct {
	name   string
	manner rude.Manner
	// to is the address that is asked, with %s for host:port of the server.
	to string
	// methods are those that it is asked with, outputs the forms in which the answer is wanted.
	methods, outputs []string
	// redirect has redirects followed.
	redirect bool
	// lasts has its servers stay until the end: the adapter does not ask at their addresses again for longer than that.
	lasts bool
	want  func(a ask) wanted
}

// ask is a request to the server of a case.
type ask struct {
	*rudeCase

	method, output string
}

func (a ask) String() string { return fmt.Sprintf("%s: %s for %s", a.name, a.method, a.output) }

// repeatable tells whether the request may be sent again where nobody knows whether it was done.
func (a ask) repeatable() bool { return a.method != "post" && a.method != "patch" }

// wanted is what is to come of a request.
type wanted struct {
	end string
	// status is that of its error; 0: any.
	status int32
	// requests are how many the server is to get. 0: as many as there are to be attempts. See also anyRequests and noRequests.
	requests int
	// after is how long the second request is to come after the first.
	after time.Duration
}

const (
	anyRequests = -1
	noRequests  = -2
)

// attempts are how many there are to be, as each request may be tried once again: what was done is not, and what is in doubt and can't be
// repeated stays in doubt, without being sent.
func (w wanted) attempts() int {
	if w.end == askDone || w.end == askLost {
		return 1
	}
	return 2
}

// sent is how often the request is to be sent, with how many requests each; anyRequests: that is not known.
func (w wanted) sent(a ask) int {
	switch {
	case w.requests == noRequests:
		return 0
	case w.requests != 0:
		return w.requests
	case w.end == askRefused, w.end == askDoubted && !a.repeatable():
		return 1
	}
	return w.attempts()
}

// endOf tells how an attempt has ended; empty: the event is not about that.
func endOf(e *orderv1.HistoryEvent) string {
	switch e.GetEventType() {
	case eventtype.AttemptSucceeded:
		if e.GetError() != nil {
			return askLost
		}
		return askDone
	case eventtype.AttemptFailed, eventtype.AttemptNotDone:
		return askFailed
	case eventtype.AttemptInDoubt:
		return askDoubted
	default:
		return ""
	}
}

// judgeAsk says what is wrong with what came of a request, by the history of its order, and what its server has seen; empty: nothing.
// twice: it was sent again though it may have been done, and can't be repeated.
func judgeAsk(a ask, events []*orderv1.HistoryEvent, requests []time.Time) (wrong string, twice bool) {
	w := a.want(a)
	end := w.end
	if end == askRefused {
		end = askFailed // histories don't tell whether another try is of use
	}
	var ends []string
	var status int32
	completed := false
	for _, e := range events {
		if is := endOf(e); is != "" {
			if len(ends) == 0 {
				status = e.GetError().GetStatus()
			}
			ends = append(ends, is)
		}
		completed = completed || e.GetEventType() == eventtype.OrderCompleted
	}
	sent := w.sent(a)
	twice = !a.repeatable() && end != askFailed && sent >= 0 && len(requests) > sent
	switch {
	case len(ends) != w.attempts():
		wrong = fmt.Sprintf("attempts have ended as %q, and %d are to be %s", ends, w.attempts(), w.end)
	case w.status != 0 && status != w.status:
		wrong = fmt.Sprintf("its status is %d, and is to be %d", status, w.status)
	case completed != (w.end == askDone):
		wrong = fmt.Sprintf("it is %s, and that its order has completed is %t", w.end, completed)
	case sent != anyRequests && len(requests) != sent:
		wrong = fmt.Sprintf("%d requests came, and %d are to come", len(requests), sent)
	case w.after > 0 && requests[1].Sub(requests[0]) < w.after:
		wrong = fmt.Sprintf("the second request came %v after the first, and is to come after %v", requests[1].Sub(requests[0]), w.after)
	}
	for _, is := range ends {
		if wrong == "" && is != end {
			wrong = fmt.Sprintf("attempts have ended as %q, and are to be %s", ends, w.end)
		}
	}
	if wrong == "" {
		return "", twice
	}
	said := []string{wrong}
	for _, e := range events {
		if endOf(e) != "" && e.GetError() != nil {
			said = append(said, fmt.Sprintf("%s: %d %.300s", e.GetType(), e.GetError().GetStatus(), e.GetError().GetDetail()))
		}
	}
	return strings.Join(said, "; "), twice
}
