package activity

import (
	"time"

	"github.com/holdfast-run/holdfast/actors/dispatch"
	"github.com/holdfast-run/holdfast/actors/runtime"
	"github.com/holdfast-run/holdfast/actors/share"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/messages/nodev1"
)

// holding is what a dispatcher has of the limit of its activity. A dispatcher whose activity has no limit pays nothing for it.
type holding struct {
	// holder is nil until the activity has a limit. limited: it has one now, of which these are the seats.
	holder  *share.Holder
	limited bool
	limit   share.Limit
	// owned are the partitions of which this dispatcher was told that they are here.
	owned share.Partitions
	// sent is when a task was last sent under a limit.
	sent time.Time
	// restless: something is to be reported soon.
	restless bool
}

// answered is what came of a report.
type answered struct {
	number uint64
	share  *nodev1.Share // nil: it got no answer
}

const (
	// askWithin is how long a report may be on its way to who grants; later ones say more.
	askWithin = 2 * time.Second
	// askAgain is after how long a report is made anew that got no answer.
	askAgain = 100 * time.Millisecond
	// activeFor is how long a node counts as one that sends, after it has sent.
	activeFor = time.Second
)

func limitOf(row *journalv1.LimitRow) share.Limit {
	return share.Limit{Rate: row.GetRate(), Concurrency: int(row.GetConcurrency())}
}

// reform takes up the limit as operators have set it last.
func (d *dispatcher) reform() {
	row, now := d.all.parts.Limits.Limit(d.activity.name), d.all.parts.Now()
	if d.limited = row != nil; !d.limited {
		d.do(d.queue.SetLimit(dispatch.Limit{}, now))
		return
	}
	if d.holder == nil {
		d.holder = share.NewHolder(d.all.parts.Config.Share, d.all.parts.Self, now)
	}
	d.holder.Limited()
	d.limit = limitOf(row)
	d.bound(0, now)
}

// bound has the queue send what the share allows. saved is how many tasks may be sent at once beside.
func (d *dispatcher) bound(saved float64, now time.Time) {
	s := d.holder.Share(d.limit)
	d.do(d.queue.SetLimit(dispatch.Limit{
		Rated: s.Rated, Rate: s.Rate, Burst: s.Burst, Saved: saved, Bounded: s.Bounded,
		Concurrency: max(s.Concurrency-d.holder.Lost(), 0), Until: s.Until,
	}, now))
}

// lose notes that a partition is lost: what is under way of it counts until another node counts it.
func (d *dispatcher) lose(p messages.Partition) {
	d.owned.Set(p, false)
	if !d.limited {
		return
	}
	if n := d.queue.UnderOf(p); n > 0 {
		d.holder.Lose(n)
		d.bound(0, d.all.parts.Now())
	}
}

// report asks for a share, if there is something to be said.
func (d *dispatcher) report() {
	now := d.all.parts.Now()
	s := share.Status{
		Under: d.queue.Under(), Waiting: d.queue.Sendable(), Starved: d.queue.Starved(), Active: now.Sub(d.sent) < activeFor,
		Counted: d.counted(),
	}
	r, news := d.holder.Look(s, now)
	if d.restless = d.holder.Restless(s); !news {
		return
	}
	self, all := d.activity.dispatcher, d.all
	e := &nodev1.Envelope{
		Partition: uint32(messages.PartitionOf("", d.activity.name)),
		Message:   &nodev1.Envelope_AskShare{AskShare: askShare(d.activity.name, r)},
	}
	all.parts.Post.AskWithin(askWithin, runtime.Owner{}, e, func(a *nodev1.Answer) {
		all.tell(self, &answered{number: r.Number, share: a.GetShare()})
	})
}

// counted are the partitions that are here, and of which the adapters have said what they have.
func (d *dispatcher) counted() share.Partitions {
	counted := d.owned
	if d.queue.Asking() {
		for p := range messages.Partition(messages.Partitions) {
			if d.queue.Asked(p) {
				counted.Set(p, false)
			}
		}
	}
	return counted
}

// granted takes the answer to a report.
func (d *dispatcher) granted(m *answered) {
	now := d.all.parts.Now()
	switch {
	case d.holder == nil:
	case m.share == nil:
		d.holder.Failed(m.number, now.Add(askAgain))
		d.all.after(askAgain, func() { d.all.tell(d.activity.dispatcher, tick{}) })
	default:
		if saved, ok := d.holder.Granted(grantOf(m.number, m.share), now); ok && d.limited {
			d.bound(saved, now)
		}
	}
}

func askShare(activity string, r share.Report) *nodev1.AskShare {
	return &nodev1.AskShare{
		Activity: activity, Holder: string(r.By), Number: r.Number, Granter: uint64(r.Granter), Grant: r.Grant, Round: r.Round,
		Held: seats(r.Held), HeldOf: r.Of, Under: uint32(r.Under), Lost: r.Lost, Waiting: uint32(r.Waiting), //nolint:gosec // they are counts
		Active: r.Active, Counted: r.Counted[:],
	}
}

func grantOf(number uint64, s *nodev1.Share) share.Grant {
	return share.Grant{
		Report: number, Granter: messages.Epoch(s.GetGranter()), Number: s.GetGrant(), Seats: seatsOf(s.GetSeats()),
		Limit: share.Limit{Rate: s.GetRate(), Concurrency: int(s.GetConcurrency())}, Idle: time.Duration(s.GetIdle()),
		Scarce: s.GetScarce(), Round: s.GetRound(), Settled: s.GetSettled(),
	}
}

func seats(s share.Seats) *nodev1.Seats {
	return &nodev1.Seats{Rate: uint32(s.Rate), Concurrency: uint32(s.Concurrency)} //nolint:gosec // they are counts
}

func seatsOf(s *nodev1.Seats) share.Seats {
	return share.Seats{Rate: int(s.GetRate()), Concurrency: int(s.GetConcurrency())}
}
