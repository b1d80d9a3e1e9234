package dispatch

// Begun says that a stream's adapter is about to execute an attempt, and awaits the confirmation. If it must not, it is asked to
// give it up.
func (q *Queue) Begun(id StreamID, key string, attempt uint32) []Output {
	s, it := q.stream(id), q.items[key]
	switch {
	case s == nil:
	case it == nil:
		q.out = append(q.out, SendCancel{Stream: id, Key: key, Attempt: attempt})
	case it.state != inFlight || it.stream != s || it.refrains():
		q.out = append(q.out, SendCancel{Task: it.task, Stream: id, Key: key, Attempt: attempt})
	case attempt != it.task.Attempt || it.asked != 0 && it.asked != attempt:
		q.out = append(q.out, SendCancel{Task: it.task, Stream: id, Key: key, Attempt: attempt})
		switch { // the adapter was sent another attempt than this one
		case !it.held:
		case it.cancelled:
			q.giveUp(it)
		default:
			q.again([]*item{it})
		}
	case it.journaling:
	case !it.idempotent && it.task.Ledger != s.Ledger:
		it.first, it.asked, it.journaling = attempt, attempt, true
		q.out = append(q.out, JournalLedger{Task: it.task, Ledger: s.Ledger})
	default:
		it.first, it.asked = attempt, attempt
		q.letBegin(it)
	}
	return q.done()
}

// letBegin has an item's adapter execute it.
func (q *Queue) letBegin(it *item) {
	it.held, it.journaling, it.holder, it.since = false, false, "", q.now
	q.out = append(q.out, SendConfirm{Stream: it.stream.ID, Task: it.task, Alone: it.alone})
}

// adopt leaves an item with a stream whose process has it already, without a credit.
func (q *Queue) adopt(it *item, s *stream) {
	q.take(it)
	it.known, it.since, it.last = true, q.now, loss{}
	it.assign(s)
	q.aloft(it)
	q.out = append(q.out, Adopt{Stream: s.ID, Task: it.task, Alone: it.alone && !it.held})
	if it.cancelled {
		it.asked = it.first // the adapter may answer under this number
		q.cancelOn(s, it)
	}
}

// holds tells whether a stream's process, which says that it has the key of a ready item, may be awaiting the confirmation for it.
// Then it goes on awaiting it.
func (q *Queue) holds(it *item, s *stream) bool {
	if s.Idempotent {
		return s.Begun && it.task.suspected() && it.holder == s.Process
	}
	return s.Begun && it.task.Ledger == ""
}

// keepHeld leaves a ready item with a stream whose process holds it.
func (q *Queue) keepHeld(it *item, s *stream) {
	q.take(it)
	if it.process != s.Process {
		it.leave()
	}
	it.first, it.asked = 0, 0 // the process may have another attempt than this one
	it.held, it.alone = true, it.alone || it.task.suspected()
	it.mark(s)
	q.adopt(it, s)
}

func (q *Queue) cancelOn(s *stream, it *item) {
	q.out = append(q.out, SendCancel{Task: it.task, Stream: s.ID, Key: it.task.Key, Attempt: it.task.Attempt})
}

// Elsewhere tells whether a task was given to a process other than that of a stream, and has not been sent to that of the stream
// since; an earlier process with the same ledger does not count as another. Of the results that the stream's adapter tells of the
// task, only a success counts then.
func (q *Queue) Elsewhere(id StreamID, key string) bool {
	s, it := q.stream(id), q.items[key]
	switch {
	case it == nil:
		return false
	case s == nil:
		return true
	case it.idempotent && it.process == s.Process && (it.lost || it.task.Again) && it.asked == 0:
		return true
	case it.process != "":
		return it.process != s.Process && (it.idempotent || it.ledger != s.Ledger)
	}
	return !it.idempotent && it.ledger != "" && it.ledger != s.Ledger
}

// Unheard says that a stream's adapter has told what came of a task, that it did not count, and that the adapter forgets it.
func (q *Queue) Unheard(id StreamID, key string) []Output {
	s, it := q.stream(id), q.items[key]
	if s == nil {
		return nil
	}
	s.forget(key)
	switch {
	case it == nil || it.stream != s || it.state != inFlight && (it.state != ready || !it.known):
	case it.cancelled:
		q.giveUp(it)
	default:
		q.again([]*item{it})
	}
	return q.done()
}
