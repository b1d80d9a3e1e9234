package workflow

import (
	"cmp"
	"slices"
	"strings"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
)

type attempt struct {
	holders

	scheduled *journalv1.AttemptScheduled
	at        int64          // when it was scheduled
	overflow  messages.Epoch // of who had no place for it; 0: there was one
	input     *Value
	ledger    string // that it goes to, if it is there: it may know what came of it, or of the attempt before
	maybe     bool   // somebody may have begun with it who is not among those that have it, or with one before it of the visit
	suspect   bool   // it was set apart before
	overdue   bool   // the time has passed by which an adapter should have got it
	goesOn    bool   // one has got it, so that it is not given up for that
	ended     *journalv1.AttemptEnded
	output    *Value
}

type abandoned struct {
	holders

	task, path     string
	visit, attempt uint32
	maybe          bool // as of the attempt
	settled        bool // nobody needs to find out what came of it
}

func (m *machine) overflow(c Overflow) {
	if f := m.s.frame(c.Frame); f != nil && f.inFlight() && f.call.overflow == 0 {
		m.emit(&journalv1.Event_AttemptOverflowed{AttemptOverflowed: &journalv1.AttemptOverflowed{
			Frame: f.id, Epoch: uint64(c.Epoch),
		}})
	}
}

func (m *machine) sent(c Sent) error {
	f := m.s.underWay(c.Key, c.Attempt)
	if f == nil || m.s.stopping(f) && !m.s.concludes(f) && !c.MaybeStarted {
		return ErrStale
	}
	if f.call.ledger != c.Ledger {
		m.emit(&journalv1.Event_AttemptSent{AttemptSent: &journalv1.AttemptSent{
			Frame: f.id, Attempt: c.Attempt, Ledger: c.Ledger, MaybeStarted: c.MaybeStarted,
		}})
	}
	return nil
}

func (m *machine) lost(c Lost) {
	f := m.s.underWay(c.Key, c.Attempt)
	if f == nil {
		return
	}
	if l, again := f.call.lossOf(c.Process); again && l.suspect == c.Suspect && l.alone == c.Alone {
		return
	}
	m.emit(&journalv1.Event_AttemptLost{AttemptLost: &journalv1.AttemptLost{
		Frame: f.id, Attempt: c.Attempt, Process: c.Process, Alone: c.Alone, Suspect: c.Suspect,
	}})
}

func (m *machine) found(c Found) {
	f := m.s.underWay(c.Key, c.Attempt)
	if f == nil {
		return
	}
	if l, away := f.call.lossOf(c.Process); !away || !l.suspect && !c.Kept {
		return
	}
	m.emit(&journalv1.Event_AttemptFound{AttemptFound: &journalv1.AttemptFound{
		Frame: f.id, Attempt: c.Attempt, Process: c.Process, Kept: c.Kept,
	}})
}

func (m *machine) result(c TaskResult) error {
	f := m.s.byKey(c.Key)
	if f == nil || !f.inFlight() {
		return m.lateResult(c)
	}
	switch {
	case !isOf(c.Activity, f.call.scheduled.GetActivity()):
		return ErrForeign
	case c.Outcome != journalv1.Outcome_OUTCOME_SUCCEEDED && c.Attempt < f.call.scheduled.GetAttempt():
		return nil // of an attempt that another has replaced
	}
	e := &journalv1.AttemptEnded{Frame: f.id, Attempt: f.call.scheduled.GetAttempt(), Outcome: c.Outcome}
	switch c.Outcome {
	case journalv1.Outcome_OUTCOME_SUCCEEDED:
		e.Output, e.Error = c.Output, c.Error
		if len(e.GetOutput()) == 0 {
			e.Output = []byte("null")
		}
	case journalv1.Outcome_OUTCOME_UNSPECIFIED:
		e.Outcome, e.Error = journalv1.Outcome_OUTCOME_IN_DOUBT, c.Error
	case journalv1.Outcome_OUTCOME_NOT_DONE:
		e.Error = c.Error
		if f.call.maybe && (m.s.stopping(f) || f.call.overdue) || f.call.confirmed != "" && !f.call.knownTo(c) {
			e.Outcome = journalv1.Outcome_OUTCOME_IN_DOUBT // it says nothing about who had it besides, and nobody else is asked
		}
	case journalv1.Outcome_OUTCOME_FAILED:
		if e.Error = c.Error; !f.call.knownTo(c) {
			e.Outcome = journalv1.Outcome_OUTCOME_IN_DOUBT
		}
	case journalv1.Outcome_OUTCOME_IN_DOUBT:
		e.Error = c.Error
	}
	if e.GetOutcome() == journalv1.Outcome_OUTCOME_NOT_DONE && !f.call.overdue && !m.s.stopping(f) {
		e.SlowedUntil = m.slowedIn(f)
	}
	m.emit(&journalv1.Event_AttemptEnded{AttemptEnded: e})
	return nil
}

