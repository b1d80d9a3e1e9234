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
	h.Loaded("1", messages.Handle{1}, open)
	h.found(row(1))
	h.found(row(2))
	h.Loaded("2", messages.Handle{2}, open) // what else was to be read with the page could not be
	expect(2)
	h.counts.read(messages.Handle{2}, false)
	h.found(row(2)) // by another actor of the partition
	h.Loaded("1", messages.Handle{1}, open)
	h.found(row(3))
	h.counts.read(messages.Handle{3}, true)
	h.Loaded("3", messages.Handle{3}, open)
	expect(3)
	for n := byte(1); n <= 3; n++ {
		h.Committed(&persistence.Commit{Handle: messages.Handle{n}, Close: true}, messages.OrderID("a"), order.Rows{Open: open}, nil)
	}
	expect(0)
}
