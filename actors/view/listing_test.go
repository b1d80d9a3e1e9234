package view

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/persistence"
)

// town is a journal of rows, and whoever commits to it: also while it is read.
type town struct {
	rows map[messages.Handle]*journalv1.OrderRow
	view *View
	// meanwhile happens before and after each reading; nil: nothing.
	meanwhile func()
	fails     error
	reads     int
}

func newTown() *town {
	w := &town{rows: map[messages.Handle]*journalv1.OrderRow{}}
	w.view = New(Parts{Journal: w})
	for p := range messages.Partitions {
		w.view.Serves(messages.Partition(p), true)
	}
	return w
}

// commit puts a row, and tells of it.
func (w *town) commit(h messages.Handle, row *journalv1.OrderRow) {
	w.rows[h] = row
	w.view.Changed(h, row)
}

func (w *town) reading() func() {
	if w.meanwhile == nil {
		return func() {}
	}
	w.meanwhile()
	return w.meanwhile
}

func (w *town) Row(_ context.Context, h messages.Handle) (*journalv1.OrderRow, error) {
	defer w.reading()()
	w.reads++
	row := w.rows[h]
	if row == nil {
		return nil, errors.Join(persistence.ErrNotFound, w.fails)
	}
	return row, w.fails
}

// List implements Journal: no more than Scan orders are looked at.
func (w *town) List(_ context.Context, q persistence.Query) (found []persistence.FoundOrder, next messages.Handle, err error) {
	defer w.reading()()
	scanned := 0
	for _, h := range slices.SortedFunc(maps.Keys(w.rows), newestFirst) {
		if !q.After.IsZero() && bytes.Compare(h[:], q.After[:]) >= 0 {
			continue
		}
		if len(found) == q.Limit || scanned == q.Scan {
			return found, next, w.fails
		}
		if q.Matches(w.rows[h]) {
			found = append(found, persistence.FoundOrder{Handle: h, Row: w.rows[h]})
		}
		scanned, next = scanned+1, h
	}
	return found, messages.Handle{}, w.fails
}

func (w *town) Find(context.Context, messages.OrderID) (persistence.Entry, error) {
	panic("not for lists")
}

func (w *town) Records(context.Context, messages.Handle, messages.Version) iter.Seq2[persistence.StoredRecord, error] {
	panic("not for lists")
}

func (w *town) Overflowed(context.Context, persistence.Overflow, persistence.OverflowPlace, int) ([]persistence.OverflowedTask, error) {
	panic("not for lists")
}

// watcher knows what a listing tells.
type watcher struct {
	*Listing

	town   *town
	orders map[string]*journalv1.OrderRow
}

func (w *town) watch(q Query) *watcher {
	return &watcher{Listing: w.view.WatchList(q), town: w, orders: map[string]*journalv1.OrderRow{}}
}

// tell takes what is news, at most so many at a time, and returns what is wrong with it.
func (x *watcher) tell(most int) (wrong error) {
	for more := true; more && wrong == nil; {
		n := 0
		var err error
		more, err = x.Tell(context.Background(), func(c Change) bool {
			if n++; n > most {
				return false
			}
			switch was := x.orders[c.ID]; {
			case c.Row == nil && was == nil:
				wrong = fmt.Errorf("%s is told to be gone, and was never told", c.ID)
			case c.Row == nil:
				delete(x.orders, c.ID)
			case !x.query.Matches(c.Row):
				wrong = fmt.Errorf("%v is told, and does not match", c.Row)
			case was != nil && standingOf(was) == standingOf(c.Row):
				wrong = fmt.Errorf("%v is told twice", c.Row)
			default:
				x.orders[c.ID] = c.Row
			}
			return true
		})
		if err != nil {
			return err
		}
	}
	if wrong == nil && x.listed && len(x.orders) > x.query.Limit {
		wrong = fmt.Errorf("%d orders were told", len(x.orders))
	}
	return wrong
}

// settle brings the watcher up to date while nothing happens, and returns what differs from the list as it is.
func (x *watcher) settle() error {
	for n := 0; !x.Whole() || isClosed(x.Changed()); n++ {
		if n > 100 {
			return errors.New("it never comes to rest")
		}
		if err := x.Look(context.Background()); err != nil {
			return err
		}
		if err := x.tell(3); err != nil {
			return err
		}
	}
	q := x.query
	q.Scan = len(x.town.rows) + 1
	found, next, err := x.town.List(context.Background(), q)
	if err != nil {
		return err
	}
	if len(found) != len(x.orders) || x.Cut() && len(found) < q.Limit || !x.Cut() && !next.IsZero() && more(x.town, q, next) {
		return fmt.Errorf("%d orders are in the list, %d were told; cut: %v", len(found), len(x.orders), x.Cut())
	}
	for _, f := range found {
		if told := x.orders[f.Row.GetId()]; told == nil || standingOf(told) != standingOf(f.Row) {
			return fmt.Errorf("told was %v, and it is %v", told, f.Row)
		}
	}
	return nil
}

