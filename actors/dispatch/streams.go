package dispatch

import (
	"slices"
	"time"

	"github.com/holdfast-run/holdfast/messages"
)

// Attach adds a stream. What its process has from a lost stream, or from an older one that is about to be found lost, belongs to
// the new stream. What the process never got is sent again; so is what a dead process with the same ledger had.
func (q *Queue) Attach(st Stream) []Output {
	s := &stream{Stream: st, listed: map[string]messages.Partition{}}
	if s.Keys == nil {
		s.Keys = Set{}
	}
	var concerned, back, anywhere []*item
	for key, it := range q.items {
		if s.keeps(it) || s.accuses(it) {
			back = append(back, it)
		}
		if s.Keys.Has(key) || it.process != "" && it.process == s.Process || it.ledger != "" && it.ledger == s.Ledger {
			concerned = append(concerned, it)
		}
	}
	sortItems(concerned)
	sortItems(back)
	for _, it := range back {
		q.found(it, s)
	}
	q.streams = append(q.streams, s)
	for _, a := range q.asked {
		if s.Lists {
			a.unanswered[s.ID] = true
		}
	}
	q.repeats, q.journals = q.repeats || s.Idempotent, q.journals || !s.Idempotent
	for _, it := range concerned {
		if q.reattach(it, s) {
			anywhere = append(anywhere, it)
		}
	}
	q.again(anywhere)
	return q.done()
}

// reattach finds out what a new stream means for an item that may have to do with it. It returns true if any stream may get the
// item.
func (q *Queue) reattach(it *item, s *stream) (anywhere bool) {
	known, same := s.Keys.Has(it.task.Key), it.process == s.Process
	switch {
	case it.asking && known:
		q.claimed(it, s)
	case it.asking:
		// Its adapter is yet to answer.
	case it.state == ready:
		switch {
		case known && (same || it.stream == nil) && q.holds(it, s):
			q.keepHeld(it, s)
		case same || known && !it.known:
			q.bind(it, s, known)
		}
	case it.state == journaling && !same && !known:
		// The item goes to its own stream, or comes back when that is lost.
	case it.state == journaling:
		q.take(it)
		if !known && !it.bound() {
			return true
		}
		q.bind(it, s, known)
	case it.state == inFlight && !same:
		// The item's own stream has it, or will be found lost.
	case it.state == inFlight && !known && it.cancelled:
		q.giveUp(it)
	case it.state == inFlight && !known && it.held && it.task.Ledger == "":
		return true
	case it.state == inFlight && !known:
		q.bind(it, s, false) // if the process got it on the older stream after all, it goes on with that
	case known:
		q.recognise(it, s)
	default:
		return q.resend(it, s)
	}
	return false
}

// recognise takes up an item that a new stream's process says that it has.
func (q *Queue) recognise(it *item, s *stream) {
	if it.withdrawn {
		q.out = append(q.out, GoesOn{Task: it.task})
	}
	if it.process != s.Process {
		if !it.cancelled && !q.died(it) {
			return
		}
		q.take(it)
		it.leave()
	}
	q.take(it)
	if it.held {
		it.first, it.asked = 0, 0 // as in keepHeld
	} else if !it.cancelled && (it.first != it.task.Attempt || it.asked != it.task.Attempt) {
		q.bind(it, s, true) // the process may have an older attempt: it is to be told the number of this one
		return
	}
	q.adopt(it, s)
}

// resend sends an item that a stream's process does not have. It returns true if any stream may get the item.
func (q *Queue) resend(it *item, s *stream) (anywhere bool) {
	switch {
	case it.process == s.Process:
		it.first, it.asked, it.known, it.held = 0, 0, false, false // the process never got it
	case !it.cancelled && it.ledger == s.Ledger && !q.died(it):
		return false
	}
	if it.cancelled {
		q.giveUp(it)
		return false
	}
	q.take(it)
	if !it.idempotent {
		q.bind(it, s, false)
	}
	return it.idempotent
}

// home returns the newest stream of the process that an item was with, or of its ledger; nil if none is attached.
func (q *Queue) home(it *item) *stream {
	for _, s := range slices.Backward(q.streams) {
		if it.process != "" && s.Process == it.process {
			return s
		}
	}
	for _, s := range slices.Backward(q.streams) {
		if !it.idempotent && it.ledger != "" && s.Ledger == it.ledger {
			return s
		}
	}
	return nil
}

// Detach removes a stream. Tasks that its adapter may have begun with wait for it to come back, as long as Config says.
func (q *Queue) Detach(id StreamID, end End, now time.Time) []Output {
	i := slices.IndexFunc(q.streams, func(s *stream) bool { return s.ID == id })
	if i < 0 {
		return nil
	}
	s := q.streams[i]
	q.streams = slices.Delete(q.streams, i, i+1)
	for _, p := range q.partitionsAsked() {
		q.answeredBy(id, p)
	}
	var concerned, anywhere []*item
	for _, it := range q.items {
		if it.stream == s {
			concerned = append(concerned, it)
		}
	}
	sortItems(concerned)
	for _, it := range concerned {
		q.take(it)
		it.end = end
		switch {
		case it.held && it.cancelled:
			q.giveUp(it)
		case !it.begun() && it.task.Ledger == "":
			anywhere = append(anywhere, it)
		default:
			q.bringHome(it, now)
		}
	}
	q.again(anywhere)
	return q.done()
}

