package workflow

import (
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
)

// Listen waits for events. It leaves an array of those that it has consumed, or of what the tasks leave that it runs for each of them.
type Listen struct {
	branches

	To Consumption
	// Until tells, with the array of the events consumed so far, whether no more are listened for; UntilEvents are those of which some
	// end the listening. Both nil: a Consumption of any event ends with the first.
	Until       Expr
	UntilEvents *Consumption
	// Read is what is consumed of an event.
	Read Read
	// Each is the list of one task that is run for each event, one after the other; nil: none. Item and At are the names of the variables
	// that hold the event and its index, without the dollar sign.
	Each     *List
	Item, At string
}

// Consumption says which events are to be consumed: of each filter, or of any.
type Consumption struct {
	Filters []*EventFilter
	All     bool
}

// Read is what is consumed of an event.
type Read int

// The parts of an event.
const (
	ReadData Read = iota
	ReadEnvelope
	ReadRaw
)

// Filters returns all filters of the task, those that end the listening last.
func (k *Listen) Filters() []*EventFilter {
	if k.UntilEvents == nil {
		return k.To.Filters
	}
	return slices.Concat(k.To.Filters, k.UntilEvents.Filters)
}

// Ends tells whether a filter is of those whose events end the listening.
func (k *Listen) Ends(filter uint32) bool { return int(filter) >= len(k.To.Filters) }

// many tells whether a filter goes on to listen when it has consumed an event.
func (k *Listen) many(filter uint32) bool {
	return !k.Ends(filter) && !k.To.All && (k.Until != nil || k.UntilEvents != nil)
}

// listening is how far a task is that listens.
type listening struct {
	ears     []*ear
	consumed []*Value
	// satisfied are the filters that have consumed an event.
	satisfied map[uint32]bool
	// seen are the events consumed, by source and id; correlated are the values by which others correlate with them, by their names.
	seen       map[[16]byte]bool
	correlated map[string]string
	// bytes is how many the events have that were consumed.
	bytes int
	// over: no more is listened for.
	over bool
}

// ear is a filter that listens.
type ear struct {
	*journalv1.Listener

	known bool // the slot knows it
}

// deaf is a listener that listens no more, though its slot may not know it.
type deaf struct {
	slot     string
	task     string
	consumed uint64
	at       messages.Version
}

// clone returns a copy that changes by itself; nil for nil.
func (l *listening) clone() *listening {
	if l == nil {
		return nil
	}
	out := *l
	out.ears = slices.Clone(l.ears)
	for i, x := range out.ears {
		out.ears[i] = copied(x)
	}
	out.consumed = slices.Clone(l.consumed)
	out.satisfied, out.seen, out.correlated = maps.Clone(l.satisfied), maps.Clone(l.seen), maps.Clone(l.correlated)
	return &out
}

func (k *Listen) enter(s *State, f *frame, _ *journalv1.TaskStarted) {
	f.own().listening = &listening{satisfied: map[uint32]bool{}, seen: map[[16]byte]bool{}, correlated: map[string]string{}}
	if k.Each != nil {
		f.branches = &branching{lists: []*List{k.Each}, most: 1, run: s.visit(f).count}
	}
}

func (k *Listen) step(m *machine, f *frame) {
	l := f.listening()
	switch {
	case l.over && (f.branches == nil || !f.branches.over(f) && f.branches.live == 0 && f.branches.begun == f.branches.total):
		m.complete(f, k.leaves(f), "")
	case !l.over && len(l.ears) == 0 && (f.branches == nil || !f.branches.over(f)):
		k.listen(m, f)
	default:
		k.branches.step(m, f)
	}
}

// listen begins to listen with the filters that are not satisfied.
func (k *Listen) listen(m *machine, f *frame) {
	e := &journalv1.ListenStarted{Frame: f.id}
	for i, filter := range k.Filters() {
		if n := uint32(i); !f.listening().satisfied[n] || k.many(n) {
			o, err := m.slotOf(f, filter)
			if err != nil {
				m.fault(f, expressionProblem(f.task, err))
				return
			}
			e.Listeners = append(e.Listeners, &journalv1.Listener{
				Number: m.s.ears + uint32(len(e.Listeners)) + 1, Filter: n, Slot: o, //nolint:gosec // the same
			})
		}
	}
	m.emit(&journalv1.Event_ListenStarted{ListenStarted: e})
}

// slotOf returns the correlation slot in which a filter of a task listens.
func (m *machine) slotOf(f *frame, filter *EventFilter) (*journalv1.SlotOpened, error) {
	return filter.Slot(m.s.def.Ref.Namespace, f.input, m.argsOf(f))
}

func (k *Listen) leaves(f *frame) *Value {
	switch {
	case f.listening() == nil:
		return f.input
	case f.branches != nil:
		return Joined(f.branches.results)
	}
	return Joined(f.listening().consumed)
}