// lateResult journals what a result says that comes when nobody waits for it: what came of an attempt that was given up, or that
// work was done after all.
func (m *machine) lateResult(c TaskResult) error {
	a, abandoned := m.s.abandoned[c.Key]
	ref := a.task
	switch {
	case abandoned && a.settledBy(c):
	case c.Outcome == journalv1.Outcome_OUTCOME_SUCCEEDED && !abandoned:
		if ref, _ = m.s.undecided(c.Key); ref == "" {
			return nil
		}
	default:
		return nil
	}
	if !isOf(c.Activity, as[*Call](m.s.def.Tasks[ref].Kind).Activity) {
		return ErrForeign
	}
	m.emit(&journalv1.Event_LateResult{LateResult: &journalv1.LateResult{
		Task: ref, Key: c.Key, Attempt: c.Attempt, Outcome: c.Outcome, Output: c.Output, Error: c.Error,
	}})
	return nil
}

// isOf tells whether an activity is the one that is called, perhaps in a certain version; empty: it is.
func isOf(activity, called string) bool {
	name, _, _ := strings.Cut(called, ":")
	return activity == "" || activity == name
}

// holders are who may have begun with an attempt: the ledger that it was confirmed to last; or, without one, the processes
// that were lost with it, after each of which another one got it.
type holders struct {
	confirmed string
	lostBy    []loss
}

// loss is of a process that an attempt was with.
type loss struct {
	process string
	// suspect: it may have died of the attempt. alone: it executed nothing else.
	suspect, alone bool
	// doubts: only since then somebody may have begun with the attempt who does not have it.
	doubts bool
}

// deaths are the processes that may have died of an attempt.
func (h holders) deaths() []messages.Death {
	var out []messages.Death
	for _, l := range h.lostBy {
		if l.suspect {
			out = append(out, messages.Death{Process: l.process, Alone: l.alone})
		}
	}
	return out
}

// lossOf returns the loss of a process, if it was lost.
func (h holders) lossOf(process string) (loss, bool) {
	for _, l := range h.lostBy {
		if l.process == process {
			return l, true
		}
	}
	return loss{}, false
}

// but returns the losses of all processes but one.
func (h holders) but(process string) []loss {
	return slices.DeleteFunc(slices.Clone(h.lostBy), func(l loss) bool { return l.process == process })
}

// knownTo tells whether who tells a result knows what became of the attempt. One that was away does not know what was done by
// whoever got the attempt since.
func (h holders) knownTo(c TaskResult) bool {
	switch {
	case c.Process == "": // the queue says so
		return true
	case h.confirmed != "":
		return c.Ledger == h.confirmed
	}
	_, away := h.lossOf(c.Process)
	return !away
}

// settledBy tells whether a result says what came of an attempt that was given up.
func (a abandoned) settledBy(c TaskResult) bool {
	switch c.Outcome {
	case journalv1.Outcome_OUTCOME_SUCCEEDED:
		return true // whichever attempt it was: the same key is the same work
	case journalv1.Outcome_OUTCOME_FAILED:
		return c.Attempt >= a.attempt && a.knownTo(c)
	case journalv1.Outcome_OUTCOME_NOT_DONE:
		return c.Attempt >= a.attempt && a.knownTo(c) && !a.maybe // it says nothing about the attempts before
	case journalv1.Outcome_OUTCOME_IN_DOUBT, journalv1.Outcome_OUTCOME_UNSPECIFIED:
	}
	return false
}

// giveUp ends the wait for activities under way inside of f: nobody knows what came of them.
func (m *machine) giveUp(f *frame) {
	for _, x := range append([]*frame(nil), m.s.frames...) {
		if x.inFlight() && x.inside(f) && !m.s.spares(f, x) {
			m.emit(&journalv1.Event_AttemptEnded{AttemptEnded: &journalv1.AttemptEnded{
				Frame: x.id, Attempt: x.call.scheduled.GetAttempt(), Outcome: journalv1.Outcome_OUTCOME_IN_DOUBT,
			}})
		}
	}
}

