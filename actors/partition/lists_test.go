package partition

import (
	"fmt"
	"testing"

	"github.com/holdfast-run/holdfast/actors/order"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/persistence"
)

// listener notes what those who watch lists are told, and is nothing else.
type listener struct{ told []string }

func (l *listener) Changed(h messages.Handle, row *journalv1.OrderRow) {
	l.told = append(l.told, fmt.Sprintf("%d %s", h[0], row.GetId()))
}

func (l *listener) Serves(messages.Partition, bool)    {}
func (l *listener) Committed(_, _ *journalv1.OrderRow) {}
func (l *listener) Available(messages.Partition) bool  { return true }
func (l *listener) Note(messages.Partition, error)     {}

// Whoever watches a list is told of each row that has changed, or may have.
func TestListsAreToldOfRows(t *testing.T) {
	t.Parallel()
	l := &listener{}
	h := &home{Parts: &Parts{Lists: l, Observer: l, Health: l}}
	row, open := &journalv1.OrderRow{Id: "row"}, &journalv1.OpenRow{}
	commit := func(n byte, row *journalv1.OrderRow, err error) {
		h.Committed(&persistence.Commit{Handle: messages.Handle{n}, Row: row, Open: open}, messages.OrderID(fmt.Sprint(n)), order.Rows{}, err)
	}
	commit(1, row, nil)
	commit(2, nil, nil)
	commit(3, row, persistence.ErrBusy)
	commit(4, row, persistence.ErrConflict)
	commit(5, row, persistence.ErrUnknown)
	h.Loaded("5", messages.Handle{5}, open, h.Loading()) // by now it is known what came of it
	h.Loaded("5", messages.Handle{5}, open, h.Loading())
	h.Loaded("6", messages.Handle{6}, open, h.Loading())
	if got, want := fmt.Sprintf("%q", l.told), `["1 row" "4 " "5 " "5 "]`; got != want {
		t.Errorf("told %s, want %s", got, want)
	}
}
