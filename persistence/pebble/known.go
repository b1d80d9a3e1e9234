package pebble

import (
	"errors"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/persistence"
	"github.com/holdfast-run/holdfast/persistence/rows"
)

// known is what a commit is checked against, and what its rows replace.
type known struct {
	// version is that of the order's last event.
	version messages.Version
	// places are where the order is found by what its rows say; nil if that was not read since the order was taken up.
	places *places
	// intake: it was accepted without an epoch, and nothing more of it was committed.
	intake bool
}

// places are those that change with the rows of an order. They are not changed once they are made.
type places struct{ row, open []rows.Place }

// nowhere and running are the places of most orders: of those that were not accepted yet, or have completed, and of those that
// run.
var (
	nowhere = &places{}
	running = &places{open: rows.OfOpen(nil, &journalv1.OpenRow{}, 0)}
)

// queued returns the order's place in the queue of its key.
func (p *places) queued() (rows.Place, bool) {
	i := slices.IndexFunc(p.open, func(x rows.Place) bool { return x.Index == rows.ByQueue })
	if i < 0 {
		return rows.Place{}, false
	}
	return p.open[i], true
}

// after returns the places that an order has after a commit by which it has a position in a queue, if it had these before.
func (p *places) after(c *persistence.Commit, position persistence.Position) *places {
	row, open := p.row, p.open
	if c.Row != nil {
		row = rows.OfStatus(nil, c.Row)
	}
	switch {
	case c.Close:
		open = nil
	case c.Open == nil:
	case c.Open.GetDue() == 0 && len(c.Open.GetOverflow()) == 0 && position == 0:
		open = running.open
	default:
		open = rows.OfOpen(nil, c.Open, uint64(position))
	}
	switch {
	case len(row) > 0 || len(open) > len(running.open):
		return &places{row: row, open: open}
	case len(open) > 0:
		return running
	}
	return nowhere
}

// readPlaces reads them from the rows of an order; it is nowhere if it has none.
func readPlaces(db pebble.Reader, p messages.Partition, h messages.Handle) (*places, error) {
	row, open := new(journalv1.OrderRow), new(journalv1.OpenRow)
	if err := get(db, appendOrderKey(make([]byte, 0, 32), h), row); err != nil && !errors.Is(err, persistence.ErrNotFound) {
		return nil, err
	}
	switch err := get(db, appendOpenKey(make([]byte, 0, 32), p, h), open); {
	case errors.Is(err, persistence.ErrNotFound):
		open = nil
	case err != nil:
		return nil, err
	}
	return &places{row: rows.OfStatus(nil, row), open: rows.OfOpen(nil, open, open.GetPosition())}, nil
}

// knownOrders keeps what is known of orders that were committed lately. It has two generations: when the young one has half
// the bound, it becomes the old one, which is dropped. That happens between batches only, because the store does not show
// what is in a batch: the bound may be exceeded by one batch.
type knownOrders struct {
	half       int
	young, old map[messages.Handle]known
	ended      []messages.Handle
}

func newKnownOrders(bound int) *knownOrders {
	return &knownOrders{
		half:  max(1, bound/2),
		young: make(map[messages.Handle]known),
		old:   make(map[messages.Handle]known),
	}
}

func (k *knownOrders) get(h messages.Handle) (known, bool) {
	if o, found := k.young[h]; found {
		return o, true
	}
	o, found := k.old[h]
	return o, found
}

// set notes what is known of an order, and whether the order is not expected to have more commits.
func (k *knownOrders) set(h messages.Handle, o known, ended bool) {
	k.young[h] = o
	if ended {
		k.ended = append(k.ended, h)
	}
}

// trim keeps the bound. It must be called only when the store shows everything that was set.
func (k *knownOrders) trim() {
	for _, h := range k.ended {
		delete(k.young, h)
		delete(k.old, h)
	}
	k.ended = k.ended[:0]
	if len(k.young) >= k.half {
		clear(k.old)
		k.young, k.old = k.old, k.young
	}
}