// more tells whether any order behind one matches.
func more(w *town, q Query, after messages.Handle) bool {
	q.After = after
	found, _, err := w.List(context.Background(), q)
	return err == nil && len(found) > 0
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func handle(n uint32) (h messages.Handle) {
	binary.BigEndian.PutUint32(h[:], n)
	return h
}

// Whatever is committed, also while the list is read, and whatever changes are missed: in the end whoever watches has what List
// answers, and never an order that did not match when it was told.
func TestListingModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := newTown()
		last := uint32(1)
		ids := []string{"a", "b", "c"}
		alter := func(h messages.Handle) {
			row := &journalv1.OrderRow{
				Id: h.String(), Status: rapid.Int32Range(1, 4).Draw(t, "status"), Definition: "d:1", OrderKey: ids[int(h[3])%len(ids)],
				EndedAt: rapid.Int64Range(0, 1).Draw(t, "ended"),
			}
			switch rapid.IntRange(0, 9).Draw(t, "how") {
			case 0: // the commit's outcome is not known, and it has happened
				w.rows[h] = row
				w.view.Changed(h, nil)
			case 1: // or it has not
				w.view.Changed(h, nil)
			case 2: // it is told late, by which time there is another one
				w.rows[h] = row
				w.commit(h, &journalv1.OrderRow{Id: row.GetId(), Status: 4, Definition: "d:1", OrderKey: row.GetOrderKey()})
				w.view.Changed(h, row)
			default:
				w.commit(h, row)
			}
		}
		something := func() {
			if rapid.Bool().Draw(t, "new") {
				last++
				alter(handle(last))
			} else {
				alter(handle(rapid.Uint32Range(2, last+1).Draw(t, "order")))
			}
		}
		for range rapid.IntRange(0, 12).Draw(t, "before") {
			something()
		}
		q := Query{Limit: rapid.IntRange(1, 6).Draw(t, "limit"), Scan: rapid.IntRange(1, 8).Draw(t, "scan")}
		for range rapid.IntRange(0, 2).Draw(t, "statuses") {
			q.Statuses = append(q.Statuses, orderv1.Status(rapid.Int32Range(1, 4).Draw(t, "status")))
		}
		if rapid.Bool().Draw(t, "keyed") {
			q.OrderKey = "a"
		}
		x := w.watch(q)
		defer x.Close()
		w.view.ring = make([]change, rapid.SampledFrom([]int{1, 3, 100}).Draw(t, "kept"))
		t.Repeat(map[string]func(*rapid.T){
			"":       func(*rapid.T) {},
			"commit": func(*rapid.T) { something() },
			"look": func(t *rapid.T) {
				left := rapid.IntRange(0, 4).Draw(t, "meanwhile")
				w.meanwhile = func() {
					if left > 0 {
						left--
						something()
					}
				}
				defer func() { w.meanwhile = nil }()
				if err := x.Look(context.Background()); err != nil {
					t.Fatal(err)
				}
				if err := x.tell(rapid.IntRange(1, 4).Draw(t, "room")); err != nil {
					t.Fatal(err)
				}
			},
			"settle": func(t *rapid.T) {
				if err := x.settle(); err != nil {
					t.Fatal(err)
				}
			},
		})
		if err := x.settle(); err != nil {
			t.Fatal(err)
		}
	})
}

// However many orders have changed that match: no more are looked at one by one than are worth it.
func TestListingManyChanges(t *testing.T) {
	t.Parallel()
	w := newTown()
	x := w.watch(Query{Limit: 3, Scan: 10})
	defer x.Close()
	for _, changes := range []uint32{mostPending, mostPending + 1, 3 * mostPending} {
		if err := x.settle(); err != nil {
			t.Fatal(err)
		}
		w.reads = 0
		for n := range changes {
			w.commit(handle(n+1), &journalv1.OrderRow{Id: handle(n + 1).String(), Status: int32(changes % 7)})
		}
		if err := x.settle(); err != nil {
			t.Error(err)
		}
		if most := 20; changes > mostPending && w.reads > most || w.reads > mostPending+most {
			t.Errorf("after %d changes %d rows were read", changes, w.reads)
		}
	}
}
