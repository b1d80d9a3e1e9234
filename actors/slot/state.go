package slot

import (
	"container/heap"
	"fmt"
	"slices"
	"time"

	"github.com/holdfast-run/holdfast/actors/workflow"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/persistence/rows"
)

// Limits bound a slot. Zero values stand for the defaults.
type Limits struct {
	// Listeners is the most listeners of a slot. Default 100,000.
	Listeners int
	// Events and Bytes are the most events that a slot holds, and the most bytes of these. Default 100,000, and 16 MiB.
	Events, Bytes int
	// Queued is the most events that are under way to listeners, each counted as often as it is. Default 200,000.
	Queued int
	// Remember is how long an event is known that was published, so that it is not published again, and Seen is the most events that are
	// known so: more forget the oldest. Defaults 1 h, 100,000.
	Remember time.Duration
	Seen     int
	// Summary is after how many events of its history a slot is summarized at the earliest. Default 1,000.
	Summary int
}

// WithDefaults fills what is zero.
func (l Limits) WithDefaults() Limits {
	if l.Listeners == 0 {
		l.Listeners = 100_000
	}
	if l.Events == 0 {
		l.Events = 100_000
	}
	if l.Bytes == 0 {
		l.Bytes = 16 << 20
	}
	if l.Remember == 0 {
		l.Remember = time.Hour
	}
	if l.Queued == 0 {
		l.Queued = 200_000
	}
	if l.Seen == 0 {
		l.Seen = 100_000
	}
	if l.Summary == 0 {
		l.Summary = 1000
	}
	return l
}

// Filter selects events.
type Filter interface {
	// Matches tells whether it selects an event, a CloudEvent in the JSON format.
	Matches(event *workflow.Event) bool
}

// FilterRef says where a filter is: which one of a task of a definition.
type FilterRef struct {
	Definition string
	Hash       string
	Task       string
	Filter     uint32
}

// State is a slot as its history tells it. It is changed only by Evolve (and so by Decide), but for the filters, which are given to it.
type State struct {
	limits Limits

	version   messages.Version
	readsFrom messages.Version
	since     int // how many events there were since the last summary
	opened    *journalv1.SlotOpened
	openedAt  int64
	lastAt    int64

	lastListener uint32
	lastEvent    uint64
	listeners    map[uint32]*listener
	byOwner      map[owner]*listener
	groups       map[FilterRef]*group
	events       map[uint64]*held
	bytes        int
	seen         map[seenKey]struct{}
	seenInOrder  []seenEvent
	expiries     expiries
	// changed are the listeners for whom there may be something since Offers was called last.
	changed []uint32
	// offered is how many listeners have not answered yet.
	offered int
	// queued is how many events are under way to listeners, each counted as often as it is.
	queued int
}

// owner is who a listener is of, and the number that it gave it.
type owner struct {
	instance string
	listener uint32
}

type listener struct {
	*journalv1.ListenerAdded

	group *group
	// queue are the events that it gets; the first one is offered.
	queue []*held
}

// group is the listeners that have one filter.
type group struct {
	filter  Filter // nil: it was not given yet
	members map[uint32]*listener
}

// held is an event that the slot holds.
type held struct {
	*journalv1.EventPublished

	taken    bool
	waiting  map[uint32]struct{} // the listeners that have not answered
	declined map[uint32]struct{}
	place    int // among the expiries; nowhere unless it is free
}

// free tells whether an event is there for whoever wants it.
func (h *held) free() bool { return !h.taken && len(h.waiting) == 0 }

type seenKey [16]byte

type seenEvent struct {
	key   seenKey
	until int64
}

// New returns the state of a slot that nothing has happened to.
func New(limits Limits) *State {
	return &State{
		limits: limits.WithDefaults(), listeners: map[uint32]*listener{}, byOwner: map[owner]*listener{}, groups: map[FilterRef]*group{},
		events: map[uint64]*held{}, seen: map[seenKey]struct{}{},
	}
}

// From returns the state of a slot whose history is read from a summary on, which has a version.
func From(version messages.Version, limits Limits) *State {
	s := New(limits)
	s.version = version - 1
	return s
}

// Version returns the number of events of its history so far.
func (s *State) Version() messages.Version { return s.version }

// ID returns the id of the slot.
func (s *State) ID() messages.OrderID { return messages.OrderID(s.opened.GetId()) }

// Exists tells whether anything has happened to the slot.
func (s *State) Exists() bool { return s.opened != nil }

// Wanting returns the filters that the slot needs, and was not given.
func (s *State) Wanting() []FilterRef {
	var out []FilterRef
	for ref, g := range s.groups {
		if g.filter == nil {
			out = append(out, ref)
		}
	}
	return out
}

// Give gives the slot a filter.
func (s *State) Give(ref FilterRef, f Filter) { s.group(ref).filter = f }

func (s *State) group(ref FilterRef) *group {
	g := s.groups[ref]
	if g == nil {
		g = &group{members: map[uint32]*listener{}}
		s.groups[ref] = g
	}
	return g
}

