package workflow_test

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"pgregory.net/rapid"

	"github.com/holdfast-run/holdfast/actors/workflow"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/messages/problemv1"
)

// lives takes back that a process has died of the work.
func (w *work) lives(process string) {
	w.Deaths = slices.DeleteFunc(slices.Clone(w.Deaths), func(d messages.Death) bool { return d.Process == process })
}

// note follows the attempts.
func (m *model) note(ev *journalv1.Event) {
	switch {
	case ev.GetAttemptScheduled() != nil:
		e := ev.GetAttemptScheduled()
		w := m.work[e.GetKey()]
		if w == nil {
			w = &work{}
			m.work[e.GetKey()] = w
		}
		if w.inFlight || w.succeeded || w.settled && !m.undo.inquiries[e.GetFrame()] || e.GetAttempt() != w.Attempt+1 {
			m.t.Fatalf("%s, after %+v", show(ev), *w)
		}
		if m.frames[e.GetFrame()] != "" {
			m.givenBack(ev)
		}
		w.beside = false
		w.inFlight, w.abandoned, w.late, w.confirmed, w.lostBy, w.doubts = true, false, false, "", nil, ""
		w.Dispatch = workflow.Dispatch{
			Frame: e.GetFrame(), Key: e.GetKey(), Attempt: e.GetAttempt(), Activity: e.GetActivity(), Deadline: e.GetDeadline(),
			MaybeStarted: w.doubt, Suspect: w.quarantined, RunWithin: time.Duration(e.GetRunWithin()), Since: ev.GetAt(),
		}
		if m.undo.inquiries[e.GetFrame()] {
			w.MaybeStarted, w.Suspect = true, false
			if w.RunWithin != w.within {
				m.t.Fatalf("%s, but its task runs within %s", show(ev), w.within)
			}
		} else {
			w.path = m.undo.tasks[e.GetFrame()].path
			if w.at, w.within = e.GetFrame(), w.RunWithin; w.within == 0 {
				w.within = m.undo.tasks[w.at].timeout
			}
			if w.doubt {
				w.Ledger = w.ledger
			}
		}
		m.frames[e.GetFrame()] = e.GetKey()
	case ev.GetAttemptOverflowed() != nil:
		e := ev.GetAttemptOverflowed()
		w := m.work[m.frames[e.GetFrame()]]
		if !w.inFlight || w.Overflow != 0 {
			m.t.Fatalf("%s, after %+v", show(ev), *w)
		}
		w.Overflow = messages.Epoch(e.GetEpoch())
	case ev.GetAttemptLost() != nil:
		e := ev.GetAttemptLost()
		w := m.work[m.frames[e.GetFrame()]]
		if !w.inFlight || w.Attempt != e.GetAttempt() {
			m.t.Fatalf("%s, after %+v", show(ev), *w)
		}
		if !slices.Contains(w.lostBy, e.GetProcess()) {
			w.lostBy = append(w.lostBy, e.GetProcess())
		} else if died := slices.Contains(w.Deaths, messages.Death{Process: e.GetProcess(), Alone: e.GetAlone()}); died && e.GetSuspect() {
			m.t.Fatalf("%s, again, after %+v", show(ev), *w)
		}
		if w.Ledger == "" && !w.MaybeStarted {
			w.MaybeStarted, w.doubt, w.doubts = true, true, e.GetProcess()
		} else {
			w.doubts = "" // others had it since
		}
		w.lives(e.GetProcess())
		if e.GetSuspect() {
			w.Deaths = append(w.Deaths, messages.Death{Process: e.GetProcess(), Alone: e.GetAlone()})
		}
	case ev.GetAttemptFound() != nil:
		e := ev.GetAttemptFound()
		w := m.work[m.frames[e.GetFrame()]]
		if !w.inFlight || w.Attempt != e.GetAttempt() || !slices.Contains(w.lostBy, e.GetProcess()) {
			m.t.Fatalf("%s, after %+v", show(ev), *w)
		}
		w.lives(e.GetProcess())
		if e.GetKept() {
			w.lostBy = slices.DeleteFunc(w.lostBy, func(p string) bool { return p == e.GetProcess() })
			if w.doubts == e.GetProcess() {
				w.MaybeStarted, w.doubt, w.doubts = false, false, ""
			}
		}
	case ev.GetAttemptSent() != nil:
		e := ev.GetAttemptSent()
		w := m.work[m.frames[e.GetFrame()]]
		if w.Ledger != "" && w.Ledger != e.GetLedger() {
			w.MaybeStarted, w.doubt = true, true
		}
		w.Ledger, w.confirmed, w.ledger = e.GetLedger(), e.GetLedger(), e.GetLedger()
	case ev.GetAttemptEnded() != nil:
		e := ev.GetAttemptEnded()
		w := m.work[m.frames[e.GetFrame()]]
		if !w.inFlight || w.Attempt != e.GetAttempt() {
			m.t.Fatalf("%s, after %+v", show(ev), *w)
		}
		if w.inFlight = false; !m.undo.inquiries[e.GetFrame()] {
			w.ended = m.version
		}
		w.quarantined = e.GetError().GetType() == workflow.ErrorTypeQuarantined && !m.undo.inquiries[e.GetFrame()]
		switch e.GetOutcome() {
		case journalv1.Outcome_OUTCOME_SUCCEEDED:
			w.succeeded, w.doubt = true, false
		case journalv1.Outcome_OUTCOME_FAILED:
			w.doubt = false
			m.checkTeller(w, e.GetOutcome())
		case journalv1.Outcome_OUTCOME_IN_DOUBT:
			w.doubt, w.abandoned, w.idle = true, true, false
		default:
		}
	case ev.GetLateResult() != nil:
		e := ev.GetLateResult()
		w := m.work[e.GetKey()]
		succeeded := e.GetOutcome() == journalv1.Outcome_OUTCOME_SUCCEEDED
		if w.inFlight || w.late || w.abandoned && w.MaybeStarted && e.GetOutcome() == journalv1.Outcome_OUTCOME_NOT_DONE ||
			!w.abandoned && (!succeeded || w.succeeded || w.settled) {
			m.t.Fatalf("%s, after %+v", show(ev), *w)
		}
		w.doubt = (w.doubt || !w.abandoned) && succeeded
		if !succeeded {
			m.checkTeller(w, e.GetOutcome())
		}
		w.abandoned, w.late = false, succeeded
		w.beside = succeeded && m.shadow.FallenBeside(e.GetKey())
	case ev.GetOrderFaulted() != nil:
		for _, w := range m.work { // what the order stands at is not done again
			if w.beside && m.shadow.Frames(show)[w.Frame] != "" {
				w.settled = true
			}
		}
	}
}

