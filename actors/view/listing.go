package view

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/persistence"
)

// Listing is a list that is watched: the newest orders that match a query, at most as many as its limit. It is brought up to date
// with Look, and what is news since it was told last is told with Tell. Both read the journal; changes only say where to look.
//
//	newest ──────────────────────────────► oldest
//	orders that match: all are in the list │ not looked at: the list is cut
//	                                      upTo
//
// It keeps an id and some numbers of each order, and as much of orders that it has to look at. It is for one goroutine.
type Listing struct {
	journal Journal
	query   Query
	changes *changeReader
	buffer  []change

	// orders are the orders in the list, and those that were told and have left the list since, which is to be told.
	orders map[messages.Handle]*listed
	count  int // of those that are in it
	// All orders from the newest down to upTo were looked at; looked: any were. Zero: all there are.
	upTo   messages.Handle
	looked bool
	// listed: the list was told when it was whole.
	listed bool
	// pending are orders to be looked at, at most mostPending. stale: there are others, and the list must be read anew.
	pending map[messages.Handle]struct{}
	stale   bool
	// doubtful: orders that run elsewhere may have changed. Once the list is whole it is read anew: else it might never be.
	doubtful bool
}

// listed is an order of a list.
type listed struct {
	id string
	// in: it is in the list, and stands as is says. told: it was told, as was says.
	in, told bool
	is, was  standing
}

// standing is what may change of an order in a list.
type standing struct {
	status            int32
	deadline, endedAt int64
}

func standingOf(row *journalv1.OrderRow) standing {
	return standing{row.GetStatus(), row.GetDeadline(), row.GetEndedAt()}
}

const (
	// mostPending is how many orders are looked at one by one: for more, reading the list anew is no more work.
	mostPending = 2000
	// changesRead is how many changes are read at once.
	changesRead = 256
)

// WatchList begins to watch the list of a query: of its first page. Close the listing.
func (v *View) WatchList(q Query) *Listing {
	return &Listing{
		journal: v.parts.Journal, query: q, changes: v.watch(), buffer: make([]change, changesRead), orders: map[messages.Handle]*listed{},
		pending: map[messages.Handle]struct{}{}, stale: true,
	}
}

// Close ends the watching.
func (l *Listing) Close() { l.changes.leave() }

// Changed returns what is closed when Look may find something new.
func (l *Listing) Changed() <-chan struct{} {
	if !l.Whole() || len(l.pending) > 0 || l.doubtful {
		return closed
	}
	return l.changes.more()
}

var closed = func() chan struct{} { //nolint:gochecknoglobals // a constant
	c := make(chan struct{})
	close(c)
	return c
}()

// Whole tells whether the list is read to its end: it is as long as its limit, or no older orders match.
func (l *Listing) Whole() bool {
	return !l.stale && l.looked && (l.count == l.query.Limit || l.upTo.IsZero())
}

// Cut tells whether the list is as long as its limit, and older orders may match.
func (l *Listing) Cut() bool { return l.Whole() && !l.upTo.IsZero() }

// Look brings the list up to date, by as much as one reading of the journal may take: until it is whole, there is more to do. After
// an error it is of no use any more.
func (l *Listing) Look(ctx context.Context) error {
	l.collect()
	if l.stale || l.doubtful && l.Whole() {
		l.forget()
	}
	for _, h := range slices.SortedFunc(maps.Keys(l.pending), newestFirst) {
		row, err := l.row(ctx, h)
		if err != nil {
			return err
		}
		if row == nil {
			l.remove(h)
		} else {
			l.put(h, row)
		}
		delete(l.pending, h)
	}
	l.trim()
	if l.Whole() {
		return nil
	}
	return l.goOn(ctx)
}

// forget forgets the list, so that it is read anew.
func (l *Listing) forget() {
	for h := range l.orders {
		l.remove(h)
	}
	clear(l.pending)
	l.upTo, l.looked, l.stale, l.doubtful = messages.Handle{}, false, false, false
}

