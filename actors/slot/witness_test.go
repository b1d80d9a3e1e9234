package slot_test

import (
	"pgregory.net/rapid"

	"github.com/holdfast-run/holdfast/messages/journalv1"
)

// witness looks on at the history of a slot, and knows nothing of filters: only of who got which event, and what became of it.
type witness struct {
	t         *rapid.T
	many      map[uint32]bool // those who listen, and whether they want every event
	events    map[uint64]*journalv1.EventPublished
	got       map[given]bool // and whether it was answered
	passedOn  map[given]bool // somebody had left it before
	taken     map[uint64]bool
	gone      map[uint64]bool // it has expired
	took      map[uint32]int
	listeners uint32
}

// given is an event that a listener got.
type given struct {
	listener uint32
	event    uint64
}

func newWitness(t *rapid.T) witness {
	return witness{
		t: t, many: map[uint32]bool{}, events: map[uint64]*journalv1.EventPublished{}, got: map[given]bool{}, passedOn: map[given]bool{},
		taken: map[uint64]bool{}, gone: map[uint64]bool{}, took: map[uint32]int{},
	}
}

func (w *witness) sees(ev *journalv1.Event) {
	switch e := ev.GetKind().(type) {
	case *journalv1.Event_ListenerAdded:
		w.added(ev.GetAt(), e.ListenerAdded)
	case *journalv1.Event_ListenerRemoved:
		w.leaves(e.ListenerRemoved.GetNumber())
	case *journalv1.Event_EventPublished:
		p := e.EventPublished
		if p.GetSequence() != uint64(len(w.events)+1) {
			w.t.Fatalf("event %d comes after %d others", p.GetSequence(), len(w.events))
		}
		w.events[p.GetSequence()] = p
		for _, n := range p.GetListeners() {
			w.gets(n, p.GetSequence())
		}
		w.gone[p.GetSequence()] = len(p.GetListeners()) == 0 && p.GetKeepUntil() <= ev.GetAt()
	case *journalv1.Event_EventOffered:
		for _, n := range e.EventOffered.GetListeners() {
			w.gets(n, e.EventOffered.GetSequence())
			w.passedOn[given{n, e.EventOffered.GetSequence()}] = true
		}
	case *journalv1.Event_EventSettled:
		w.settled(e.EventSettled)
	case *journalv1.Event_EventsExpired:
		for _, n := range e.EventsExpired.GetSequences() {
			if w.under(n) || w.taken[n] || w.gone[n] || w.events[n].GetKeepUntil() > ev.GetAt() {
				w.t.Fatalf("event %d expires: somebody has it %t, it was taken %t, is gone %t: %v", n, w.under(n), w.taken[n], w.gone[n], w.events[n])
			}
			w.gone[n] = true
		}
	}
}

func (w *witness) added(at int64, l *journalv1.ListenerAdded) {
	w.listeners++
	if l.GetNumber() != w.listeners || !l.GetMany() && len(l.GetEvents()) > 1 {
		w.t.Fatalf("%v comes after %d others", l, w.listeners-1)
	}
	w.many[l.GetNumber()] = l.GetMany()
	for _, n := range l.GetEvents() {
		if w.under(n) || w.events[n].GetKeepUntil() <= at {
			w.t.Fatalf("%v gets event %d, which somebody has: %t, or is late: %v", l, n, w.under(n), w.events[n])
		}
		w.gets(l.GetNumber(), n)
	}
}

// gets notes that a listener gets an event: a single time, one that nobody has taken, and only if it listens.
func (w *witness) gets(listener uint32, event uint64) {
	many, listens := w.many[listener]
	if _, again := w.got[given{listener, event}]; again || !listens || w.taken[event] || w.gone[event] {
		w.t.Fatalf("listener %d gets event %d: again %t, it listens %t, the event was taken %t, is gone %t", listener, event, again, listens,
			w.taken[event], w.gone[event])
	}
	for g, answered := range w.got {
		if g.listener == listener && !answered && !many {
			w.t.Fatalf("listener %d wants one event and has %d, but gets %d", listener, g.event, event)
		}
	}
	w.got[given{listener, event}] = false
}

// under tells whether somebody has an event and has not answered.
func (w *witness) under(event uint64) bool {
	for g, answered := range w.got {
		if g.event == event && !answered {
			return true
		}
	}
	return false
}

func (w *witness) settled(e *journalv1.EventSettled) {
	g := given{e.GetListener(), e.GetSequence()}
	if answered, got := w.got[g]; answered || !got {
		w.t.Fatalf("%v: got %t, answered %t", e, got, answered)
	}
	w.got[g] = true
	switch e.GetVerdict() {
	case journalv1.Verdict_VERDICT_TAKEN:
		w.taken[g.event] = true
		if w.took[g.listener]++; !w.many[g.listener] && w.took[g.listener] > 1 {
			w.t.Fatalf("listener %d wants one event, but has taken %d", g.listener, w.took[g.listener])
		}
		if !w.many[g.listener] {
			w.leaves(g.listener)
		}
	case journalv1.Verdict_VERDICT_OVER:
		w.leaves(g.listener)
	default: // it goes on to listen
	}
}

// leaves notes that a listener listens no more, and answers for nothing.
func (w *witness) leaves(listener uint32) {
	for g := range w.got {
		if g.listener == listener {
			w.got[g] = true
		}
	}
	delete(w.many, listener)
}

// ends finds out whether each event was taken or has expired, and not both.
func (w *witness) ends() {
	for n := range w.events {
		if w.under(n) || w.taken[n] == w.gone[n] {
			w.t.Fatalf("event %d: somebody has it %t, it was taken %t, has expired %t", n, w.under(n), w.taken[n], w.gone[n])
		}
	}
}
