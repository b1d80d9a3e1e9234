package ledger

import "github.com/holdfast-run/holdfast/messages/adapterv1"

// RecordKind says what a record tells about its key.
type RecordKind uint8

// The kinds of records. A kind's number never changes: records are kept on disk.
const (
	// Begun: work that is not idempotent is about to be executed. It must be durable before that.
	Begun RecordKind = 1
	// Ended: this result came of it.
	Ended RecordKind = 2
	// Settled: the result is acknowledged, and kept.
	Settled RecordKind = 3
	// Forgotten: there is nothing more to know.
	Forgotten RecordKind = 4
)

// Record is what the memory of another process needs to know of one step. The result is never changed; but for Ended it
// only identifies the work.
type Record struct {
	Kind   RecordKind
	Result *adapterv1.Result
}

// Records returns what is to be written since it was called last, in order: all of it may be lost but for Begun, whose work
// must not be executed before it is durable.
func (l *Ledger) Records() []Record {
	records := l.records
	l.records = nil
	return records
}

// record notes a step of a work.
func (l *Ledger) record(w *Work, kind RecordKind) {
	if w.recorded = kind; l.config.Durable {
		l.records = append(l.records, w.tell(kind))
	}
}

func (w *Work) tell(kind RecordKind) Record {
	if kind == Ended {
		return Record{Kind: Ended, Result: w.result}
	}
	r := &adapterv1.Result{Key: w.key}
	if kind == Begun {
		r.OrderId, r.Partition, r.Attempt, r.Activity = w.order, w.partition, w.attempt, w.activity
	}
	return Record{Kind: kind, Result: r}
}

// Snapshot returns the records that are enough to know what the ledger knows: they may take the place of all before.
func (l *Ledger) Snapshot() []Record {
	var records []Record
	for _, list := range [...]*list{&l.settled, &l.held, &l.started, &l.open} {
		for w := list.front(); w != &list.root; w = w.next {
			switch w.recorded {
			case Begun:
				records = append(records, w.tell(Begun))
			case Ended:
				records = append(records, w.tell(Ended))
			case Settled:
				records = append(records, w.tell(Ended), w.tell(Settled))
			case Forgotten:
			}
		}
	}
	return records
}

// Replay takes a record of the process before, in the order in which they were made, before anything else. Its work
// has been started by a dead process, until it is known to have ended.
func (l *Ledger) Replay(r Record, now int64) {
	key := r.Result.GetKey()
	w := l.works[key]
	switch {
	case r.Kind == Begun, r.Kind == Ended:
		if w == nil {
			l.added++
			w = &Work{key: key, serial: l.added}
			l.works[key] = w
		}
		w.order, w.partition = r.Result.GetOrderId(), r.Result.GetPartition()
		w.attempt, w.activity = r.Result.GetAttempt(), r.Result.GetActivity()
		w.state, w.result = started, nil
		l.started.toBack(w, now)
		if r.Kind == Ended {
			w.state, w.result = held, answer(r.Result)
			w.sign()
			l.held.toBack(w, now)
		}
		w.recorded = r.Kind
	case w == nil:
	case r.Kind == Settled && w.state == held:
		w.state, w.recorded = settled, Settled
		l.settled.toBack(w, now)
	case r.Kind == Forgotten:
		delete(l.works, key)
		w.leave()
	}
}

// Replayed ends the replay: the results that are not acknowledged are results of this process from now on.
func (l *Ledger) Replayed(now int64) {
	for w := l.held.front(); w != &l.held.root; w = w.next {
		l.identify(w)
	}
	for w := l.settled.front(); w != &l.settled.root; w = w.next {
		l.bytes += len(w.result.GetOutput())
	}
	l.Expire(now)
}
