package partition

import (
	"testing"

	"github.com/holdfast-run/holdfast/actors/order"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/persistence"
)

// An order is counted once, whoever sees it first: recovery in the index, or who loads it, also between a page and its end.
func TestCountedOnce(t *testing.T) {
	t.Parallel()
	l := &listener{}
	h := &home{Parts: &Parts{Lists: l, Observer: l, Health: l}}
	open := &journalv1.OpenRow{Id: "a"}
	row := func(n byte) persistence.OpenOrder {
		return persistence.OpenOrder{Handle: messages.Handle{n}, Row: open}
	}
	expect := func(want int64) {
		t.Helper()
		if got, _ := h.counts.totals(); got != want {
			t.Errorf("%d orders are open, want %d", got, want)
		}
	}
	h.Loaded("1", messages.Handle{1}, open, h.Loading())
	h.found(row(1))
	h.found(row(2))
	h.Loaded("2", messages.Handle{2}, open, h.Loading()) // what else was to be read with the page could not be
	expect(2)
	h.counts.read(messages.Handle{2}, false)
	h.found(row(2)) // by another actor of the partition
	h.Loaded("1", messages.Handle{1}, open, h.Loading())
	h.found(row(3))
	h.counts.read(messages.Handle{3}, true)
	h.Loaded("3", messages.Handle{3}, open, h.Loading())
	expect(3)
	for n := byte(1); n <= 3; n++ {
		h.Committed(&persistence.Commit{Handle: messages.Handle{n}, Close: true}, messages.OrderID("a"), order.Rows{Open: open}, nil)
	}
	expect(0)
}

// An order that is accepted, or taken up, is counted once, though it is found, or loaded by another actor of it, when the commit is made,
// and its outcome not told yet; and whatever that is.
func TestCountedByItsFirstCommit(t *testing.T) {
	t.Parallel()
	open := &journalv1.OpenRow{Id: "a", Queued: true, OrderKey: "k"}
	x := messages.Handle{1}
	readers := map[string]func(h *home){
		"found":            func(h *home) { h.found(persistence.OpenOrder{Handle: x, Row: open}); h.counts.read(x, false) },
		"found at the end": func(h *home) { h.found(persistence.OpenOrder{Handle: x, Row: open}); h.counts.read(x, true) },
		"loaded":           func(h *home) { h.Loaded("a", x, open, h.Loading()) },
		"not there yet":    func(h *home) { h.counts.read(messages.Handle{}, true) },
	}
	for name, reads := range readers {
		for _, outcome := range []error{nil, persistence.ErrUnknown} {
			l := &listener{}
			h := &home{Parts: &Parts{Lists: l, Observer: l, Health: l}}
			h.Committing(x)
			reads(h)
			h.Committed(&persistence.Commit{Handle: x, Open: open}, "a", order.Rows{}, outcome)
			h.Loaded("a", x, open, h.Loading())
			if n, _ := h.counts.totals(); n != 1 || h.counts.waiting() != 1 {
				t.Errorf("%s, %v: %d orders are open and %d wait, want one", name, outcome, n, h.counts.waiting())
			}
		}
	}
}

// An order whose actor failed during a commit, and that was loaded anew before the outcome turned out to be unknown, is counted again by
// its next commit; also if the outcome of more than one is unknown.
func TestCountedAfterUnknown(t *testing.T) {
	t.Parallel()
	x, open, row := messages.Handle{1}, &journalv1.OpenRow{Id: "a"}, &journalv1.OrderRow{Id: "a"}
	for unknown := range 3 {
		for _, next := range []persistence.Commit{{Handle: x}, {Handle: x, Open: open}, {Handle: x, Close: true}} {
			l := &listener{}
			h := &home{Parts: &Parts{Lists: l, Observer: l, Health: l}}
			h.Loaded("a", x, open, h.Loading())
			h.counts.read(x, true)
			h.Loaded("a", x, open, h.Loading())
			for range unknown {
				h.Committed(&persistence.Commit{Handle: x, Open: open}, "a", order.Rows{Row: row, Open: open}, persistence.ErrUnknown)
			}
			h.Committed(&next, "a", order.Rows{Row: row, Open: open}, nil)
			want := int64(1)
			if next.Close {
				want = 0
			}
			if n, _ := h.counts.totals(); n != want || len(h.counts.unsure) > 0 {
				t.Errorf("after %d commits whose outcome is unknown %d orders are open, want %d", unknown, n, want)
			}
		}
	}
}

// An order that was read just before the outcome of a commit of it turned out to be unknown, and is told of just after, is not counted as
// it was read: it may have ended since.
func TestCountedAfterAnOldLook(t *testing.T) {
	t.Parallel()
	x, open, row := messages.Handle{1}, &journalv1.OpenRow{Id: "a"}, &journalv1.OrderRow{Id: "a"}
	for before := range 2 {
		l := &listener{}
		h := &home{Parts: &Parts{Lists: l, Observer: l, Health: l}}
		h.Loaded("a", x, open, h.Loading())
		h.counts.read(x, true)
		unknown := func() {
			h.Committed(&persistence.Commit{Handle: x, Close: true}, "a", order.Rows{Row: row, Open: open}, persistence.ErrUnknown)
		}
		for range before {
			unknown()
		}
		mark := h.Loading()
		unknown()
		h.Loaded("a", x, open, mark)
		h.Loaded("a", x, nil, h.Loading()) // as its next commit was a conflict: it has ended
		if n, _ := h.counts.totals(); n != 0 || len(h.counts.unsure) > 0 {
			t.Errorf("%d before: %d orders are open, want none", before, n)
		}
	}
}