// MostCredit is the most tasks that a stream's adapter can be ready to take at a time: what it grants beyond that does not count.
const MostCredit = 1 << 20

// Credit sets how many tasks a stream's adapter takes in all, from the beginning of the stream on; revoked credits are counted in.
func (q *Queue) Credit(id StreamID, total uint64) []Output {
	if s := q.stream(id); s != nil {
		s.total = max(s.total, min(total, s.sent+s.revoked+MostCredit))
	}
	return q.done()
}

// Revoke revokes credits that were not used, at most so many, and returns how many.
func (q *Queue) Revoke(id StreamID, count uint64) uint64 {
	s := q.stream(id)
	if s == nil {
		return 0
	}
	n := min(count, s.credit())
	s.revoked += n
	return n
}

func (q *Queue) stream(id StreamID) *stream {
	for _, s := range q.streams {
		if s.ID == id {
			return s
		}
	}
	return nil
}

// assign gives ready tasks to streams with credit, in turn.
func (q *Queue) assign() {
	if q.limit.Bounded && q.waiting > 0 {
		q.under = q.Under()
	}
	q.crowded = false
	for progress := true; progress && q.waiting > 0; {
		progress = false
		for range q.streams {
			allowed := q.allowed()
			if q.paused || !allowed && q.had == 0 {
				return
			}
			q.turn = (q.turn + 1) % len(q.streams)
			s := q.streams[q.turn]
			if s.credit() == 0 {
				continue
			}
			if s.full() {
				q.crowded = true
				continue
			}
			if it := q.pop(s, allowed); it != nil {
				q.send(it, s)
				progress = true
			}
		}
	}
}

// pop takes the first item that a stream's adapter has, or that is bound to the stream, or a suspect, or else of the highest priority that
// its version can serve. allowed: the limit allows one that the adapter does not have.
func (q *Queue) pop(s *stream, allowed bool) *item {
	if it := s.had.pop(); it != nil {
		q.unlisted(it)
		return it
	}
	from := &s.bound
	if !allowed || from.peek() == nil {
		if it := q.suspect(s); it != nil && (allowed || it.had) {
			q.begins(it)
			q.unlist(it)
			return it
		}
		if !allowed {
			return nil
		}
		if from = q.next(s); from == nil {
			return nil
		}
		q.popped++
	}
	it := from.pop()
	q.begins(it)
	q.unlisted(it)
	return it
}

// begins counts an item that is about to be sent, unless its adapter has it.
func (q *Queue) begins(it *item) {
	if !it.had {
		q.tokens--
		q.under++
	}
}

// next returns the list whose first item is to be sent on a stream: that of the highest priority, or at times the one whose
// first item has waited longest.
func (q *Queue) next(s *stream) *fifo {
	var highest, oldest *fifo
	var since time.Time
	classes := [...]*class{q.classes[s.Version], q.classes[""]}
	for p := Priorities - 1; p >= 0; p-- {
		for _, c := range classes {
			if c == nil {
				continue
			}
			it := c.ready[p].peek()
			switch {
			case it == nil:
				continue
			case highest == nil:
				highest = &c.ready[p]
			}
			if q.popped%AgedShare != 0 || q.config.AgeAfter == 0 {
				return highest
			}
			if at := it.task.Since; q.aged(at) && (oldest == nil || at.Before(since)) {
				oldest, since = &c.ready[p], at
			}
		}
	}
	if oldest != nil {
		return oldest
	}
	return highest
}

func (q *Queue) aged(since time.Time) bool {
	return !since.IsZero() && q.now.Sub(since) >= q.config.AgeAfter
}

// send uses a credit of a stream for an item.
func (q *Queue) send(it *item, s *stream) {
	it.assign(s)
	s.sent++
	t := it.task
	it.mark(s)
	it.alone, it.last = s.Begun && t.suspected(), loss{}
	if s.awaits(it) || s.Idempotent || t.Ledger == s.Ledger {
		q.fly(it)
		return
	}
	it.state = journaling
	it.occupy(s.Space)
	q.out = append(q.out, JournalLedger{Task: t, Ledger: s.Ledger})
}

// aloft notes that an item's stream has it.
func (q *Queue) aloft(it *item) {
	it.state = inFlight
	it.occupy(it.stream.Space)
	if it.alone {
		q.alone[it.process] = it
	}
}

func (q *Queue) fly(it *item) {
	s := it.stream
	it.holder = ""
	if s.awaits(it) && !it.begun() {
		it.held, it.holder = true, s.Process
	}
	q.aloft(it)
	it.asked, it.since = it.task.Attempt, q.now
	switch {
	case it.first != 0:
	case it.known:
		it.first = 1 // the process has some attempt, not necessarily this one
	default:
		it.first = it.asked
	}
	q.out = append(q.out, Send{Stream: s.ID, Task: it.task, Await: s.awaits(it), Alone: it.alone})
}
