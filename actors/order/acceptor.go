package order

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"

	"github.com/holdfast-run/holdfast/actors/catalog"
	"github.com/holdfast-run/holdfast/actors/failure"
	"github.com/holdfast-run/holdfast/actors/history"
	"github.com/holdfast-run/holdfast/actors/runtime"
	"github.com/holdfast-run/holdfast/actors/workflow"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/messages/nodev1"
	"github.com/holdfast-run/holdfast/persistence"
)

// Acceptor accepts orders of partitions that this node does not own. It inserts them and decides nothing more: an order is in the intake
// of its partition until the owner takes it up.
type Acceptor struct {
	parts *Parts
	// note is told what came of a commit or a read.
	note func(messages.Partition, error)
	// there are orders that had been accepted before, and are to be read, so that whoever has submitted them again is told.
	there chan again
	// ended: nobody reads them any more.
	ended atomic.Bool
}

// mostThere is how many orders that had been accepted before may wait to be read; further ones are refused as busy.
const mostThere = 1000

// again is an order that was submitted again.
type again struct {
	id     messages.OrderID
	handle messages.Handle
	wanted nodev1.Wanted
	done   func(*nodev1.Answer)
}

// NewAcceptor makes an acceptor. note is told what came of commits and reads, from which is learnt whether the journal answers.
func NewAcceptor(p *Parts, note func(messages.Partition, error)) *Acceptor {
	return &Acceptor{parts: p, note: note, there: make(chan again, mostThere)}
}

// Insert accepts an order, of which the catalogue has the definition. done is called once, perhaps before Insert returns: with what was
// wanted and, if the order is new, its handle; or with why it was refused. It must not block.
func (a *Acceptor) Insert(o *journalv1.OrderAccepted, wanted nodev1.Wanted, done func(*nodev1.Answer, messages.Handle)) {
	p := a.parts
	refuse := func(err error) { done(&nodev1.Answer{Failure: failure.Of(err)}, messages.Handle{}) }
	state, events, err := a.accept(o)
	if errors.Is(err, catalog.ErrNotLoaded) { // it has left memory meanwhile
		p.Catalog.Await(err, func(err error) {
			if err != nil {
				refuse(err)
				return
			}
			a.Insert(o, wanted, done)
		})
		return
	}
	if err != nil {
		refuse(err)
		return
	}
	id, in := state.ID(), messages.PartitionOf(state.ID(), o.GetOrderKey())
	f, handle, mark := factsOf(state), messages.NewHandle(in, state.AcceptedAt()), history.Landmark{}
	p.Journal.Commit(&persistence.Commit{
		Partition: in, Handle: handle, Events: len(events), ID: id, ContentHash: o.GetContentHash(), Row: f.OrderRow(in), Open: f.OpenRow(),
		Record: mark.Record(p.Level(), 0, events, state),
		Done: func(err error) {
			a.note(in, err)
			taken, isTaken := errors.AsType[*persistence.TakenError](err)
			switch {
			case err == nil:
				done(p.answerOf(state, wanted, true), handle)
			case isTaken && (!bytes.Equal(taken.Entry.ContentHash, o.GetContentHash()) || taken.Entry.Partition != in):
				refuse(workflow.ErrTaken) // as the owner does
			case isTaken:
				a.look(again{id, taken.Entry.Handle, wanted, func(a *nodev1.Answer) { done(a, messages.Handle{}) }})
			case errors.Is(err, persistence.ErrConflict), errors.Is(err, persistence.ErrUnknown), errors.Is(err, persistence.ErrClosed):
				refuse(fmt.Errorf("%w: %w", failure.ErrUnavailable, err))
			default:
				refuse(err)
			}
		},
	})
}

// accept makes the state of an order that was accepted by who does not own its partition.
func (a *Acceptor) accept(o *journalv1.OrderAccepted) (*workflow.State, []*journalv1.Event, error) {
	p := a.parts
	def, err := p.Catalog.Pinned(o.GetDefinition(), o.GetDefinitionHash())
	if err != nil {
		return nil, nil, err
	}
	accepted := &journalv1.OrderAccepted{ // the owner may have been given the same order, to accept it
		OrderId: o.GetOrderId(), Definition: o.GetDefinition(), DefinitionHash: o.GetDefinitionHash(), Input: o.GetInput(),
		OrderKey: o.GetOrderKey(), Priority: o.GetPriority(), Labels: o.GetLabels(), Deadline: o.GetDeadline(),
		ContentHash: o.GetContentHash(), Parent: o.GetParent(), Intake: true,
	}
	state := workflow.New(def, &p.Config.Workflow)
	events, err := state.Decide(p.Now(), rand.Uint64(), workflow.Accept{Order: accepted, Queued: true})
	return state, events, err
}

// look has an order read that was submitted again.
func (a *Acceptor) look(o again) {
	select {
	case a.there <- o:
	default:
		o.done(&nodev1.Answer{Failure: failure.Of(runtime.TooMany(mostThere, "acceptor"))})
	}
	if a.ended.Load() {
		a.refuseAll()
	}
}

// Run reads orders that were submitted again, until its context ends. From then on they are refused: the node stops.
func (a *Acceptor) Run(ctx context.Context) {
	for {
		select {
		case o := <-a.there:
			o.done(a.read(ctx, o))
		case <-ctx.Done():
			a.ended.Store(true)
			a.refuseAll()
			return
		}
	}
}

// refuseAll tells all that wait to be read that the node stops.
func (a *Acceptor) refuseAll() {
	for {
		select {
		case o := <-a.there:
			o.done(&nodev1.Answer{Failure: failure.Of(runtime.ErrStopping)})
		default:
			return
		}
	}
}

// read tells what was wanted of an order that is there.
func (a *Acceptor) read(ctx context.Context, o again) *nodev1.Answer {
	p := a.parts
	ctx, cancel := context.WithTimeout(ctx, p.Config.ReadTimeout)
	defer cancel()
	state, _, err := history.Fold(o.handle, p.Journal.Records(ctx, o.handle, 1), p.Catalog.Finder(ctx), &p.Config.Workflow)
	a.note(o.handle.Partition(), err)
	switch {
	case errors.Is(err, persistence.ErrNotFound): // the id was set aside for it, and nothing more is known
		err = fmt.Errorf("%w: order %s: %w", failure.ErrUnavailable, o.id, err)
	case err == nil:
		return p.answerOf(state, o.wanted, false)
	}
	return &nodev1.Answer{Failure: failure.Of(failure.Late(err))}
}
