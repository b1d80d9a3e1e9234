package dispatch

// Cancel gives an attempt up: at once if nobody has it, else by asking the adapter, as soon as it is there. What another one may
// have begun with is found out first.
func (q *Queue) Cancel(key string, attempt uint32) []Output { return q.cancel(key, attempt, false) }

// Stale says that an attempt is not wanted any more whose ledger was to be journaled.
func (q *Queue) Stale(key string, attempt uint32) []Output { return q.cancel(key, attempt, true) }

func (q *Queue) cancel(key string, attempt uint32, stale bool) []Output {
	it := q.items[key]
	if it == nil || it.task.Attempt != attempt {
		return nil
	}
	it.cancelled = true
	it.reserving = it.reserving && !stale
	switch {
	case it.state == orphaned:
	case it.state == inFlight && it.held && !it.refrains() && !stale:
	case it.state == inFlight:
		q.cancelOn(it.stream, it)
	case it.state == ready && it.known:
		q.take(it)
		q.aloft(it)
		it.asked = it.first // it may answer under this number
		q.cancelOn(it.stream, it)
	default:
		q.giveUp(it)
	}
	return q.done()
}

// Withdraw gives an attempt up if no adapter has it, or may come back with it, or the one that has it has not begun. Any other
// goes on to its end, also one that was cancelled before.
func (q *Queue) Withdraw(key string, attempt uint32) []Output {
	it := q.items[key]
	switch {
	case it == nil || it.task.Attempt != attempt:
	case it.state == ready && it.unseen(): // its adapter may be about to come back
		q.take(it)
		q.orphan(it, it.task.OfferedAt)
		it.withdrawn = true
	case it.state == orphaned && it.withdrawn:
	case it.state == reserved && q.untouched(it), it.state == ready && !it.bound():
		q.giveUp(it)
	case it.state == inFlight && it.held && !it.reserving && !it.unsure():
		it.cancelled = true
		q.cancelOn(it.stream, it)
	default:
		it.cancelled = false
		q.out = append(q.out, GoesOn{Task: it.task})
		q.comeHome(it)
	}
	return q.done()
}

// untouched tells whether certainly nobody has begun with an item. What was offered before may have been begun without a trace
// in the journal, if the activity is idempotent.
func (q *Queue) untouched(it *item) bool {
	t := it.task
	again := t.Again && (t.Ledger != "" || q.repeats || !q.journals)
	return !it.begun() && !it.lost && !again && !t.MaybeStarted
}

// giveUp drops an item that is not wanted any more, and that no adapter has.
func (q *Queue) giveUp(it *item) {
	untouched := q.untouched(it)
	q.drop(it)
	if untouched {
		q.out = append(q.out, NotDone{Task: it.task})
	} else {
		q.out = append(q.out, InDoubt{Task: it.task})
	}
}
