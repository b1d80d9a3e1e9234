package schedule

import (
	"fmt"
	"maps"
	"slices"

	"github.com/holdfast-run/holdfast/actors/workflow"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
)

// offered takes an event that was offered to a listener, if it is wanted.
func (m *machine) offered(c Offered) error {
	s, rule := m.s, m.rule()
	l := s.listeners[c.Listener]
	switch {
	case l == nil, l.deaf, l.consumed == c.Sequence:
		return nil
	case rule == nil:
		return fmt.Errorf("%w: its definition can't be had", ErrBehind)
	}
	event := workflow.NewEvent(c.Event)
	if _, seen := s.seenSet[event.Key()]; seen {
		return nil
	}
	x, values := m.collectionFor(rule.On, l.GetFilter(), event)
	if s.waiting >= s.limits.Firings || s.bytes+len(c.Event) > s.limits.Bytes || x == nil && len(s.collections) >= s.limits.Collections {
		return fmt.Errorf("%w: %d orders are to be submitted, and %d collections wait for events; they have %d bytes", ErrBehind, s.waiting,
			len(s.collections), s.bytes)
	}
	if x == nil {
		x = &collection{number: s.lastCollection + 1}
	}
	e := &journalv1.EventConsumed{
		Frame: x.number, Listener: c.Listener, Sequence: c.Sequence, Event: c.Event, Ends: rule.On.Ends(l.GetFilter()),
		Last: m.completes(rule.On, x, l.GetFilter(), event),
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		e.Correlated = append(e.Correlated, &journalv1.Correlated{Name: name, Value: values[name]})
	}
	m.emit(&journalv1.Event_EventConsumed{EventConsumed: e})
	if e.GetLast() {
		m.collected(s.collectionOf(x.number))
	}
	return nil
}

// collectionFor returns the collection that an event goes to, and its values by which others correlate; nil: it begins one.
func (m *machine) collectionFor(k *workflow.Listen, filter uint32, e *workflow.Event) (*collection, map[string]string) {
	f := k.Filters()[filter]
	for _, c := range m.s.collections {
		if k.To.All && c.satisfied[filter] {
			continue
		}
		if values, fits := f.Correlate(e, c.correlated); fits {
			return c, values
		}
	}
	values, _ := f.Correlate(e, nil)
	return nil, values
}

// completes tells whether a collection is whole with an event that a filter has consumed.
func (m *machine) completes(k *workflow.Listen, c *collection, filter uint32, e *workflow.Event) bool {
	satisfied := map[uint32]bool{filter: true}
	maps.Copy(satisfied, c.satisfied)
	if k.Until == nil || k.Ends(filter) {
		return k.Fulfilled(satisfied, filter)
	}
	values := make([]*workflow.Value, 0, len(c.events)+1)
	for _, raw := range append(slices.Clone(c.events), e.JSON()) {
		values = append(values, workflow.NewValue(raw))
	}
	so, err := k.Until.Bool(workflow.Joined(values), m.args(m.s.def))
	return err == nil && so // what can't be evaluated does not hold
}

// collected fires for a collection that is whole, if the definition takes it.
func (m *machine) collected(c *collection) {
	s := m.s
	var agreed *workflow.Agreed
	err := errNoEvents
	if len(c.events) > 0 {
		agreed, err = m.fits(c.input())
	}
	if err != nil {
		m.skip(&journalv1.ScheduleSkipped{
			Why: journalv1.Skip_SKIP_UNFIT, Next: s.next, Collection: c.number, Detail: messages.Clip(err.Error(), mostDetail),
		})
		return
	}
	m.fire(&journalv1.ScheduleFired{
		OrderId: string(messages.EventOrderID(s.opened, [16]byte(c.key))), Next: s.next, Collection: c.number,
	}, agreed)
}

// mostDetail is how much is kept of why events were passed over, in bytes.
const mostDetail = 1 << 10