// goOn notes that an overdue attempt is not to be given up.
func (m *machine) goOn(c GoesOn) {
	if f := m.s.underWay(c.Key, c.Attempt); f != nil && f.call.late() {
		m.emit(&journalv1.Event_AttemptOverdue{AttemptOverdue: &journalv1.AttemptOverdue{Frame: f.id, GoesOn: true}})
	}
}

// late tells whether an attempt is to be given up, unless an adapter has got it.
func (c *attempt) late() bool { return c.overdue && !c.goesOn }

// startBy is when an adapter should have got the attempt of the frame, unless that has struck; 0 if there is no such time.
func (f *frame) startBy() int64 {
	if !f.inFlight() || f.call.overdue {
		return 0
	}
	return f.call.scheduled.GetStartBy()
}

// underWay returns the frame whose attempt it is that is in flight, or nil.
func (s *State) underWay(key string, attempt uint32) *frame {
	f := s.byKey(key)
	if f == nil || !f.inFlight() || f.call.scheduled.GetAttempt() != attempt {
		return nil
	}
	return f
}

func (s *State) byKey(key string) *frame {
	for _, f := range s.frames {
		if f.call != nil && f.call.scheduled.GetKey() == key {
			return f
		}
	}
	return nil
}

func (s *State) attemptScheduled(at int64, e *journalv1.AttemptScheduled) {
	f := s.mustFrame(e.GetFrame())
	if f.call != nil { // it was not done
		s.wentBack(at, f)
	}
	f.slowed = 0
	if f.inquiry != nil {
		s.inquired(at, f, e)
		return
	}
	v := s.visit(f)
	v.key, v.attempt, v.late = e.GetKey(), e.GetAttempt(), false
	f.call = &attempt{scheduled: e, at: at, input: optional(e.Input, f.input), maybe: v.doubt, suspect: v.suspect}
	if v.doubt {
		f.call.ledger = v.ledger // it may know what came of the attempt before
	}
	f.phase = phaseBlocked
	delete(s.abandoned, e.GetKey())
}

// attemptSent notes the ledger that gets an attempt. If another one was to get it before, that one may have begun.
func (s *State) attemptSent(e *journalv1.AttemptSent) {
	f := s.mustFrame(e.GetFrame())
	v := s.visitUnder(f)
	if f.call.ledger != "" && f.call.ledger != e.GetLedger() {
		f.call.maybe, v.doubt = true, true
	}
	f.call.ledger, f.call.confirmed, v.ledger = e.GetLedger(), e.GetLedger(), e.GetLedger()
}

// attemptLost notes that a process may have begun with an attempt that another one gets now. A ledger tells which one knows.
func (s *State) attemptLost(e *journalv1.AttemptLost) {
	f := s.mustFrame(e.GetFrame())
	c := f.call
	l := loss{process: e.GetProcess(), suspect: e.GetSuspect(), alone: e.GetAlone(), doubts: c.ledger == "" && !c.maybe}
	if l.doubts {
		c.maybe, s.visitUnder(f).doubt = true, true
	}
	c.lostBy = append(c.but(l.process), l)
	for i := range len(c.lostBy) - 1 {
		c.lostBy[i].doubts = false // somebody else was sent it since
	}
}

// attemptFound takes back what the loss of a process meant that is back.
func (s *State) attemptFound(e *journalv1.AttemptFound) {
	f := s.mustFrame(e.GetFrame())
	c := f.call
	l, _ := c.lossOf(e.GetProcess())
	c.lostBy = c.but(l.process)
	switch {
	case !e.GetKept(): // it does not know what others have done since
		l.suspect = false
		c.lostBy = append(c.lostBy, l)
	case l.doubts:
		c.maybe, s.visitUnder(f).doubt = false, false
	}
}

