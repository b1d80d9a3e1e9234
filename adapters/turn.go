package adapters

import (
	"fmt"
	"time"

	"github.com/holdfast-run/holdfast/adapters/ledger"
	"github.com/holdfast-run/holdfast/messages/adapterv1"
)

// A job's turn, from the queue to its result:
//
//	queued ──► taken by a worker ──► executed ──► result
//	               │       ▲
//	               ▼       │ the node confirms
//	            announced ─┘
//	               │
//	               └──► given up: cancelled, drained, too late, its stream lost

// next gives a worker its next job, or nil if it is to wait until it is woken.
func (p *pool) next(w *worker) *job {
	p.hub.mu.Lock()
	defer p.hub.unlock()
	p.arrived(w)
	for p.queue.len > 0 && !p.stopped {
		now := p.hub.now()
		if wait := p.wait(now); wait > 0 {
			p.wakeIn(wait)
			p.hub.unclaim(p)
			break
		}
		if j := p.queue.front(); !j.over && !p.hub.admits(j) {
			break
		}
		if j := p.queue.pop(); p.take(j, now) {
			p.wake()
			return j
		}
		p.hub.grant(p)
	}
	p.idle = append(p.idle, w)
	return nil
}

// take has a worker take a job: it is executed, or announced first; false if neither is to be.
func (p *pool) take(j *job, now int64) bool {
	if j.over {
		p.credits.done(j.share)
		return false
	}
	j.taken = true
	p.hub.taken++
	if p.act.limit != nil {
		p.limit.take(now)
	}
	if p.act.breaker != nil {
		j.trial = p.breaker.take()
	}
	return p.begin(j, now)
}

// begin has the ledger say what is to be done with a job; false if it is not to be executed any more.
func (p *pool) begin(j *job, now int64) bool {
	verdict := p.hub.ledger.Begin(j.work)
	if verdict == ledger.Announce {
		j.resumed = make(chan struct{})
		p.hub.report(j)
		return true
	}
	j.resumed = nil
	j.recovers, j.maybe = verdict == ledger.Recover, j.work.MaybeStarted()
	if j.expired(time.Now()) {
		p.giveBack(j)
		p.end(j, j.late(), now)
		return false
	}
	if p.hub.save(); !p.act.idempotent {
		j.saved = p.hub.saved
	}
	j.begin()
	return true
}

// await waits until the node has confirmed a job, or it is given up; it tells whether the job is to be executed.
func (p *pool) await(j *job) bool {
	for {
		select {
		case <-j.resumed:
		case <-p.hub.base.Done():
		}
		if execute, again := p.resume(j); !again {
			return execute
		}
	}
}

// resume goes on with a job whose worker has waited for the confirmation. It may have to wait again.
func (p *pool) resume(j *job) (execute, again bool) {
	now := p.hub.now()
	p.hub.mu.Lock()
	defer p.hub.unlock()
	if j.over || p.stopped || p.hub.base.Err() != nil {
		p.giveBack(j)
		p.leave(j)
		p.hub.grant(p)
		return false, false
	}
	execute = p.begin(j, now)
	return execute, j.resumed != nil
}

// started waits until it is durable that a job is executed; false if it can't be: then it is not executed.
func (p *pool) started(j *job) bool {
	if p.hub.disk == nil || j.saved == 0 {
		return true
	}
	err := p.hub.disk.Wait(j.saved)
	if err == nil {
		return true
	}
	now := p.hub.now()
	j.cancel()
	p.hub.mu.Lock()
	defer p.hub.unlock()
	p.giveBack(j)
	r := wasNotDone()
	if j.maybe {
		r = resultOf(interrupted, err, true)
	}
	p.end(j, r, now)
	return false
}

// giveBack returns to the rate limit and the breaker what a job took from them, because it is not executed.
func (p *pool) giveBack(j *job) {
	if p.act.limit != nil {
		p.limit.giveBack()
	}
	if p.act.breaker != nil {
		p.breaker.giveBack(j.trial)
	}
}

// finish takes what came of an execution: result; or marked, if it has become known meanwhile that others may have had the task.
func (p *pool) finish(j *job, r, marked *adapterv1.Result) {
	now := p.hub.now()
	j.cancel()
	p.hub.mu.Lock()
	defer p.hub.unlock()
	if j.marked {
		r = marked
	}
	if p.act.breaker != nil {
		failed := r.GetOutcome() == adapterv1.Outcome_OUTCOME_IN_DOUBT ||
			r.GetOutcome() == adapterv1.Outcome_OUTCOME_FAILED && !r.GetPermanent()
		p.breaker.done(failed, j.trial, now)
	}
	if limit := j.home().maxOutput; limit > 0 && len(r.GetOutput()) > limit {
		r = resultOf(unreported, fmt.Errorf("the output has %d bytes; the node takes %d", len(r.GetOutput()), limit), false)
	}
	p.end(j, r, now)
}

// end gives a job's result to the ledger, and lets another job begin.
func (p *pool) end(j *job, r *adapterv1.Result, now int64) {
	if p.hub.ledger.Finish(j.work, r, now) {
		p.hub.answer(j.work, j.task, r)
	}
	p.leave(j)
	p.hub.grant(p)
}

// leave counts a job that a worker had taken as over. Jobs that waited for its end are woken.
func (p *pool) leave(j *job) {
	p.credits.done(j.share)
	h := p.hub
	h.taken--
	switch {
	case h.alone == j:
		h.release()
	case h.alone != nil && h.taken == 0:
		h.alone.pool.wake()
	}
}

// report says that a job is about to be executed.
func (h *hub) report(j *job) {
	j.announced = h.now()
	if l := j.home(); l.live && !j.reporting {
		j.reporting = true
		l.begun = append(l.begun, j)
		l.poke()
	}
}

// over ends a job. If it waits in its queue, it stays there, and on its credit, until its turn comes.
func (h *hub) over(j *job) {
	j.over = true
	switch {
	case j.resumed != nil:
		j.resume()
	case h.alone == j && !j.taken:
		h.release()
	}
}

// admits tells whether a job may be executed beside what workers have taken. The first job that is to be executed alone has all
// others wait: from then on nothing else begins.
func (h *hub) admits(j *job) bool {
	if h.alone == nil && j.task.GetAlone() {
		h.alone = j
	}
	return h.alone == nil || h.alone == j && h.taken == 0
}

// unclaim lets others go on if a pool's job that is to be executed alone has to wait for something else.
func (h *hub) unclaim(p *pool) {
	if h.alone != nil && h.alone.pool == p && !h.alone.taken {
		h.release()
	}
}

// release lets all go on that waited for a job that was alone.
func (h *hub) release() {
	h.alone = nil
	for _, p := range h.pools {
		p.wake()
	}
}
