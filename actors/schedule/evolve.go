package schedule

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/holdfast-run/holdfast/actors/workflow"
	"github.com/holdfast-run/holdfast/messages/journalv1"
)

// Evolve applies one event of the history.
func (s *State) Evolve(ev *journalv1.Event) {
	s.version++
	s.since++
	s.lastAt = max(s.lastAt, ev.GetAt())
	switch e := ev.GetKind().(type) {
	case *journalv1.Event_ScheduleOpened:
		s.opened, s.openedAt = e.ScheduleOpened, ev.GetAt()
	case *journalv1.Event_ScheduleArmed:
		s.scheduleArmed(ev.GetAt(), e.ScheduleArmed)
	case *journalv1.Event_ScheduleDisarmed:
		s.armed, s.def = nil, nil
		s.halt()
		s.dropCollections()
	case *journalv1.Event_SchedulePaused:
		s.paused, s.pausedAt = e.SchedulePaused, ev.GetAt()
		s.halt()
	case *journalv1.Event_ScheduleResumed:
		s.paused, s.pausedAt, s.next = nil, 0, e.ScheduleResumed.GetNext()
		s.listen(e.ScheduleResumed.GetListeners())
	case *journalv1.Event_ScheduleFired:
		s.fired(ev.GetAt(), e.ScheduleFired)
	case *journalv1.Event_ScheduleSkipped:
		s.skipped, s.next = e.ScheduleSkipped, e.ScheduleSkipped.GetNext()
		s.drop(e.ScheduleSkipped.GetCollection())
	case *journalv1.Event_FiringSubmitted:
		f := s.mustFiring(e.FiringSubmitted.GetNumber())
		s.waiting--
		f.submitted = true
		if e.FiringSubmitted.GetError() != nil {
			f.err = e.FiringSubmitted
		}
		s.settle(f)
	case *journalv1.Event_FiringEnded:
		f := s.mustFiring(e.FiringEnded.GetNumber())
		f.ended, s.next = true, e.FiringEnded.GetNext()
		s.settle(f)
	case *journalv1.Event_ListenerKnown:
		s.mustListener(e.ListenerKnown.GetListener()).known = true
	case *journalv1.Event_ListenerForgotten:
		s.mustListener(e.ListenerForgotten.GetListener())
		delete(s.listeners, e.ListenerForgotten.GetListener())
	case *journalv1.Event_EventConsumed:
		s.eventConsumed(e.EventConsumed)
	case *journalv1.Event_ScheduleSummarized:
		s.summarized(e.ScheduleSummarized)
	default:
		panic(fmt.Sprintf("version %d is an event of unknown kind %T", s.version, e))
	}
}

func (s *State) scheduleArmed(at int64, e *journalv1.ScheduleArmed) {
	same := s.armed != nil && bytes.Equal(s.armed.GetRule(), e.GetRule())
	s.armed = e
	if same {
		return
	}
	s.armedAt = at
	s.halt()
	s.dropCollections()
	s.next = e.GetNext()
	s.listen(e.GetListeners())
}

// halt has nothing become due, and no event be consumed, until something else happens.
func (s *State) halt() {
	s.next = 0
	for _, l := range s.listeners {
		l.deaf = true
	}
}

func (s *State) listen(listeners []*journalv1.Listener) {
	for _, l := range listeners {
		s.lastListener = max(s.lastListener, l.GetNumber())
		s.listeners[l.GetNumber()] = &listener{Listener: l}
	}
}

func (s *State) dropCollections() {
	for _, c := range s.collections {
		s.bytes -= c.bytes()
	}
	s.collections = nil
}

// drop forgets a collection, if there is one of the number, and returns it.
func (s *State) drop(number uint32) *collection {
	i := slices.IndexFunc(s.collections, func(c *collection) bool { return c.number == number })
	if i < 0 {
		return nil
	}
	c := s.collections[i]
	s.collections = slices.Delete(s.collections, i, i+1)
	s.bytes -= c.bytes()
	return c
}

func (s *State) fired(at int64, e *journalv1.ScheduleFired) {
	f := &firing{ScheduleFired: e, at: at}
	if c := s.drop(e.GetCollection()); c != nil {
		f.ScheduleFired = (&firing{ScheduleFired: e}).message().GetFired() // the event stays as it is
		f.Input = c.input()
	}
	s.lastNumber, s.next = max(s.lastNumber, e.GetNumber()), e.GetNext()
	s.bytes += len(f.GetInput())
	s.firings = append(s.firings, f)
	s.waiting++
	s.last = f
}

// settle forgets a firing of which nothing is outstanding any more.
func (s *State) settle(f *firing) {
	if f.outstanding() {
		return
	}
	s.firings = slices.DeleteFunc(s.firings, func(x *firing) bool { return x == f })
	s.bytes -= len(f.GetInput())
}

func (s *State) eventConsumed(e *journalv1.EventConsumed) {
	l := s.mustListener(e.GetListener())
	l.consumed = e.GetSequence()
	key := workflow.NewEvent(e.GetEvent()).Key()
	s.see(key)
	c := s.collectionOf(e.GetFrame())
	if c == nil {
		c = &collection{number: e.GetFrame(), key: key[:], satisfied: map[uint32]bool{}, correlated: map[string]string{}}
		s.lastCollection = max(s.lastCollection, c.number)
		s.collections = append(s.collections, c)
	}
	c.satisfied[l.GetFilter()] = true
	for _, v := range e.GetCorrelated() {
		c.correlated[v.GetName()] = v.GetValue()
	}
	if !e.GetEnds() {
		c.events = append(c.events, e.GetEvent())
		s.bytes += len(e.GetEvent())
	}
}

func (s *State) collectionOf(number uint32) *collection {
	for _, c := range s.collections {
		if c.number == number {
			return c
		}
	}
	return nil
}

// see notes that an event was consumed.
func (s *State) see(key [16]byte) {
	if _, seen := s.seenSet[key]; seen {
		return
	}
	s.seenSet[key] = struct{}{}
	if len(s.seen) < s.limits.Seen {
		s.seen = append(s.seen, key)
		return
	}
	delete(s.seenSet, s.seen[s.seenNext])
	s.seen[s.seenNext] = key
	s.seenNext = (s.seenNext + 1) % len(s.seen)
}
