package schedule

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/holdfast-run/holdfast/actors/workflow"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/messages/nodev1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/persistence/rows"
)

// Limits bound a schedule. Zero values stand for the defaults.
type Limits struct {
	// Grace is how late an order may come into being without its due time having been missed. Default 1 min.
	Grace time.Duration
	// Firings is the most orders that are to be submitted and are not yet: more wait. Default 1,000.
	Firings int
	// Collections is the most collections of events, and Bytes the most bytes that their events and the inputs of firings have: more are not
	// taken from where they are kept. Defaults 1,000, 16 MiB.
	Collections, Bytes int
	// Seen is how many of the events that were consumed last are known, so that none is consumed twice. Default 1,000.
	Seen int
	// Summary is after how many events of its history a schedule is summarized at the earliest. Default 1,000.
	Summary int
	// Terms bound what its orders are accepted with.
	Terms workflow.TermLimits
}

// WithDefaults fills what is zero.
func (l Limits) WithDefaults() Limits {
	or := func(field *int, def int) {
		if *field == 0 {
			*field = def
		}
	}
	if l.Grace == 0 {
		l.Grace = time.Minute
	}
	or(&l.Firings, 1000)
	or(&l.Collections, 1000)
	or(&l.Bytes, 16<<20)
	or(&l.Seen, 1000)
	or(&l.Summary, 1000)
	return l
}

// State is a schedule as its history tells it. It is changed only by Evolve (and so by Decide), but for the definition, which is given to
// it.
type State struct {
	limits Limits
	def    *workflow.Definition // that is armed; nil: it was not given, or can't be had

	version   messages.Version
	readsFrom messages.Version
	since     int // how many events there were since the last summary
	opened    *journalv1.ScheduleOpened
	openedAt  int64
	lastAt    int64

	armed    *journalv1.ScheduleArmed // nil: nothing is
	armedAt  int64
	paused   *journalv1.SchedulePaused // nil: it is not
	pausedAt int64
	next     int64
	skipped  *journalv1.ScheduleSkipped // the due times that were passed over last

	lastNumber     uint64
	lastListener   uint32
	lastCollection uint32
	firings        []*firing // those that are outstanding, in the order of their numbers
	last           *firing
	waiting        int // how many firings are not submitted
	listeners      map[uint32]*listener
	collections    []*collection // in the order of their numbers
	bytes          int           // of the events of collections, and of the inputs of firings
	seen           [][16]byte    // the events that were consumed last, in a ring
	seenNext       int
	seenSet        map[[16]byte]struct{}
}

// firing is an order that is to be submitted, or is awaited.
type firing struct {
	*journalv1.ScheduleFired

	at        int64
	submitted bool
	ended     bool
	err       *journalv1.FiringSubmitted // with why it was refused; nil if it was not
}

// outstanding tells whether something is to be done about it, or awaited.
func (f *firing) outstanding() bool { return !f.submitted || f.GetAwaited() && !f.ended }

// listener is one filter of the schedule.
type listener struct {
	*journalv1.Listener

	known    bool // the slot knows it
	deaf     bool // it listens no more, and the slot may not know that
	consumed uint64
}

// collection is events for one order.
type collection struct {
	number     uint32
	key        []byte // what the first event is known by
	events     [][]byte
	satisfied  map[uint32]bool
	correlated map[string]string
}

// bytes is how many the events have.
func (c *collection) bytes() int {
	n := 0
	for _, e := range c.events {
		n += len(e)
	}
	return n
}

// input is what the order gets for which the events are.
func (c *collection) input() []byte {
	return append(append([]byte{'['}, bytes.Join(c.events, []byte{','})...), ']')
}

// New returns the state of a schedule that nothing has happened to.
func New(limits Limits) *State {
	return &State{limits: limits.WithDefaults(), listeners: map[uint32]*listener{}, seenSet: map[[16]byte]struct{}{}}
}

// From returns the state of a schedule whose history is read from a summary on, which has a version.
func From(version messages.Version, limits Limits) *State {
	s := New(limits)
	s.version = version - 1
	return s
}

// Version returns the number of events of its history so far.
func (s *State) Version() messages.Version { return s.version }

// Exists tells whether anything has happened to the schedule.
func (s *State) Exists() bool { return s.opened != nil }

// ID returns the id of the schedule.
func (s *State) ID() messages.OrderID { return messages.OrderID(s.opened.GetId()) }

// Wanting returns the definition that the schedule needs and was not given; an empty name: it needs none.
func (s *State) Wanting() (name string, hash []byte) {
	if s.def != nil {
		return "", nil
	}
	return s.armed.GetDefinition(), s.armed.GetDefinitionHash()
}

// Give gives the schedule the definition that is armed.
func (s *State) Give(def *workflow.Definition) { s.def = def }

// Definition returns the definition that is armed; nil: none is, or it was not given.
func (s *State) Definition() *workflow.Definition { return s.def }

// Size is about what the schedule takes in memory.
func (s *State) Size() int {
	const each = 512
	return s.bytes + each*(len(s.firings)+len(s.listeners)+len(s.collections)) + 32*len(s.seen)
}

// Busy tells whether anything is under way that the schedule must be in memory for.
func (s *State) Busy() bool { return s.waiting > 0 || s.untold() }

// untold tells whether a slot may not know of a listener, or that it listens no more.
func (s *State) untold() bool {
	for _, l := range s.listeners {
		if l.deaf || !l.known {
			return true
		}
	}
	return false
}