// checkTeller checks that somebody who knows it has told that an attempt came to nothing.
func (m *model) checkTeller(w *work, outcome journalv1.Outcome) {
	m.t.Helper()
	for _, r := range w.told {
		knows := r.Process == "" || w.confirmed == "" && !slices.Contains(w.lostBy, r.Process) || w.confirmed != "" && r.Ledger == w.confirmed
		if r.Outcome == outcome && knows {
			return
		}
	}
	m.t.Fatalf("%s is said to be %s, but nobody knows who told that: %+v", w.Key, outcome, w.told)
}

func (m *model) inFlight() map[string]workflow.Dispatch {
	out := map[string]workflow.Dispatch{}
	for key, w := range m.work {
		if w.inFlight {
			out[key] = w.Dispatch
		}
	}
	return out
}

// givenBack checks that what is given back again and again slows the order down.
func (m *model) givenBack(ev *journalv1.Event) {
	at, home := time.Unix(0, ev.GetAt()), m.home(ev.GetAttemptScheduled().GetFrame())
	looped := m.looped[home]
	if looped.Before(at) {
		looped = at
	}
	m.looped[home] = looped.Add(time.Second)
	if m.looped[home].After(at.Add(time.Duration(m.limits.Loops) * time.Second)) {
		m.t.Fatalf("%s, but it was given back so often that this should wait until %s", show(ev), m.looped[home])
	}
}

