package share

import (
	"slices"
	"strings"
	"time"

	"github.com/holdfast-run/holdfast/messages"
)

// mostHolders is how many holders a granter knows at the most: a cluster has no more nodes, also with those that are gone.
const mostHolders = 1024

// Granter divides one limit. It is not safe for concurrent use.
type Granter struct {
	config Config
	epoch  messages.Epoch
	limit  Limit
	// certain is from when on all shares of the granter before it have expired; rated the same of shares of another rate.
	certain, rated time.Time
	// settled: all that is under way has been counted since then.
	settled bool
	holders map[messages.Incarnation]*holder
	// number is that of the last grant.
	number uint64
	// round is that of the last round, begun at roundAt; open: it is not over.
	round   uint64
	roundAt time.Time
	open    bool
	// freed is when a seat of the rate was last given back.
	freed time.Time
}

// holder is what a granter knows of a holder.
type holder struct {
	report Report
	// asks: the report has no answer, and has waited for one since.
	asks  bool
	since time.Time
	// given is what the last grant gave, whose number is grant, and most what the holder may believe that it has.
	given, most Seats
	grant       uint64
	// until is when its share has certainly expired.
	until time.Time
	// lost is the first report that tells of lost partitions and is not settled, and due the round that settles it; 0: there is none.
	lost, due uint64
	settled   uint64
}

// NewGranter makes the granter of an activity, at the owner of its partition. alone: there was no granter before whose shares may be out
// still.
func NewGranter(config Config, epoch messages.Epoch, alone bool, now time.Time) *Granter {
	begun := uint64(now.UnixNano()) // so that no two granters give the same numbers
	g := &Granter{
		config: config, epoch: epoch, holders: map[messages.Incarnation]*holder{}, number: begun, round: begun, freed: now,
		certain: now,
	}
	if !alone {
		g.certain = now.Add(config.certain())
		g.freed = g.certain
	}
	return g
}

// Report takes a report under the limit as it is now, and returns what is to be granted.
func (g *Granter) Report(r Report, limit Limit, now time.Time) []Grant {
	g.set(limit, now)
	h := g.holders[r.By]
	switch {
	case h == nil && len(g.holders) >= mostHolders:
		return nil
	case h == nil:
		h = &holder{until: now.Add(g.config.certain())}
		g.holders[r.By] = h
	case r.Number <= h.report.Number:
		return nil
	}
	if r.Of != limit.Rate {
		r.Held.Rate = 0
	}
	switch {
	case r.Granter != g.epoch || h.grant == 0:
		r.Round, r.Grant = 0, 0
		if h.grant == 0 {
			h.given, h.most = r.Held, r.Held
		}
	case r.Grant == h.grant:
		if h.given.Rate < h.most.Rate {
			g.freed = now
		}
		h.most = h.given
	}
	h.report, h.asks, h.since = r, true, now
	switch {
	case !r.Lost:
		h.lost = 0
	case h.lost == 0:
		h.lost, h.due = r.Number, g.round+1
	}
	return g.step(now)
}

// Tick returns what is to be granted after some time. It is to be called every 50 ms or so.
func (g *Granter) Tick(limit Limit, now time.Time) []Grant {
	g.set(limit, now)
	return g.step(now)
}

// set notes the limit. Seats of another rate are nothing that can be counted with: they expire first.
func (g *Granter) set(limit Limit, now time.Time) {
	if limit.Rate != g.limit.Rate {
		if g.limit.Rate != 0 && len(g.holders) > 1 {
			g.rated = now.Add(g.config.certain())
		}
		for _, h := range g.holders {
			h.given.Rate, h.most.Rate, h.report.Held.Rate = 0, 0, 0
		}
		for _, at := range [...]time.Time{now, g.rated} {
			if g.freed.Before(at) {
				g.freed = at
			}
		}
	}
	g.limit = limit
}

func (g *Granter) step(now time.Time) []Grant {
	g.expire(now)
	g.endRound(now)
	g.beginRound(now)
	return g.grant(now)
}

