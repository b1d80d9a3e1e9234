package slot

import (
	"container/heap"
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
	case *journalv1.Event_SlotOpened:
		s.opened, s.openedAt = e.SlotOpened, ev.GetAt()
	case *journalv1.Event_ListenerAdded:
		s.listenerAdded(e.ListenerAdded)
	case *journalv1.Event_ListenerRemoved:
		s.remove(s.mustListener(e.ListenerRemoved.GetNumber()))
	case *journalv1.Event_EventPublished:
		s.eventPublished(ev.GetAt(), e.EventPublished)
	case *journalv1.Event_EventOffered:
		h := s.mustEvent(e.EventOffered.GetSequence())
		for _, n := range e.EventOffered.GetListeners() {
			s.queue(h, s.mustListener(n))
		}
	case *journalv1.Event_EventSettled:
		s.eventSettled(e.EventSettled)
	case *journalv1.Event_EventsExpired:
		for _, n := range e.EventsExpired.GetSequences() {
			s.drop(s.mustEvent(n))
		}
	case *journalv1.Event_SlotSummarized:
		s.summarized(e.SlotSummarized)
	default:
		panic(fmt.Sprintf("version %d is an event of unknown kind %T", s.version, e))
	}
}

func (s *State) listenerAdded(e *journalv1.ListenerAdded) {
	l := s.add(e)
	for _, n := range e.GetEvents() {
		s.queue(s.mustEvent(n), l)
	}
}

func (s *State) add(e *journalv1.ListenerAdded) *listener {
	l := &listener{ListenerAdded: e, group: s.group(FilterOf(e))}
	s.lastListener = max(s.lastListener, e.GetNumber())
	s.listeners[e.GetNumber()], l.group.members[e.GetNumber()] = l, l
	s.byOwner[owner{e.GetInstance(), e.GetListener()}] = l
	return l
}

// remove forgets a listener. What it has not answered is free for others, if nobody else has it.
func (s *State) remove(l *listener) {
	n := l.GetNumber()
	for _, h := range l.queue {
		delete(h.waiting, n)
		s.left(h)
	}
	if s.queued -= len(l.queue); len(l.queue) > 0 {
		s.offered--
	}
	delete(s.listeners, n)
	delete(s.byOwner, owner{l.GetInstance(), l.GetListener()})
	if delete(l.group.members, n); len(l.group.members) == 0 {
		delete(s.groups, FilterOf(l.ListenerAdded))
	}
}

func (s *State) eventPublished(at int64, e *journalv1.EventPublished) {
	s.forget(at)
	s.see(seenEvent{workflow.NewEvent(e.GetEvent()).Key(), at + int64(s.limits.Remember)})
	s.lastEvent = max(s.lastEvent, e.GetSequence())
	if len(e.GetListeners()) == 0 && e.GetKeepUntil() <= at {
		return
	}
	h := s.hold(e)
	for _, n := range e.GetListeners() {
		s.queue(h, s.mustListener(n))
	}
	s.left(h)
}

func (s *State) hold(e *journalv1.EventPublished) *held {
	h := &held{EventPublished: e, waiting: map[uint32]struct{}{}, place: nowhere}
	s.events[e.GetSequence()] = h
	s.bytes += len(e.GetEvent())
	return h
}

func (s *State) see(e seenEvent) {
	s.seen[e.key] = struct{}{}
	s.seenInOrder = append(s.seenInOrder, e)
	if n := len(s.seenInOrder) - s.limits.Seen; n > 0 {
		s.forgetFirst(n)
	}
}

// forget forgets which events were published so long ago that they may be published again.
func (s *State) forget(at int64) {
	n := 0
	for n < len(s.seenInOrder) && s.seenInOrder[n].until <= at {
		n++
	}
	s.forgetFirst(n)
}

// forgetFirst forgets so many events that were published longest ago.
func (s *State) forgetFirst(n int) {
	for _, e := range s.seenInOrder[:n] {
		delete(s.seen, e.key)
	}
	s.seenInOrder = s.seenInOrder[n:]
}

// queue gives an event to a listener: in the order of their numbers, but what is offered remains so.
func (s *State) queue(h *held, l *listener) {
	s.expiries.bind(h)
	h.waiting[l.GetNumber()] = struct{}{}
	if len(l.queue) == 0 {
		s.offered++
		s.changed = append(s.changed, l.GetNumber())
	}
	at := len(l.queue)
	for at > 1 && l.queue[at-1].GetSequence() > h.GetSequence() {
		at--
	}
	l.queue = slices.Insert(l.queue, at, h)
	s.queued++
}

func (s *State) eventSettled(e *journalv1.EventSettled) {
	h, l := s.mustEvent(e.GetSequence()), s.mustListener(e.GetListener())
	i := slices.Index(l.queue, h)
	if i < 0 {
		panic(fmt.Sprintf("version %d settles event %d, which listener %d did not get", s.version, e.GetSequence(), e.GetListener()))
	}
	s.queued--
	if l.queue = slices.Delete(l.queue, i, i+1); len(l.queue) == 0 {
		s.offered--
	} else {
		s.changed = append(s.changed, l.GetNumber())
	}
	delete(h.waiting, l.GetNumber())
	switch e.GetVerdict() {
	case journalv1.Verdict_VERDICT_TAKEN:
		h.taken = true
		if !l.GetMany() {
			s.remove(l)
		}
	case journalv1.Verdict_VERDICT_OVER:
		s.remove(l)
	case journalv1.Verdict_VERDICT_DECLINED, journalv1.Verdict_VERDICT_UNSPECIFIED:
		if h.declined == nil {
			h.declined = map[uint32]struct{}{}
		}
		h.declined[l.GetNumber()] = struct{}{}
	}
	s.left(h)
}

// left finds out what becomes of an event when a listener has left it, or none has got it.
func (s *State) left(h *held) {
	switch {
	case len(h.waiting) > 0:
	case h.taken:
		s.drop(h)
	default:
		heap.Push(&s.expiries, h)
	}
}

func (s *State) drop(h *held) {
	if s.events[h.GetSequence()] == h {
		s.expiries.bind(h)
		delete(s.events, h.GetSequence())
		s.bytes -= len(h.GetEvent())
	}
}
