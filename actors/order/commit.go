package order

import (
	"context"
	"errors"
	"fmt"

	"github.com/holdfast-run/holdfast/actors/catalog"
	"github.com/holdfast-run/holdfast/actors/failure"
	"github.com/holdfast-run/holdfast/actors/history"
	"github.com/holdfast-run/holdfast/actors/runtime"
	"github.com/holdfast-run/holdfast/actors/workflow"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/nodev1"
	"github.com/holdfast-run/holdfast/persistence"
)

// loaded makes sure that the state is in memory. If it can't be loaded, the sender of m is told; or m comes again, if nobody sent it.
func (i *instance) loaded(m any) bool {
	if i.state != nil {
		return true
	}
	var err error
	i.Workers.Blocking(func() { err = failure.Late(i.load()) })
	if err == nil {
		i.outside = true
		i.home.Unloadable(i.id, false)
		return true
	}
	gone := failure.IsGone(failure.Of(err)) || errors.Is(err, workflow.ErrTaken) // by one that is elsewhere
	i.home.Unread(err)
	if e, ok := m.(*nodev1.Envelope); ok {
		i.refuse(e, err)
	} else if !gone {
		i.recover()
	}
	switch {
	case gone:
		i.Log.Debug("message for an order that was not accepted here", "order", i.id, "error", err)
	case !errors.Is(err, catalog.ErrUncompilable) && !errors.Is(err, persistence.ErrCorrupt):
		i.Log.Warn("order can't be loaded now", "order", i.id, "error", err)
	case i.home.Unloadable(i.id, true):
		i.Log.Error("order can't be loaded, and waits until it can be", "order", i.id, "error", err)
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
			return workflow.ErrNotAccepted
		}
		if err != nil {
			return fmt.Errorf("order %s: %w", i.id, err)
		}
		i.handle = e.Handle
	}
	state, landmark, err := history.Fold(i.handle, i.Journal.Records(ctx, i.handle, 1), i.Catalog.Finder(ctx), &i.Config.Workflow)
	if err != nil {
		return err
	}
	if n := messages.PartitionOf(i.id, state.Accepted().GetOrderKey()); n != i.home.Owner().Partition {
		return fmt.Errorf("%w: it belongs to partition %d, not %d", workflow.ErrTaken, n, i.home.Owner().Partition)
	}
	// The rows are not read: they follow from the state. Only of a short wait, which is over soon, they tell nothing.
	i.state, i.landmark, i.due = state, landmark, unknownDue
	i.state.WithTurns(turns{i})
	i.box.loaded.Store(true)
	if !state.InIntake() { // else it counts from when it is taken up: until then it has no rows here
		f := factsOf(state)
		i.rows = Rows{Row: f.OrderRow(i.home.Owner().Partition), Open: f.OpenRow()}
	}
	i.home.Loaded(i.id, i.handle, i.rows.Open, mark)
	return nil
}

func (i *instance) commit(before messages.Version, p *pending) {
	by := i.home.Owner()
	var letter struct { // one allocation
		persistence.Commit
		committed
	}
	c := &letter.Commit
	c.Partition, c.Epoch, c.Expected, c.Events = by.Partition, by.Epoch, before, len(p.events)
	if before == 0 {
		i.handle = messages.NewHandle(by.Partition, i.state.AcceptedAt())
		c.ID, c.ContentHash = i.id, i.state.Accepted().GetContentHash()
		parent := messages.OrderID(i.state.Accepted().GetParent().GetOrderId())
		c.Child = parent != "" && parent.Kind() == messages.KindOrder // what a schedule submits is new
	}
	c.Handle = i.handle
	i.changed(p)
	c.Row, c.Open, c.Close = p.rows.Row, p.rows.Open, p.closes
	c.Record = i.landmark.Record(i.Level(), before, p.events, i.state)
	i.pass.Count(runtime.WriteTakes(len(c.Record)))
	if i.place.Has() > 0 {
		i.room.Keep(&i.place, recordCopies*int64(len(c.Record)))
	}
	self, root, home, id, rows := i.self, i.root, i.home, i.id, i.rows
	c.Done = func(err error) {
		home.Committed(c, id, rows, err)
		letter.to, letter.err = i, err
		root.Send(self, &letter.committed)
	}
	if rows.Open == nil { // it begins, or is opened again
		home.Committing(c.Handle)
	}
	i.Journal.Commit(c)
	p.underway = true
}