// again: what was consumed is kept, and the task goes on to listen, but for one that could not begin to.
func (*Listen) again(f *frame) bool { return f.failed && len(f.listening().seen) == 0 }

// heard takes what correlation slots say.
func (m *machine) heard(cmd Command) error {
	switch c := cmd.(type) {
	case Emitted:
		m.emitted(c)
	case Known:
		m.known(c)
	case Forgotten:
		m.forgotten(c)
	case Offered:
		return m.offered(c)
	}
	return nil
}

// offered takes an event that was offered to a listener, if it is wanted. See Verdict.
func (m *machine) offered(c Offered) error {
	s := m.s
	f, x := s.byEar(c.Listener)
	if f == nil || s.Ended() || s.stopping(f) || c.Sequence == s.heard[c.Listener] {
		return nil
	}
	k, l := as[*Listen](f.task.Kind), f.listening()
	if b := f.branches; b != nil && b.over(f) {
		return nil
	} else if b != nil && b.total-b.begun >= s.limits.Behind {
		return fmt.Errorf("%w: task %s has %d", ErrBehind, f.task.Ref, b.total-b.begun)
	}
	if limit := s.limits.Consumed; l.bytes+len(c.Event) > limit || s.version >= s.limits.Events {
		m.fault(f, problem(ErrorTypeRuntime, "Too many events", 500, f.task.Ref,
			fmt.Sprintf("the task has consumed events of %d bytes, at most %d, or its order has too long a history", l.bytes, limit)))
		return nil
	}
	event := NewEvent(c.Event)
	if l.seen[event.Key()] || !k.correlates(l, x.GetFilter(), event) {
		return nil
	}
	e := &journalv1.EventConsumed{Frame: f.id, Listener: c.Listener, Sequence: c.Sequence, Event: c.Event}
	if k.Until != nil && !k.Ends(x.GetFilter()) {
		so, err := k.Until.Bool(Joined(append(slices.Clone(l.consumed), k.read(event))), m.argsOf(f))
		if err != nil {
			m.emit(&journalv1.Event_EventConsumed{EventConsumed: e})
			m.fault(f, expressionProblem(f.task, err))
			return nil
		}
		e.Last = so
	}
	m.emit(&journalv1.Event_EventConsumed{EventConsumed: e})
	return nil
}

// Heard returns the number of the event that a listener has consumed last; 0: it has none.
func (s *State) Heard(listener uint32) uint64 { return s.heard[listener] }

// vars are the variables of the tasks that are run for an event.
func (k *Listen) vars(l *listening, index int) []Var {
	return []Var{{Name: k.Item, Value: l.consumed[index]}, {Name: k.At, Value: NewValue([]byte(strconv.Itoa(index)))}}
}

// read returns what is consumed of an event.
func (k *Listen) read(e *Event) *Value {
	if k.Read == ReadEnvelope {
		return e.whole
	}
	for _, name := range []string{"data", "data_base64"} {
		if v := e.attribute(name); v != nil {
			return v
		}
	}
	return nothing
}

// correlates tells whether an event has the values that those before it had.
func (k *Listen) correlates(l *listening, filter uint32, e *Event) bool {
	_, fits := k.Filters()[filter].Correlate(e, l.correlated)
	return fits
}

// Verdict is what a listener has done with an event that it was offered.
func (s *State) Verdict(listener uint32, sequence uint64) journalv1.Verdict {
	f, _ := s.byEar(listener)
	switch {
	case sequence == s.heard[listener]:
		return journalv1.Verdict_VERDICT_TAKEN
	case f == nil, s.Ended(), s.stopping(f):
		return journalv1.Verdict_VERDICT_OVER
	}
	return journalv1.Verdict_VERDICT_DECLINED
}

// HasListener tells whether a listener listens.
func (s *State) HasListener(listener uint32) bool {
	f, _ := s.byEar(listener)
	return f != nil
}

// byEar returns the frame that a listener is of; nil if it listens no more.
func (s *State) byEar(listener uint32) (*frame, *ear) {
	for _, f := range s.frames {
		if f.listening() == nil {
			continue
		}
		for _, x := range f.listening().ears {
			if x.GetNumber() == listener {
				return f, x
			}
		}
	}
	return nil, nil
}

// known notes that a slot knows a listener; forgotten, that it knows that it listens no more.
func (m *machine) known(c Known) {
	if f, x := m.s.byEar(c.Listener); x != nil && !x.known {
		m.emit(&journalv1.Event_ListenerKnown{ListenerKnown: &journalv1.ListenerKnown{Listener: c.Listener, Frame: f.id}})
	}
}

func (m *machine) forgotten(c Forgotten) {
	if d, deaf := m.s.deaf[c.Listener]; deaf {
		m.emit(&journalv1.Event_ListenerForgotten{ListenerForgotten: &journalv1.ListenerForgotten{Listener: c.Listener, Task: d.task}})
	}
}

