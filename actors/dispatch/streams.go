package dispatch

import (
	"slices"
	"time"
)

// Attach adds a stream. Tasks that its process has on a lost stream, or on an older one that is about to be found lost, are
// this stream's. What it never got is sent again; so is what a dead process with its ledger had.
func (q *Queue) Attach(st Stream) []Output {
	s := &stream{Stream: st}
	var concerned, anywhere []*item
	for key, it := range q.items {
		if s.Keys[key] || it.process != "" && it.process == s.Process || it.ledger != "" && it.ledger == s.Ledger {
			concerned = append(concerned, it)
		}
	}
	sortItems(concerned)
	q.streams = append(q.streams, s)
	for _, it := range concerned {
		if q.reattach(it, s) {
			anywhere = append(anywhere, it)
		}
	}
	q.again(anywhere)
	return q.done()
}

// reattach finds out what a new stream means for an item that may have to do with it. True: any stream may get it.
func (q *Queue) reattach(it *item, s *stream) (anywhere bool) {
	known, same := s.Keys[it.task.Key], it.process == s.Process
	switch {
	case it.state == ready:
		if same || known && !it.known {
			q.take(it)
			q.bind(it, s, known)
		}
	case it.state == reserved && !same && !known:
		// It goes to its own stream, or will come back.
	case it.state == reserved:
		q.take(it)
		if !known && !it.bound() {
			return true
		}
		q.bind(it, s, known)
	case it.state == inFlight && !same:
		// Its own stream has it, or will be found lost.
	case it.state == inFlight && !known && it.cancelled:
		q.giveUp(it)
	case it.state == inFlight && !known:
		q.bind(it, s, false) // if it got it on the older stream after all, it joins it
	case known:
		q.take(it)
		if !same {
			it.leave()
		}
		if !it.cancelled && (it.first != it.task.Attempt || it.asked != it.task.Attempt) {
			q.bind(it, s, true) // it may have an older one: it is to be told the number
			break
		}
		it.state, it.known = inFlight, true
		it.assign(s)
		if it.cancelled {
			it.asked = it.first // it may answer under this number
			q.out = append(q.out, SendCancel{Stream: s.ID, Task: it.task})
		}
	default:
		if same {
			it.first, it.asked, it.known = 0, 0, false // it never got it
		}
		return q.resend(it, s)
	}
	return false
}

// resend sends an item that a stream's process does not have. True: any stream may get it.
func (q *Queue) resend(it *item, s *stream) (anywhere bool) {
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

// Detach removes a stream. What it had waits for its adapter to come back, for the time that the config says.
func (q *Queue) Detach(id StreamID, now time.Time) []Output {
	i := slices.IndexFunc(q.streams, func(s *stream) bool { return s.ID == id })
	if i < 0 {
		return nil
	}
	s := q.streams[i]
	q.streams = slices.Delete(q.streams, i, i+1)
	var concerned, anywhere []*item
	for _, it := range q.items {
		if it.stream == s {
			concerned = append(concerned, it)
		}
	}
	sortItems(concerned)
	for _, it := range concerned {
		q.take(it)
		switch {
		case it.asked == 0 && !it.bound():
			anywhere = append(anywhere, it)
		default:
			q.bringHome(it, now)
		}
	}
	q.again(anywhere)
	return q.done()
}

// Credit sets how many tasks a stream may have been sent in all, those revoked included.
func (q *Queue) Credit(id StreamID, total uint64) []Output {
	if s := q.stream(id); s != nil && total > s.total {
		s.total = total
	}
	return q.done()
}

// Revoke takes back credits that were not used, and returns how many.
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
	for progress := true; progress && q.waiting > 0; {
		progress = false
		for range q.streams {
			if !q.allowed() {
				return
			}
			q.turn = (q.turn + 1) % len(q.streams)
			s := q.streams[q.turn]
			if s.credit() == 0 {
				continue
			}
			if it := q.pop(s); it != nil {
				q.send(it, s)
				progress = true
			}
		}
	}
}

// pop takes the first item that is bound to a stream, or else of the highest priority that its version can serve.
func (q *Queue) pop(s *stream) *item {
	from := &s.bound
	if from.peek() == nil {
		if from = q.next(s); from == nil {
			return nil
		}
		q.popped++
	}
	it := from.pop()
	q.count(it, -1)
	q.tokens--
	return it
}

// next returns the list whose first item is to be sent on a stream: that of the highest priority, or at times the one whose
// first item has waited longest.
func (q *Queue) next(s *stream) *fifo {
	var highest, oldest *fifo
	var since time.Time
	for p := Priorities - 1; p >= 0; p-- {
		for _, c := range [...]*class{q.classes[s.Version], q.classes[""]} {
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

// send uses a credit of a stream for an item. Also what is idempotent is marked if another adapter may have begun with it: who
// gets it must not say that it was not done.
func (q *Queue) send(it *item, s *stream) {
	it.assign(s)
	s.sent++
	t := it.task
	t.MaybeStarted = t.MaybeStarted || s.Idempotent && (it.lost || t.Again)
	if s.Idempotent || t.Ledger == s.Ledger {
		q.fly(it)
		return
	}
	t.MaybeStarted = t.MaybeStarted || t.Ledger != ""
	it.state = reserved
	q.out = append(q.out, Reserve{Task: t, Ledger: s.Ledger})
}

func (q *Queue) fly(it *item) {
	it.state, it.asked = inFlight, it.task.Attempt
	if it.first == 0 {
		it.first = it.asked
	}
	q.out = append(q.out, Send{Stream: it.stream.ID, Task: it.task})
}