func (s *State) attemptEnded(e *journalv1.AttemptEnded) {
	f := s.mustFrame(e.GetFrame())
	f.call.ended = e
	f.phase = phaseResult
	if f.slowed = e.GetSlowedUntil(); f.slowed != 0 {
		f.phase = phaseBlocked
	}
	b := f.home().branch
	b.left, b.leftAt = f.call.scheduled.GetActivity(), s.version
	if f.inquiry != nil {
		s.inquiryAnswered(f, e)
		return
	}
	v, key := s.visits[f.place()], f.call.scheduled.GetKey()
	v.suspect = e.GetError().GetType() == ErrorTypeQuarantined
	switch e.GetOutcome() {
	case journalv1.Outcome_OUTCOME_SUCCEEDED:
		f.call.output = NewValue(e.GetOutput())
		v.over, v.doubt = true, false
		s.did(f, key, f.call.input, f.call.output, false)
	case journalv1.Outcome_OUTCOME_IN_DOUBT:
		v.doubt = true
		s.did(f, key, f.call.input, nil, true)
		if d := s.deeds[key]; d != nil {
			d.attempt, d.asks = e.GetAttempt(), f.call.ledger == "" && !v.suspect
			d.within = cmp.Or(f.call.scheduled.GetRunWithin(), f.timeout)
		}
		s.abandon(key, abandoned{
			task: f.task.Ref, path: v.path, visit: v.count, attempt: e.GetAttempt(), maybe: f.call.maybe, holders: f.call.holders,
		})
	case journalv1.Outcome_OUTCOME_FAILED:
		v.doubt = false
		s.undid(key)
		v.failed = s.newDeed(f, key, f.call.input)
	case journalv1.Outcome_OUTCOME_NOT_DONE:
		v.failed = s.newDeed(f, key, f.call.input)
	case journalv1.Outcome_OUTCOME_UNSPECIFIED:
	}
}

func (s *State) abandon(key string, a abandoned) {
	if s.abandoned == nil {
		s.abandoned = map[string]abandoned{}
	}
	s.abandoned[key] = a
}

// settle notes that it does not matter any more what came of an attempt that was given up. Should it be told, that is journaled.
func (s *State) settle(key string) {
	if a, ok := s.abandoned[key]; ok {
		a.settled = true
		s.abandoned[key] = a
	}
}

// lateResult settles an attempt that was given up: if it was not done after all, the next one needs no doubts; if it
// succeeded, and nothing has come of its task yet, there need not be another.
func (s *State) lateResult(e *journalv1.LateResult) {
	known := s.abandoned[e.GetKey()]
	v := s.visits[known.task+known.path]
	if v == nil {
		_, v = s.undecided(e.GetKey())
	}
	if v == nil {
		v = &visit{} // it is over
	}
	delete(s.abandoned, e.GetKey())
	succeeded := e.GetOutcome() == journalv1.Outcome_OUTCOME_SUCCEEDED
	s.settleDeed(e.GetKey(), succeeded, NewValue(e.GetOutput()))
	if succeeded {
		s.passed(s.def.Tasks[e.GetTask()])
	}
	switch d := v.failed; {
	case known.visit == 0: // it was said to have failed
		v.doubt, v.late = true, true
		if d != nil && s.deeds[d.key] == nil && (!s.Ended() || s.Faulted()) {
			d.output = NewValue(e.GetOutput())
			s.cameToLight(d)
		}
	case v.count == known.visit:
		v.doubt, v.late = v.doubt && succeeded, succeeded
	}
	f := s.byKey(e.GetKey())
	fell := f == nil
	if fell {
		f = s.fallenBeside(e.GetKey())
	}
	if f == nil || !succeeded {
		return
	}
	f.call.ended = &journalv1.AttemptEnded{Frame: f.id, Attempt: e.GetAttempt(), Outcome: e.GetOutcome(), Error: e.GetError()}
	f.call.output = NewValue(e.GetOutput())
	if !fell {
		v.over, v.doubt = true, false
	}
}

// fallenBeside returns the frame of a key that an error has ended which waits for other branches; nil if there is none. It is kept for an
// operator; but a try around the branches may handle the error, and ask again under the key.
func (s *State) fallenBeside(key string) *frame {
	for _, p := range s.frames {
		if p.branches == nil {
			continue
		}
		for _, f := range p.fallen {
			if f.call != nil && f.call.scheduled.GetKey() == key {
				return f
			}
		}
	}
	return nil
}

// keepLate ends the visits of the tasks where an order has faulted that have succeeded, as came to light before it did.
func (s *State) keepLate() {
	for _, f := range s.frames {
		if f.call == nil || !f.succeeded() {
			continue
		}
		if v := s.visits[f.place()]; v.late {
			v.over, v.doubt = true, false
		}
	}
}
