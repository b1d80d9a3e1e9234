package activity

import (
	"sync"
	"time"

	"github.com/holdfast-run/holdfast/actors/failure"
	"github.com/holdfast-run/holdfast/actors/runtime"
	"github.com/holdfast-run/holdfast/actors/share"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/nodev1"
)

// granters are those of the activities whose partitions this node owns, as far as somebody has asked for a share.
type granters struct {
	mu sync.Mutex
	// all has them by activity. Its bound is the number of activities that have a limit.
	all map[string]*granter
	// ticking: a tick will come.
	ticking bool
}

// granter is the shell round one.
type granter struct {
	*share.Granter

	by runtime.Owner
	// asks are the reports that have no answer yet, one of each holder.
	asks map[messages.Incarnation]*nodev1.Envelope
}

// grantTick is how often granters look at the clock.
const grantTick = 50 * time.Millisecond

// reply is an answer that is to be given once no lock is held.
type reply struct {
	ask    *nodev1.Envelope
	answer *nodev1.Answer
}

func (r *Activities) reply(all []reply) {
	for _, x := range all {
		r.parts.Post.Answer(x.ask, x.answer)
	}
}

// Share takes a node's report of what it has of the limit of an activity, as the owner of its partition, and sees to the answer.
func (r *Activities) Share(by runtime.Owner, e *nodev1.Envelope) {
	ask := e.GetAskShare()
	name := ask.GetActivity()
	report, ok := reportOf(ask)
	row := r.parts.Limits.Limit(name)
	switch {
	case !ok || messages.PartitionOf("", name) != by.Partition:
		r.parts.Log.Error("report of a share is not sound", "activity", messages.Clip(name, mostTold),
			"asker", messages.Clip(e.GetAsker(), mostTold))
		r.reply([]reply{{e, refusal(runtime.ErrInterrupted)}})
		return
	case row == nil || !r.parts.MayDispatch(): // it is about to be learnt here that there is a limit, or elsewhere that there is none
		r.reply([]reply{{e, refusal(runtime.ErrInterrupted)}})
		return
	}
	now := r.parts.Now()
	r.granters.mu.Lock()
	g := r.granters.all[name]
	var out []reply
	if g == nil || g.by != by {
		out = g.end(runtime.ErrInterrupted)
		g = &granter{
			by: by, Granter: share.NewGranter(r.parts.Config.Share, by.Epoch, !r.parts.Others, now),
			asks: map[messages.Incarnation]*nodev1.Envelope{},
		}
		r.granters.put(name, g)
	}
	if before := g.asks[report.By]; before != nil {
		out = append(out, reply{before, refusal(runtime.ErrInterrupted)})
	}
	g.asks[report.By] = e
	out = append(out, g.replies(g.Report(report, limitOf(row), now))...)
	r.tickLater()
	r.granters.mu.Unlock()
	r.reply(out)
}

func (all *granters) put(name string, g *granter) {
	if all.all == nil {
		all.all = map[string]*granter{}
	}
	all.all[name] = g
}

// tickLater has the granters look at the clock soon; the lock is held.
func (r *Activities) tickLater() {
	if r.granters.ticking || len(r.granters.all) == 0 {
		return
	}
	r.granters.ticking = true
	r.after(grantTick, r.grant)
}

// grant has the granters look at the clock.
func (r *Activities) grant() {
	now, may := r.parts.Now(), r.parts.MayDispatch()
	var out []reply
	r.granters.mu.Lock()
	r.granters.ticking = false
	for name, g := range r.granters.all {
		row := r.parts.Limits.Limit(name)
		switch {
		case row == nil:
			out = append(out, g.end(runtime.ErrInterrupted)...)
			delete(r.granters.all, name)
		case may:
			out = append(out, g.replies(g.Tick(limitOf(row), now))...)
		}
	}
	r.tickLater()
	r.granters.mu.Unlock()
	r.reply(out)
}

// stopGranting ends the granters of a partition that this node has lost.
func (r *Activities) stopGranting(p messages.Partition) {
	var out []reply
	r.granters.mu.Lock()
	for name, g := range r.granters.all {
		if g.by.Partition == p {
			out = append(out, g.end(runtime.ErrNotOwner)...)
			delete(r.granters.all, name)
		}
	}
	r.granters.mu.Unlock()
	r.reply(out)
}

// end refuses all reports that have no answer.
func (g *granter) end(why error) (out []reply) {
	if g == nil {
		return nil
	}
	for who, e := range g.asks {
		out = append(out, reply{e, refusal(why)})
		delete(g.asks, who)
	}
	return out
}

func (g *granter) replies(grants []share.Grant) (out []reply) {
	for _, x := range grants {
		out = append(out, reply{g.asks[x.To], &nodev1.Answer{Message: &nodev1.Answer_Share{Share: shareOf(x)}}})
		delete(g.asks, x.To)
	}
	return out
}

func refusal(err error) *nodev1.Answer { return &nodev1.Answer{Failure: failure.Of(err)} }

// most is the highest number that a report may tell of anything.
const most = 1 << 31

// reportOf reads a report. It returns false if it is not sound.
func reportOf(a *nodev1.AskShare) (share.Report, bool) {
	h := a.GetHeld()
	r := share.Report{
		By: messages.Incarnation(a.GetHolder()), Number: a.GetNumber(), Granter: messages.Epoch(a.GetGranter()), Grant: a.GetGrant(),
		Round: a.GetRound(), Held: seatsOf(h), Of: a.GetHeldOf(), Under: int(a.GetUnder()), Lost: a.GetLost(), Waiting: int(a.GetWaiting()),
		Active: a.GetActive(),
	}
	ok := len(a.GetCounted()) == len(r.Counted) && r.By != "" && len(r.By) <= longestName &&
		max(a.GetUnder(), a.GetWaiting(), h.GetRate(), h.GetConcurrency()) < most
	copy(r.Counted[:], a.GetCounted())
	return r, ok
}

// longestName bounds the name of an incarnation, in bytes.
const longestName = 512

func shareOf(g share.Grant) *nodev1.Share {
	return &nodev1.Share{
		Granter: uint64(g.Granter), Grant: g.Number, Seats: seats(g.Seats), Rate: g.Limit.Rate,
		Concurrency: uint32(g.Limit.Concurrency), //nolint:gosec // it is one of the journal
		Idle:        int64(g.Idle), Scarce: g.Scarce, Round: g.Round, Settled: g.Settled,
	}
}
