package schedule

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"github.com/holdfast-run/holdfast/actors/workflow"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/messages/problemv1"
)

var (
	// ErrUnknown: nothing is scheduled under the name.
	ErrUnknown = errors.New("no version of the definition that takes new orders has a schedule")
	// ErrUnfit: the definition does not take the input.
	ErrUnfit = errors.New("the definition does not take the input")
	// ErrBehind: so much is under way that nothing more is taken now.
	ErrBehind = errors.New("schedule is behind")

	errNoEvents = errors.New("what ends a collection came before any event of one")
)

// Command is something that a schedule may be told. The caller brings the time along with it.
type Command interface{ isCommand() }

type (
	// Arm has orders of a definition come into being; nil: of none. Repeating it is no error.
	Arm struct {
		Schedule   *journalv1.ScheduleOpened
		Definition *workflow.Definition
	}
	// TimerFired says that it is time; what is not due yet is left.
	TimerFired struct{}
	// Pause says that the schedule is not to fire. Repeating it is no error.
	Pause struct{ By, Reason string }
	// Resume says that it is to fire again. Repeating it is no error.
	Resume struct{ By, Reason string }
	// Trigger has an order come into being now. An empty input is what orders get otherwise. Repeating it with the same id is no error.
	Trigger struct {
		OrderID    messages.OrderID
		Input      []byte
		By, Reason string
	}
	// Submitted says that the order of a firing was accepted, or refused for good: with why.
	Submitted struct {
		Number uint64
		Error  *problemv1.Problem
	}
	// Over says that an order has ended, or has faulted: then it waits for an operator, and the schedule does not wait for that.
	Over struct{ OrderID messages.OrderID }
	// Known says that a slot knows a listener.
	Known struct{ Listener uint32 }
	// Forgotten says that a slot knows that a listener listens no more.
	Forgotten struct{ Listener uint32 }
	// Offered gives an event to a listener. See State.Verdict.
	Offered struct {
		Listener uint32
		Sequence uint64
		Event    []byte
	}
)

func (Arm) isCommand()        {}
func (TimerFired) isCommand() {}
func (Pause) isCommand()      {}
func (Resume) isCommand()     {}
func (Trigger) isCommand()    {}
func (Submitted) isCommand()  {}
func (Over) isCommand()       {}
func (Known) isCommand()      {}
func (Forgotten) isCommand()  {}
func (Offered) isCommand()    {}

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
	case Arm:
		err = m.arm(c)
	case TimerFired:
	case Pause:
		err = m.pause(c)
	case Resume:
		err = m.resume(c)
	case Trigger:
		err = m.trigger(c)
	case Submitted:
		m.submitted(c)
	case Over:
		m.over(c)
	case Known:
		if l := s.listeners[c.Listener]; l != nil && !l.known {
			m.emit(&journalv1.Event_ListenerKnown{ListenerKnown: &journalv1.ListenerKnown{Listener: c.Listener}})
		}
	case Forgotten:
		if l := s.listeners[c.Listener]; l != nil && l.deaf {
			m.emit(&journalv1.Event_ListenerForgotten{ListenerForgotten: &journalv1.ListenerForgotten{Listener: c.Listener}})
		}
	case Offered:
		err = m.offered(c)
	default:
		panic(fmt.Sprintf("unknown command %T", cmd))
	}
	if err != nil {
		return nil, err
	}
	m.due(now.UnixNano())
	if len(m.out) > 0 && s.summarizes() {
		m.emit(&journalv1.Event_ScheduleSummarized{ScheduleSummarized: s.summary()})
	}
	return m.out, nil
}

func (m *machine) emit(kind journalv1.EventKind) {
	ev := &journalv1.Event{At: m.now, Kind: kind}
	m.s.Evolve(ev)
	m.out = append(m.out, ev)
}

// rule is what the definition that is armed says of its schedule; nil: nothing is armed, or the definition can't be had.
func (m *machine) rule() *workflow.Schedule {
	if m.s.def == nil {
		return nil
	}
	return m.s.def.Schedule
}

func (m *machine) arm(c Arm) error {
	s := m.s
	if c.Definition == nil {
		if s.armed != nil {
			m.emit(&journalv1.Event_ScheduleDisarmed{ScheduleDisarmed: &journalv1.ScheduleDisarmed{}})
		}
		return nil
	}
	def, rule := c.Definition, c.Definition.Schedule
	if bytes.Equal(s.armed.GetDefinitionHash(), def.Hash) {
		return nil
	}
	e := &journalv1.ScheduleArmed{Definition: def.Ref.String(), DefinitionHash: def.Hash, Rule: rule.Digest, Next: s.next}
	if same := s.armed != nil && bytes.Equal(s.armed.GetRule(), rule.Digest); !same && s.paused == nil {
		e.Next = m.first(rule, m.now)
		var err error
		if e.Listeners, err = m.listeners(def); err != nil {
			return err
		}
	}
	if s.opened == nil {
		m.emit(&journalv1.Event_ScheduleOpened{ScheduleOpened: c.Schedule})
	}
	m.emit(&journalv1.Event_ScheduleArmed{ScheduleArmed: e})
	s.def = def
	return nil
}

// first returns when a rule is due that counts from now on; 0: never, or only after something else.
func (m *machine) first(rule *workflow.Schedule, armedAt int64) int64 {
	switch {
	case rule.Times != nil:
		return m.after(rule, m.now, armedAt)
	case rule.After > 0 && !m.s.awaits(nil):
		return m.now + int64(rule.After)
	}
	return 0
}

// after returns the first due time of a rule after a time; 0: there is none.
func (m *machine) after(rule *workflow.Schedule, at, armedAt int64) int64 {
	next := rule.Times.Next(time.Unix(0, at), time.Unix(0, armedAt))
	if next.IsZero() {
		return 0
	}
	return next.UnixNano()
}

