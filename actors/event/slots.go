package event

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/holdfast-run/holdfast/actors/failure"
	"github.com/holdfast-run/holdfast/actors/instance"
	"github.com/holdfast-run/holdfast/actors/order"
	"github.com/holdfast-run/holdfast/actors/slot"
	"github.com/holdfast-run/holdfast/actors/workflow"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/messages/nodev1"
)

// Catalog finds the definitions that listeners are of.
type Catalog interface {
	Finder(ctx context.Context) func(name string, hash []byte) (*workflow.Definition, error)
}

// Slots are correlation slots, as a kind of instances.
func Slots(limits slot.Limits, c Catalog, log *slog.Logger) instance.Kind {
	return instance.Kind{
		Name: "correlation slot", Point: "slot",
		New: func(self instance.Self, from messages.Version) instance.Machine {
			return &machine{State: slot.From(from, limits), self: self, catalog: c, log: log, offers: map[uint32]uint64{}}
		},
		// Who listens is a part of what was accepted before.
		Fresh: func(ev *journalv1.Event) bool { return ev.GetEventPublished() != nil },
	}
}

// machine is a correlation slot in memory.
type machine struct {
	*slot.State

	self    instance.Self
	catalog Catalog
	log     *slog.Logger
	// offers are the events that listeners were asked about and have not answered for, by the numbers of the listeners. Again are those
	// who are to be asked again.
	offers map[uint32]uint64
	again  []uint32
}

// Messages of a slot to itself.
type (
	// answered tells what came of an offer.
	answered struct {
		listener uint32
		sequence uint64
		answer   *nodev1.Answer
	}
	// offerAgain repeats an offer that has failed.
	offerAgain struct{ listener uint32 }
)

// Prepare implements instance.Machine.
func (m *machine) Prepare(ctx context.Context) error {
	find := m.catalog.Finder(ctx)
	for _, ref := range m.Wanting() {
		f, err := filterOf(find, ref)
		if err != nil && !errors.Is(err, errNoFilter) && isPassing(err) {
			return err
		}
		m.Give(ref, f)
	}
	return nil
}

// isPassing tells whether a definition that can't be had now may be had later.
func isPassing(err error) bool {
	switch failure.Of(err).GetReason() {
	case nodev1.Reason_REASON_DEFINITION_UNCOMPILABLE, nodev1.Reason_REASON_NO_SUCH_DEFINITION:
		return false
	default:
		return true
	}
}

// filter finds the filter of one who is about to listen.
func (m *machine) filter(ref slot.FilterRef) slot.Filter {
	var f slot.Filter
	var err error
	m.self.Blocking(func(ctx context.Context) { f, err = filterOf(m.catalog.Finder(ctx), ref) })
	if err != nil {
		m.log.Error("the filter of a listener can't be had, and matches nothing", "slot", m.self.ID(), "definition", ref.Definition,
			"task", ref.Task, "error", err)
	}
	return f
}

// nothing is a filter that matches no event.
type nothing struct{}

// Matches implements slot.Filter.
func (nothing) Matches(*workflow.Event) bool { return false }

var errNoFilter = errors.New("the definition has no such filter")

func filterOf(find func(name string, hash []byte) (*workflow.Definition, error), ref slot.FilterRef) (slot.Filter, error) {
	def, err := find(ref.Definition, []byte(ref.Hash))
	if err != nil {
		return nothing{}, fmt.Errorf("filter of task %s of %s: %w", ref.Task, ref.Definition, err)
	}
	if filters := def.FiltersOf(ref.Task); int(ref.Filter) < len(filters) {
		return filters[ref.Filter], nil
	}
	return nothing{}, fmt.Errorf("%w: %d of task %s of %s", errNoFilter, ref.Filter, ref.Task, ref.Definition)
}

