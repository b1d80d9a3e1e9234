package slot

import (
	"maps"
	"slices"

	"github.com/holdfast-run/holdfast/messages/journalv1"
)

// summarySize is about how many bytes a summary has.
func (s *State) summarySize() int {
	return s.bytes + 64*len(s.events) + 400*len(s.listeners) + 8*s.queued + 32*len(s.seenInOrder)
}

// summary tells all that the slot holds.
func (s *State) summary() *journalv1.SlotSummarized {
	out := &journalv1.SlotSummarized{Opened: s.opened, OpenedAt: s.openedAt, LastListener: s.lastListener, LastEvent: s.lastEvent}
	for _, n := range slices.Sorted(maps.Keys(s.listeners)) {
		l := s.listeners[n]
		queued := &journalv1.QueuedListener{Added: l.ListenerAdded}
		for _, h := range l.queue {
			queued.Queue = append(queued.Queue, h.GetSequence())
		}
		out.Listeners = append(out.Listeners, queued)
	}
	for _, n := range slices.Sorted(maps.Keys(s.events)) {
		h := s.events[n]
		out.Events = append(out.Events, &journalv1.KeptEvent{
			Published: h.EventPublished, Taken: h.taken, Declined: slices.Sorted(maps.Keys(h.declined)),
		})
	}
	for _, e := range s.seenInOrder {
		out.Seen = append(out.Seen, &journalv1.SeenEvent{Key: e.key[:], Until: e.until})
	}
	return out
}

// summarized takes up a summary. If the history is read from there on, it tells all that there is.
func (s *State) summarized(e *journalv1.SlotSummarized) {
	s.readsFrom, s.since = s.version, 0
	if s.opened != nil {
		return
	}
	s.opened, s.openedAt, s.lastListener, s.lastEvent = e.GetOpened(), e.GetOpenedAt(), e.GetLastListener(), e.GetLastEvent()
	for _, k := range e.GetEvents() {
		h := s.hold(k.GetPublished())
		h.taken = k.GetTaken()
		for _, n := range k.GetDeclined() {
			if h.declined == nil {
				h.declined = map[uint32]struct{}{}
			}
			h.declined[n] = struct{}{}
		}
	}
	for _, q := range e.GetListeners() {
		l := s.add(q.GetAdded())
		for _, n := range q.GetQueue() {
			s.queue(s.mustEvent(n), l)
		}
	}
	for _, h := range s.events {
		s.left(h)
	}
	for _, x := range e.GetSeen() {
		s.see(seenEvent{seenKey(x.GetKey()), x.GetUntil()})
	}
}