// collect takes up changes, as far as they have to do with the list.
func (l *Listing) collect() {
	for {
		changes, missed, doubtful := l.changes.read(l.buffer)
		l.stale, l.doubtful = l.stale || missed, l.doubtful || doubtful
		for _, c := range changes {
			if l.stale || !l.covers(c.handle) {
				continue // it will be read
			}
			o := l.orders[c.handle]
			if o != nil && o.in || c.row == nil || l.query.Matches(c.row) {
				l.pending[c.handle] = struct{}{}
				l.stale = len(l.pending) > mostPending
			}
		}
		clear(changes) // whatever they hold may be forgotten
		if len(changes) < len(l.buffer) {
			return
		}
	}
}

// covers tells whether an order is among those that were looked at.
func (l *Listing) covers(h messages.Handle) bool {
	return l.looked && bytes.Compare(h[:], l.upTo[:]) >= 0
}

// row is the row of an order if that matches; else it is nil.
func (l *Listing) row(ctx context.Context, h messages.Handle) (*journalv1.OrderRow, error) {
	row, err := l.journal.Row(ctx, h)
	switch {
	case errors.Is(err, persistence.ErrNotFound): // it was not accepted after all
		return nil, nil //nolint:nilnil // as said
	case err != nil:
		return nil, fmt.Errorf("read the row of an order: %w", err)
	case !l.query.Matches(row):
		return nil, nil //nolint:nilnil // as said
	}
	return row, nil
}

// trim removes the oldest orders from a list that is too long.
func (l *Listing) trim() {
	if l.count <= l.query.Limit {
		return
	}
	in := l.sorted(func(o *listed) bool { return o.in })
	for _, h := range in[l.query.Limit:] {
		l.remove(h)
	}
	l.upTo = in[l.query.Limit-1]
}

// sorted returns the orders that are wanted, newest first.
func (l *Listing) sorted(wanted func(*listed) bool) []messages.Handle {
	var out []messages.Handle
	for h, o := range l.orders {
		if wanted(o) {
			out = append(out, h)
		}
	}
	slices.SortFunc(out, newestFirst)
	return out
}

func newestFirst(a, b messages.Handle) int { return bytes.Compare(b[:], a[:]) }

// goOn looks at the next older orders, as long as the list has room for any.
func (l *Listing) goOn(ctx context.Context) error {
	q := l.query
	q.After, q.Limit = l.upTo, l.query.Limit-l.count
	found, next, err := l.journal.List(ctx, q)
	if err != nil {
		return fmt.Errorf("list orders: %w", err)
	}
	for _, f := range found {
		l.put(f.Handle, f.Row)
	}
	l.upTo, l.looked = next, true
	return nil
}

// put has an order be in the list.
func (l *Listing) put(h messages.Handle, row *journalv1.OrderRow) {
	o := l.orders[h]
	if o == nil {
		o = &listed{id: row.GetId()}
		l.orders[h] = o
	}
	if !o.in {
		o.in = true
		l.count++
	}
	o.is = standingOf(row)
}

// remove has an order not be in the list.
func (l *Listing) remove(h messages.Handle) {
	o := l.orders[h]
	if o == nil || !o.in {
		return
	}
	o.in = false
	l.count--
	if !o.told {
		delete(l.orders, h)
	}
}

// Change says that an order has come into a list, has changed, or is gone from it. Row is how it stands; nil: it is gone.
type Change struct {
	ID  string
	Row *journalv1.OrderRow
}

// Tell tells the news: first which orders are gone, if the list is whole, then those that have come or have changed, newest
// first, each as it stands while it is told. more: tell has refused one, which is told the next time. A list that is read anew is
// told once it is whole again: what was not found yet may be there.
func (l *Listing) Tell(ctx context.Context, tell func(Change) bool) (more bool, err error) {
	if l.listed && !l.Whole() {
		return false, nil
	}
	l.listed = l.Whole()
	for _, h := range l.sorted(func(o *listed) bool { return !o.in && l.Whole() }) {
		if !tell(Change{ID: l.orders[h].id}) {
			return true, nil
		}
		delete(l.orders, h)
	}
	for _, h := range l.sorted(func(o *listed) bool { return o.in && (!o.told || o.is != o.was) }) {
		row, err := l.row(ctx, h)
		if err != nil {
			return false, err
		}
		if row == nil {
			continue // it has changed since it was looked at, and Look will learn of that
		}
		o := l.orders[h]
		if o.is = standingOf(row); o.told && o.is == o.was {
			continue // it stands as it did
		}
		if !tell(Change{o.id, row}) {
			return true, nil
		}
		o.told, o.was = true, o.is
	}
	return false, nil
}
