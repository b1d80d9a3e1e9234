package memory

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/persistence"
	"github.com/holdfast-run/holdfast/persistence/rows"
)

// Find looks an order up in the directory.
func (j *Journal) Find(ctx context.Context, id messages.OrderID) (persistence.Entry, error) {
	if err := j.enter(ctx); err != nil {
		return persistence.Entry{}, err
	}
	defer j.leave()
	if o := j.store.byID[id]; o != nil {
		return o.entry, nil
	}
	return persistence.Entry{}, persistence.ErrNotFound
}

// Row reads an order's row.
func (j *Journal) Row(ctx context.Context, h messages.Handle) (*journalv1.OrderRow, error) {
	if err := j.enter(ctx); err != nil {
		return nil, err
	}
	defer j.leave()
	if o := j.store.orders[h]; o != nil {
		return proto.CloneOf(o.row), nil
	}
	return nil, fmt.Errorf("read order %s: %w", h, persistence.ErrNotFound)
}

// Records reads the history of an order. If there is none, it yields ErrNotFound.
func (j *Journal) Records(ctx context.Context, h messages.Handle, from messages.Version) iter.Seq2[persistence.StoredRecord, error] {
	return func(yield func(persistence.StoredRecord, error) bool) {
		records, err := j.recordsOf(ctx, h)
		if err != nil {
			yield(persistence.StoredRecord{}, fmt.Errorf("read the history of order %s: %w", h, err))
			return
		}
		for i, r := range records {
			if i+1 < len(records) && records[i+1].First <= from {
				continue
			}
			events, err := persistence.CheckRecord(h, r.First, r.Data)
			if err == nil && ctx.Err() != nil {
				err = context.Cause(ctx)
			}
			if err != nil {
				yield(persistence.StoredRecord{}, err)
				return
			}
			if r.First+messages.Version(events) > from && !yield(r, nil) { //nolint:gosec // at least 1
				return
			}
		}
	}
}

func (j *Journal) recordsOf(ctx context.Context, h messages.Handle) ([]persistence.StoredRecord, error) {
	if err := j.enter(ctx); err != nil {
		return nil, err
	}
	defer j.leave()
	o := j.store.orders[h]
	if o == nil {
		return nil, persistence.ErrNotFound
	}
	return o.records, nil // Records are only ever appended.
}

// told are the first orders, as callers get them.
func told(orders []*order, limit int) (out []persistence.OpenOrder) {
	for _, o := range orders[:min(len(orders), max(limit, 0))] {
		out = append(out, persistence.OpenOrder{Handle: o.entry.Handle, Row: proto.CloneOf(o.open)})
	}
	return out
}

// Open returns open orders of a partition.
func (j *Journal) Open(ctx context.Context, p messages.Partition, after messages.Handle, limit int) ([]persistence.OpenOrder, error) {
	if err := j.enter(ctx); err != nil {
		return nil, err
	}
	defer j.leave()
	return told(j.store.openIn(p, func(o *order) bool { return after.IsZero() || compare(o.entry.Handle, after) > 0 }), limit), nil
}

// Intake returns those of which the owner has not decided anything.
func (j *Journal) Intake(
	ctx context.Context, of []messages.Partition, after messages.Handle, limit int,
) ([]persistence.OpenOrder, error) {
	if err := j.enter(ctx); err != nil {
		return nil, err
	}
	defer j.leave()
	var found []*order
	for h, o := range j.store.intake {
		if slices.Contains(of, o.entry.Partition) && (after.IsZero() || persistence.CompareIntake(h, after) > 0) {
			found = append(found, o)
		}
	}
	slices.SortFunc(found, func(a, b *order) int { return persistence.CompareIntake(a.entry.Handle, b.entry.Handle) })
	return told(found, limit), nil
}

// Due returns open orders of a partition that have a due time.
func (j *Journal) Due(ctx context.Context, p messages.Partition, after persistence.DuePlace, limit int) ([]persistence.OpenOrder, error) {
	if err := j.enter(ctx); err != nil {
		return nil, err
	}
	defer j.leave()
	place := func(o *order) persistence.DuePlace {
		return persistence.DuePlace{At: max(o.open.GetDue(), 0), Handle: o.entry.Handle}
	}
	found := j.store.openIn(p, func(o *order) bool { return o.open.GetDue() != 0 && place(o).Compare(after) > 0 })
	slices.SortFunc(found, func(a, b *order) int { return place(a).Compare(place(b)) })
	return told(found, limit), nil
}

