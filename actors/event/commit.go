package event

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/holdfast-run/holdfast/actors/failure"
	"github.com/holdfast-run/holdfast/actors/order"
	"github.com/holdfast-run/holdfast/actors/runtime"
	"github.com/holdfast-run/holdfast/actors/slot"
	"github.com/holdfast-run/holdfast/actors/workflow"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/messages/nodev1"
	"github.com/holdfast-run/holdfast/persistence"
)

func holding(by runtime.Owner) persistence.Holding {
	return persistence.Holding{Partition: by.Partition, Epoch: by.Epoch}
}

// loaded makes sure that the state is in memory. If it can't be loaded, the sender of m is told; or m comes again, if nobody sent it.
func (i *instance) loaded(m any) bool {
	if i.state != nil {
		return true
	}
	var err error
	i.Workers.Blocking(func() { err = failure.Late(i.load()) })
	if err == nil {
		i.home.Unloadable(i.id, false)
		return true
	}
	i.home.Unread(err)
	if _, asked := m.(*nodev1.Envelope); asked {
		i.refuse(m, err)
	} else {
		i.recover()
	}
	if i.home.Unloadable(i.id, true) {
		i.Log.Error("correlation slot can't be loaded, and waits until it can be", "slot", i.id, "error", err)
	}
	return false
}

func (i *instance) load() error {
	ctx, cancel := context.WithTimeout(context.Background(), i.Config.ReadTimeout)
	defer cancel()
	mark := i.home.Loading()
	if i.handle.IsZero() {
		e, err := i.Journal.Find(ctx, i.id)
		if errors.Is(err, persistence.ErrNotFound) {
			i.home.Loaded(i.id, messages.Handle{}, nil, mark)
			i.state, i.due = slot.New(i.Config.Slot), 0
			return nil
		}
		if err != nil {
			return fmt.Errorf("correlation slot %s: %w", i.id, err)
		}
		i.handle = e.Handle
	}
	row, err := i.Journal.Row(ctx, i.handle)
	if err != nil {
		return fmt.Errorf("row of correlation slot %s: %w", i.id, err)
	}
	s, err := Fold(i.handle, i.Journal.Records(ctx, i.handle, messages.Version(row.GetReadsFrom())), messages.Version(row.GetReadsFrom()),
		i.Config.Slot)
	if err != nil {
		return err
	}
	find := i.Catalog.Finder(ctx)
	for _, ref := range s.Wanting() {
		f, err := filterOf(find, ref)
		if err != nil && !errors.Is(err, errNoFilter) && isPassing(err) {
			return err
		}
		s.Give(ref, f)
	}
	i.state, i.due = s, unknownDue
	f := s.Facts()
	i.rows = order.Rows{Row: f.OrderRow(i.home.Owner().Partition), Open: f.OpenRow()}
	i.home.Loaded(i.id, i.handle, i.rows.Open, mark)
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
func (i *instance) filter(ref slot.FilterRef) slot.Filter {
	var f slot.Filter
	var err error
	i.Workers.Blocking(func() {
		ctx, cancel := context.WithTimeout(context.Background(), i.Config.ReadTimeout)
		defer cancel()
		f, err = filterOf(i.Catalog.Finder(ctx), ref)
	})
	if err != nil {
		i.Log.Error("the filter of a listener can't be had, and matches nothing", "slot", i.id, "definition", ref.Definition, "task", ref.Task,
			"error", err)
	}
	return f
}

// nothing is a filter that matches no event.
type nothing struct{}

// Matches implements slot.Filter.
func (nothing) Matches(*workflow.Event) bool { return false }

func filterOf(find func(name string, hash []byte) (*workflow.Definition, error), ref slot.FilterRef) (slot.Filter, error) {
	def, err := find(ref.Definition, []byte(ref.Hash))
	if err != nil {
		return nothing{}, fmt.Errorf("filter of task %s of %s: %w", ref.Task, ref.Definition, err)
	}
	if t := def.Tasks[ref.Task]; t != nil {
		if k, listens := t.Kind.(*workflow.Listen); listens && int(ref.Filter) < len(k.Filters()) {
			return k.Filters()[ref.Filter], nil
		}
	}
	return nothing{}, fmt.Errorf("%w: %d of task %s of %s", errNoFilter, ref.Filter, ref.Task, ref.Definition)
}

func (i *instance) commit(p *pending) {
	by := i.home.Owner()
	before := i.state.Version() - messages.Version(len(p.events))
	c := &persistence.Commit{Partition: by.Partition, Epoch: by.Epoch, Expected: before, Events: len(p.events)}
	if before == 0 {
		i.handle = messages.NewHandle(by.Partition, i.Now())
		c.ID, c.ContentHash = i.id, []byte(i.id)[:16]
		c.Child = !p.publishes // who listens is a part of what was accepted before
	}
	c.Handle = i.handle
	f := i.state.Facts()
	if f.ChangesOrder(i.rows.Row) {
		p.rows.Row = f.OrderRow(by.Partition)
	}
	switch {
	case !f.Open():
		p.closes = i.rows.Row == nil || i.rows.Open != nil
	case f.ChangesOpen(i.rows.Open):
		p.rows.Open = f.OpenRow()
	}
	c.Row, c.Open, c.Close = p.rows.Row, p.rows.Open, p.closes
	record, err := proto.Marshal(&journalv1.Record{FeatureLevel: i.Level(), Events: p.events})
	if err != nil {
		panic(fmt.Sprintf("marshal record of correlation slot %s: %v", i.id, err))
	}
	c.Record = record
	self, root, home, id, rows := i.self, i.root, i.home, i.id, i.rows
	c.Done = func(err error) {
		home.Committed(c, id, rows, err)
		root.Send(self, &committed{i, err})
	}
	if rows.Open == nil {
		home.Committing(c.Handle)
	}
	i.Journal.Commit(c)
	p.underway = true
}

func (i *instance) succeeded(p *pending) {
	if p.rows.Row != nil {
		i.rows.Row = p.rows.Row
	}
	if p.rows.Open != nil {
		i.rows.Open = p.rows.Open
	}
	if p.closes {
		i.rows.Open = nil
	}
	i.settle(p)
}

// failed drops the state, after a commit that failed. What was decided is said again by those who are told so.
func (i *instance) failed(p *pending, err error) {
	first := i.state == nil || i.state.Version() == messages.Version(len(p.events))
	i.state, i.rows, i.pending = nil, order.Rows{}, nil
	clear(i.offers)
	if first {
		i.handle = messages.Handle{}
	}
	switch {
	case errors.Is(err, persistence.ErrFenced):
		i.home.Tell(order.Fenced{ID: i.id, Whole: errors.Is(err, persistence.ErrIncarnationFenced)})
		err = runtime.ErrNotOwner
	case errors.Is(err, persistence.ErrConflict), errors.Is(err, persistence.ErrUnknown), errors.Is(err, persistence.ErrClosed):
		err = fmt.Errorf("%w: %w", failure.ErrUnavailable, err)
	}
	for _, e := range p.asked {
		i.refuse(e, err)
	}
	i.recover()
}
