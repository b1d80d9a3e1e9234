package slot

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/holdfast-run/holdfast/actors/workflow"
	"github.com/holdfast-run/holdfast/messages/journalv1"
)

// ErrFull: the slot has no room for a listener or an event.
var ErrFull = errors.New("correlation slot is full")

// Command is something that a slot may be told. The caller brings the time along with it.
type Command interface{ isCommand() }

type (
	// Listen has somebody listen. Listener lacks the number of the slot. Repeating it is no error. The filter must have been given.
	Listen struct {
		Slot     *journalv1.SlotOpened
		Listener *journalv1.ListenerAdded
	}
	// Unlisten says that a listener listens no more, and which event it has consumed last; 0: none. Repeating it is no error.
	Unlisten struct {
		Instance string
		Listener uint32
		Consumed uint64
	}
	// Publish gives the slot an event, which is kept for so long if nobody listens for it. Repeating it is no error.
	Publish struct {
		Slot  *journalv1.SlotOpened
		Event []byte
		Keep  time.Duration
	}
	// Settle tells what a listener did with what it was offered. Repeating it is no error.
	Settle struct {
		Listener uint32
		Sequence uint64
		Verdict  journalv1.Verdict
	}
	// TimerFired says that it is time; what is not due yet is left.
	TimerFired struct{}
)

func (Listen) isCommand()     {}
func (Unlisten) isCommand()   {}
func (Publish) isCommand()    {}
func (Settle) isCommand()     {}
func (TimerFired) isCommand() {}

// machine is one decision under way.
type machine struct {
	s   *State
	now int64
	out []*journalv1.Event
}

// Decide takes a command, at a time, and returns what happened; nothing, if the command changes nothing. The state evolves by each event
// as it is made. If they can't be committed, drop the state. An error means that the command was refused: nothing happened.
func (s *State) Decide(now time.Time, cmd Command) ([]*journalv1.Event, error) {
	m := &machine{s: s, now: max(now.UnixNano(), s.lastAt)}
	var err error
	switch c := cmd.(type) {
	case Listen:
		err = m.listen(c)
	case Unlisten:
		m.unlisten(c)
	case Publish:
		err = m.publish(c)
	case Settle:
		m.settle(c)
	case TimerFired:
		m.expire(now.UnixNano())
	default:
		panic(fmt.Sprintf("unknown command %T", cmd))
	}
	if err != nil {
		return nil, err
	}
	if len(m.out) > 0 && s.since >= s.limits.Summary && s.since >= summaryFactor*(len(s.listeners)+len(s.events)+len(s.seenInOrder)) &&
		s.summarySize() <= mostSummary {
		m.emit(&journalv1.Event_SlotSummarized{SlotSummarized: s.summary()})
	}
	return m.out, nil
}

// mostSummary is how long a summary may be, in bytes, about: it is one record.
const mostSummary = 48 << 20

// summaryFactor is how many times as long as the summary a history is before it is summarized.
const summaryFactor = 1

func (m *machine) emit(kind journalv1.EventKind) {
	ev := &journalv1.Event{At: m.now, Kind: kind}
	m.s.Evolve(ev)
	m.out = append(m.out, ev)
}

func (m *machine) open(o *journalv1.SlotOpened) {
	if m.s.opened == nil {
		m.emit(&journalv1.Event_SlotOpened{SlotOpened: o})
	}
}

func (m *machine) listen(c Listen) error {
	s := m.s
	if s.byOwner[owner{c.Listener.GetInstance(), c.Listener.GetListener()}] != nil {
		return nil
	}
	if len(s.listeners) >= s.limits.Listeners {
		return fmt.Errorf("%w: %d listen for these events, the most that may", ErrFull, len(s.listeners))
	}
	m.open(c.Slot)
	e := proto.CloneOf(c.Listener) // that of the command may be told again by who has sent it
	e.Number, e.Events = s.lastListener+1, nil
	filter := s.group(FilterOf(e)).filter
	for _, n := range slices.Sorted(maps.Keys(s.events)) {
		if h := s.events[n]; h.free() && h.GetKeepUntil() > m.now && matches(filter, h) {
			if e.Events = append(e.Events, n); !e.GetMany() {
				break
			}
		}
	}
	m.emit(&journalv1.Event_ListenerAdded{ListenerAdded: e})
	return nil
}

func matches(f Filter, h *held) bool { return f.Matches(workflow.NewEvent(h.GetEvent())) }