// check makes sure that this node still owns the order before answers go out that came of no event: else they might not be true any
// more.
func (i *instance) check(p *pending) {
	by, self, root := i.home.Owner(), i.self, i.root
	i.Journal.Check(persistence.Holding{Partition: by.Partition, Epoch: by.Epoch}, func(err error) {
		root.Send(self, &committed{to: i, err: err})
	})
	p.underway = true
}

// committed goes on after a commit: effects, answers, and what came meanwhile.
func (i *instance) committed(err error) {
	i.pending.underway = false
	i.giveBack()
	if err != nil {
		i.failed(i.pending, err)
	} else {
		i.succeeded(i.pending)
	}
	if i.leaving {
		i.leave()
		return
	}
	if batch := i.buffered; len(batch) > 0 {
		i.buffered = nil
		i.goOn(batch)
		return
	}
	i.rest()
}

func (i *instance) succeeded(p *pending) {
	i.Story.tell(i.id, p.lines)
	before := i.rows.Open
	if p.rows.Row != nil {
		i.rows.Row = p.rows.Row
	}
	if p.rows.Open != nil {
		i.rows.Open = p.rows.Open
	}
	if p.closes {
		i.rows.Open = nil
	}
	joined := i.rows.Open.GetQueued() && !before.GetQueued()
	switch key := before.GetOrderKey(); {
	case joined && key != "": // the order had the turn of its key, and joins the queue anew
		i.home.Tell(KeyEnded{ID: i.id, Key: key})
	case before.GetHeld() && !i.rows.Open.GetHeld():
		i.home.Tell(KeyHeld{ID: i.id, Key: key, Held: false})
	}
	i.tellKey(joined)
	i.settle(p)
}

// drop drops the state, and what was decided. It is loaded again before anything else is.
func (i *instance) drop() {
	i.state, i.landmark, i.rows, i.more, i.pending = nil, history.Landmark{}, Rows{}, false, nil
	i.box.loaded.Store(false)
}

// failed drops the state, after a commit that failed. Messages that came meanwhile are decided on a state that is loaded anew.
func (i *instance) failed(p *pending, err error) {
	i.release(p)
	first := i.state == nil || i.state.Version() == messages.Version(len(p.events)) // it was to be accepted
	i.drop()
	if first {
		i.handle = messages.Handle{}
	}
	taken, isTaken := errors.AsType[*persistence.TakenError](err)
	if isTaken {
		// The order exists: what was decided as if it were new is decided again on its true state.
		i.handle = taken.Entry.Handle
		again := make([]any, 0, len(p.asked)+1+len(i.buffered))
		for _, m := range p.asked {
			again = append(again, m.Envelope)
		}
		i.buffered = append(append(again, Resume{}), i.buffered...)
		*p = pending{}
		return
	}
	switch {
	case errors.Is(err, persistence.ErrFenced):
		i.home.Tell(Fenced{ID: i.id, Whole: errors.Is(err, persistence.ErrIncarnationFenced)})
		err = runtime.ErrNotOwner
	case errors.Is(err, persistence.ErrConflict), errors.Is(err, persistence.ErrUnknown), errors.Is(err, persistence.ErrClosed):
		err = fmt.Errorf("%w: %w", failure.ErrUnavailable, err)
	}
	for _, m := range p.asked {
		i.refuse(m.Envelope, err)
	}
	if !first || errors.Is(err, persistence.ErrUnknown) {
		i.recover() // what the lost events called for may still have to be done
	}
	*p = pending{}
}