// Decide implements instance.Machine.
func (m *machine) Decide(now time.Time, message any) ([]*journalv1.Event, error) {
	cmd, err := m.command(message)
	if err != nil {
		return nil, err
	}
	l, listens := cmd.(slot.Listen)
	if _, publishes := cmd.(slot.Publish); !m.Exists() && !listens && !publishes {
		return nil, nil
	}
	if listens {
		ref := slot.FilterOf(l.Listener)
		m.Give(ref, m.filter(ref))
	}
	return m.State.Decide(now, cmd)
}

// command is what a message is for the slot; instance.ErrNothing: it asks for no decision.
func (m *machine) command(message any) (slot.Command, error) {
	switch x := message.(type) {
	case order.Fired:
		return slot.TimerFired{}, nil
	case answered:
		delete(m.offers, x.listener)
		if f := x.answer.GetFailure(); f != nil && !failure.IsFinal(f) { // it may not fail the next time
			m.self.Again(offerAgain{x.listener})
			return nil, instance.ErrNothing
		}
		return slot.Settle{Listener: x.listener, Sequence: x.sequence, Verdict: verdictOf(x.answer)}, nil
	case offerAgain:
		m.again = append(m.again, x.listener)
		return nil, instance.ErrNothing
	case *nodev1.Envelope:
		switch e := x.GetMessage().(type) {
		case *nodev1.Envelope_Listen:
			return slot.Listen{Slot: e.Listen.GetSlot(), Listener: e.Listen.GetListener()}, nil
		case *nodev1.Envelope_Unlisten:
			u := e.Unlisten
			return slot.Unlisten{Instance: u.GetInstance(), Listener: u.GetListener(), Consumed: u.GetConsumed()}, nil
		case *nodev1.Envelope_Publish:
			p := e.Publish
			return slot.Publish{Slot: p.GetSlot(), Event: p.GetEvent(), Keep: time.Duration(p.GetKeep())}, nil
		}
		message = x.GetMessage()
	}
	return nil, fmt.Errorf("message %T is not for a correlation slot", message) //nolint:err113 // for people
}

// verdictOf is what a listener did with an event that it was offered. One that is not there wants none.
func verdictOf(a *nodev1.Answer) journalv1.Verdict {
	if a.GetFailure() != nil {
		return journalv1.Verdict_VERDICT_OVER
	}
	return a.GetSettled().GetVerdict()
}

// Perform implements instance.Machine: it offers what is to be offered.
func (m *machine) Perform() {
	for _, o := range m.Offers() {
		m.offer(o)
	}
	for _, n := range m.again {
		if o, is := m.OfferTo(n); is {
			m.offer(o)
		}
	}
	m.again = nil
}

// offer asks a listener whether it takes an event, unless it was asked already. An offer is an ask; one that fails is repeated after a
// while, and answered as before by who has heard it.
func (m *machine) offer(o slot.Offer) {
	l, sequence := o.Listener, o.Event.GetSequence()
	if m.offers[l.GetNumber()] == sequence {
		return
	}
	m.offers[l.GetNumber()] = sequence
	m.self.Ask(&nodev1.Envelope{
		Partition: l.GetPartition(), OrderId: l.GetInstance(), Message: &nodev1.Envelope_Offer{Offer: &nodev1.Offer{
			Listener: l.GetListener(), Sequence: sequence, Event: o.Event.GetEvent(),
		}},
	}, func(a *nodev1.Answer) any { return answered{l.GetNumber(), sequence, a} })
}

// Answer implements instance.Machine.
func (m *machine) Answer(*nodev1.Envelope) *nodev1.Answer { return &nodev1.Answer{} }

// Busy implements instance.Machine. While somebody is asked, or listens, a slot stays.
func (m *machine) Busy() bool { return m.Waiting() > 0 }

// Light implements instance.Machine: most slots have the one event that somebody will wait for.
func (m *machine) Light() bool { return m.Listeners() == 0 && m.Version() <= soonRead }

// soonRead is how many events of a history are read in no time.
const soonRead = 10
