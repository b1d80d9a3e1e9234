package scheduler

import (
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"time"

	"github.com/holdfast-run/holdfast/actors/failure"
	"github.com/holdfast-run/holdfast/actors/instance"
	"github.com/holdfast-run/holdfast/actors/order"
	"github.com/holdfast-run/holdfast/actors/schedule"
	"github.com/holdfast-run/holdfast/actors/workflow"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/messages/nodev1"
	"github.com/holdfast-run/holdfast/messages/problemv1"
)

// Finder finds the definitions that schedules are of.
type Finder interface {
	Finder(ctx context.Context) func(name string, hash []byte) (*workflow.Definition, error)
}

// Schedules are schedules, as a kind of instances.
func Schedules(limits schedule.Limits, f Finder, log *slog.Logger) instance.Kind {
	return instance.Kind{
		Name: "schedule", Point: "schedule",
		New: func(self instance.Self, from messages.Version) instance.Machine {
			return &machine{State: schedule.From(from, limits), self: self, finder: f, log: log, begun: map[task]bool{}}
		},
		Fresh: func(*journalv1.Event) bool { return false }, // it belongs to a definition
	}
}

// machine is a schedule in memory.
type machine struct {
	*schedule.State

	self   instance.Self
	finder Finder
	log    *slog.Logger
	// begun is what is outstanding and was begun with.
	begun map[task]bool
}

// task is something that is to be done until it is: to submit the order of a firing, by its number, or to tell a slot of a listener, by its
// number, that it listens, or that it does not.
type task struct {
	kind   taskKind
	number uint64
}

type taskKind int

const (
	submits taskKind = iota
	listens
	unlistens
)

// Messages of a schedule to itself.
type (
	// outcome says what came of a task: nil if it has failed, and is to be done again after a while.
	outcome struct {
		task task
		cmd  schedule.Command
	}
	// again says that this has passed.
	again struct{ task task }
)

// Prepare implements instance.Machine.
func (m *machine) Prepare(ctx context.Context) error {
	name, hash := m.Wanting()
	if name == "" {
		return nil
	}
	def, err := m.finder.Finder(ctx)(name, hash)
	switch {
	case err == nil:
		m.Give(def)
	case failure.Of(err).GetReason() != nodev1.Reason_REASON_DEFINITION_UNCOMPILABLE:
		return fmt.Errorf("definition %s: %w", name, err)
	default:
		m.log.Error("the definition of a schedule can't be compiled, and it fires no more", "schedule", m.self.ID(), "error", err)
	}
	return nil
}

// Decide implements instance.Machine.
func (m *machine) Decide(now time.Time, message any) ([]*journalv1.Event, error) {
	cmd, err := m.command(message)
	if err != nil {
		return nil, err
	}
	if arm, arms := cmd.(schedule.Arm); !m.Exists() && (!arms || arm.Definition == nil) {
		return nil, nil
	}
	return m.State.Decide(now, cmd)
}

// command is what a message is for the schedule; instance.ErrNothing: it asks for no decision.
func (m *machine) command(message any) (schedule.Command, error) {
	switch x := message.(type) {
	case order.Fired:
		return schedule.TimerFired{}, nil
	case outcome:
		if x.cmd == nil {
			m.self.Again(again{x.task})
			return nil, instance.ErrNothing
		}
		delete(m.begun, x.task)
		return x.cmd, nil
	case again:
		delete(m.begun, x.task)
		return nil, instance.ErrNothing
	case *nodev1.Envelope:
		return m.asked(x)
	}
	return nil, fmt.Errorf("message %T is not for a schedule", message) //nolint:err113 // for people
}

// asked is what another actor wants of the schedule.
func (m *machine) asked(x *nodev1.Envelope) (schedule.Command, error) {
	switch e := x.GetMessage().(type) {
	case *nodev1.Envelope_Arm:
		return m.arm(e.Arm)
	case *nodev1.Envelope_Offer:
		return schedule.Offered{Listener: e.Offer.GetListener(), Sequence: e.Offer.GetSequence(), Event: e.Offer.GetEvent()}, nil
	case *nodev1.Envelope_ChildResult:
		return schedule.Over{OrderID: messages.OrderID(e.ChildResult.GetId())}, nil
	}
	if !m.Exists() {
		return nil, schedule.ErrUnknown
	}
	switch e := x.GetMessage().(type) {
	case *nodev1.Envelope_PauseSchedule:
		return schedule.Pause{By: e.PauseSchedule.GetBy(), Reason: e.PauseSchedule.GetReason()}, nil
	case *nodev1.Envelope_ResumeSchedule:
		return schedule.Resume{By: e.ResumeSchedule.GetBy(), Reason: e.ResumeSchedule.GetReason()}, nil
	case *nodev1.Envelope_TriggerSchedule:
		t := e.TriggerSchedule
		return schedule.Trigger{
			OrderID: messages.OrderID(t.GetOrderId()), Input: t.GetInput(), By: t.GetBy(), Reason: t.GetReason(),
		}, nil
	case *nodev1.Envelope_ShowSchedule:
		return nil, instance.ErrNothing
	}
	return nil, fmt.Errorf("message %T is not for a schedule", x.GetMessage()) //nolint:err113 // for people
}

