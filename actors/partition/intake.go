package partition

import (
	"context"
	"fmt"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/persistence"
)

// intakePage is the most orders that one sweep of the intake finds.
const intakePage = 1000

// found are orders of a partition that are in its intake, or were a moment ago.
type found []inserted

type inserted struct {
	id     messages.OrderID
	handle messages.Handle
}

// Here tells whether a partition is here.
func (o *Ownership) Here(p messages.Partition) bool { return o.homes.Load()[p] != nil }

// Sweep looks for orders that other nodes have accepted for the partitions that are here, and has those taken up. It is a query for all
// partitions whose shards answer, and is to be called every second, by one goroutine. If there are more orders than a sweep finds, the
// next one goes on behind them; it goes round, as one that is accepted later may lie before them.
func (o *Ownership) Sweep(ctx context.Context) error {
	homes := o.homes.Load()
	var of []messages.Partition
	for i, h := range homes {
		if p := messages.Partition(i); h != nil && !h.closed.Load() && o.parts.Health.Available(p) {
			of = append(of, p)
		}
	}
	if len(of) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, o.parts.Config.ReadTimeout)
	defer cancel()
	page, err := o.parts.Journal.Intake(ctx, of, o.swept, intakePage)
	o.parts.Health.Note(of[0], err) // it says itself of which shard it is
	o.swept = messages.Handle{}
	if len(page) == intakePage && err == nil {
		o.swept = page[len(page)-1].Handle
	}
	for len(page) > 0 {
		p, n := page[0].Handle.Partition(), 1
		for n < len(page) && page[n].Handle.Partition() == p {
			n++
		}
		homes[p].Tell(foundIn(page[:n]))
		page = page[n:]
	}
	if err != nil {
		return fmt.Errorf("read the intake: %w", err)
	}
	return nil
}

func foundIn(page []persistence.OpenOrder) (out found) {
	for _, o := range page {
		out = append(out, inserted{messages.OrderID(o.Row.GetId()), o.Handle})
	}
	return out
}

// takeIn has orders taken up that another node has accepted. If too many wait for that already, they are left to a later sweep.
func (p *partition) takeIn(orders found) {
	for _, o := range orders {
		if _, known := p.handles[o.id]; known || p.resuming[o.id] || len(p.unresumed) >= recoveryPage {
			continue
		}
		p.unresumed = append(p.unresumed, o.id)
		p.handles[o.id] = o.handle
	}
	p.recover()
}