// expire takes back the seats of rates that have certainly expired.
func (g *Granter) expire(now time.Time) {
	for _, h := range g.holders {
		if h.most.Rate > 0 && !now.Before(h.until) {
			h.most.Rate, h.given.Rate = 0, 0
			g.freed = now
		}
	}
}

// silent tells whether a holder has said nothing since its share has certainly expired.
func (h *holder) silent(at time.Time) bool { return !h.asks && !at.Before(h.until) }

func (g *Granter) beginRound(now time.Time) {
	if g.open || now.Before(g.certain) {
		return
	}
	wanted := !g.settled
	for _, h := range g.holders {
		wanted = wanted || h.lost != 0 || h.silent(now)
	}
	if wanted {
		g.round, g.roundAt, g.open = g.round+1, now, true
	}
}

// endRound ends a round in which all partitions were counted.
func (g *Granter) endRound(now time.Time) {
	if !g.open {
		return
	}
	var counted Partitions
	for _, h := range g.holders {
		if h.report.Round >= g.round {
			counted.add(&h.report.Counted)
		}
	}
	if !counted.whole() && now.Sub(g.roundAt) < g.config.Patience {
		return
	}
	g.open, g.settled = false, true
	for who, h := range g.holders {
		switch {
		case h.report.Round < g.round && h.silent(g.roundAt):
			delete(g.holders, who)
		case h.lost != 0 && h.due <= g.round:
			h.settled, h.lost = h.lost, 0
		}
	}
}

// sorted are the holders, by name.
func (g *Granter) sorted() []*holder {
	all := make([]*holder, 0, len(g.holders))
	for _, h := range g.holders {
		all = append(all, h)
	}
	slices.SortFunc(all, func(a, b *holder) int { return strings.Compare(string(a.report.By), string(b.report.By)) })
	return all
}

// grant answers those whose share changes, who are to hear of a round, and who have waited long enough.
func (g *Granter) grant(now time.Time) (grants []Grant) {
	all := g.sorted()
	goals, scarce := g.plan(all, now)
	free := g.free(all)
	for i, h := range all {
		if !h.asks {
			continue
		}
		next := goals[i]
		out := max(h.most.Concurrency, h.report.Under)
		// What is under way beyond the share needs no seats, and gives no right to any: it may turn out not to be, or others count it, too.
		left := max(out+free.Concurrency, 0)
		if !h.report.Lost { // else what it had lost may be counted by others by now, and those have the seats
			left = max(left, h.most.Concurrency)
		}
		next.Concurrency = min(next.Concurrency, left)
		next.Rate = min(next.Rate, h.most.Rate+max(free.Rate, 0))
		told := h.report.Round >= g.round && (h.lost != 0 || !h.report.Lost)
		if told && next == h.report.Held && now.Sub(h.since) < g.patience(h) {
			continue
		}
		free.Concurrency -= max(next.Concurrency-out, 0)
		free.Rate -= max(next.Rate-h.most.Rate, 0)
		g.number++
		grant := Grant{
			To: h.report.By, Report: h.report.Number, Granter: g.epoch, Number: g.number, Seats: next, Limit: g.limit,
			Scarce: scarce, Round: g.round, Settled: h.settled,
		}
		if next.Rate > h.most.Rate && h.report.Held.Rate == h.most.Rate { // else it might take others for new that were used just now
			grant.Idle = now.Sub(g.freed)
		}
		h.asks, h.given, h.grant, h.until = false, next, g.number, now.Add(g.config.certain())
		h.most = Seats{Rate: max(h.most.Rate, next.Rate), Concurrency: max(h.most.Concurrency, next.Concurrency)}
		grants = append(grants, grant)
	}
	return grants
}

// patience is how long a report of a holder waits for its answer.
func (g *Granter) patience(h *holder) time.Duration {
	if h.most == (Seats{}) && h.report.Waiting == 0 {
		return g.config.Rest
	}
	return g.config.Hold
}

// free is how many seats are not out.
func (g *Granter) free(all []*holder) Seats {
	free := g.limit.seats()
	for _, h := range all {
		free.Rate -= h.most.Rate
		free.Concurrency -= max(h.most.Concurrency, h.report.Under)
	}
	return free
}