// FilterOf says where the filter of a listener is.
func FilterOf(l *journalv1.ListenerAdded) FilterRef {
	return FilterRef{
		Definition: l.GetDefinition(), Hash: string(l.GetDefinitionHash()), Task: l.GetTask(), Filter: l.GetFilter(),
	}
}

// Listeners returns how many listen.
func (s *State) Listeners() int { return len(s.listeners) }

// Events returns how many events are held, and how many bytes these have.
func (s *State) Events() (n, bytes int) { return len(s.events), s.bytes }

// What a listener and an event that was seen take in memory, in bytes, about.
const (
	listenerSize = 400
	heldSize     = 400
	seenSize     = 64
)

// Size is about what the slot takes in memory.
func (s *State) Size() int {
	return s.bytes + listenerSize*len(s.listeners) + heldSize*len(s.events) + seenSize*(len(s.seenInOrder)+s.queued)
}

// Waiting returns how many listeners have not answered what they were offered.
func (s *State) Waiting() int { return s.offered }

// Empty tells whether the slot holds nothing: nobody listens, and no event is kept.
func (s *State) Empty() bool { return len(s.listeners) == 0 && len(s.events) == 0 }

// Facts are what the rows of the slot follow from.
func (s *State) Facts() rows.Facts {
	f := rows.Facts{
		Accepted: &journalv1.OrderAccepted{OrderId: s.opened.GetId(), Definition: s.opened.GetNamespace() + "/" + s.opened.GetType()},
		At:       s.openedAt, ReadsFrom: uint64(s.readsFrom),
	}
	switch {
	case s.Empty():
		f.Status, f.EndedAt = orderv1.Status_STATUS_COMPLETED, s.lastAt
	case s.offered > 0:
		f.Status = orderv1.Status_STATUS_RUNNING
	default:
		f.Status, f.Parked = orderv1.Status_STATUS_WAITING, true
		if due := s.NextDue(); !due.IsZero() {
			f.NextDue = due.UnixNano()
		}
	}
	return f
}

// Offer is an event that a listener is to be asked about.
type Offer struct {
	Listener *journalv1.ListenerAdded
	Event    *journalv1.EventPublished
}

// Offers returns what was to be offered since it was called last; of a state just read back, all that is to be offered. It is not
// repeated: what is not answered is to be offered again, see OfferTo.
func (s *State) Offers() []Offer {
	var out []Offer
	slices.Sort(s.changed)
	for _, n := range slices.Compact(s.changed) {
		if o, is := s.OfferTo(n); is {
			out = append(out, o)
		}
	}
	s.changed = s.changed[:0]
	return out
}

// OfferTo returns what is to be offered to a listener; false if nothing is.
func (s *State) OfferTo(number uint32) (Offer, bool) {
	l := s.listeners[number]
	if l == nil || len(l.queue) == 0 {
		return Offer{}, false
	}
	return Offer{Listener: l.ListenerAdded, Event: l.queue[0].EventPublished}, true
}

// NextDue returns when the slot must get TimerFired; zero if it need not.
func (s *State) NextDue() time.Time {
	if len(s.expiries) == 0 {
		return time.Time{}
	}
	return time.Unix(0, s.expiries[0].GetKeepUntil()).UTC()
}

// expiries are the events that are free, in a heap: first the one whose time is over first.
type expiries []*held

func (e *expiries) Len() int { return len(*e) }
func (e *expiries) Less(i, j int) bool {
	a, b := (*e)[i], (*e)[j]
	return a.GetKeepUntil() < b.GetKeepUntil() || a.GetKeepUntil() == b.GetKeepUntil() && a.GetSequence() < b.GetSequence()
}

func (e *expiries) Swap(i, j int) {
	(*e)[i], (*e)[j] = (*e)[j], (*e)[i]
	(*e)[i].place, (*e)[j].place = i, j
}

func (e *expiries) Push(x any) {
	h := x.(*held) //nolint:errcheck,forcetypeassert // nothing else is pushed
	h.place = len(*e)
	*e = append(*e, h)
}

func (e *expiries) Pop() any {
	last := len(*e) - 1
	h := (*e)[last]
	h.place, (*e)[last] = nowhere, nil
	*e = (*e)[:last]
	return h
}

// due appends the numbers of the events whose time is over, among that at a place of the heap and those below it.
func (e *expiries) due(place int, now int64, out []uint64) []uint64 {
	if place >= len(*e) || (*e)[place].GetKeepUntil() > now {
		return out
	}
	return e.due(2*place+2, now, e.due(2*place+1, now, append(out, (*e)[place].GetSequence())))
}

// nowhere is the place of an event that is not free.
const nowhere = -1

// bind makes sure that an event is not among those that are free.
func (e *expiries) bind(h *held) {
	if h.place != nowhere {
		heap.Remove(e, h.place)
	}
}

func (s *State) mustListener(n uint32) *listener {
	l := s.listeners[n]
	if l == nil {
		panic(fmt.Sprintf("version %d is about listener %d, which is not there", s.version, n))
	}
	return l
}

func (s *State) mustEvent(n uint64) *held {
	h := s.events[n]
	if h == nil {
		panic(fmt.Sprintf("version %d is about event %d, which is not there", s.version, n))
	}
	return h
}