// arm finds the definition that is to be armed.
func (m *machine) arm(a *nodev1.Arm) (schedule.Command, error) {
	if a.GetDefinition() == "" {
		return schedule.Arm{}, nil
	}
	var def *workflow.Definition
	var err error
	m.self.Blocking(func(ctx context.Context) { def, err = m.finder.Finder(ctx)(a.GetDefinition(), a.GetDefinitionHash()) })
	switch {
	case err != nil:
		return nil, fmt.Errorf("definition %s of a schedule: %w", a.GetDefinition(), err)
	case def.Schedule == nil:
		return schedule.Arm{}, nil
	}
	return schedule.Arm{Schedule: a.GetSchedule(), Definition: def}, nil
}

// Perform implements instance.Machine.
func (m *machine) Perform() {
	for _, o := range m.Unsubmitted() {
		m.do(task{submits, o.Number}, m.submission(o.Order), func(a *nodev1.Answer) schedule.Command {
			switch f := a.GetFailure(); {
			case f == nil:
				return schedule.Submitted{Number: o.Number}
			case f.GetReason() == nodev1.Reason_REASON_ORDER_ID_TAKEN:
				return schedule.Submitted{Number: o.Number, Error: &problemv1.Problem{
					Type: workflow.ErrorTypeConfiguration, Title: "The order's id is taken", Status: 409,
					Detail: "another order was accepted under the id " + o.Order.GetOrderId(),
				}}
			}
			return nil
		})
	}
	begin, end := m.Untold()
	for _, l := range begin {
		n := l.Listener.GetListener()
		l.Listener.Partition = uint32(m.self.Owner().Partition)
		e := toSlot(l.Slot.GetId(), &nodev1.Envelope{Message: &nodev1.Envelope_Listen{Listen: &nodev1.Listen{
			Slot: l.Slot, Listener: l.Listener,
		}}})
		m.do(task{listens, uint64(n)}, e, unlessFailed(schedule.Known{Listener: n}))
	}
	for _, l := range end {
		e := toSlot(l.Slot, &nodev1.Envelope{Message: &nodev1.Envelope_Unlisten{Unlisten: &nodev1.Unlisten{
			Instance: string(m.self.ID()), Listener: l.Listener, Consumed: l.Consumed,
		}}})
		m.do(task{unlistens, uint64(l.Listener)}, e, unlessFailed(schedule.Forgotten{Listener: l.Listener}))
	}
}

// do asks for something, unless that was done already, until there is an outcome; of an answer that is none, cmd makes nil.
func (m *machine) do(t task, e *nodev1.Envelope, cmd func(*nodev1.Answer) schedule.Command) {
	if m.begun[t] {
		return
	}
	m.begun[t] = true
	m.self.Ask(e, func(a *nodev1.Answer) any { return outcome{t, cmd(a)} })
}

func unlessFailed(cmd schedule.Command) func(*nodev1.Answer) schedule.Command {
	return func(a *nodev1.Answer) schedule.Command {
		if a.GetFailure() != nil {
			return nil
		}
		return cmd
	}
}

// toSlot addresses a message to a correlation slot.
func toSlot(id string, e *nodev1.Envelope) *nodev1.Envelope {
	e.Partition, e.OrderId = uint32(messages.PartitionOf(messages.OrderID(id), "")), id
	return e
}

// submission has an order accepted, unless it was.
func (m *machine) submission(o *journalv1.OrderAccepted) *nodev1.Envelope {
	if o.GetParent() != nil {
		o.Parent.Partition = uint32(m.self.Owner().Partition)
	}
	sum := sha256.Sum256([]byte("order " + o.GetOrderId() + " of " + string(m.self.ID())))
	o.ContentHash = sum[:16]
	return &nodev1.Envelope{
		Partition: uint32(messages.PartitionOf(messages.OrderID(o.GetOrderId()), o.GetOrderKey())), OrderId: o.GetOrderId(),
		Message: &nodev1.Envelope_Accept{Accept: &nodev1.Accept{
			Order: o, Queued: workflow.Queues(o), Wanted: nodev1.Wanted_WANTED_ACCEPTED,
		}},
	}
}

// Answer implements instance.Machine.
func (m *machine) Answer(e *nodev1.Envelope) *nodev1.Answer {
	switch {
	case e.GetOffer() != nil:
		return &nodev1.Answer{Message: &nodev1.Answer_Settled{Settled: &nodev1.Settled{
			Verdict: m.Verdict(e.GetOffer().GetListener(), e.GetOffer().GetSequence()),
		}}}
	case e.GetArm() == nil && e.GetChildResult() == nil:
		return &nodev1.Answer{Message: &nodev1.Answer_Schedule{Schedule: m.Show()}}
	}
	return &nodev1.Answer{}
}

// Empty implements instance.Machine: what is not armed and has nothing outstanding is.
func (m *machine) Empty() bool { return m.Idle() }

// Light implements instance.Machine: its history is short, as it is summarized.
func (m *machine) Light() bool { return true }
