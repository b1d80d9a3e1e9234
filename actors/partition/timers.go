package partition

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/holdfast-run/holdfast/actors/order"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/persistence"
)

// readDues reads which orders are due next, behind those that are known. It returns false if the journal does not answer now.
func (p *partition) readDues() bool {
	c, cancel := context.WithTimeout(context.Background(), p.Config.ReadTimeout)
	defer cancel()
	page, err := p.Journal.Due(c, p.by.Partition, p.dues.upTo, p.dues.most)
	if err != nil {
		p.unread("due orders", err)
		return false
	}
	for _, o := range page {
		p.dues.upTo = persistence.DuePlace{At: o.Row.GetDue(), Handle: o.Handle}
		p.dues.set(messages.OrderID(o.Row.GetId()), p.dues.upTo, true)
	}
	p.dues.behind = len(page) == p.dues.most
	return true
}

// readOverdue reads orders that are due, ahead of the other open orders: they have waited long enough. It returns false if there are no
// more, or if the journal does not answer now.
func (p *partition) readOverdue(now int64) (more bool) {
	p.Workers.Blocking(func() {
		if !p.mayRead() {
			return
		}
		defer p.hasRead()
		c, cancel := context.WithTimeout(context.Background(), p.Config.ReadTimeout)
		defer cancel()
		page, err := p.Journal.Due(c, p.by.Partition, p.overdueUpTo, overduePage)
		if err != nil {
			p.unread("due orders", err)
			return
		}
		p.overdueAll = len(page) < overduePage
		for _, o := range page {
			at := persistence.DuePlace{At: o.Row.GetDue(), Handle: o.Handle}
			if at.At > now {
				p.overdueAll = true
				break
			}
			more = true
			p.overdueUpTo = at
			if id := messages.OrderID(o.Row.GetId()); !p.firing[id] {
				p.dues.set(id, at, true)
			}
		}
	})
	return more
}

// unread tells that something can't be read now. If it is damaged it never can be: the partition panics, and in the end the process
// ends.
func (p *partition) unread(what string, err error) {
	if errors.Is(err, persistence.ErrCorrupt) {
		panic(fmt.Errorf("partition %d: read %s: %w", p.by.Partition, what, err))
	}
	p.Unread(err)
	p.Log.Warn("journal does not answer: it is tried again", "partition", p.by.Partition, "reading", what, "error", err)
}

func (p *partition) setDue(id messages.OrderID, at persistence.DuePlace, indexed bool) {
	p.dues.set(id, at, indexed)
	p.arm()
}

// arm sets the timer for the earliest due time, or to read more of them.
func (p *partition) arm() {
	p.timers.Store(int64(len(p.dues.heap)))
	at := p.dues.next()
	if at == 0 || at == p.timerFor || p.firesMost() || p.draining {
		return
	}
	p.timerFor = at
	wait := max(time.Unix(0, at).Sub(p.Now()), 0)
	if p.timer == nil {
		home := p.home
		p.timer = time.AfterFunc(wait, func() { home.Tell(tick{}) })
		return
	}
	p.timer.Reset(wait)
}

// firesMost tells whether no more orders may be fired until some have come to rest.
func (p *partition) firesMost() bool { return len(p.firing) >= p.Config.Waking }

// fire tells the orders that are due, a few at a time. While the journal does not answer, or what was committed before this actor began
// is under way, it waits for the next second.
func (p *partition) fire() {
	p.timerFor = 0
	if p.draining || !p.settled || !p.Health.Available(p.by.Partition) {
		return
	}
	now := p.Now().UnixNano()
	for !p.firesMost() {
		if p.dues.few() {
			read := false
			if p.Workers.Blocking(func() { read = p.readDues() }); !read {
				return
			}
		}
		d := p.dues.first()
		if d == nil || d.At > now {
			if !p.readAll && !p.overdueAll && p.readOverdue(now) {
				continue
			}
			break
		}
		p.dues.remove(d)
		p.firing[d.id] = true
		p.deliver(d.id, d.Handle, order.Fired{})
		p.loop.Beat() // there may be many
	}
	p.arm()
}