func (m *machine) unlisten(c Unlisten) {
	l := m.s.byOwner[owner{c.Instance, c.Listener}]
	if l == nil {
		return
	}
	queue := slices.Clone(l.queue)
	if len(queue) > 0 && queue[0].GetSequence() == c.Consumed {
		m.emit(&journalv1.Event_EventSettled{EventSettled: &journalv1.EventSettled{
			Sequence: c.Consumed, Listener: l.GetNumber(), Verdict: journalv1.Verdict_VERDICT_TAKEN,
		}})
		queue = queue[1:]
	}
	if m.s.listeners[l.GetNumber()] == l { // else it wanted no more than that
		m.emit(&journalv1.Event_ListenerRemoved{ListenerRemoved: &journalv1.ListenerRemoved{Number: l.GetNumber()}})
	}
	m.offer(queue...)
}

func (m *machine) publish(c Publish) error {
	s := m.s
	e := workflow.NewEvent(c.Event)
	if _, seen := s.seen[e.Key()]; seen && !m.mayForget(e.Key()) {
		return nil
	}
	if len(s.events) >= s.limits.Events || len(s.events) > 0 && s.bytes+len(c.Event) > s.limits.Bytes {
		return fmt.Errorf("%w: it holds %d events of %d bytes, the most are %d events and %d bytes",
			ErrFull, len(s.events), s.bytes, s.limits.Events, s.limits.Bytes)
	}
	listeners := m.listening(e, nil)
	if s.queued+len(listeners) > s.limits.Queued {
		return fmt.Errorf("%w: %d events are under way to listeners, the most are %d", ErrFull, s.queued, s.limits.Queued)
	}
	m.open(c.Slot)
	m.emit(&journalv1.Event_EventPublished{EventPublished: &journalv1.EventPublished{
		Sequence: s.lastEvent + 1, Event: c.Event, KeepUntil: m.now + int64(c.Keep), Listeners: listeners,
	}})
	return nil
}

// mayForget tells whether an event was published so long ago that it may be published again.
func (m *machine) mayForget(k seenKey) bool {
	for _, e := range m.s.seenInOrder {
		if e.until > m.now {
			return false
		}
		if e.key == k {
			return true
		}
	}
	return false
}

// listening returns who listens for an event, in the order of their numbers, but for those who have declined it.
func (m *machine) listening(e *workflow.Event, declined map[uint32]struct{}) []uint32 {
	var out []uint32
	for _, g := range m.s.groups {
		if len(g.members) == 0 || !g.filter.Matches(e) {
			continue
		}
		for n, l := range g.members {
			if _, no := declined[n]; !no && (l.GetMany() || len(l.queue) == 0) {
				out = append(out, n)
			}
		}
	}
	slices.Sort(out)
	return out
}

func (m *machine) settle(c Settle) {
	l, h := m.s.listeners[c.Listener], m.s.events[c.Sequence]
	if l == nil || h == nil || len(l.queue) == 0 || l.queue[0] != h {
		return // it was answered before
	}
	queue := slices.Clone(l.queue)
	m.emit(&journalv1.Event_EventSettled{EventSettled: &journalv1.EventSettled{
		Sequence: c.Sequence, Listener: c.Listener, Verdict: c.Verdict,
	}})
	m.offer(queue...)
	if m.s.listeners[c.Listener] == l && !l.GetMany() && len(l.queue) == 0 {
		m.offerNext(l)
	}
}

// offer finds out who else wants events that somebody has left. What nobody wants is kept as long as it is to be.
func (m *machine) offer(events ...*held) {
	var expired []uint64
	slices.SortFunc(events, func(a, b *held) int { return cmp.Compare(a.GetSequence(), b.GetSequence()) })
	for _, h := range events {
		if m.s.events[h.GetSequence()] != h || !h.free() {
			continue
		}
		switch listeners := m.listening(workflow.NewEvent(h.GetEvent()), h.declined); {
		case len(listeners) > 0:
			m.emit(&journalv1.Event_EventOffered{EventOffered: &journalv1.EventOffered{Sequence: h.GetSequence(), Listeners: listeners}})
		case h.GetKeepUntil() <= m.now:
			expired = append(expired, h.GetSequence())
		}
	}
	m.expired(expired)
}

// offerNext finds another event for a listener that wants one.
func (m *machine) offerNext(l *listener) {
	for _, n := range slices.Sorted(maps.Keys(m.s.events)) {
		h := m.s.events[n]
		if _, no := h.declined[l.GetNumber()]; !no && h.free() && h.GetKeepUntil() > m.now && matches(l.group.filter, h) {
			m.emit(&journalv1.Event_EventOffered{EventOffered: &journalv1.EventOffered{Sequence: n, Listeners: []uint32{l.GetNumber()}}})
			return
		}
	}
}

// expire ends the keeping of what was kept long enough, by the time given.
func (m *machine) expire(now int64) {
	expired := m.s.expiries.due(0, now, nil)
	slices.Sort(expired)
	m.expired(expired)
}

func (m *machine) expired(sequences []uint64) {
	if len(sequences) > 0 {
		m.emit(&journalv1.Event_EventsExpired{EventsExpired: &journalv1.EventsExpired{Sequences: sequences}})
	}
}