// Overflowed returns tasks that wait on disk.
func (j *Journal) Overflowed(
	ctx context.Context, of persistence.Overflow, after persistence.OverflowPlace, limit int,
) (found []persistence.OverflowedTask, err error) {
	if err := j.enter(ctx); err != nil {
		return nil, err
	}
	defer j.leave()
	before := func(a, b persistence.OverflowPlace) int {
		return cmp.Or(cmp.Compare(a.At, b.At), cmp.Compare(a.Frame, b.Frame), compare(a.Handle, b.Handle))
	}
	for _, o := range j.store.openIn(of.Partition, func(*order) bool { return true }) {
		for _, x := range rows.OfOpen(nil, o.open, 0) {
			at := persistence.OverflowPlace{At: x.Number, Frame: x.Frame, Handle: o.entry.Handle}
			if x.Index == rows.ByOverflow && x.Text == of.Activity && int(x.Priority) == of.Priority && before(at, after) > 0 {
				task := persistence.OverflowedTask{OverflowPlace: at, Order: messages.OrderID(o.open.GetId()), Bytes: int(x.Bytes)}
				found = append(found, task)
			}
		}
	}
	slices.SortFunc(found, func(a, b persistence.OverflowedTask) int { return before(a.OverflowPlace, b.OverflowPlace) })
	return found[:min(len(found), max(limit, 0))], nil
}

// queued returns the orders of a partition that wait for keys, in the order of their positions.
func (j *Journal) queued(ctx context.Context, p messages.Partition, wanted func(key string) bool) ([]persistence.QueuedOrder, error) {
	if err := j.enter(ctx); err != nil {
		return nil, err
	}
	defer j.leave()
	var found []persistence.QueuedOrder
	for _, o := range j.store.openIn(p, func(o *order) bool { return rows.Queues(o.open) && wanted(o.open.GetOrderKey()) }) {
		found = append(found, persistence.QueuedOrder{
			Key: o.open.GetOrderKey(), Position: persistence.Position(o.open.GetPosition()), Handle: o.entry.Handle,
			ID: messages.OrderID(o.open.GetId()),
		})
	}
	slices.SortFunc(found, func(a, b persistence.QueuedOrder) int { return cmp.Compare(a.Position, b.Position) })
	return found, nil
}

// Queue returns orders that wait for a key.
func (j *Journal) Queue(
	ctx context.Context, p messages.Partition, key string, after persistence.Position, limit int,
) ([]persistence.QueuedOrder, error) {
	found, err := j.queued(ctx, p, func(k string) bool { return k == key })
	found = slices.DeleteFunc(found, func(o persistence.QueuedOrder) bool { return o.Position <= after })
	return found[:min(len(found), max(limit, 0))], err
}

// QueuedKeys returns the first of each queue of a partition.
func (j *Journal) QueuedKeys(ctx context.Context, p messages.Partition, after string, limit int) ([]persistence.QueuedOrder, error) {
	found, err := j.queued(ctx, p, func(k string) bool { return k > after })
	slices.SortStableFunc(found, func(a, b persistence.QueuedOrder) int { return cmp.Compare(a.Key, b.Key) })
	found = slices.CompactFunc(found, func(a, b persistence.QueuedOrder) bool { return a.Key == b.Key })
	return found[:min(len(found), max(limit, 0))], err
}

// Fallout counts the orders that have faulted.
func (j *Journal) Fallout(ctx context.Context) (persistence.Fallout, error) {
	if err := j.enter(ctx); err != nil {
		return persistence.Fallout{}, err
	}
	defer j.leave()
	return j.store.fallout, nil
}

// List returns orders, newest first. It looks at all of them.
func (j *Journal) List(ctx context.Context, q persistence.Query) (found []persistence.FoundOrder, next messages.Handle, err error) {
	if err := j.enter(ctx); err != nil {
		return nil, next, err
	}
	defer j.leave()
	if err := q.Check(); err != nil {
		return nil, next, err
	}
	all := j.store.handles
	if !q.After.IsZero() {
		i, _ := slices.BinarySearchFunc(all, q.After, compare)
		all = all[:i]
	}
	for scanned, i := 0, len(all)-1; i >= 0; scanned, i = scanned+1, i-1 {
		if len(found) == q.Limit || scanned == q.Scan {
			return found, next, nil
		}
		row := j.store.orders[all[i]].row
		if q.Matches(row) {
			found = append(found, persistence.FoundOrder{Handle: all[i], Row: proto.CloneOf(row)})
		}
		next = all[i]
	}
	return found, messages.Handle{}, nil
}