// checkDoubts compares what the state says of attempts in doubt with the model.
func (m *model) checkDoubts() {
	var want, is []string
	for _, key := range slices.Sorted(maps.Keys(m.work)) {
		if w := m.work[key]; w.abandoned && !w.idle {
			want = append(want, fmt.Sprint(key, " ", w.Attempt))
		}
	}
	for _, d := range m.live.InDoubt() {
		is = append(is, fmt.Sprint(d.Key, " ", d.Attempt))
	}
	if !slices.Equal(is, want) {
		m.t.Fatalf("in doubt are %v, not %v", is, want)
	}
}

// attempt is the one under way, or the one before.
func (m *model) attempt(key string) uint32 {
	w := m.work[key]
	if w == nil {
		return 1
	}
	return w.Attempt - uint32(rapid.IntRange(0, 1).Draw(m.t, "older"))
}

func (m *model) result(keys []string) workflow.TaskResult {
	key := m.key(keys)
	r := workflow.TaskResult{
		Key: key, Attempt: m.attempt(key), Outcome: rapid.SampledFrom([]journalv1.Outcome{
			journalv1.Outcome_OUTCOME_SUCCEEDED, journalv1.Outcome_OUTCOME_SUCCEEDED, journalv1.Outcome_OUTCOME_FAILED,
			journalv1.Outcome_OUTCOME_NOT_DONE, journalv1.Outcome_OUTCOME_IN_DOUBT, journalv1.Outcome_OUTCOME_UNSPECIFIED,
		}).Draw(m.t, "outcome"),
	}
	if teller := rapid.SampledFrom([]string{"", "1", "2"}).Draw(m.t, "teller"); teller != "" {
		r.Process, r.Ledger = "P"+teller, "L"+teller
	}
	if r.Outcome == journalv1.Outcome_OUTCOME_SUCCEEDED {
		r.Output = []byte(rapid.SampledFrom([]string{"", `{"n":3}`, `[]`}).Draw(m.t, "output"))
		if rapid.IntRange(0, 4).Draw(m.t, "unreported") == 4 {
			r.Output, r.Error = nil, &problemv1.Problem{Title: "Output is too long", Status: 500}
		}
	} else {
		r.Error = &problemv1.Problem{
			Type:   rapid.SampledFrom([]string{"", "", workflow.ErrorTypeTimeout, workflow.ErrorTypeQuarantined}).Draw(m.t, "type"),
			Status: int32(rapid.SampledFrom([]int{0, 500, 503}).Draw(m.t, "status")),
		}
	}
	if w := m.work[key]; w != nil {
		w.told = append(w.told, r)
	}
	return r
}

// checkOverflow compares what the state says of overflow with the model.
func (m *model) checkOverflow() {
	overflowed := 0
	for _, w := range m.inFlight() {
		d, wanted := m.live.Refill(w.Frame)
		switch {
		case w.Overflow != 0:
			overflowed++
			if wanted && (d.Key != w.Key || d.Attempt != w.Attempt || d.Overflow != w.Overflow) {
				m.t.Fatalf("refill gives %+v, but %+v is in flight", d, w)
			}
		case wanted:
			m.t.Fatalf("%+v is to be refilled, but has a place", w)
		}
	}
	if n := len(m.live.Overflowed()); n != overflowed {
		m.t.Fatalf("%d attempts have overflowed, not %d", n, overflowed)
	}
	if m.live.Parked() && (overflowed == 0 || overflowed < len(m.inFlight())) {
		m.t.Fatalf("parked, but %d of %d attempts under way have overflowed", overflowed, len(m.inFlight()))
	}
}