// Idle tells whether the schedule is as if there were none: nothing is armed, and nothing outstanding.
func (s *State) Idle() bool { return s.armed == nil && len(s.firings) == 0 && len(s.listeners) == 0 }

// Facts are what the rows of the schedule follow from.
func (s *State) Facts() rows.Facts {
	f := rows.Facts{
		Accepted: &journalv1.OrderAccepted{OrderId: s.opened.GetId(), Definition: s.opened.GetNamespace() + "/" + s.opened.GetName()},
		At:       s.openedAt, ReadsFrom: uint64(s.readsFrom),
	}
	switch {
	case s.Idle():
		f.Status, f.EndedAt = orderv1.Status_STATUS_COMPLETED, s.lastAt
	case s.Busy():
		f.Status = orderv1.Status_STATUS_RUNNING
	default:
		f.Status, f.Parked, f.NextDue = orderv1.Status_STATUS_WAITING, true, s.next
	}
	return f
}

// NextDue returns when the schedule must get TimerFired; zero if it need not.
func (s *State) NextDue() time.Time {
	if s.next == 0 || s.def == nil || s.waiting >= s.limits.Firings {
		return time.Time{}
	}
	return time.Unix(0, s.next).UTC()
}

// Order is an order to be submitted. The parent, if it has one, lacks the partition.
type Order struct {
	Number uint64
	Order  *journalv1.OrderAccepted
}

// Unsubmitted returns the orders that are to be submitted.
func (s *State) Unsubmitted() []Order {
	var out []Order
	for _, f := range s.firings {
		if f.submitted {
			continue
		}
		o := &journalv1.OrderAccepted{
			OrderId: f.GetOrderId(), Definition: f.GetDefinition(), DefinitionHash: f.GetDefinitionHash(), Input: f.GetInput(),
			OrderKey: f.GetOrderKey(), Priority: f.GetPriority(), Labels: f.GetLabels(),
		}
		if f.GetAwaited() {
			o.Parent = &journalv1.Parent{OrderId: s.opened.GetId()}
		}
		out = append(out, Order{f.GetNumber(), o})
	}
	return out
}

// Untold returns the listeners of which slots may not know that they listen, and those of which they may not know that they don't.
func (s *State) Untold() (begin []Listening, end []Ended) {
	for _, n := range slices.Sorted(maps.Keys(s.listeners)) {
		switch l := s.listeners[n]; {
		case l.deaf:
			end = append(end, Ended{Slot: l.GetSlot().GetId(), Listener: n, Consumed: l.consumed})
		case !l.known:
			begin = append(begin, Listening{Slot: l.GetSlot(), Listener: &journalv1.ListenerAdded{
				Instance: s.opened.GetId(), Listener: n, Definition: s.armed.GetDefinition(), DefinitionHash: s.armed.GetDefinitionHash(),
				Task: workflow.ScheduleRef, Filter: l.GetFilter(), Many: true,
			}})
		}
	}
	return begin, end
}

// Listening is a listener, as a slot is to be told of it. It lacks the partition.
type Listening struct {
	Slot     *journalv1.SlotOpened
	Listener *journalv1.ListenerAdded
}

// Ended is a listener that listens no more.
type Ended struct {
	Slot     string
	Listener uint32
	// Consumed is the number of the event that it has consumed last; 0: none.
	Consumed uint64
}

// Verdict is what a listener has done with an event that it was offered.
func (s *State) Verdict(listener uint32, sequence uint64) journalv1.Verdict {
	switch l := s.listeners[listener]; {
	case l != nil && l.consumed == sequence:
		return journalv1.Verdict_VERDICT_TAKEN
	case l == nil, l.deaf:
		return journalv1.Verdict_VERDICT_OVER
	}
	return journalv1.Verdict_VERDICT_DECLINED
}

// Show tells how the schedule stands.
func (s *State) Show() *nodev1.ScheduleState {
	out := &nodev1.ScheduleState{
		Definition: s.armed.GetDefinition(), Next: s.next, Paused: s.paused, PausedAt: s.pausedAt, Skipped: s.skipped,
		UnderWay: uint32(len(s.firings)), //nolint:gosec // it is bounded
	}
	if s.def != nil {
		out.Rule = s.def.Schedule.Text
	}
	if s.last != nil {
		out.Last = s.last.message()
		out.Last.Fired.Input = nil // it may be long
	}
	for _, c := range s.collections {
		out.Collected += uint32(len(c.events)) //nolint:gosec // the same
	}
	return out
}

func (f *firing) message() *journalv1.Firing {
	fired := &journalv1.ScheduleFired{
		Number: f.GetNumber(), OrderId: f.GetOrderId(), Definition: f.GetDefinition(), DefinitionHash: f.GetDefinitionHash(),
		Due: f.GetDue(), Next: f.GetNext(), Input: f.GetInput(), Awaited: f.GetAwaited(), By: f.GetBy(), Reason: f.GetReason(),
		OrderKey: f.GetOrderKey(), Priority: f.GetPriority(), Labels: f.GetLabels(),
	}
	return &journalv1.Firing{Fired: fired, At: f.at, Submitted: f.submitted, Ended: f.ended, Error: f.err.GetError()}
}

func (s *State) mustFiring(number uint64) *firing {
	for _, f := range s.firings {
		if f.GetNumber() == number {
			return f
		}
	}
	panic(fmt.Sprintf("version %d is about firing %d, which is not outstanding", s.version, number))
}

func (s *State) mustListener(number uint32) *listener {
	l := s.listeners[number]
	if l == nil {
		panic(fmt.Sprintf("version %d is about listener %d, which is not there", s.version, number))
	}
	return l
}
