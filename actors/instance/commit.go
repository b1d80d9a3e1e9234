package instance

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/holdfast-run/holdfast/actors/failure"
	"github.com/holdfast-run/holdfast/actors/order"
	"github.com/holdfast-run/holdfast/actors/runtime"
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
	if i.machine != nil {
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
		i.Log.Error("instance can't be loaded, and waits until it can be", "kind", i.Kind.Name, "id", i.id, "error", err)
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
			i.machine, i.due = i.Kind.New(i, 1), 0
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s %s: %w", i.Kind.Name, i.id, err)
		}
		i.handle = e.Handle
	}
	row, err := i.Journal.Row(ctx, i.handle)
	if err != nil {
		return fmt.Errorf("row of %s %s: %w", i.Kind.Name, i.id, err)
	}
	from := max(messages.Version(row.GetReadsFrom()), 1)
	m := i.Kind.New(i, from)
	if err := fold(m, i.handle, i.Journal.Records(ctx, i.handle, from), from); err != nil {
		return err
	}
	if err := m.Prepare(ctx); err != nil {
		return err
	}
	i.machine, i.due = m, unknownDue
	f := m.Facts()
	i.rows = order.Rows{Row: f.OrderRow(i.home.Owner().Partition), Open: f.OpenRow()}
	i.home.Loaded(i.id, i.handle, i.rows.Open, mark)
	return nil
}

func (i *instance) commit(p *pending) {
	by := i.home.Owner()
	before := i.machine.Version() - messages.Version(len(p.events))
	c := &persistence.Commit{Partition: by.Partition, Epoch: by.Epoch, Expected: before, Events: len(p.events)}
	if before == 0 {
		i.handle = messages.NewHandle(by.Partition, i.Now())
		c.ID, c.ContentHash = i.id, []byte(i.id)[:16]
		c.Child = !slices.ContainsFunc(p.events, i.Kind.Fresh)
	}
	c.Handle = i.handle
	f := i.machine.Facts()
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
		panic(fmt.Sprintf("marshal record of %s %s: %v", i.Kind.Name, i.id, err))
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
	i.Observe(p.events)
	i.settle(p)
}

// failed drops the state, after a commit that failed. What was decided is said again by those who are told so.
func (i *instance) failed(p *pending, err error) {
	first := i.machine == nil || i.machine.Version() == messages.Version(len(p.events))
	i.machine, i.rows, i.pending = nil, order.Rows{}, nil
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
