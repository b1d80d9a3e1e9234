package dispatch

// Cancel gives an attempt up: at once if nobody has it, else by asking the adapter that has it, as soon as that is there. Of what was
// offered before, to a queue that is gone, it is found out first whether an adapter comes back with it. If another adapter may have
// begun with it, what came of that is found out first.
func (q *Queue) Cancel(key string, attempt uint32) []Output { return q.cancel(key, attempt, false) }

// Stale says that an attempt whose ledger was to be journaled is not wanted any more.
func (q *Queue) Stale(key string, attempt uint32) []Output { return q.cancel(key, attempt, true) }

func (q *Queue) cancel(key string, attempt uint32, stale bool) []Output {
	it := q.items[key]
	if it == nil || it.task.Attempt != attempt {
		return nil
	}
	it.cancelled, it.withdrawn = true, false
	it.journaling = it.journaling && !stale
	switch {
	case it.unseen() && !q.untouched(it):
		q.seek(it)
	case it.state == orphaned:
	case it.state == inFlight && it.held && !it.refrains() && !stale:
	case it.state == inFlight:
		q.cancelOn(it.stream, it)
	case it.state == ready && it.known:
		q.take(it)
		q.aloft(it)
		it.asked = it.first // the adapter may answer under this number
		q.cancelOn(it.stream, it)
	default:
		q.giveUp(it)
	}
	return q.done()
}

// Withdraw gives an attempt up if nobody has begun with it: no adapter has it or may come back with it, or the one that has it has
// not begun. Any other attempt goes on to its end, even if it was cancelled before.
func (q *Queue) Withdraw(key string, attempt uint32) []Output {
	it := q.items[key]
	switch {
	case it == nil || it.task.Attempt != attempt:
	case it.asking, it.unseen(): // its adapter may be about to come back
		q.seek(it)
		it.cancelled, it.withdrawn = false, true
	case it.state == journaling && q.untouched(it), it.state == ready && !it.bound():
		q.giveUp(it)
	case it.state == inFlight && it.held && !it.journaling && !it.unsure():
		it.cancelled = true
		q.cancelOn(it.stream, it)
	default:
		it.cancelled = false
		q.out = append(q.out, GoesOn{Task: it.task})
		q.comeHome(it)
	}
	return q.done()
}

// seek has an item that is not wanted any more wait until it is known whether an adapter comes back with it.
func (q *Queue) seek(it *item) {
	if it.state == ready {
		q.take(it)
		q.orphan(it, it.task.OfferedAt)
	}
}

// untouched tells whether certainly nobody has begun with an item. If the activity is idempotent, an adapter may have begun with an
// item that was offered before, and the journal does not know.
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
