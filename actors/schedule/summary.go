package schedule

import (
	"maps"
	"slices"

	"github.com/holdfast-run/holdfast/messages/journalv1"
)

// mostSummary is how long a summary may be, in bytes, about: it is one record.
const mostSummary = 48 << 20

// summarizes tells whether it is time for a summary.
func (s *State) summarizes() bool { return s.since >= s.limits.Summary && s.Size() <= mostSummary }

// summary tells all that the schedule knows.
func (s *State) summary() *journalv1.ScheduleSummarized {
	out := &journalv1.ScheduleSummarized{
		Opened: s.opened, OpenedAt: s.openedAt, Armed: s.armed, ArmedAt: s.armedAt, Paused: s.paused, PausedAt: s.pausedAt, Next: s.next,
		LastNumber: s.lastNumber, LastListener: s.lastListener, LastCollection: s.lastCollection, Skipped: s.skipped,
	}
	for _, f := range s.firings {
		out.Firings = append(out.Firings, f.message())
	}
	if s.last != nil {
		out.Last = s.last.message()
		out.Last.Fired.Input = nil
	}
	for _, n := range slices.Sorted(maps.Keys(s.listeners)) {
		l := s.listeners[n]
		out.Listeners = append(out.Listeners, &journalv1.ScheduleListener{
			Listener: l.Listener, Known: l.known, Deaf: l.deaf, Consumed: l.consumed,
		})
	}
	for _, c := range s.collections {
		kept := &journalv1.Collection{Number: c.number, Key: c.key, Events: c.events, Satisfied: slices.Sorted(maps.Keys(c.satisfied))}
		for _, name := range slices.Sorted(maps.Keys(c.correlated)) {
			kept.Correlated = append(kept.Correlated, &journalv1.Correlated{Name: name, Value: c.correlated[name]})
		}
		out.Collections = append(out.Collections, kept)
	}
	for i := range s.seen {
		key := s.seen[(s.seenNext+i)%len(s.seen)]
		out.Seen = append(out.Seen, key[:])
	}
	return out
}

// summarized takes up a summary. If the history is read from there on, it tells all that there is.
func (s *State) summarized(e *journalv1.ScheduleSummarized) {
	s.readsFrom, s.since = s.version, 0
	if s.opened != nil {
		return
	}
	s.opened, s.openedAt, s.armed, s.armedAt = e.GetOpened(), e.GetOpenedAt(), e.GetArmed(), e.GetArmedAt()
	s.paused, s.pausedAt, s.next, s.skipped = e.GetPaused(), e.GetPausedAt(), e.GetNext(), e.GetSkipped()
	s.lastNumber, s.lastListener, s.lastCollection = e.GetLastNumber(), e.GetLastListener(), e.GetLastCollection()
	s.last = firingOf(e.GetLast())
	for _, x := range e.GetFirings() {
		f := firingOf(x)
		s.firings = append(s.firings, f)
		if s.bytes += len(f.GetInput()); !f.submitted {
			s.waiting++
		}
		if s.last != nil && f.GetNumber() == s.last.GetNumber() {
			s.last = f
		}
	}
	for _, x := range e.GetListeners() {
		s.listeners[x.GetListener().GetNumber()] = &listener{
			Listener: x.GetListener(), known: x.GetKnown(), deaf: x.GetDeaf(), consumed: x.GetConsumed(),
		}
	}
	for _, x := range e.GetCollections() {
		c := &collection{
			number: x.GetNumber(), key: x.GetKey(), events: x.GetEvents(), satisfied: map[uint32]bool{}, correlated: map[string]string{},
		}
		for _, n := range x.GetSatisfied() {
			c.satisfied[n] = true
		}
		for _, v := range x.GetCorrelated() {
			c.correlated[v.GetName()] = v.GetValue()
		}
		s.collections = append(s.collections, c)
		s.bytes += c.bytes()
	}
	for _, key := range e.GetSeen() {
		s.see([16]byte(key))
	}
}

// firingOf takes up what a summary tells of a firing; nil for nil.
func firingOf(x *journalv1.Firing) *firing {
	if x == nil {
		return nil
	}
	f := &firing{ScheduleFired: x.GetFired(), at: x.GetAt(), submitted: x.GetSubmitted(), ended: x.GetEnded()}
	if x.GetError() != nil {
		f.err = &journalv1.FiringSubmitted{Number: f.GetNumber(), Error: x.GetError()}
	}
	return f
}
