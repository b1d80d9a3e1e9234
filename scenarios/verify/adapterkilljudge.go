package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/eventtype"
	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/scenarios/verify/players"
)

// frailWrongs are what must not be.
var frailWrongs = []string{
	"applied_twice", "succeeded_without_effect", "doubt_unexplained", "failed_with_effect", "not_undone", "undone_wrongly", "not_completed",
}

// frailSeen is what was seen of the orders of the row adapter_kill.
type frailSeen struct {
	killed map[int]time.Time           // processes, and when they were
	hows   map[messages.OrderID]string // how the second activity ends
	told   map[messages.OrderID][]*orderv1.HistoryEvent
	lines  []players.FrailLine
	wrong  []string
}

// frailWork is what the log tells of a key.
type frailWork struct {
	step    string
	began   []players.FrailLine
	applied int
	ended   map[int]bool // by process
	last    time.Time    // of its lines
}

// judge compares what the adapters wrote down with the histories.
func (s *frailSeen) judge() figures {
	f := figures{}
	for _, name := range slices.Concat(
		[]string{"hits", "applied", "undone", "in_doubt", "in_doubt_unwritten", "recovered", "unreported"}, frailWrongs,
	) {
		f[name] = 0
	}
	count := func(name string) { f[name] = f[name].(int) + 1 } //nolint:errcheck,forcetypeassert // set above
	works, undone := s.read()
	hit := map[int]bool{}
	for _, byKey := range works {
		for key, w := range byKey {
			for range w.applied {
				count("applied")
			}
			if w.applied > 1 {
				s.wrongf(count, "applied_twice", "%s was applied %d times", key, w.applied)
			}
			for _, l := range w.began {
				if _, killed := s.killed[l.Process]; killed && !w.ended[l.Process] {
					hit[l.Process] = true
				}
			}
		}
	}
	f["hits"] = len(hit)
	for id, events := range s.told {
		s.judgeOrder(id, events, works[id], undone[id], count)
	}
	return f
}

// read sorts the lines by order and key, and the steps that were undone by order.
func (s *frailSeen) read() (works map[messages.OrderID]map[string]*frailWork, undone map[messages.OrderID]map[string]bool) {
	works, undone = map[messages.OrderID]map[string]*frailWork{}, map[messages.OrderID]map[string]bool{}
	for _, l := range s.lines {
		if l.What == players.FrailUndone {
			if undone[l.Order] == nil {
				undone[l.Order] = map[string]bool{}
			}
			undone[l.Order][l.Step] = true
			continue
		}
		if works[l.Order] == nil {
			works[l.Order] = map[string]*frailWork{}
		}
		w := works[l.Order][l.Key]
		if w == nil {
			w = &frailWork{step: l.Step, ended: map[int]bool{}}
			works[l.Order][l.Key] = w
		}
		switch w.last = l.At; l.What {
		case players.FrailBegan:
			w.began = append(w.began, l)
		case players.FrailApplied:
			w.applied++
		case players.FrailEnded:
			w.ended[l.Process] = true
		}
	}
	return works, undone
}

func (s *frailSeen) judgeOrder(
	id messages.OrderID, events []*orderv1.HistoryEvent, works map[string]*frailWork, undone map[string]bool, count func(string),
) {
	compensated, completed, outcomes, asked, lost := false, false, map[string]string{}, map[string]bool{}, map[string]bool{}
	for _, e := range events {
		switch e.GetEventType() {
		case eventtype.CompensationStarted:
			compensated = true
		case eventtype.OrderCompleted:
			completed = true
		case eventtype.AttemptSent:
			asked[e.GetKey()] = asked[e.GetKey()] || e.GetMaybeStarted()
		case eventtype.AttemptLost:
			lost[e.GetKey()] = lost[e.GetKey()] || e.GetSuspect()
		case eventtype.AttemptSucceeded, eventtype.AttemptFailed, eventtype.AttemptInDoubt, eventtype.AttemptNotDone:
			if works[e.GetKey()] != nil {
				outcomes[e.GetKey()] = e.GetType()
			}
			s.judgeAttempt(id, e, works[e.GetKey()], asked[e.GetKey()], lost[e.GetKey()], count)
		default:
		}
	}
	if !completed {
		s.wrongf(count, "not_completed", "order %s ends with %v", id, events[len(events)-1])
	}
	for key, w := range works {
		switch {
		case compensated && w.applied > 0 && !undone[w.step]:
			s.wrongf(count, "not_undone", "%s was applied, %s, and not undone", key, outcomes[key])
		case compensated && w.applied > 0:
			count("undone")
		case !compensated && (w.applied != 1 || undone[w.step]):
			s.wrongf(count, "undone_wrongly", "%s was applied %d times, undone %v, and the order went well", key, w.applied, undone[w.step])
		}
	}
}

// judgeAttempt judges an attempt whose outcome is known. lost tells that it was under way when a process was lost: that may be killed
// between the moment from which on it counts as begun, and its first line.
func (s *frailSeen) judgeAttempt(
	id messages.OrderID, e *orderv1.HistoryEvent, w *frailWork, asked, lost bool, count func(string),
) {
	if w == nil {
		w = &frailWork{}
	}
	switch {
	case !strings.HasSuffix(e.GetActivity(), ".charge"):
	case e.GetEventType() == eventtype.AttemptSucceeded:
		if w.applied != 1 {
			s.wrongf(count, "succeeded_without_effect", "%s succeeded, and was applied %d times", e.GetKey(), w.applied)
		}
		if asked {
			count("recovered")
		}
		if e.GetError() != nil {
			count("unreported")
		}
	case e.GetEventType() == eventtype.AttemptInDoubt:
		count("in_doubt")
		switch {
		case s.explains(id, w):
		case lost && len(w.began) == 0:
			count("in_doubt_unwritten")
		default:
			s.wrongf(count, "doubt_unexplained", "%s is in doubt: %v", e.GetKey(), e.GetError())
		}
	case w.applied > 0:
		s.wrongf(count, "failed_with_effect", "%s: %s, and it was applied: %v", e.GetKey(), e.GetType(), e.GetError())
	}
}

// reported is how soon after the end of an activity its result is safe.
const reported = 2 * time.Second

// explains tells whether the log says why an outcome may be in doubt: the activity ended so, or its process was killed while it
// was executing it, or before the result can have been safe.
func (s *frailSeen) explains(id messages.OrderID, w *frailWork) bool {
	if how := s.hows[id]; w.step == "second" && (how == players.FrailLate || how == players.FrailPanics) {
		return true
	}
	for _, l := range w.began {
		if at, killed := s.killed[l.Process]; killed && (!w.ended[l.Process] || at.Sub(w.last) < reported) {
			return true
		}
	}
	return false
}

func (s *frailSeen) wrongf(count func(string), what, format string, args ...any) {
	count(what)
	s.wrong = append(s.wrong, what+": "+fmt.Sprintf(format, args...))
}
