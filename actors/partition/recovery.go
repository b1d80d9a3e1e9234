package partition

import (
	"context"
	"time"

	"github.com/holdfast-run/holdfast/actors/order"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/persistence"
)

// recovery is how far a partition has come with reading its open orders, and with resuming them.
type recovery struct {
	// settled: nothing is under way any more of what was committed before this actor began. settling: the journal was asked for that.
	settled, settling bool

	unresumed []messages.OrderID // those that were read and are to be resumed
	handles   map[messages.OrderID]messages.Handle
	readUpTo  messages.Handle
	readAll   bool
	readingOn bool // readOn is on its way
	// overdueUpTo is up to where orders were read that are due, ahead of the others; overdueAll: up to those that are not due yet.
	overdueUpTo persistence.DuePlace
	overdueAll  bool
	resuming    map[messages.OrderID]bool // those that were told to resume and have not come to rest since
}

func newRecovery() recovery {
	return recovery{handles: map[messages.OrderID]messages.Handle{}, resuming: map[messages.OrderID]bool{}}
}

// settled is what came of a check behind all commits that were under way when an actor of the partition began.
type settled struct {
	partition *partition
	err       error
}

// Notes of a partition to itself about recovery.
type (
	// recoverNow says that an order that has lost what it had to do has waited long enough, and is to be resumed.
	recoverNow order.Recover
	// readOn goes on with reading open orders, behind what has come meanwhile.
	readOn struct{}
)

const (
	// recoveryPage is how many open orders recovery reads at once.
	recoveryPage = 500
	// recoveryReads is how many partitions read at once for recovery: so many keep a journal busy. If all did, each would wait for all the
	// others' pages, and on a busy machine a journal that answers would seem not to.
	recoveryReads = 16
	// overduePage is how many orders that are due are read at once, ahead of the others. There may be none.
	overduePage = 100
)

// settle asks the journal whether this node still owns the partition, behind the commits of the actor before this one: what is read must
// not be older than they are, or an order that they start would seem to wait for its key still.
func (p *partition) settle() {
	if p.settling {
		return
	}
	p.settling = true
	home := p.home
	home.check(func(err error) { home.Tell(settled{p, err}) })
}

// hasSettled goes on with recovery. If the journal could not say, it is asked again in a second.
func (p *partition) hasSettled(m settled) {
	if m.partition != p {
		return
	}
	p.settled, p.settling = m.err == nil, false
	if p.settled {
		p.fire() // what is due has waited longest
		p.recover()
	}
}

// recover takes up open orders: those that can act now are resumed, a few at a time; of the others only the due times are
// kept. It reads a page at a time, so that what is due meanwhile does not wait until all are read. While the journal does not answer, it
// waits for the next second.
func (p *partition) recover() {
	if !p.settled {
		p.settle()
		return
	}
	for pages := 0; len(p.resuming) < p.Config.Waking && !p.draining && p.Health.Available(p.by.Partition); {
		switch {
		case len(p.unresumed) > 0:
			p.resumeNext()
		case p.readAll, p.readingOn:
			return
		case pages > 0:
			p.readingOn = true
			p.Tell(readOn{})
			return
		default:
			read := false
			if p.Workers.Blocking(func() { read = p.readOpen() }); !read {
				return
			}
			pages++
		}
	}
}

func (p *partition) resumeNext() {
	id := p.unresumed[0]
	p.unresumed = p.unresumed[1:]
	h, wanted := p.handles[id]
	if !wanted {
		return
	}
	delete(p.handles, id)
	p.resuming[id] = true
	p.deliver(id, h, order.Resume{})
}

// rested takes an order's word that it has come to rest, after it was resumed or fired.
func (p *partition) rested(m order.Rested) {
	delete(p.resuming, m.ID)
	delete(p.firing, m.ID)
	p.fire()
	p.recover()
}

// recoverLater has an order resumed after a while.
func (p *partition) recoverLater(m order.Recover) {
	if !p.Health.Available(p.by.Partition) {
		p.recoverOrder(recoverNow(m)) // once the journal answers again
		return
	}
	home := p.home
	home.Again(func() { home.Tell(recoverNow(m)) })
}

func (p *partition) recoverOrder(m recoverNow) {
	if _, known := p.handles[m.ID]; !known {
		p.unresumed = append(p.unresumed, m.ID)
		p.handles[m.ID] = m.Handle
	}
	p.recover()
}

// mayRead waits for a place among the partitions that read, which hasRead gives back. It returns false if there is none in time, or if the
// journal does not answer now.
func (p *partition) mayRead() bool {
	p.loop.Beat() // there may be many pages
	late := time.NewTimer(p.Config.ReadTimeout)
	defer late.Stop()
	select {
	case p.reading <- struct{}{}:
	case <-late.C:
		return false // it is tried again in a second
	}
	if !p.Health.Available(p.by.Partition) {
		p.hasRead()
		return false
	}
	p.loop.Beat()
	return true
}

// hasRead gives the place back.
func (p *partition) hasRead() { <-p.reading }

// readOpen reads a page of open orders. It returns false if this partition has to wait for others that read, or if the journal does not
// answer now.
func (p *partition) readOpen() bool {
	if !p.mayRead() {
		return false
	}
	defer p.hasRead()
	c, cancel := context.WithTimeout(context.Background(), p.Config.ReadTimeout)
	defer cancel()
	page, err := p.Journal.Open(c, p.by.Partition, p.readUpTo, recoveryPage)
	if err != nil {
		p.unread("open orders", err)
		return false
	}
	p.readOverflow(page)
	for _, o := range page {
		p.readUpTo = o.Handle
		p.found(o)
		p.takeUp(o)
	}
	all := len(page) < recoveryPage
	if all && !p.loadKeys() {
		return false
	}
	p.readAll = all
	p.counts.read(p.readUpTo, p.readAll)
	if p.readAll {
		p.publish()
		p.owner.tell(step{p.by.Partition, Recovered{p.by.Epoch}})
	}
	return true
}

// takeUp takes up an open order as its row says.
func (p *partition) takeUp(o persistence.OpenOrder) {
	id := messages.OrderID(o.Row.GetId())
	p.takeUpKey(o)
	at := o.Row.GetDue()
	if at != 0 && !p.firing[id] {
		p.setDue(id, persistence.DuePlace{At: at, Handle: o.Handle}, true)
	}
	if waits := at != 0 || o.Row.GetQueued() || o.Row.GetHeld() && !o.Row.GetTelling() || o.Row.GetSuspended() ||
		o.Row.GetParked(); waits && !o.Row.GetIntake() {
		return // it is started when it is due or has the turn of its key, waits for an operator, or is refilled from disk
	}
	p.unresumed = append(p.unresumed, id)
	p.handles[id] = o.Handle
}

// readOverflow tells the backlogs of what is on disk.
func (p *partition) readOverflow(page []persistence.OpenOrder) {
	oldest := map[storedAt]int64{}
	for _, o := range page {
		for _, task := range o.Row.GetOverflow() {
			q := storedAt{task.GetActivity(), int(task.GetPriority())}
			if at, known := oldest[q]; !known || task.GetAt() < at {
				oldest[q] = task.GetAt()
			}
		}
	}
	for q, since := range oldest {
		p.Backlogs.Overflowed(q.called, q.priority, p.by, since)
	}
}