func (s *State) listenStarted(e *journalv1.ListenStarted) {
	f := s.mustFrame(e.GetFrame())
	for _, l := range e.GetListeners() {
		s.ears = max(s.ears, l.GetNumber())
		f.listening().ears = append(f.listening().ears, &ear{Listener: l})
	}
	s.afterEvent(f)
}

func (s *State) eventConsumed(e *journalv1.EventConsumed) {
	f, x := s.byEar(e.GetListener())
	if f == nil {
		panic(fmt.Sprintf("version %d is about listener %d, which does not listen", s.version, e.GetListener()))
	}
	k, l := as[*Listen](f.task.Kind), f.listening()
	event, filter := NewEvent(e.GetEvent()), x.GetFilter()
	if s.heard == nil {
		s.heard = map[uint32]uint64{}
	}
	s.heard[e.GetListener()] = e.GetSequence()
	l.seen[event.Key()], l.satisfied[filter] = true, true
	l.bytes += len(e.GetEvent())
	values, _ := k.Filters()[filter].Correlate(event, nil)
	maps.Copy(l.correlated, values)
	if !k.many(filter) {
		l.ears = slices.DeleteFunc(l.ears, func(y *ear) bool { return y == x })
	}
	if !k.Ends(filter) {
		l.consumed = append(l.consumed, k.read(event))
		if b := f.branches; b != nil {
			b.total++
			b.results = append(b.results, nil)
			b.bytes += len(e.GetEvent())
		}
	}
	if l.over = l.over || e.GetLast() || k.Fulfilled(l.satisfied, filter); l.over {
		s.deafen(f)
	}
	s.afterEvent(f)
}

// Fulfilled tells whether what was consumed is all that is listened for, last by a filter. Satisfied are the filters that have consumed an
// event.
func (k *Listen) Fulfilled(satisfied map[uint32]bool, filter uint32) bool {
	c, from := k.To, 0
	switch {
	case k.Ends(filter):
		c, from = *k.UntilEvents, len(k.To.Filters)
	case k.Until != nil, k.UntilEvents != nil:
		return false
	}
	if !c.All {
		return true
	}
	for i := range c.Filters {
		if !satisfied[uint32(from+i)] {
			return false
		}
	}
	return true
}

// afterEvent finds out what a frame needs that listens.
func (s *State) afterEvent(f *frame) {
	switch b := f.branches; {
	case b != nil && b.over(f):
		s.afterBranch(f)
	case b != nil && b.live > 0:
		f.phase = phaseBlocked
	case b != nil && b.begun < b.total, f.listening().over, len(f.listening().ears) == 0:
		f.phase = phaseNext
	default:
		f.phase = phaseBlocked
	}
}

// deafen notes that a frame listens no more.
func (s *State) deafen(f *frame) {
	if f.listening() == nil {
		return
	}
	for _, x := range f.listening().ears {
		if s.deaf == nil {
			s.deaf = map[uint32]deaf{}
		}
		s.deaf[x.GetNumber()] = deaf{slot: x.GetSlot().GetId(), task: f.task.Ref, consumed: s.heard[x.GetNumber()], at: s.version}
	}
	f.listening().ears = nil
}

// Listens tells whether a task of the order waits for an event.
func (s *State) Listens() bool { return slices.ContainsFunc(s.frames, (*frame).listens) }

// listens tells whether the frame waits for an event.
func (f *frame) listens() bool { return f.listening() != nil && len(f.listening().ears) > 0 }

// unheard tells whether a slot may not know a listener of the frame.
func (f *frame) unheard() bool {
	return f.listening() != nil && slices.ContainsFunc(f.listening().ears, func(x *ear) bool { return !x.known })
}

// listenEffects are those that tell slots what they may not know of the events and of the listeners of frames, while the order is open.
func (s *State) listenEffects(frames ...*frame) []Effect {
	if s.Ended() {
		return nil
	}
	var out []Effect
	for _, f := range frames {
		if f != nil && f.emits() {
			out = append(out, f.publishEvent())
		}
		if f == nil || !f.unheard() {
			continue
		}
		k := as[*Listen](f.task.Kind)
		for _, x := range f.listening().ears {
			if n := x.GetFilter(); !x.known {
				out = append(out, BeginListen{
					Slot: x.GetSlot(), Listener: x.GetNumber(), Task: f.task.Ref, Filter: n, Many: k.many(n),
				})
			}
		}
	}
	return out
}

// deafEffects are those that tell slots of listeners that listen no more, since a version.
func (s *State) deafEffects(since messages.Version) []Effect {
	if len(s.deaf) == 0 {
		return nil
	}
	var out []Effect
	for _, n := range slices.Sorted(maps.Keys(s.deaf)) {
		if d := s.deaf[n]; d.at > since {
			out = append(out, EndListen{Slot: d.slot, Listener: n, Consumed: d.consumed})
		}
	}
	return out
}