// awaits tells whether an order has not ended that is awaited, other than that of a firing.
func (s *State) awaits(but *firing) bool {
	for _, f := range s.firings {
		if f != but && f.GetAwaited() && !f.ended {
			return true
		}
	}
	return false
}

// listeners are those by which a definition listens from now on.
func (m *machine) listeners(def *workflow.Definition) ([]*journalv1.Listener, error) {
	if def.Schedule.On == nil {
		return nil, nil
	}
	var out []*journalv1.Listener
	for i, filter := range def.Schedule.On.Filters() {
		o, err := filter.Slot(def.Ref.Namespace, workflow.NewValue([]byte("null")), m.args(def))
		if err != nil {
			return nil, fmt.Errorf("what the schedule of %s listens for: %w", def.Ref, err)
		}
		out = append(out, &journalv1.Listener{
			Number: m.s.lastListener + uint32(len(out)) + 1, Filter: uint32(i), Slot: o, //nolint:gosec // there are few
		})
	}
	return out, nil
}

// args are those of the expressions of a schedule: there is no order yet.
func (m *machine) args(def *workflow.Definition) *workflow.Args {
	return &workflow.Args{Workflow: workflow.WorkflowArg{Definition: def}, Now: m.now}
}

func (m *machine) pause(c Pause) error {
	switch s := m.s; {
	case s.armed == nil:
		return ErrUnknown
	case s.paused == nil:
		m.emit(&journalv1.Event_SchedulePaused{SchedulePaused: &journalv1.SchedulePaused{By: c.By, Reason: c.Reason}})
	}
	return nil
}

func (m *machine) resume(c Resume) error {
	s := m.s
	switch {
	case s.armed == nil:
		return ErrUnknown
	case s.paused == nil:
		return nil
	}
	e := &journalv1.ScheduleResumed{By: c.By, Reason: c.Reason}
	if rule := m.rule(); rule != nil {
		e.Next = m.first(rule, s.armedAt)
		var err error
		if e.Listeners, err = m.listeners(s.def); err != nil {
			return err
		}
	}
	m.emit(&journalv1.Event_ScheduleResumed{ScheduleResumed: e})
	return nil
}

func (m *machine) trigger(c Trigger) error {
	s, rule := m.s, m.rule()
	if rule == nil {
		return ErrUnknown
	}
	for _, f := range s.firings {
		if f.GetOrderId() == string(c.OrderID) {
			return nil
		}
	}
	input := c.Input
	if len(input) == 0 {
		input = workflow.ScheduledInput(rule)
	}
	agreed, err := m.fits(input)
	switch {
	case err != nil:
		return fmt.Errorf("%w: %w", ErrUnfit, err)
	case s.waiting >= s.limits.Firings || s.bytes+len(input) > s.limits.Bytes:
		return fmt.Errorf("%w: %d orders are to be submitted, the most are %d", ErrBehind, s.waiting, s.limits.Firings)
	}
	next := s.next
	if rule.After > 0 {
		next = 0 // it counts from its end
	}
	m.fire(&journalv1.ScheduleFired{OrderId: string(c.OrderID), Input: input, Next: next, By: c.By, Reason: c.Reason}, agreed)
	return nil
}

// fits says why the definition does not take an input. If it does, it returns what the order is accepted with.
func (m *machine) fits(input []byte) (*workflow.Agreed, error) {
	if s := m.s.def.Input.Schema; s != nil {
		if err := s.Validate(workflow.NewValue(input), nil); err != nil {
			return nil, err
		}
	}
	return m.agree(input)
}

// agree returns what an order with an input is accepted with, or why it can't be.
func (m *machine) agree(input []byte) (*workflow.Agreed, error) {
	if m.s.def.Terms == nil {
		return &workflow.Agreed{}, nil
	}
	return m.s.def.Terms.Agree(&journalv1.OrderAccepted{}, workflow.NewValue(input), m.s.limits.Terms, nil)
}

// fire has an order submitted.
func (m *machine) fire(e *journalv1.ScheduleFired, agreed *workflow.Agreed) {
	rule := m.rule()
	e.OrderKey, e.Priority, e.Labels = agreed.OrderKey, agreed.Priority, agreed.Labels
	e.Number, e.Definition, e.DefinitionHash = m.s.lastNumber+1, m.s.armed.GetDefinition(), m.s.armed.GetDefinitionHash()
	e.Awaited = rule.After > 0 || rule.Single
	m.emit(&journalv1.Event_ScheduleFired{ScheduleFired: e})
}

func (m *machine) submitted(c Submitted) {
	for _, f := range m.s.firings {
		if f.GetNumber() != c.Number || f.submitted {
			continue
		}
		m.emit(&journalv1.Event_FiringSubmitted{FiringSubmitted: &journalv1.FiringSubmitted{Number: c.Number, Error: c.Error}})
		if c.Error != nil && f.outstanding() {
			m.ended(f)
		}
		return
	}
}

func (m *machine) over(c Over) {
	for _, f := range m.s.firings {
		if f.GetOrderId() == string(c.OrderID) && f.GetAwaited() && !f.ended {
			m.ended(f)
			return
		}
	}
}

// ended notes that the order of a firing has ended. Where the next one comes some time after that, it is due then.
func (m *machine) ended(f *firing) {
	s, rule := m.s, m.rule()
	e := &journalv1.FiringEnded{Number: f.GetNumber(), Next: s.next}
	if rule != nil && rule.After > 0 && s.paused == nil {
		if e.Next = 0; !s.awaits(f) {
			e.Next = m.now + int64(rule.After)
		}
	}
	m.emit(&journalv1.Event_FiringEnded{FiringEnded: e})
}
